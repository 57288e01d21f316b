package copies

import (
	"context"
	"net"
	"testing"
	"time"

	"socialctl/sharding"
)

// TestRedisComesLate: a process starts without Redis and uses it when it is there.
func TestRedisComesLate(t *testing.T) {
	server := startRedis(t, false)
	server.kill()
	p := openProcess(t, newFolder(t), false, server.addr)
	defer p.close(t)
	keys := []Key{keyOf("a", 1), keyOf("a", 2)}
	for _, tg := range p.cache.Tags(t.Context(), keys) {
		if tg.ok {
			t.Errorf("%+v, and there is no Redis", tg)
		}
	}
	server.start()
	soon(t, "Redis is used", func() bool { return p.cache.Tags(t.Context(), keys)[1].ok })
	if got := p.cache.Stats(); got.Unusable < 2 || got.Found+got.Created < 2 {
		t.Errorf("%+v", got)
	}
}

// TestRedisComesBack to one process before the other one knows it: what the other stores meanwhile without telling Redis
// is seen at once by readers of the first, who do without copies until everybody must have found out.
func TestRedisComesBack(t *testing.T) {
	w := newWorld(t, 1)
	first, last := w.processes[0], w.processes[1]
	key := keyOf("a", 1)
	row := 1
	load := func() int { return row }
	first.read(key, load)
	if _, hit := first.read(key, load); !hit {
		t.Fatal("the copy is not used")
	}
	server := w.servers[0].(*redisServer)
	server.kill()
	soon(t, "both do without Redis", func() bool { return first.cache.link.longAway() && last.cache.link.longAway() })
	last.cache.link.cancel() // it will not find out
	last.cache.link.done.Wait()
	server.start()
	var back time.Time
	soon(t, "the first finds out", func() bool {
		back = time.Now()
		return first.cache.link.missed.Load() == 0
	})
	for first.cache.link.ready() == nil && row < 1000 {
		first.read(key, load)
		row++
		if err := last.cache.Invalidate(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if v, hit := first.read(key, load); hit && first.cache.link.ready() == nil {
			t.Fatalf("%d from a copy, when %d was stored", v, row)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(back); took < 1500*time.Millisecond || took > 10*time.Second {
		t.Errorf("used again %s after it came back", took)
	}
}

// TestSilentRedis: a Redis that takes connections and never answers costs one request its patience and the others
// nothing; a writer tries every time and raises the epochs of exactly the shards concerned.
func TestSilentRedis(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := openProcess(t, newFolder(t), true, listener.Addr().String())
	defer p.close(t)
	if p.cache.link.ready() != nil {
		t.Error("a Redis that does not answer is thought well")
	}
	began := time.Now()
	for range 100 {
		if p.cache.Tags(t.Context(), []Key{keyOf("a", 1)})[0].ok {
			t.Fatal("a tag from nowhere")
		}
	}
	if took := time.Since(began); took > redisTimeout {
		t.Errorf("100 readers took %s", took)
	}
	for n := int64(1); n <= 2; n++ {
		p.cache.Invalidate(t.Context(), keyOf("a", 1), keyOf("v", 1), keyOf("s", 1))
		for _, s := range p.cluster.Shards() {
			want := int64(1)
			if s == p.cluster.For(1) {
				want += n
			}
			if got := p.epoch(t, s); got != want {
				t.Errorf("%s: cache_epoch is %d, not %d", s, got, want)
			}
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	p.cache.Invalidate(gone, keyOf("a", 1))
	if got := p.epoch(t, p.cluster.For(1)); got != 4 {
		t.Errorf("cache_epoch is %d: a caller that went away stopped it", got)
	}
}

// TestCallerGoesAway: that a request was given up says nothing about Redis.
func TestCallerGoesAway(t *testing.T) {
	onEachRedis(t, func(t *testing.T, servers int) {
		p := newWorld(t, servers).processes[0]
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if tg := p.cache.Tags(gone, []Key{keyOf("a", 1)})[0]; tg.ok {
			t.Errorf("%+v", tg)
		}
		if p.cache.link.ready() == nil || p.cache.Stats().Failures != 0 {
			t.Errorf("Redis is thought to be away: %+v", p.cache.Stats())
		}
	})
}

// TestShardAwayToo: neither Redis nor the shard can be told, so that is tried until the shard is back, and once more by
// close.
func TestShardAwayToo(t *testing.T) {
	folder := newFolder(t)
	p := openProcess(t, folder, false)
	p.cache.RaiseTimeoutForTest(20 * time.Millisecond)
	shard := p.cluster.For(1)
	invalidateWhileAway := func() {
		locked, release, ended := make(chan bool), make(chan bool), make(chan error)
		go func() {
			ended <- p.cluster.Write(context.Background(), 1, func(context.Context, *sharding.Tx) error {
				close(locked)
				<-release
				return nil
			})
		}()
		<-locked
		before := p.epoch(t, shard)
		p.cache.Invalidate(t.Context(), keyOf("a", 1))
		p.cache.Invalidate(t.Context(), keyOf("a", 1))
		if got := p.epoch(t, shard); got != before {
			t.Errorf("cache_epoch is %d, not %d, under another's lock", got, before)
		}
		close(release)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	invalidateWhileAway()
	soon(t, "the epoch is raised", func() bool { return p.epoch(t, shard) > 1 })
	soon(t, "nothing is owed", func() bool {
		p.cache.raises[shard.ID()].mu.Lock()
		defer p.cache.raises[shard.ID()].mu.Unlock()
		return !p.cache.raises[shard.ID()].retrying
	})
	before := p.epoch(t, shard)
	invalidateWhileAway()
	p.close(t)
	after := openProcess(t, folder, false)
	defer after.close(t)
	if got := after.epoch(t, after.cluster.For(1)); got <= before {
		t.Errorf("cache_epoch is %d still: what was owed was not done", got)
	}
}

// TestEpochUnknown: without the shard's cache_epoch nobody uses copies.
func TestEpochUnknown(t *testing.T) {
	p := openProcess(t, newFolder(t), true)
	key := keyOf("a", 1)
	p.read(key, func() int { return 1 })
	if _, hit := p.read(key, func() int { return 1 }); !hit {
		t.Fatal("the copy is not used")
	}
	if err := p.cluster.Close(); err != nil {
		t.Fatal(err)
	}
	soon(t, "the copy is not used any more", func() bool {
		_, hit := p.read(key, func() int { return 2 })
		return !hit
	})
	if tg := p.cache.Tags(t.Context(), []Key{key})[0]; tg.ok {
		t.Errorf("%+v", tg)
	}
	if p.cache.link.ready() == nil {
		t.Error("Redis is blamed for it")
	}
	if err := p.cache.Close(); err != nil {
		t.Error(err)
	}
}

// TestReplicaBecomesMaster: the data behind a connection that stays becomes another server's.
func TestReplicaBecomesMaster(t *testing.T) {
	server, other := startRedis(t, false), startRedis(t, false)
	p := openProcess(t, newFolder(t), true, server.addr)
	defer p.close(t)
	key := []Key{keyOf("a", 1)}
	before := p.cache.Tags(t.Context(), key)[0]
	if err := other.admin.Set(t.Context(), p.cluster.ID()+":a:1", before.value, 0).Err(); err != nil { // an old copy of it
		t.Fatal(err)
	}
	p.cache.Invalidate(t.Context(), key[0])
	host, port, _ := net.SplitHostPort(other.addr)
	if err := server.admin.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	soon(t, "it is copied", func() bool { return server.admin.Get(t.Context(), p.cluster.ID()+":a:1").Val() == before.value })
	if err := server.admin.ReplicaOf(t.Context(), "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	p.cache.link.check(t.Context())
	soon(t, "tags are usable", func() bool { return p.cache.Tags(t.Context(), key)[0].ok })
	if now := p.cache.Tags(t.Context(), key)[0]; now.value != before.value || now == before {
		t.Errorf("%+v came back as %+v", before, now)
	}
}

// TestATagIsMadeOnce: the answer to whoever makes a tag is lost, and the tag deleted before that is noticed. The library
// would ask again, and bring back a tag under which there is a copy.
func TestATagIsMadeOnce(t *testing.T) {
	onEachServer(t, func(t *testing.T, start func(t testing.TB) redisOfTest) {
		folder := newFolder(t)
		w := newDisturbedWorld(t, shardingOptions(folder), folder, start(t), start(t))
		one, two, way := w.processes[0], w.processes[1], w.proxies[0]
		key := keyOf("a", 1)
		l := one.cache.lookup([]Key{key})
		if err := l.fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		way.hold(answered, true)
		created := make(chan error)
		go func() { created <- l.create(t.Context()) }()
		soon(t, "the tag is made", func() bool { return way.holding(answered) })
		if two.read(key, func() int { return 1 }); len(w.servers[0].contents()) != 1 {
			t.Fatalf("Redis has %v", w.servers[0].contents())
		}
		if err := two.cache.Invalidate(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		way.drop()
		way.hold(answered, false)
		if err := <-created; err != nil {
			t.Fatal(err)
		}
		if v, hit := two.read(key, func() int { return 2 }); hit {
			t.Errorf("%d from a copy that was invalidated", v)
		}
	})
}

// TestBackToAnEarlierServer: another server takes a server's place, and hands it back with what that one held before.
func TestBackToAnEarlierServer(t *testing.T) {
	onEachServer(t, func(t *testing.T, start func(t testing.TB) redisOfTest) {
		folder := newFolder(t)
		w := newDisturbedWorld(t, shardingOptions(folder), folder, start(t), start(t))
		one, two := w.processes[0], w.processes[1]
		key := keyOf("a", 1)
		one.read(key, func() int { return 1 })
		w.failOver(true)
		soon(t, "a copy is used again", func() bool {
			_, hit := one.read(key, func() int { return 1 })
			return hit
		})
		soon(t, "Redis is told", func() bool {
			before := two.cache.Stats().Invalidated
			if err := two.cache.Invalidate(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			return two.cache.Stats().Invalidated > before
		})
		w.failOver(false)
		var v int
		soon(t, "a copy is used again", func() (hit bool) {
			v, hit = one.read(key, func() int { return 2 })
			return hit
		})
		if v != 2 {
			t.Errorf("%d from a copy that was invalidated", v)
		}
	})
}
