package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"socialctl/configs"
	"socialctl/sharding/shardingtest"
)

// services are two MariaDB servers and Redis of a test's own, which it may stop.
type services struct {
	t   *testing.T
	dir string
}

func ownServices(t *testing.T) *services {
	t.Helper()
	s := &services{t, t.TempDir()}
	t.Cleanup(func() { s.run("down", "--purge", "mariadb", "redis") })
	s.run("up", "mariadb", "redis")
	return s
}

func (s *services) run(args ...string) {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(shardingtest.Root(s.t), "scripts", "services"), args...)
	cmd.Env = append(plainEnvironment(), "SOCIALCTL_SERVICES_DIR="+s.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("services %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// address is what the script has written into its file of addresses.
func (s *services) address(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "env"))
	if err != nil {
		s.t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+"="); ok {
			return value
		}
	}
	s.t.Fatalf("%s is not among\n%s", name, text)
	return ""
}

// signal sends a signal to one of the servers.
func (s *services) signal(name string, signal syscall.Signal) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name, "pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		s.t.Fatal(err)
	}
}

// way is how a server goes away and comes back.
type way struct {
	name       string
	away, back func(s *services, name string)
	lasts      time.Duration
}

var (
	start   = func(s *services, name string) { s.run("start", name) }
	stopped = way{"stopped", func(s *services, name string) { s.run("stop", name) }, start, 2 * time.Second}
	killed  = way{"killed", func(s *services, name string) { s.run("kill", name) }, start, 2 * time.Second}
	frozen  = way{"frozen", func(s *services, name string) { s.signal(name, syscall.SIGSTOP) },
		func(s *services, name string) { s.signal(name, syscall.SIGCONT) }, 9 * time.Second}
)

// cluster makes four shards on the two servers, and returns the configuration file. Shards lie on a, b, a, b, and there
// are as many buckets as a multiple of four: even ids live on a, odd ones on b.
func (s *services) cluster(program string, more ...string) string {
	s.t.Helper()
	cfg := configs.Default()
	cfg.Data = s.t.TempDir()
	cfg.Databases = map[string]configs.Database{
		"a": {DSN: s.address("SOCIALCTL_TEST_MYSQL_A"), MaxConns: 32},
		"b": {DSN: s.address("SOCIALCTL_TEST_MYSQL_B"), MaxConns: 32},
	}
	cfg.Meta = configs.Meta{Database: "a", Schema: "social_meta"}
	cfg.Redis = configs.Redis{Addrs: []string{s.address("SOCIALCTL_TEST_REDIS")}}
	config := configFile(s.t, cfg, more...)
	command(s.t, program, config, "shard", "init", "--shards", "4", "--buckets", "64", "--databases", "a,b")
	return config
}

// command runs a command of the program, which must succeed, and returns what it printed.
func command(t *testing.T, program, config string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"--config", config}, args...)...)
	cmd.Env = plainEnvironment()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("socialctl %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// livesOn says on which database server somebody lives, by the rule that anyone can compute by hand.
func livesOn(p *person) string {
	n, _ := strconv.Atoi(p.id)
	return []string{"mariadb-a", "mariadb-b"}[n%2]
}

// splitByDatabase makes three worlds: people of database a alone, people of b alone, and people of both.
func splitByDatabase(everybody *world, each int) map[string]*world {
	parts := map[string]*world{}
	taken := map[*person]bool{}
	for _, name := range []string{"mariadb-a", "mariadb-b", "both"} {
		var some []*person
		for _, p := range everybody.people {
			if len(some) < each && !taken[p] && (name == "both" || livesOn(p) == name) {
				some, taken[p] = append(some, p), true
			}
		}
		parts[name] = everybody.part(some)
	}
	return parts
}

// delivery is an author with two followers: one who lives on the same database server and one on the other.
type delivery struct {
	author, near, far *person
}

// deliveries takes an author and followers for each database out of the people of the split world.
func deliveries(parts map[string]*world) map[string]*delivery {
	found := map[string]*delivery{}
	for name, other := range map[string]string{"mariadb-a": "mariadb-b", "mariadb-b": "mariadb-a"} {
		w, n := parts[name], len(parts[name].people)
		far := parts[other].people[0]
		found[name] = &delivery{w.people[n-1], w.people[n-2], far}
	}
	for _, d := range found {
		d.far.w.people = d.far.w.people[1:]
		d.author.w.people = d.author.w.people[:len(d.author.w.people)-2]
	}
	for _, d := range found {
		d.near.follow(d.author, true)
		d.far.follow(d.author, true)
	}
	return found
}

// newsWithin is how long a follower on a healthy server waits at most for a post while another server is frozen: until
// that one is known not to answer, and the last that waited for it has given up. It is shorter than the freeze.
const newsWithin = 7 * time.Second

// goOn posts until it is over, each time until the near follower's home has it. It returns the longest that this took.
// Nothing is posted while the author's own server is away.
func (d *delivery) goOn(over func() bool) (slowest time.Duration) {
	for w := d.author.w; !over() && w.right(); time.Sleep(10 * time.Millisecond) {
		before := len(d.author.wrote)
		d.author.publish("/v1/messages", "", "news")
		if d.author.open != nil || len(d.author.wrote) == before {
			d.author.open = nil // refused while the author's own server is away, or else that has been reported
			continue
		}
		newest := d.author.written()[0].ID
		for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			var home page[message]
			_, ok := d.near.get("/v1/timelines/home", &home)
			if ok && len(home.Items) > 0 && home.Items[0].ID == newest {
				slowest = max(slowest, time.Since(began))
				break
			}
			if w.outage.Load() {
				break
			}
			if time.Since(began) > newsWithin {
				w.wrong("%s does not see %s after %s", d.near.name, newest, time.Since(began))
				return slowest
			}
		}
	}
	return slowest
}

// newcomers sign up until it is over. Who gets no answer tries again with the same name and password, or logs in, as the
// API says, until they are in: each name is one account.
func newcomers(w *world, prefix string, over func() bool) (n int) {
	chance := rand.New(rand.NewPCG(uint64(len(prefix)), 3))
	for ; !over() && w.right(); n++ {
		who := map[string]string{"name": fmt.Sprintf("%s%d", prefix, n), "password": "correct horse"}
		for path := "/v1/accounts"; ; time.Sleep(50 * time.Millisecond) {
			a := w.ask(chance, "", "POST", path, who, "")
			if a.status == http.StatusCreated {
				break
			}
			if a.status == http.StatusConflict && path == "/v1/accounts" {
				path = "/v1/sessions"
			} else if !a.undecided() {
				w.wrong("POST %s of %s: %d %s", path, who["name"], a.status, a.body)
				return n
			}
		}
	}
	return n
}

// TestMariaDBStoppedAndStarted takes each of two database servers away under a load and brings it back. What needs it is
// answered with 503 meanwhile, by the deadline of a request, and never with something wrong; whoever lives on the other
// one with all of theirs goes on unhindered; after some seconds nobody is refused any more; in the end nothing
// acknowledged has been lost and every effect has arrived.
func TestMariaDBStoppedAndStarted(t *testing.T) {
	if testing.Short() {
		return // real servers alone
	}
	s := ownServices(t)
	program := plainProgram(t)
	config := s.cluster(program, "http: {request_timeout: 3s}")
	servers := []*serving{startServing(t, program, config), startServing(t, program, config)}
	everybody := newWorld(t, servers[0].addr, servers[1].addr)
	everybody.signUp("person", 32, uint64(time.Now().UnixNano()))
	parts := splitByDatabase(everybody, 8)
	news := deliveries(parts)
	for _, w := range parts {
		w.patience, w.pace = 3500*time.Millisecond, 5*time.Millisecond
	}
	for _, c := range []struct {
		way  way
		name string
	}{{stopped, "mariadb-b"}, {killed, "mariadb-a"}, {frozen, "mariadb-a"}} { // a has the meta schema too
		t.Run(c.way.name+" "+c.name, func(t *testing.T) {
			var over atomic.Bool
			var running sync.WaitGroup
			defer running.Wait()
			defer over.Store(true)
			for _, w := range parts {
				w.t = t
				running.Go(func() { w.together(w.people, func(p *person) { p.live(over.Load) }) })
			}
			for at, d := range news {
				running.Go(func() { t.Logf("posts on %s were delivered within %s", at, d.goOn(over.Load)) })
			}
			for i := range 4 {
				running.Go(func() {
					newcomers(parts["both"], fmt.Sprintf("new%s%s%d", c.way.name, c.name[len(c.name)-1:], i), over.Load)
				})
			}
			time.Sleep(300 * time.Millisecond)
			parts[c.name].outage.Store(true)
			parts["both"].outage.Store(true)
			c.way.away(s, c.name)
			time.Sleep(c.way.lasts)
			c.way.back(s, c.name)
			began := time.Now()
			for _, server := range servers {
				awaitReady(t, server.addr)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("ready again only after %s", took)
			}
			parts[c.name].outage.Store(false)
			parts["both"].outage.Store(false)
			time.Sleep(500 * time.Millisecond)
			over.Store(true)
			running.Wait()
			for part, w := range parts {
				t.Logf("%s: %s", part, w.tally())
				w.settle()
				w.together(w.people, func(p *person) { p.check() })
			}
		})
	}
	for _, w := range parts {
		w.t = t
	}
	for _, server := range servers {
		server.stop()
	}
}

// TestRedisStoppedAndStarted takes Redis away under a load and brings it back. Nobody notices but by the clock: all
// answers are right and none is a refusal, and what one server has acknowledged decides on the other, within half a
// second where it happened in the very moment.
func TestRedisStoppedAndStarted(t *testing.T) {
	if testing.Short() {
		return // real servers alone
	}
	s := ownServices(t)
	program := plainProgram(t)
	config := s.cluster(program)
	servers := []*serving{startServing(t, program, config), startServing(t, program, config)}
	w := newWorld(t, servers[0].addr, servers[1].addr)
	pair := w.signUp("pair", 2, 1)
	w.people = nil
	w.signUp("person", 12, uint64(time.Now().UnixNano()))
	w.pace = 5 * time.Millisecond
	for _, way := range []way{stopped, killed, frozen} {
		t.Run(way.name, func(t *testing.T) {
			w.t = t
			var over atomic.Bool
			var running sync.WaitGroup
			defer running.Wait()
			defer over.Store(true)
			running.Go(func() { w.together(w.people, func(p *person) { p.live(over.Load) }) })
			told := 0
			running.Go(func() {
				for ; !over.Load() && w.right(); told++ {
					pair[0].tells(pair[1], servers[told%2].addr, servers[1-told%2].addr)
				}
			})
			time.Sleep(500 * time.Millisecond)
			w.lag.Store(500)
			way.away(s, "redis")
			time.Sleep(time.Second)
			w.lag.Store(0)
			time.Sleep(2 * time.Second)
			way.back(s, "redis")
			time.Sleep(4 * time.Second) // it is read from again after two of them
			over.Store(true)
			running.Wait()
			t.Logf("%s; %d rounds of the two", w.tally(), told)
			w.settle()
			w.together(w.people, func(p *person) { p.check() })
		})
	}
	w.t = t
	for _, server := range servers {
		server.stop()
	}
}
