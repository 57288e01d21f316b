package social

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"socialctl/configs"
	"socialctl/sharding"
	"socialctl/sharding/shardingtest"
	"socialctl/social/schema"
)

// cacheWorld is two processes' caches on one cluster, with one of the kinds of Redis behind them.
type cacheWorld struct {
	t         testing.TB
	folder    string
	servers   []*redisServer // none: embedded
	processes [2]*cacheProcess
}

// cacheProcess is what one process has.
type cacheProcess struct {
	cluster *sharding.Cluster
	link    *redisLink
	cache   *cache
	rows    *versioned[int]
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

func newCacheWorld(t testing.TB, servers int) *cacheWorld {
	w := &cacheWorld{t: t, folder: cacheFolder(t)}
	for range servers {
		w.servers = append(w.servers, startRedis(t, servers > 1))
	}
	if servers > 1 {
		joinRedis(t, w.servers)
	}
	for i := range w.processes {
		w.processes[i] = w.process()
	}
	t.Cleanup(func() {
		for _, p := range w.processes {
			p.close(t)
		}
	})
	return w
}

func cacheFolder(t testing.TB) string {
	folder := t.TempDir()
	if _, err := sharding.Init(t.Context(), cacheSharding(folder), sharding.Plan{Shards: 2, Buckets: 16}); err != nil {
		t.Fatal(err)
	}
	return folder
}

func cacheSharding(folder string) sharding.Options {
	return sharding.Options{Dir: folder, Shard: schema.Shard(), Log: slog.New(slog.DiscardHandler), TxTimeout: time.Minute}
}

func (w *cacheWorld) process() *cacheProcess {
	return openCacheProcess(w.t, w.folder, RoleServer, w.addrs()...)
}

func (w *cacheWorld) addrs() []string {
	var addrs []string
	for _, s := range w.servers {
		addrs = append(addrs, s.addr)
	}
	return addrs
}

func openCacheProcess(t testing.TB, folder string, role Role, addrs ...string) *cacheProcess {
	log := slog.New(slog.DiscardHandler)
	cluster, err := sharding.Open(t.Context(), cacheSharding(folder))
	if err != nil {
		t.Fatal(err)
	}
	cfg := configs.Default()
	cfg.Data, cfg.Redis.Addrs = folder, addrs
	link, err := openRedis(t.Context(), cfg, role, log)
	if err != nil {
		t.Fatal(err)
	}
	p := &cacheProcess{cluster, link, newCache(cluster, link, log), newVersioned[int](1000)}
	soon(t, "every cache_epoch is known", func() bool { return p.knows(0) })
	return p
}

func (p *cacheProcess) close(t testing.TB) {
	p.cache.close()
	if err := p.link.close(); err != nil {
		t.Error(err)
	}
	if err := p.cluster.Close(); err != nil {
		t.Error(err)
	}
}

// knows reports whether all shards' cache_epochs are known and add up to the sum at least.
func (p *cacheProcess) knows(sum int64) bool {
	for _, s := range p.cluster.Shards() {
		epoch, ok := s.CacheEpoch()
		var own int64 // the shard's epoch, which nobody raises here
		if err := p.cluster.RawForTest(s).QueryRow(`SELECT epoch FROM shard_state WHERE id = 1`).Scan(&own); err != nil || !ok {
			return false
		}
		sum -= epoch - own
	}
	return sum <= 0
}

// epochs adds up the stored cache_epoch of all shards.
func (p *cacheProcess) epochs(t testing.TB) (sum int64) {
	for _, s := range p.cluster.Shards() {
		sum += p.epoch(t, s)
	}
	return sum
}

func (p *cacheProcess) epoch(t testing.TB, s *sharding.Shard) (epoch int64) {
	err := p.cluster.ReadShard(context.Background(), s, nil, func(ctx context.Context, r *sharding.Reader) error {
		return r.QueryRow(ctx, `SELECT cache_epoch FROM shard_state WHERE id = 1`).Scan(&epoch)
	})
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

// read does what every reader does, and reports whether the local copy served.
func (p *cacheProcess) read(key cacheKey, load func() int) (value int, hit bool) {
	tg := p.cache.tags(context.Background(), []cacheKey{key})[0]
	if v, ok := p.rows.get(key, tg); ok {
		return v, true
	}
	v := load()
	p.rows.put(key, tg, v)
	return v, false
}

// soon waits for what other goroutines and processes bring about.
func soon(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit, tick := time.NewTimer(20*time.Second), time.NewTicker(2*time.Millisecond)
	defer limit.Stop()
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit.C:
			t.Fatal("does not come: " + what)
		case <-tick.C:
		}
	}
}

// redisServer is a redis-server of the test's own, which it may stop and flush.
type redisServer struct {
	t          testing.TB
	executable string
	args       []string
	addr       string
	running    *exec.Cmd
	admin      *redis.Client
}

// realRedis is the address of the Redis that scripts/services runs.
func realRedis(t testing.TB) string { return shardingtest.Service(t, "SOCIALCTL_TEST_REDIS") }

// startRedis starts a Redis of the test's own.
func startRedis(t testing.TB, clustered bool) *redisServer {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("this test starts a Redis of its own: %v", err)
	}
	_, port, _ := net.SplitHostPort(freeAddress(t))
	folder := t.TempDir()
	s := &redisServer{t: t, executable: program, addr: "127.0.0.1:" + port,
		args: []string{"--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"}}
	if clustered {
		_, bus, _ := net.SplitHostPort(freeAddress(t))
		s.args = append(s.args, "--cluster-enabled", "yes", "--cluster-port", bus)
	}
	s.start()
	t.Cleanup(func() {
		s.kill()
		_ = s.admin.Close()
	})
	return s
}

func freeAddress(t testing.TB) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (s *redisServer) start() {
	s.running = exec.Command(s.executable, s.args...)
	if err := s.running.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.admin = redis.NewClient(&redis.Options{Addr: s.addr, DialerRetries: 1, MaxRetries: -1})
	soon(s.t, "redis-server answers", func() bool { return s.admin.Ping(context.Background()).Err() == nil })
}

func (s *redisServer) kill() {
	_ = s.running.Process.Kill()
	_ = s.running.Wait()
}

// joinRedis makes one Redis Cluster of the servers.
func joinRedis(t testing.TB, servers []*redisServer) {
	ctx := t.Context()
	_, port, _ := net.SplitHostPort(servers[0].addr)
	bus := servers[0].args[len(servers[0].args)-1]
	for i, s := range servers {
		err := s.admin.ClusterAddSlotsRange(ctx, i*16384/len(servers), (i+1)*16384/len(servers)-1).Err()
		if err == nil && i > 0 {
			err = s.admin.Do(ctx, "cluster", "meet", "127.0.0.1", port, bus).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	clusterAgrees(t, servers)
}

func clusterAgrees(t testing.TB, servers []*redisServer) {
	soon(t, "the nodes agree", func() bool {
		for _, s := range servers {
			info, err := s.admin.ClusterInfo(context.Background()).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", len(servers))) {
				return false
			}
		}
		return true
	})
}

// flush empties Redis.
func (w *cacheWorld) flush() {
	for _, s := range w.servers {
		if err := s.admin.FlushAll(context.Background()).Err(); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, p := range w.processes {
		if p.owns() {
			p.link.embedded.server.Load().FlushAll()
		}
	}
}

func (p *cacheProcess) owns() bool {
	return p.link.embedded != nil && p.link.embedded.server.Load() != nil
}

// remember has Redis write the file that it reads when it starts again; the embedded one has none.
func (w *cacheWorld) remember() {
	for _, s := range w.servers {
		if err := s.admin.Save(context.Background()).Err(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// lose ends Redis without warning and lets it come back as it is configured: with what it remembered, or, embedded, in
// the other process; the owner is replaced by a new process, whose number is returned.
func (w *cacheWorld) lose() (died int) {
	for _, s := range w.servers {
		s.kill()
		_ = s.admin.Close()
		s.start()
	}
	if len(w.servers) > 1 {
		clusterAgrees(w.t, w.servers)
	}
	if len(w.servers) > 0 {
		return -1
	}
	for i, p := range w.processes {
		if !p.owns() {
			continue
		}
		p.cache.close()
		p.link.cancel()
		p.link.done.Wait()
		p.link.embedded.server.Load().Close()
		_ = p.link.current.Swap(nil).Close()
		if err := p.link.embedded.lock.Unlock(); err != nil { // as the kernel does; the address stays behind
			w.t.Fatal(err)
		}
		if err := p.cluster.Close(); err != nil {
			w.t.Fatal(err)
		}
		w.processes[i] = w.process()
		return i
	}
	w.t.Fatal("nobody owns the embedded Redis")
	return -1
}

// refuse has Redis refuse these commands, and no others.
func (w *cacheWorld) refuse(commands ...string) {
	rules := []any{"acl", "setuser", "default", "allcommands"}
	for _, command := range commands {
		rules = append(rules, "-"+command)
	}
	for _, s := range w.servers {
		if err := s.admin.Do(context.Background(), rules...).Err(); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, p := range w.processes {
		if !p.owns() {
			continue
		}
		p.link.embedded.server.Load().Server().SetPreHook(func(c *server.Peer, command string, _ ...string) bool {
			refused := slices.Contains(commands, strings.ToLower(command))
			if refused {
				c.WriteError("NOPERM the test refuses it")
			}
			return refused
		})
	}
}

func (w *cacheWorld) look() {
	for _, p := range w.processes {
		p.link.look(context.Background())
	}
}

// known waits until both processes know every epoch.
func (w *cacheWorld) known() {
	sum := w.processes[0].epochs(w.t)
	soon(w.t, "the epochs are known", func() bool { return w.processes[0].knows(sum) && w.processes[1].knows(sum) })
}

// cacheReader is a reader somewhere between its beginning and its end.
type cacheReader struct {
	process int
	key     int
	floor   int // the newest value that was acknowledged before it began
	stage   int
	lookup  *lookup
	tag     tag
	value   int
}

// cacheModel holds the truth about one run.
type cacheModel struct {
	w       *cacheWorld
	keys    []cacheKey
	rows    []int // committed
	floors  []int // acknowledged
	readers []*cacheReader
	writers []cacheWrite
	counts  *cacheCounts
}

type cacheWrite struct{ process, key, value int }

// cacheCounts tells whether the runs went where it is dangerous.
type cacheCounts struct{ reads, hits, stale, raised, losses int }

// step takes a reader one exchange further, and reports whether it has ended.
func (m *cacheModel) step(t *rapid.T, r *cacheReader) bool {
	ctx := context.Background()
	p := m.w.processes[r.process]
	key := m.keys[r.key]
	ended := func(err error) {
		r.tag = p.cache.finish(r.lookup, err)[0]
		r.stage = 3
	}
	switch r.stage {
	case 0:
		r.lookup = p.cache.lookup([]cacheKey{key})
		r.stage = 1
		if r.lookup.client == nil {
			r.stage = 3
		}
	case 1:
		r.stage = 2
		if err := r.lookup.fetch(ctx); err != nil {
			ended(err)
		}
	case 2:
		ended(r.lookup.create(ctx))
	case 3:
		if v, ok := p.rows.get(key, r.tag); ok {
			m.counts.hits++
			m.observe(t, r, v)
			return true
		}
		r.value = m.rows[r.key]
		r.stage = 4
	case 4:
		p.rows.put(key, r.tag, r.value)
		if r.value < m.rows[r.key] {
			m.counts.stale++
		}
		m.observe(t, r, r.value)
		return true
	}
	return false
}

func (m *cacheModel) observe(t *rapid.T, r *cacheReader, value int) {
	m.counts.reads++
	if value < r.floor {
		t.Fatalf("process %d read %d of %s, and %d had been acknowledged before it began", r.process, value, m.keys[r.key].name, r.floor)
	}
}

// readWhole is a reader that nobody disturbs.
func (m *cacheModel) readWhole(t *rapid.T, process, key, floor int) {
	r := &cacheReader{process: process, key: key, floor: floor}
	for !m.step(t, r) {
	}
}

// acknowledge lets a writer, whose row is committed, tell the cache and answer.
func (m *cacheModel) acknowledge(t *rapid.T, write cacheWrite) {
	p := m.w.processes[write.process]
	before := p.cache.stats().Raised
	p.cache.forget(context.Background(), m.keys[write.key])
	m.w.look()
	m.readWhole(t, write.process, write.key, write.value) // one's own process knows at once
	if p.cache.stats().Raised > before {
		m.counts.raised++
		m.w.known() // the others within half a second
	}
	m.floors[write.key] = max(m.floors[write.key], write.value)
}

// TestCacheModel interleaves readers and writers of two processes, exchange by exchange, with a Redis that is flushed,
// lost, brought back with old data, and unwilling. No reader may see less than what was acknowledged before it began.
func TestCacheModel(t *testing.T) {
	onEachRedis(t, func(t *testing.T, servers int) {
		t.Parallel() // most of the time passes in waiting
		w := newCacheWorld(t, servers)
		next := int64(100)
		counts := &cacheCounts{}
		rapid.Check(t, func(t *rapid.T) {
			w.refuse()
			w.look()
			m := &cacheModel{w: w, rows: make([]int, 2), floors: make([]int, 2), counts: counts}
			for range m.rows {
				next++
				m.keys = append(m.keys, accountKey(UserID(next)))
			}
			for range 5 { // about 150 actions
				t.Repeat(m.actions())
			}
			for _, write := range m.writers {
				m.acknowledge(t, write)
			}
			for key, value := range m.rows {
				m.readWhole(t, 0, key, value)
				m.readWhole(t, 1, key, value)
			}
		})
		t.Logf("%+v", *counts)
		rare := counts.losses == 0 && servers < 2                                                      // nodes of a cluster come back slowly, and are seldom lost
		if !testing.Short() && (counts.hits == 0 || counts.stale == 0 || counts.raised == 0 || rare) { // -short makes a fifth of the runs
			t.Errorf("the runs were harmless: %+v", *counts)
		}
	})
}

func (m *cacheModel) actions() map[string]func(*rapid.T) {
	process, key := rapid.IntRange(0, 1), rapid.IntRange(0, len(m.keys)-1)
	seldom := func(t *rapid.T, one int) {
		if rapid.IntRange(1, one).Draw(t, "chance") != one {
			t.Skip("seldom")
		}
	}
	begin := func(t *rapid.T) {
		k := key.Draw(t, "key")
		m.readers = append(m.readers, &cacheReader{process: process.Draw(t, "process"), key: k, floor: m.floors[k]})
	}
	step := func(t *rapid.T) {
		if len(m.readers) == 0 {
			t.Skip("no reader")
		}
		i := rapid.IntRange(0, len(m.readers)-1).Draw(t, "reader")
		if m.step(t, m.readers[i]) {
			m.readers = append(m.readers[:i], m.readers[i+1:]...)
		}
	}
	whole := func(t *rapid.T) {
		k := key.Draw(t, "key")
		m.readWhole(t, process.Draw(t, "process"), k, m.floors[k])
	}
	return map[string]func(*rapid.T){
		"begin": begin, "begin 2": begin, "step": step, "step 2": step, "step 3": step, "step 4": step,
		"read": whole, "read 2": whole,
		"commit": func(t *rapid.T) {
			k := key.Draw(t, "key")
			m.rows[k]++
			m.writers = append(m.writers, cacheWrite{process.Draw(t, "process"), k, m.rows[k]})
		},
		"acknowledge": func(t *rapid.T) {
			if len(m.writers) == 0 {
				t.Skip("no writer")
			}
			i := rapid.IntRange(0, len(m.writers)-1).Draw(t, "writer")
			write := m.writers[i]
			m.writers = append(m.writers[:i], m.writers[i+1:]...)
			m.acknowledge(t, write)
		},
		"look":     func(*rapid.T) { m.w.look() },
		"flush":    func(t *rapid.T) { seldom(t, 5); m.w.flush() },
		"remember": func(*rapid.T) { m.w.remember() },
		"refuse":   func(t *rapid.T) { seldom(t, 25); m.w.refuse("get", "mget", "set", "del") },
		"refuse 2": func(t *rapid.T) { seldom(t, 10); m.w.refuse("del") },
		"allow":    func(*rapid.T) { m.w.refuse() },
		"lose": func(t *rapid.T) {
			seldom(t, 10)
			if len(m.w.servers) > 1 {
				seldom(t, 30) // a node that comes back waits 2 s before it serves
			}
			m.counts.losses++
			died := m.w.lose() // with those of its readers and writers that have not answered
			m.readers = keep(m.readers, func(r *cacheReader) bool { return r.process != died })
			m.writers = keep(m.writers, func(w cacheWrite) bool { return w.process != died })
		},
	}
}

func keep[T any](all []T, wanted func(T) bool) (kept []T) {
	for _, one := range all {
		if wanted(one) {
			kept = append(kept, one)
		}
	}
	return kept
}

// TestCacheRace is the model's rule under real concurrency, with the tags being flushed all the while.
func TestCacheRace(t *testing.T) {
	onEachRedis(t, func(t *testing.T, servers int) {
		w := newCacheWorld(t, servers)
		const things, rounds = 4, 400
		var rows, floors [things]atomic.Int64
		var hits atomic.Int64
		var writing [things]sync.Mutex
		write := func(p *cacheProcess, k int) {
			writing[k].Lock()
			defer writing[k].Unlock()
			value := rows[k].Add(1)
			before := p.cache.stats().Raised
			p.cache.forget(context.Background(), accountKey(UserID(k+1)))
			if p.cache.stats().Raised > before {
				w.known()
			}
			floors[k].Store(value)
		}
		var all sync.WaitGroup
		for i := range 12 {
			p := w.processes[i%2]
			if i < 4 {
				all.Go(func() {
					for n := range rounds / 4 {
						write(p, (n+i)%things)
						if n%40 == 0 {
							w.flush()
						}
					}
				})
				continue
			}
			all.Go(func() {
				for n := range rounds {
					k := n % things
					floor := floors[k].Load()
					value, hit := p.read(accountKey(UserID(k+1)), func() int { return int(rows[k].Load()) })
					if hit {
						hits.Add(1)
					}
					if int64(value) < floor {
						t.Errorf("read %d, and %d had been acknowledged before", value, floor)
						return
					}
				}
			})
		}
		all.Wait()
		if hits.Load() == 0 {
			t.Error("no copy was ever used")
		}
	})
}

func TestTags(t *testing.T) {
	onEachRedis(t, func(t *testing.T, servers int) {
		w := newCacheWorld(t, servers)
		testTags(t, w.processes[0], w.processes[1])
	})
	if testing.Short() {
		return
	}
	t.Run("services", func(t *testing.T) {
		folder := cacheFolder(t)
		one, two := openCacheProcess(t, folder, RoleServer, realRedis(t)), openCacheProcess(t, folder, RoleServer, realRedis(t))
		defer one.close(t)
		defer two.close(t)
		testTags(t, one, two)
		one.cache.forget(t.Context(), accountKey(1), viewerKey(1), messageKey(MessageID{Author: 7, N: 3}), sessionKey(2))
	})
}

func testTags(t *testing.T, one, two *cacheProcess) {
	ctx := t.Context()
	message := messageKey(MessageID{Author: 7, N: 3})
	keys := []cacheKey{accountKey(1), viewerKey(1), message, accountKey(1), sessionKey(2)}
	first := one.cache.tags(ctx, keys)
	for i, tg := range first {
		if !tg.ok || len(tg.value) != 11 || tg.shard != one.cluster.For(int64(keys[i].owner)).ID() {
			t.Errorf("%s: %+v", keys[i].name, tg)
		}
		for j := range i {
			if (first[j].value == tg.value) != (keys[j] == keys[i]) {
				t.Errorf("%s has %s, %s has %s", keys[j].name, first[j].value, keys[i].name, tg.value)
			}
		}
	}
	for i, tg := range two.cache.tags(ctx, keys) {
		if tg.value != first[i].value {
			t.Errorf("%s: another process has %q, not %q", keys[i].name, tg.value, first[i].value)
		}
	}
	two.cache.forget(ctx, message, sessionKey(2))
	for i, tg := range one.cache.tags(ctx, keys) {
		forgotten := keys[i] == message || keys[i] == sessionKey(2)
		if !tg.ok || (tg.value == first[i].value) == forgotten {
			t.Errorf("%s: %+v after %+v", keys[i].name, tg, first[i])
		}
	}
	if life := one.link.client().TTL(ctx, one.cluster.ID()+":a:1").Val(); life <= 23*time.Hour || life > tagLife {
		t.Errorf("a tag lives for %s", life)
	}
	if got := one.cache.tags(ctx, nil); len(got) != 0 {
		t.Errorf("no keys, and %v", got)
	}
	if got := one.cache.stats(); got != (cacheStats{Found: 1 + 3, Created: 4 + 2}) {
		t.Errorf("%+v", got)
	}
	if got := two.cache.stats(); got != (cacheStats{Found: 5, Forgotten: 2}) {
		t.Errorf("%+v", got)
	}
}

func TestCacheKeys(t *testing.T) {
	for got, want := range map[cacheKey]cacheKey{
		messageKey(MessageID{Author: 1024, N: 17}): {"m:1024-17", 1024},
		accountKey(17): {"a:17", 17},
		viewerKey(17):  {"v:17", 17},
		sessionKey(17): {"s:17", 17},
	} {
		if got != want {
			t.Errorf("%+v, not %+v", got, want)
		}
	}
}

func TestVersioned(t *testing.T) {
	key := accountKey(1)
	right := tag{value: "AAAAAAAAAAA", epoch: 5, shard: 1, generation: 2, ok: true}
	rows := newVersioned[string](2)
	rows.put(key, right, "row")
	if v, ok := rows.get(key, right); !ok || v != "row" {
		t.Errorf("%q, %v", v, ok)
	}
	for name, change := range map[string]func(*tag){
		"value":      func(t *tag) { t.value = "BAAAAAAAAAA" },
		"epoch":      func(t *tag) { t.epoch = 6 },
		"shard":      func(t *tag) { t.shard = 0 },
		"generation": func(t *tag) { t.generation = 3 },
		"ok":         func(t *tag) { t.ok = false },
	} {
		other := right
		change(&other)
		if _, ok := rows.get(key, other); ok {
			t.Errorf("served under another %s", name)
		}
	}
	unusable := right
	unusable.ok = false
	rows.put(key, unusable, "other")
	rows.put(accountKey(2), right, "2")
	if v, ok := rows.get(key, right); !ok || v != "row" {
		t.Errorf("%q, %v after a put under an unusable tag", v, ok)
	}
	rows.put(accountKey(3), right, "3")
	if _, ok := rows.get(accountKey(2), right); ok {
		t.Error("the least recently used one is still there")
	}
	if v, ok := rows.get(key, right); !ok || v != "row" {
		t.Errorf("%q, %v: the more recently used one is gone", v, ok)
	}
	if hits, misses := rows.stats(); hits != 3 || misses != 6 {
		t.Errorf("%d hits, %d misses", hits, misses)
	}
}

// TestVersionedStaysSmall: the parts together hold no more than the capacity, and the newest are there.
func TestVersionedStaysSmall(t *testing.T) {
	const capacity = 4 * versionedSmall
	rows := newVersioned[int](capacity)
	tg := tag{value: "AAAAAAAAAAA", ok: true}
	for i := range 4 * capacity {
		rows.put(accountKey(UserID(i)), tg, i)
		if v, ok := rows.get(accountKey(UserID(i)), tg); !ok || v != i {
			t.Fatalf("%d: %d, %v", i, v, ok)
		}
	}
	kept := 0
	for i := range 4 * capacity {
		if v, ok := rows.get(accountKey(UserID(i)), tg); ok && v == i {
			kept++
		}
	}
	if kept != capacity {
		t.Errorf("%d of %d kept", kept, capacity)
	}
}
