package copies

import (
	"context"
	"slices"
	"time"

	"pgregory.net/rapid"

	"socialctl/sharding"
)

// model holds the truth about one run: what is committed, and what was acknowledged to whom.
type model struct {
	w       *world
	keys    []Key
	rows    []int // the committed versions, by key
	readers []*reader
	writers []write   // committed, and not acknowledged
	pending []pending // not acknowledged: neither Redis nor the shard could be told yet
	acks    []ack
	broken  mistake
	counts  *counts
}

// reader is a reader somewhere between its beginning and its end.
type reader struct {
	process int
	key     int
	floor   int // the newest version that it must see, as known when it began
	stage   stage
	lookup  *lookup
	tag     Tag
	value   int // what it has loaded
}

type stage int

const (
	beginning stage = iota
	fetching        // asks Redis for the tags
	creating        // makes those that are missing
	using           // has the tags
	loading         // has found no copy
	ended
)

type write struct{ process, key, version int }

// pending is a write of which the writer still has to tell the shard.
type pending struct {
	write
	shard sharding.ShardID
}

// ack is an acknowledged write. Its own process sees it at once. Others do too when Redis was told; otherwise when they
// know the cache_epoch, but not later than half a second after the acknowledgement.
type ack struct {
	write
	told  bool
	shard sharding.ShardID
	epoch int64
	at    time.Time
}

// trusted is how old a cache_epoch may be: so much later than a write that raised it, everybody sees the write.
const trusted = 500 * time.Millisecond

// counts tells whether the runs went where it is dangerous.
type counts struct{ reads, hits, stale, raised, unsent, losses, failovers, cuts, freezes, lostAnswers int }

// mistake is a rule that is broken on purpose, to see that the model finds it.
type mistake string

const (
	none              mistake = ""
	tagAfterLoading   mistake = "the tag is taken after loading"
	notInvalidated    mistake = "a write is not invalidated"
	generationIgnored mistake = "copies of an earlier generation are used"
	epochIgnored      mistake = "copies of an earlier cache_epoch are used"
)

// floor is the newest version that a reader who begins now must see.
func (m *model) floor(process, key int) int {
	floor := 0
	for _, a := range m.acks {
		if a.key == key && a.version > floor && (a.told || a.process == process || m.hasHeard(process, a)) {
			floor = a.version
		}
	}
	for _, p := range m.pending {
		if p.key == key && p.process == process {
			floor = max(floor, p.version)
		}
	}
	return floor
}

func (m *model) hasHeard(process int, a ack) bool {
	for _, s := range m.w.processes[process].cluster.Shards() {
		if s.ID() == a.shard {
			epoch, _ := s.CacheEpoch()
			return epoch >= a.epoch || time.Since(a.at) > trusted
		}
	}
	return false
}

// begin has a reader begin.
func (m *model) begin(process, key int) *reader {
	m.settlePending()
	r := &reader{process: process, key: key, floor: m.floor(process, key)}
	if m.broken == tagAfterLoading {
		r.value = m.rows[key]
	}
	return r
}

// step takes a reader one exchange further.
func (m *model) step(t *rapid.T, r *reader) {
	if exchange := m.exchange(r); exchange != nil {
		m.exchanged(r, exchange())
		return
	}
	p, key := m.w.processes[r.process], m.keys[r.key]
	switch r.stage {
	case beginning:
		r.lookup = p.cache.lookup([]Key{key})
		r.stage = fetching
		if r.lookup.client == nil {
			r.stage = using
		}
	case using:
		switch m.broken {
		case generationIgnored:
			r.tag.generation = 0
		case epochIgnored:
			r.tag.epoch = 0
		}
		if v, ok := p.rows.Get(key, r.tag); ok {
			m.counts.hits++
			m.observe(t, r, v)
			return
		}
		if m.broken != tagAfterLoading {
			r.value = m.rows[r.key]
		}
		r.stage = loading
	case loading:
		p.rows.Put(key, r.tag, r.value)
		if r.value < m.rows[r.key] {
			m.counts.stale++
		}
		if m.broken != tagAfterLoading { // what it read may be old then, but that is not what the test is after
			m.observe(t, r, r.value)
		}
		r.stage = ended
	}
}

// exchange is what the reader asks Redis next, if it does.
func (m *model) exchange(r *reader) func() error {
	ask := (*lookup).fetch
	switch r.stage {
	case fetching:
	case creating:
		ask = (*lookup).create
	default:
		return nil
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), redisTimeout)
		defer cancel()
		return ask(r.lookup, ctx)
	}
}

func (m *model) exchanged(r *reader, err error) {
	if r.stage == fetching && err == nil {
		r.stage = creating
		return
	}
	r.tag = m.w.processes[r.process].cache.finish(r.lookup, err)[0]
	r.stage = using
}

func (m *model) observe(t *rapid.T, r *reader, version int) {
	m.counts.reads++
	r.stage = ended
	if version < r.floor {
		t.Fatalf("process %d read version %d of %s, and %d had been acknowledged before it began", r.process, version, m.keys[r.key].Name, r.floor)
	}
}

// finish takes a reader to its end, undisturbed.
func (m *model) finish(t *rapid.T, r *reader) {
	for r.stage != ended {
		m.step(t, r)
	}
}

// commit stores a new version, of which nobody is told yet.
func (m *model) commit(process, key int) write {
	m.rows[key]++
	return write{process, key, m.rows[key]}
}

// acknowledge lets a writer tell Redis or the shard, and answer.
func (m *model) acknowledge(w write) {
	p := m.w.processes[w.process]
	shard := p.cluster.For(m.keys[w.key].Owner)
	told := m.broken == notInvalidated
	if !told {
		before := p.cache.Stats().Raised
		if err := p.cache.Invalidate(context.Background(), m.keys[w.key]); err != nil {
			m.counts.unsent++
			m.pending = append(m.pending, pending{w, shard.ID()})
			return
		}
		told = p.cache.Stats().Raised == before
	}
	a := ack{write: w, told: told, shard: shard.ID()}
	if !told {
		m.counts.raised++
		a.epoch = p.known(m.w.t, shard)
	}
	a.at = time.Now()
	m.acks = append(m.acks, a)
}

// settlePending acknowledges the writes of which the shards have been told in the background since.
func (m *model) settlePending() {
	m.pending = slices.DeleteFunc(m.pending, func(w pending) bool {
		p := m.w.processes[w.process]
		if p.retries(w.shard) {
			return false
		}
		shard := p.cluster.For(m.keys[w.key].Owner)
		m.acks = append(m.acks, ack{write: w.write, shard: shard.ID(), epoch: p.known(m.w.t, shard), at: time.Now()})
		return true
	})
}

// died takes away what a process that was killed had under way. What it has committed and told nobody of is left to the
// other process: copies promises nothing about it, and its callers see to that.
func (m *model) died(process int) {
	for _, w := range m.pending {
		if w.process == process {
			m.writers = append(m.writers, w.write)
		}
	}
	for i := range m.writers {
		if m.writers[i].process == process {
			m.writers[i].process = 1 - process
		}
	}
	m.pending = slices.DeleteFunc(m.pending, func(w pending) bool { return w.process == process })
	m.readers = slices.DeleteFunc(m.readers, func(r *reader) bool { return r.process == process })
}

// end heals what was disturbed, lets all writers answer, and finds that everybody sees everything, and uses copies.
func (m *model) end(t *rapid.T) {
	m.w.heal()
	for _, w := range m.writers {
		m.acknowledge(w)
	}
	soon(m.w.t, "everybody has been told", func() bool { m.settlePending(); return len(m.pending) == 0 })
	m.w.known()
	for process, p := range m.w.processes {
		for key, version := range m.rows {
			if floor := m.floor(process, key); floor != version && m.broken == none {
				t.Fatalf("process %d must see %d of %d only", process, floor, version)
			}
			m.finish(t, m.begin(process, key))
			soon(m.w.t, "copies are used", func() bool {
				v, hit := p.read(m.keys[key], func() int { return version })
				m.observe(t, &reader{process: process, key: key, floor: version}, v)
				return hit
			})
		}
	}
}
