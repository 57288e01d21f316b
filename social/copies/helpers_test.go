package copies

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"

	"socialctl/sharding"
	"socialctl/social/schema"
)

// world is two processes' caches on one cluster, with one of the kinds of Redis behind them.
type world struct {
	t         testing.TB
	folder    string
	servers   []*redisServer // none: embedded
	processes [2]*process
}

// process is what one process has.
type process struct {
	cluster *sharding.Cluster
	cache   *Cache
	rows    *Store[int]
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

func newWorld(t testing.TB, servers int) *world {
	w := &world{t: t, folder: newFolder(t)}
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

// keyOf names a thing of the owner's.
func keyOf(kind string, owner int64) Key { return Key{fmt.Sprint(kind, ":", owner), owner} }

func newFolder(t testing.TB) string {
	folder := t.TempDir()
	if _, err := sharding.Init(t.Context(), shardingOptions(folder), sharding.Plan{Shards: 2, Buckets: 16}); err != nil {
		t.Fatal(err)
	}
	return folder
}

func shardingOptions(folder string) sharding.Options {
	return sharding.Options{Dir: folder, Shard: schema.Shard(), Log: slog.New(slog.DiscardHandler), TxTimeout: time.Minute}
}

func (w *world) process() *process {
	return openProcess(w.t, w.folder, true, w.addrs()...)
}

func (w *world) addrs() []string {
	var addrs []string
	for _, s := range w.servers {
		addrs = append(addrs, s.addr)
	}
	return addrs
}

func openProcess(t testing.TB, folder string, own bool, addrs ...string) *process {
	log := slog.New(slog.DiscardHandler)
	cluster, err := sharding.Open(t.Context(), shardingOptions(folder))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := Open(t.Context(), Options{Redis: Redis{Addrs: addrs, Folder: folder}, Own: own, Cluster: cluster, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cluster, cache, NewStore[int](1000)}
	soon(t, "every cache_epoch is known", func() bool { return p.knows(0) })
	return p
}

func (p *process) close(t testing.TB) {
	if err := p.cache.Close(); err != nil {
		t.Error(err)
	}
	if err := p.cluster.Close(); err != nil {
		t.Error(err)
	}
}

// knows reports whether all shards' cache_epochs are known and add up to the sum at least.
func (p *process) knows(sum int64) bool {
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
func (p *process) epochs(t testing.TB) (sum int64) {
	for _, s := range p.cluster.Shards() {
		sum += p.epoch(t, s)
	}
	return sum
}

func (p *process) epoch(t testing.TB, s *sharding.Shard) (epoch int64) {
	err := p.cluster.ReadShard(context.Background(), s, nil, func(ctx context.Context, r *sharding.Reader) error {
		return r.QueryRow(ctx, `SELECT cache_epoch FROM shard_state WHERE id = 1`).Scan(&epoch)
	})
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

// read does what every reader does, and reports whether the local copy served.
func (p *process) read(key Key, load func() int) (value int, hit bool) {
	tg := p.cache.Tags(context.Background(), []Key{key})[0]
	if v, ok := p.rows.Get(key, tg); ok {
		return v, true
	}
	v := load()
	p.rows.Put(key, tg, v)
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

// flush empties Redis.
func (w *world) flush() {
	for _, s := range w.servers {
		if err := s.admin.FlushAll(context.Background()).Err(); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, p := range w.processes {
		if p.owns() {
			p.cache.link.embedded.server.Load().FlushAll()
		}
	}
}

func (p *process) owns() bool {
	return p.cache.link.embedded != nil && p.cache.link.embedded.server.Load() != nil
}

// remember has Redis write the file that it reads when it starts again; the embedded one has none.
func (w *world) remember() {
	for _, s := range w.servers {
		if err := s.admin.Save(context.Background()).Err(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// lose ends Redis without warning and lets it come back as it is configured: with what it remembered, or, embedded, in
// the other process; the owner is replaced by a new process, whose number is returned.
func (w *world) lose() (died int) {
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
		close(p.cache.closing)
		p.cache.retrying.Wait()
		p.cache.lookups.running.Wait()
		p.cache.link.cancel()
		p.cache.link.done.Wait()
		p.cache.link.embedded.server.Load().Close()
		_ = p.cache.link.current.Swap(nil).Close()
		if err := p.cache.link.embedded.lock.Unlock(); err != nil { // as the kernel does; the address stays behind
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
func (w *world) refuse(commands ...string) {
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
		p.cache.link.embedded.server.Load().Server().SetPreHook(func(c *server.Peer, command string, _ ...string) bool {
			refused := slices.Contains(commands, strings.ToLower(command))
			if refused {
				c.WriteError("NOPERM the test refuses it")
			}
			return refused
		})
	}
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
