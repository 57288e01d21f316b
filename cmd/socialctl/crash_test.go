package main

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"socialctl/configs"
	"socialctl/sharding/shardingtest"
)

// kills is how often a server is killed: 50 times, or what SOCIALCTL_TEST_KILLS says.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SOCIALCTL_TEST_KILLS")
	if text == "" {
		return 50
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SOCIALCTL_TEST_KILLS is %q: a number from 1 on is needed", text)
	}
	return n
}

// awaitDecided waits until the database servers have done with what a process had sent that was killed: a COMMIT may
// still be under way, and until then reading does not tell what became of it. Every write transaction holds a shared lock
// on shard_state.
func awaitDecided(t *testing.T, cfg configs.Config) {
	t.Helper()
	for _, database := range cfg.Databases {
		db, err := sql.Open("mysql", database.DSN)
		if err != nil {
			t.Fatal(err)
		}
		for shard := range 4 {
			schema := fmt.Sprintf("%s_%04d", strings.TrimSuffix(cfg.Meta.Schema, "_meta"), shard)
			var epoch int64
			err := db.QueryRow("SELECT epoch FROM `" + schema + "`.shard_state WHERE id = 1 FOR UPDATE").Scan(&epoch)
			if err != nil && !strings.Contains(err.Error(), "doesn't exist") { // it lies on the other server
				t.Fatal(err)
			}
		}
		_ = db.Close()
	}
}

// TestNothingAcknowledgedIsLostByKill9 kills one of two servers at random instants under a load, and starts it again on
// the same data. After each start everybody reads all that was ever acknowledged to them, while the next instant may
// already come; in the end, when what was owed has been worked off, every list, timeline and counter is what the model
// says, at both servers: the one that lived on has not kept what the other one changed and died before telling.
func TestNothingAcknowledgedIsLostByKill9(t *testing.T) {
	program := plainProgram(t)
	for _, profile := range shardingtest.Profiles() {
		t.Run(profile.Name, func(t *testing.T) {
			began, seed := time.Now(), uint64(time.Now().UnixNano())
			chance := rand.New(rand.NewPCG(seed, 9))
			t.Logf("seed %d", seed)
			cfg := profile.Config(t)
			config := configFile(t, cfg)
			servers := []*serving{startServing(t, program, config), startServing(t, program, config)}
			w := newWorld(t, servers[0].addr, servers[1].addr)
			w.signUp(fmt.Sprintf("%sperson", profile.Name), 12, seed)
			var checked atomic.Int64
			lose := func(victim int, after time.Duration) {
				dead := make(chan struct{})
				time.AfterFunc(after, func() {
					defer close(dead)
					w.dying.Store(true)
					servers[victim].kill()
				})
				w.together(w.people, func(p *person) {
					if p.resume() {
						p.repeat()
						if p.check() {
							checked.Add(1)
						}
						p.live(w.dying.Load)
					}
				})
				<-dead
				awaitDecided(t, cfg)
				servers[victim] = startServing(t, program, config)
				w.use(servers[0].addr, servers[1].addr)
				w.dying.Store(false)
			}
			for range kills(t) {
				lose(chance.IntN(2), 50*time.Millisecond+time.Duration(chance.Int64N(int64(350*time.Millisecond))))
				if !w.right() {
					return
				}
			}
			t.Logf("%s; %d times somebody read all that was theirs; %s since the beginning", w.tally(), checked.Load(), time.Since(began))
			w.settle()
			w.together(w.people, func(p *person) { p.check() })
			for _, server := range servers {
				server.stop()
			}
		})
	}
}
