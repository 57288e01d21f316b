package copies

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"socialctl/sharding"
	"socialctl/sharding/shardingtest"
	"socialctl/social/schema"
)

// TestModel interleaves readers and writers of two processes, exchange by exchange, with a Redis that is flushed, lost,
// brought back with old data, replaced, unwilling, silent, and out of reach for one of them. No reader may see less than
// what was acknowledged before it began.
func TestModel(t *testing.T) {
	modelFlags(t, map[string]string{"rapid.checks": "100", "rapid.nofailfile": "true"})
	for _, kind := range modelKinds(t) {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel() // most of the time passes in waiting
			w := kind.open(t)
			counts := checkModel(t, w, none)
			t.Logf("%+v", *counts)
			if !testing.Short() { // which makes a fifth of the runs
				counts.dangerous(t, w)
			}
		})
	}
}

// TestModelFindsMistakes breaks the rules, one at a time.
func TestModelFindsMistakes(t *testing.T) {
	modelFlags(t, map[string]string{"rapid.checks": "2000", "rapid.nofailfile": "true", "rapid.shrinktime": "0s"})
	for _, broken := range []mistake{tagAfterLoading, notInvalidated, generationIgnored, epochIgnored} {
		t.Run(string(broken), func(t *testing.T) {
			folder := newFolder(t)
			w := newDisturbedWorld(t, shardingOptions(folder), folder, startMini(t), startMini(t))
			found := &recorder{TB: t}
			ended := make(chan bool)
			go func() { // the recorder ends the goroutine that fails
				defer close(ended)
				checkModel(found, w, broken)
			}()
			<-ended
			if !strings.Contains(found.text.String(), "had been acknowledged before it began") {
				t.Errorf("not found; %s", &found.text)
			}
		})
	}
}

// recorder is a test that is expected to fail.
type recorder struct {
	testing.TB
	text   strings.Builder
	failed bool
}

func (r *recorder) Failed() bool { return r.failed }
func (r *recorder) Fail()        { r.failed = true }

func (r *recorder) FailNow() {
	r.failed = true
	runtime.Goexit()
}

func (r *recorder) Logf(format string, args ...any) { fmt.Fprintf(&r.text, format+"\n", args...) }

func (r *recorder) Errorf(format string, args ...any) {
	r.Logf(format, args...)
	r.Fail()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Logf(format, args...)
	r.FailNow()
}

// modelKind is a kind of Redis, and of shards, that the model runs on.
type modelKind struct {
	name string
	open func(t *testing.T) *world
}

func modelKinds(t *testing.T) []modelKind {
	kinds := []modelKind{
		{"embedded", func(t *testing.T) *world {
			folder := newFolder(t)
			return newDisturbedWorld(t, shardingOptions(folder), folder)
		}},
		{"sqlite and miniredis", func(t *testing.T) *world {
			folder := newFolder(t)
			return newDisturbedWorld(t, shardingOptions(folder), folder, startMini(t), startMini(t))
		}},
	}
	if testing.Short() {
		return kinds
	}
	return append(kinds,
		modelKind{"mariadb and redis", func(t *testing.T) *world {
			return newDisturbedWorld(t, realShards(t), t.TempDir(), startRedis(t, false), startRedis(t, false))
		}},
		modelKind{"redis cluster", func(t *testing.T) *world { return newWorld(t, 2) }}) // no proxy: its nodes name their own addresses
}

// realShards makes shards on the real servers.
func realShards(t *testing.T) sharding.Options {
	cfg := shardingtest.Cluster().Config(t)
	o := sharding.Options{MetaDatabase: cfg.Meta.Database, MetaSchema: cfg.Meta.Schema, Shard: schema.Shard(),
		Databases: map[string]sharding.DatabaseOptions{}, Log: shardingOptions("").Log}
	for name, db := range cfg.Databases {
		o.Databases[name] = sharding.DatabaseOptions{DSN: db.DSN, MaxConns: db.MaxConns}
	}
	return o
}

// nextOwner gives each run keys of its own.
var nextOwner atomic.Int64

// checkModel runs the model, with a rule broken or with none, and tells where the runs went.
func checkModel(t rapid.TB, w *world, broken mistake) *counts {
	counts := &counts{}
	rapid.Check(t, func(t *rapid.T) {
		w.heal()
		m := &model{w: w, rows: make([]int, 2), broken: broken, counts: counts}
		for range m.rows {
			nextOwner.Add(1)
			m.keys = append(m.keys, keyOf("a", nextOwner.Load()))
		}
		for range 5 { // about 150 actions
			t.Repeat(m.actions())
		}
		m.end(t)
	})
	return counts
}

// dangerous complains where the runs were harmless.
func (c *counts) dangerous(t *testing.T, w *world) {
	t.Helper()
	rare := c.hits == 0 || c.stale == 0 || c.raised == 0 || c.unsent == 0
	if w.proxies[0] != nil {
		rare = rare || c.losses == 0 || c.cuts == 0 || c.freezes == 0 || c.lostAnswers == 0
	}
	if rare || w.standby != nil && c.failovers == 0 {
		t.Errorf("the runs were harmless: %+v", *c)
	}
}

// givenFlags are those that were set by hand.
var givenFlags = sync.OnceValue(func() map[string]bool {
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	return given
})

// modelFlags sets what was not set by hand, for the length of the test.
func modelFlags(t *testing.T, values map[string]string) {
	for name, value := range values {
		if givenFlags()[name] {
			continue
		}
		was := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set(name, was) })
	}
}

// heal undoes what disturbs, and returns when both processes use Redis.
func (w *world) heal() {
	w.freeze(false)
	w.refuse()
	for i, p := range w.processes {
		if way := w.proxies[i]; way != nil {
			way.cut(false)
			way.hold(asked, false)
			way.hold(answered, false)
		}
		p.cache.RaiseTimeoutForTest(2 * time.Second)
	}
	for _, p := range w.processes {
		soon(w.t, "Redis is used", func() bool {
			p.settle()
			return p.cache.link.ready() != nil
		})
	}
}

// settle lets the time pass for which Redis must have been well.
func (p *process) settle() {
	l := p.cache.link
	l.mu.Lock()
	l.back = l.back.Add(-settleTime)
	l.mu.Unlock()
	l.check(context.Background())
}
