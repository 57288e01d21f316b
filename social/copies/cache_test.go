package copies

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestCacheRace is the model's rule under real concurrency, with the tags being flushed all the while.
func TestCacheRace(t *testing.T) {
	onEachRedis(t, func(t *testing.T, servers int) {
		w := newWorld(t, servers)
		const things, rounds = 4, 400
		var rows, floors [things]atomic.Int64
		var hits atomic.Int64
		var writing [things]sync.Mutex
		write := func(p *process, k int) {
			writing[k].Lock()
			defer writing[k].Unlock()
			value := rows[k].Add(1)
			before := p.cache.Stats().Raised
			p.cache.Invalidate(context.Background(), keyOf("a", int64(k+1)))
			if p.cache.Stats().Raised > before {
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
					value, hit := p.read(keyOf("a", int64(k+1)), func() int { return int(rows[k].Load()) })
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
		w := newWorld(t, servers)
		testTags(t, w.processes[0], w.processes[1])
	})
	if testing.Short() {
		return
	}
	t.Run("services", func(t *testing.T) {
		folder := newFolder(t)
		one, two := openProcess(t, folder, true, realRedis(t)), openProcess(t, folder, true, realRedis(t))
		defer one.close(t)
		defer two.close(t)
		testTags(t, one, two)
		one.cache.Invalidate(t.Context(), keyOf("a", 1), keyOf("v", 1), keyOf("m", 7), keyOf("s", 2))
	})
}

func testTags(t *testing.T, one, two *process) {
	ctx := t.Context()
	message := keyOf("m", 7)
	keys := []Key{keyOf("a", 1), keyOf("v", 1), message, keyOf("a", 1), keyOf("s", 2)}
	first := one.cache.Tags(ctx, keys)
	for i, tg := range first {
		if !tg.ok || len(tg.value) != 11 || tg.shard != one.cluster.For(keys[i].Owner).ID() {
			t.Errorf("%s: %+v", keys[i].Name, tg)
		}
		for j := range i {
			if (first[j].value == tg.value) != (keys[j] == keys[i]) {
				t.Errorf("%s has %s, %s has %s", keys[j].Name, first[j].value, keys[i].Name, tg.value)
			}
		}
	}
	for i, tg := range two.cache.Tags(ctx, keys) {
		if tg.value != first[i].value {
			t.Errorf("%s: another process has %q, not %q", keys[i].Name, tg.value, first[i].value)
		}
	}
	two.cache.Invalidate(ctx, message, keyOf("s", 2))
	for i, tg := range one.cache.Tags(ctx, keys) {
		invalidated := keys[i] == message || keys[i] == keyOf("s", 2)
		if !tg.ok || (tg.value == first[i].value) == invalidated {
			t.Errorf("%s: %+v after %+v", keys[i].Name, tg, first[i])
		}
	}
	if life := one.cache.link.client().TTL(ctx, one.cluster.ID()+":a:1").Val(); life <= 23*time.Hour || life > tagLife {
		t.Errorf("a tag lives for %s", life)
	}
	if got := one.cache.Tags(ctx, nil); len(got) != 0 {
		t.Errorf("no keys, and %v", got)
	}
	if got := one.cache.Stats(); got != (Stats{Found: 1 + 3, Created: 4 + 2}) {
		t.Errorf("%+v", got)
	}
	if got := two.cache.Stats(); got != (Stats{Found: 5, Invalidated: 2}) {
		t.Errorf("%+v", got)
	}
}

// TestPrefetched: what was taken before is not asked for again, what was not is, and order is kept.
func TestPrefetched(t *testing.T) {
	w := newWorld(t, 0)
	ctx, c := t.Context(), w.processes[0].cache
	one, two, three := keyOf("a", 1), keyOf("a", 2), keyOf("a", 3)
	all := c.Tags(ctx, []Key{one, two, three})
	taken := c.Prefetch(ctx, []Key{three, one})
	if err := c.Invalidate(ctx, one, two, three); err != nil {
		t.Fatal(err)
	}
	before := c.Stats()
	got := taken.Take(ctx, c, []Key{one, two, three})
	if got[0] != all[0] || got[2] != all[2] || got[1].value == all[1].value || !got[1].ok {
		t.Errorf("%+v, and before %+v", got, all)
	}
	if now := c.Stats(); now.Created != before.Created+1 || now.Found != before.Found {
		t.Errorf("%+v after %+v: one tag was to be asked for", now, before)
	}
	if tg := taken.Tag(three); tg != all[2] {
		t.Errorf("%+v, not %+v", tg, all[2])
	}
	var nothing *Prefetched
	if taken.Tag(two).ok || nothing.Tag(one).ok {
		t.Error("a tag that was not taken is usable")
	}
	if got := nothing.Take(ctx, c, []Key{one}); len(got) != 1 || !got[0].ok || got[0].value == all[0].value {
		t.Errorf("%+v", got)
	}
}

// BenchmarkTags42 takes the tags of a page, on the running Redis and on the embedded one; the yardstick is the bare MGET.
func BenchmarkTags42(b *testing.B) {
	for name, addrs := range map[string][]string{"redis": {realRedis(b)}, "embedded": nil} {
		b.Run(name, func(b *testing.B) {
			p := openProcess(b, newFolder(b), true, addrs...)
			defer p.close(b)
			var keys []Key
			var names []string
			for i := range 42 {
				keys = append(keys, keyOf("m", int64(1000+i)))
				names = append(names, p.cluster.ID()+":"+keys[i].Name)
			}
			ctx := b.Context()
			const bare = 2000
			began := time.Now()
			for range bare {
				p.cache.link.client().MGet(ctx, names...)
			}
			yardstick := float64(time.Since(began).Nanoseconds()) / bare
			for b.Loop() {
				for _, tg := range p.cache.Tags(ctx, keys) {
					if !tg.ok {
						b.Fatal("Redis is away")
					}
				}
			}
			b.StopTimer()
			each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			b.ReportMetric(each/yardstick, "yardsticks/op")
			p.cache.Invalidate(ctx, keys...)
		})
	}
}
