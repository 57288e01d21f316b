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

// awaitForgotten waits until the database servers have done with the connections of a process that was killed: a COMMIT
// that it had sent may still be under way, and until then reading does not tell what became of it.
func awaitForgotten(t *testing.T, cfg configs.Config) {
	t.Helper()
	for name, database := range cfg.Databases {
		db, err := sql.Open("mysql", database.DSN)
		if err != nil {
			t.Fatal(err)
		}
		left := 1
		for deadline := time.Now().Add(10 * time.Second); left > 0; time.Sleep(2 * time.Millisecond) {
			err = db.QueryRow(`SELECT COUNT(*) FROM information_schema.processlist WHERE db LIKE ?`,
				strings.TrimSuffix(cfg.Meta.Schema, "meta")+"%").Scan(&left)
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("database %s has %d connections of a killed process: %v", name, left, err)
			}
		}
		_ = db.Close()
	}
}

// TestNothingAcknowledgedIsLostByKill9 kills the server at random instants under a load, and starts it again on the same
// data. After each start everybody reads all that was ever acknowledged to them, while the next instant may already come;
// in the end, when what was owed has been worked off, every list, timeline and counter is what the model says.
func TestNothingAcknowledgedIsLostByKill9(t *testing.T) {
	program := buildProgram(t)
	for _, profile := range shardingtest.Profiles() {
		t.Run(profile.Name, func(t *testing.T) {
			began, seed := time.Now(), uint64(time.Now().UnixNano())
			chance := rand.New(rand.NewPCG(seed, 9))
			t.Logf("seed %d", seed)
			cfg := profile.Config(t)
			config := configFile(t, cfg)
			server := startServing(t, program, config)
			w := newWorld(t, server.addr)
			w.signUp(fmt.Sprintf("%sperson", profile.Name), 12, seed)
			var checked atomic.Int64
			lose := func(after time.Duration) {
				dead := make(chan struct{})
				time.AfterFunc(after, func() {
					defer close(dead)
					w.dying.Store(true)
					server.kill()
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
				awaitForgotten(t, cfg)
				server = startServing(t, program, config)
				w.use(server.addr)
				w.dying.Store(false)
			}
			for range kills(t) {
				lose(50*time.Millisecond + time.Duration(chance.Int64N(int64(350*time.Millisecond))))
				if !w.right() {
					return
				}
			}
			t.Logf("%s; %d times somebody read all that was theirs; %s since the beginning", w.tally(), checked.Load(), time.Since(began))
			w.settle()
			w.together(w.people, func(p *person) { p.check() })
			server.stop()
		})
	}
}
