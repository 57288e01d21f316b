package copies

import (
	"context"
	"testing"

	"pgregory.net/rapid"
)

// reader is a reader somewhere between its beginning and its end.
type reader struct {
	process int
	key     int
	floor   int // the newest value that was acknowledged before it began
	stage   int
	lookup  *lookup
	tag     Tag
	value   int
}

// model holds the truth about one run.
type model struct {
	w       *world
	keys    []Key
	rows    []int // committed
	floors  []int // acknowledged
	readers []*reader
	writers []write
	counts  *counts
}

type write struct{ process, key, value int }

// counts tells whether the runs went where it is dangerous.
type counts struct{ reads, hits, stale, raised, losses int }

// step takes a reader one exchange further, and reports whether it has ended.
func (m *model) step(t *rapid.T, r *reader) bool {
	ctx := context.Background()
	p := m.w.processes[r.process]
	key := m.keys[r.key]
	ended := func(err error) {
		r.tag = p.cache.finish(r.lookup, err)[0]
		r.stage = 3
	}
	switch r.stage {
	case 0:
		r.lookup = p.cache.lookup([]Key{key})
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
		if v, ok := p.rows.Get(key, r.tag); ok {
			m.counts.hits++
			m.observe(t, r, v)
			return true
		}
		r.value = m.rows[r.key]
		r.stage = 4
	case 4:
		p.rows.Put(key, r.tag, r.value)
		if r.value < m.rows[r.key] {
			m.counts.stale++
		}
		m.observe(t, r, r.value)
		return true
	}
	return false
}

func (m *model) observe(t *rapid.T, r *reader, value int) {
	m.counts.reads++
	if value < r.floor {
		t.Fatalf("process %d read %d of %s, and %d had been acknowledged before it began", r.process, value, m.keys[r.key].Name, r.floor)
	}
}

// readWhole is a reader that nobody disturbs.
func (m *model) readWhole(t *rapid.T, process, key, floor int) {
	r := &reader{process: process, key: key, floor: floor}
	for !m.step(t, r) {
	}
}

// acknowledge lets a writer, whose row is committed, tell the cache and answer.
func (m *model) acknowledge(t *rapid.T, write write) {
	p := m.w.processes[write.process]
	before := p.cache.Stats().Raised
	p.cache.Invalidate(context.Background(), m.keys[write.key])
	m.w.check()
	m.readWhole(t, write.process, write.key, write.value) // one's own process knows at once
	if p.cache.Stats().Raised > before {
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
		w := newWorld(t, servers)
		next := int64(100)
		counts := &counts{}
		rapid.Check(t, func(t *rapid.T) {
			w.refuse()
			w.check()
			m := &model{w: w, rows: make([]int, 2), floors: make([]int, 2), counts: counts}
			for range m.rows {
				next++
				m.keys = append(m.keys, keyOf("a", int64(next)))
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

func (m *model) actions() map[string]func(*rapid.T) {
	process, key := rapid.IntRange(0, 1), rapid.IntRange(0, len(m.keys)-1)
	seldom := func(t *rapid.T, one int) {
		if rapid.IntRange(1, one).Draw(t, "chance") != one {
			t.Skip("seldom")
		}
	}
	begin := func(t *rapid.T) {
		k := key.Draw(t, "key")
		m.readers = append(m.readers, &reader{process: process.Draw(t, "process"), key: k, floor: m.floors[k]})
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
			m.writers = append(m.writers, write{process.Draw(t, "process"), k, m.rows[k]})
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
		"check":    func(*rapid.T) { m.w.check() },
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
			m.readers = keep(m.readers, func(r *reader) bool { return r.process != died })
			m.writers = keep(m.writers, func(w write) bool { return w.process != died })
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
