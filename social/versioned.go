package social

import (
	"hash/maphash"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// versioned is a store of decoded rows of fixed capacity, least recently used out first, safe for concurrent use.
type versioned[V any] struct {
	seed  maphash.Seed
	parts []versionedPart[V]
}

type versionedPart[V any] struct {
	mu           sync.Mutex
	copies       *simplelru.LRU[string, localCopy[V]]
	hits, misses int64
}

type localCopy[V any] struct {
	tag   tag
	value V
}

// A lock of its own for each part; below this capacity one lock will do, and the order of leaving is exact.
const (
	versionedParts = 16
	versionedSmall = 64 * versionedParts
)

func newVersioned[V any](capacity int) *versioned[V] {
	parts := 1
	if capacity >= versionedSmall {
		parts = versionedParts
	}
	l := &versioned[V]{seed: maphash.MakeSeed(), parts: make([]versionedPart[V], parts)}
	for i := range l.parts {
		l.parts[i].copies, _ = simplelru.NewLRU[string, localCopy[V]](max(1, capacity/parts), nil) // refuses only 0
	}
	return l
}

func (l *versioned[V]) part(key cacheKey) *versionedPart[V] {
	if len(l.parts) == 1 {
		return &l.parts[0]
	}
	return &l.parts[maphash.String(l.seed, key.name)%versionedParts]
}

// get returns the local copy that carries exactly this tag.
func (l *versioned[V]) get(key cacheKey, t tag) (V, bool) {
	p := l.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.ok {
		if found, ok := p.copies.Get(key.name); ok && found.tag == t {
			p.hits++
			return found.value, true
		}
	}
	p.misses++
	var none V
	return none, false
}

// put stores a copy that was loaded after the tag was taken.
func (l *versioned[V]) put(key cacheKey, t tag, v V) {
	if !t.ok {
		return
	}
	p := l.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copies.Add(key.name, localCopy[V]{t, v})
}

// stats counts the gets that were served and those that were not, since the start.
func (l *versioned[V]) stats() (hits, misses int64) {
	for i := range l.parts {
		p := &l.parts[i]
		p.mu.Lock()
		hits, misses = hits+p.hits, misses+p.misses
		p.mu.Unlock()
	}
	return hits, misses
}
