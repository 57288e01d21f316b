package copies

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2/server"

	"socialctl/sharding"
)

// world is two processes' caches on one cluster, with one of the kinds of Redis behind them.
type world struct {
	t         testing.TB
	shards    sharding.Options
	folder    string
	servers   []redisOfTest // none: embedded
	standby   redisOfTest   // of the only server; nil: there is none
	proxies   [2]*proxy     // the processes' ways to Redis; nil: there is none
	processes [2]*process
	embedded  embeddedFaults
	losses    int
}

// onEachRedis runs the test on each kind of Redis, given as the number of redis-servers behind it: none is the embedded
// one, which is all that -short asks for.
func onEachRedis(t *testing.T, test func(t *testing.T, servers int)) {
	for servers, name := range []string{"embedded", "single", "cluster"} {
		if servers > 0 && testing.Short() {
			return
		}
		t.Run(name, func(t *testing.T) { test(t, servers) })
	}
}

// onEachServer runs the test on a Redis within the test's process and, without -short, on a real one.
func onEachServer(t *testing.T, test func(t *testing.T, start func(t testing.TB) redisOfTest)) {
	t.Run("miniredis", func(t *testing.T) { test(t, func(t testing.TB) redisOfTest { return startMini(t) }) })
	if !testing.Short() {
		t.Run("redis", func(t *testing.T) { test(t, func(t testing.TB) redisOfTest { return startRedis(t, false) }) })
	}
}

// newWorld has no proxies.
func newWorld(t testing.TB, servers int) *world {
	w := &world{t: t, folder: newFolder(t)}
	w.shards = shardingOptions(w.folder)
	var real []*redisServer
	for range servers {
		s := startRedis(t, servers > 1)
		real, w.servers = append(real, s), append(w.servers, s)
	}
	if servers > 1 {
		joinRedis(t, real)
	}
	w.open()
	return w
}

// newDisturbedWorld has a proxy before each process, and two servers of which one stands by. Without servers Redis is
// the embedded one, with a proxy before whoever does not own it.
func newDisturbedWorld(t testing.TB, shards sharding.Options, folder string, servers ...redisOfTest) *world {
	w := &world{t: t, shards: shards, folder: folder}
	for i := range w.proxies {
		w.proxies[i] = startProxy(t, "")
	}
	if len(servers) > 0 {
		w.servers, w.standby = servers[:1], servers[1]
		w.lead()
	}
	w.open()
	return w
}

func (w *world) open() {
	for i := range w.processes {
		w.processes[i] = w.process(i)
	}
	w.t.Cleanup(func() {
		w.freeze(false)
		for _, p := range w.processes {
			p.close(w.t)
		}
	})
}

// process opens a process.
func (w *world) process(i int) *process {
	at := Redis{Folder: w.folder}
	for _, s := range w.servers {
		at.Addrs = append(at.Addrs, s.address())
	}
	if w.proxies[i] != nil && len(w.servers) > 0 {
		at.Addrs = []string{w.proxies[i].addr()}
	}
	other := w.processes[1-i]
	if w.proxies[i] == nil || len(w.servers) > 0 || other == nil || !other.owns() {
		return openOn(w.t, w.shards, at, true)
	}
	e := other.cache.link.embedded
	published, err := e.address()
	if err != nil {
		w.t.Fatal(err)
	}
	w.proxies[i].lead(published.Addr)
	behind := published
	behind.Addr = w.proxies[i].addr()
	if err := e.publish(behind); err != nil {
		w.t.Fatal(err)
	}
	p := openOn(w.t, w.shards, at, true)
	if err := e.publish(published); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// lead takes the processes to the server, and breaks their connections.
func (w *world) lead() {
	for _, p := range w.proxies {
		if p != nil {
			p.lead(w.servers[0].address())
		}
	}
}

// flush empties Redis.
func (w *world) flush() {
	for _, s := range w.servers {
		s.flush()
	}
	for _, p := range w.processes {
		if p.owns() {
			p.cache.link.embedded.server.Load().FlushAll()
		}
	}
}

// remember has Redis write the file that it reads when it starts again; the embedded one has none.
func (w *world) remember() {
	for _, s := range w.servers {
		s.remember()
	}
}

// lose ends Redis without warning and lets it come back as it is configured: with what it remembered, or, embedded, in
// another process; the owner is replaced by a new process, whose number is returned.
func (w *world) lose() (died int) {
	for _, s := range w.servers {
		s.restart()
	}
	if len(w.servers) == 1 {
		w.lead()
	}
	if len(w.servers) > 1 {
		clusterAgrees(w.t, w.servers)
	}
	if len(w.servers) > 0 {
		return -1
	}
	for i, p := range w.processes {
		if p.owns() {
			w.freeze(false)
			p.die(w.t)
			if w.losses++; w.losses%4 != 0 {
				w.processes[1-i].cache.link.check(context.Background()) // the other takes over, and not who comes
			}
			w.processes[i] = w.process(i)
			w.embedded.apply(w)
			return i
		}
	}
	w.t.Fatal("nobody owns the embedded Redis")
	return -1
}

// failOver puts the server that stood by in the place of the other. What it holds is current or, if it was not
// replicated to, what it held when it was used last.
func (w *world) failOver(replicated bool) {
	if replicated {
		w.standby.fill(w.servers[0].contents())
	}
	w.servers[0], w.standby = w.standby, w.servers[0]
	w.lead()
}

// refuse has Redis refuse these commands, and no others.
func (w *world) refuse(commands ...string) {
	for _, s := range w.servers {
		s.refuse(commands...)
	}
	if w.standby != nil {
		w.standby.refuse(commands...)
	}
	w.embedded.set(func(e *embeddedFaults) { e.refused = commands })
	w.embedded.apply(w)
}

// freeze has Redis leave everybody without an answer, or go on.
func (w *world) freeze(frozen bool) {
	if len(w.servers) > 0 {
		for _, p := range w.proxies {
			if p != nil {
				p.hold(asked, frozen)
			}
		}
		return
	}
	w.embedded.set(func(e *embeddedFaults) { e.frozen = frozen })
	w.embedded.apply(w)
}

// embeddedFaults are what the embedded Redis does to commands.
type embeddedFaults struct {
	mu      sync.Mutex
	changed *sync.Cond
	refused []string
	frozen  bool
}

func (e *embeddedFaults) set(change func(e *embeddedFaults)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.changed == nil {
		e.changed = sync.NewCond(&e.mu)
	}
	change(e)
	e.changed.Broadcast()
}

// apply makes the owner's Redis so; there may be another one than before.
func (e *embeddedFaults) apply(w *world) {
	for _, p := range w.processes {
		if p != nil && p.owns() {
			p.cache.link.embedded.server.Load().Server().SetPreHook(e.hook)
		}
	}
}

func (e *embeddedFaults) hook(c *server.Peer, command string, _ ...string) bool {
	e.mu.Lock()
	for e.frozen {
		e.changed.Wait()
	}
	refused := slices.Contains(e.refused, strings.ToLower(command))
	e.mu.Unlock()
	if refused {
		c.WriteError("NOPERM the test refuses it")
	}
	return refused
}

func (w *world) check() {
	for _, p := range w.processes {
		p.cache.link.check(context.Background())
	}
}

// known waits until both processes know every epoch.
func (w *world) known() {
	sum := w.processes[0].epochs(w.t)
	soon(w.t, "the epochs are known", func() bool { return w.processes[0].knows(sum) && w.processes[1].knows(sum) })
}
