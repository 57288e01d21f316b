package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"socialctl/sharding/shardingtest"
)

// TestTwoServersAndTheCommandLine has two servers on one cluster, or on one data folder, under a load, and operators'
// commands beside them, without an error anywhere. What one server or command has done decides at once on the other
// server, nothing acknowledged is lost, and every effect arrives.
func TestTwoServersAndTheCommandLine(t *testing.T) {
	program := plainProgram(t)
	for _, profile := range shardingtest.Profiles() {
		t.Run(profile.Name, func(t *testing.T) {
			config := configFile(t, profile.Config(t))
			servers := []*serving{startServing(t, program, config), startServing(t, program, config)}
			w := newWorld(t, servers[0].addr, servers[1].addr)
			pair := w.signUp("pair", 2, 1)
			w.people = nil
			w.signUp("person", 10, uint64(time.Now().UnixNano()))
			w.pace = 5 * time.Millisecond
			var over atomic.Bool
			var load, operators sync.WaitGroup
			load.Go(func() { w.together(w.people, func(p *person) { p.live(over.Load) }) })
			told := 0
			load.Go(func() {
				for ; !over.Load() && w.right(); told++ {
					pair[0].tells(pair[1], servers[told%2].addr, servers[1-told%2].addr)
				}
			})
			for n := range 2 {
				o := &operator{w: w, program: program, config: config, number: n, chance: rand.New(rand.NewPCG(uint64(n), 2))}
				operators.Go(func() {
					o.changes()
					o.looks()
					o.changes()
				})
			}
			operators.Wait()
			over.Store(true)
			load.Wait()
			t.Logf("%s; %d rounds of the two", w.tally(), told)
			w.settle()
			w.together(w.people, func(p *person) { p.check() })
			for _, server := range servers {
				server.stop()
			}
		})
	}
}

// operator runs commands beside the servers.
type operator struct {
	w               *world
	program, config string
	number, round   int
	chance          *rand.Rand
}

func (o *operator) run(args ...string) string {
	return command(o.w.t, o.program, o.config, args...)
}

// get asks any of the servers.
func (o *operator) get(token, path string, want int, into any) {
	a := o.w.ask(o.chance, token, "GET", path, nil, "")
	if a.status != want {
		o.w.wrong("GET %s: %d %s, should be %d", path, a.status, a.body, want)
	} else if err := a.into(into); into != nil && err != nil {
		o.w.wrong("%v in %s", err, a.body)
	}
}

// changes makes an account, shuts it out and lets it in again, and brings a graph in, twice; servers show all of it at
// once, but for the counters.
func (o *operator) changes() {
	o.round++
	name := fmt.Sprintf("operator%d_%d", o.number, o.round)
	o.run("user", "create", name, "--display-name", "An operator's")
	token := strings.TrimSpace(o.run("user", "token", name))
	o.get(token, "/v1/accounts/me", http.StatusOK, nil)
	o.run("user", "disable", name)
	o.get(token, "/v1/accounts/me", http.StatusUnauthorized, nil)
	o.get("", "/v1/accounts/@"+name, http.StatusNotFound, nil)
	o.run("user", "enable", name)
	o.get("", "/v1/accounts/@"+name, http.StatusOK, nil)
	if list := o.run("user", "list", "--limit", "0", "-o", "csv"); !strings.Contains(list, name) {
		o.w.wrong("user list does not have %s:\n%s", name, list)
	}
	o.graph()
}

// graph imports a ring: person N follows the next three.
func (o *operator) graph() {
	const size, each = 60, 3
	first := 1000 * (10*o.number + o.round)
	var lines strings.Builder
	for n := range size {
		for step := 1; step <= each; step++ {
			fmt.Fprintln(&lines, first+n, first+(n+step)%size)
		}
	}
	file := filepath.Join(o.w.t.TempDir(), "ring.edges")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		o.w.wrong("%v", err)
	}
	for _, made := range []int{size * each, 0} {
		var report struct {
			Follows     int `json:"follows"`
			FollowsMade int `json:"follows_made"`
			Refused     int `json:"refused"`
		}
		text := o.run("import", "graph", file, "--create-users", "-o", "json")
		if err := json.Unmarshal([]byte(text), &report); err != nil || report.Follows != size*each || report.FollowsMade != made || report.Refused != 0 {
			o.w.wrong("import graph: %v: %s", err, text)
		}
	}
	var account struct {
		ID        string
		Followers int `json:"followers_count"`
		Following int `json:"following_count"`
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		o.get("", "/v1/accounts/@u"+strconv.Itoa(first), http.StatusOK, &account)
		if account.Following == each && account.Followers == each {
			break
		}
		if time.Now().After(deadline) || !o.w.right() {
			o.w.wrong("u%d has %d followers and follows %d, should be %d", first, account.Followers, account.Following, each)
			break
		}
	}
	var followers page[reference]
	o.get("", "/v1/accounts/"+account.ID+"/followers", http.StatusOK, &followers)
	if len(followers.Items) != each {
		o.w.wrong("u%d has %d followers in its list", first, len(followers.Items))
	}
}

// looks runs every command that only looks. None finds anything wrong: what is under way is not.
func (o *operator) looks() {
	two := o.chance.Perm(len(o.w.people))
	x, y := o.w.people[two[0]], o.w.people[two[1]]
	m := o.w.any(o.chance)
	for _, args := range [][]string{
		{"inspect", "user", x.name},
		{"inspect", "message", m.ID},
		{"inspect", "relation", x.name, y.name},
		{"inspect", "timeline", "--user", x.name, "--limit", "20"},
		{"inspect", "timeline", "--user", x.name, "--message", m.ID, "--explain"},
		{"inspect", "shard", strconv.Itoa(o.chance.IntN(4))},
		{"inspect", "jobs"},
		{"inspect", "jobs", "--list"},
		{"shard", "status"},
		{"user", "show", x.name},
	} {
		if out := o.run(args...); out == "" {
			o.w.wrong("%v prints nothing", args)
		}
	}
}
