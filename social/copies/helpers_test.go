package copies

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"socialctl/sharding"
	"socialctl/social/schema"
)

// process is what one process has.
type process struct {
	cluster *sharding.Cluster
	cache   *Cache
	rows    *Store[int]
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

// openProcess opens a process on an embedded folder; without addresses it uses the folder's embedded Redis.
func openProcess(t testing.TB, folder string, own bool, addrs ...string) *process {
	return openOn(t, shardingOptions(folder), Redis{Addrs: addrs, Folder: folder}, own)
}

func openOn(t testing.TB, shards sharding.Options, at Redis, own bool) *process {
	cluster, err := sharding.Open(t.Context(), shards)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := Open(t.Context(), Options{Redis: at, Own: own, Cluster: cluster, Log: shards.Log})
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

func (p *process) owns() bool {
	return p.cache.link.embedded != nil && p.cache.link.embedded.server.Load() != nil
}

// die ends the process as a kill does: what it owes to the shards is lost, and its address is left behind.
func (p *process) die(t testing.TB) {
	link := p.cache.link
	link.cancel()
	link.done.Wait()
	if e := link.embedded; e != nil && e.server.Load() != nil {
		e.server.Load().Close()
		if err := e.lock.Unlock(); err != nil { // as the kernel does
			t.Fatal(err)
		}
	}
	p.cache.RaiseTimeoutForTest(1)
	close(p.cache.closing)
	p.cache.retrying.Wait()
	p.cache.lookups.running.Wait()
	if conn := link.current.Swap(nil); conn != nil {
		_ = conn.Close()
	}
	if err := p.cluster.Close(); err != nil {
		t.Fatal(err)
	}
}

// known is what CacheEpoch returns to whoever asks the shard now.
func (p *process) known(t testing.TB, s *sharding.Shard) (epoch int64) {
	row := p.cluster.RawForTest(s).QueryRow(`SELECT cache_epoch + epoch FROM shard_state WHERE id = 1`)
	if err := row.Scan(&epoch); err != nil {
		t.Fatal(err)
	}
	return epoch
}

// retries reports whether the shard's cache_epoch is still to be raised.
func (p *process) retries(shard sharding.ShardID) bool {
	r := &p.cache.raises[shard]
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.retrying
}
