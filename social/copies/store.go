package copies

import (
	"hash/maphash"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Store holds copies of fixed number, least recently used out first, safe for concurrent use. What it holds is shared by
// all who get it and must not be changed.
type Store[V any] struct {
	seed  maphash.Seed
	parts []storePart[V]
}

type storePart[V any] struct {
	mu           sync.Mutex
	copies       *simplelru.LRU[string, storedCopy[V]]
	hits, misses int64
}

type storedCopy[V any] struct {
	tag   Tag
	value V
}

// A lock of its own for each part; below this capacity one lock will do, and the order of leaving is exact.
const (
	storeParts    = 16
	storePartFrom = 64 * storeParts
)

// NewStore holds at most capacity copies.
func NewStore[V any](capacity int) *Store[V] {
	parts := 1
	if capacity >= storePartFrom {
		parts = storeParts
	}
	s := &Store[V]{seed: maphash.MakeSeed(), parts: make([]storePart[V], parts)}
	for i := range s.parts {
		s.parts[i].copies, _ = simplelru.NewLRU[string, storedCopy[V]](max(1, capacity/parts), nil) // refuses only 0
	}
	return s
}

func (s *Store[V]) part(key Key) *storePart[V] {
	if len(s.parts) == 1 {
		return &s.parts[0]
	}
	return &s.parts[maphash.String(s.seed, key.Name)%storeParts]
}

// Get returns the copy that carries exactly this tag.
func (s *Store[V]) Get(key Key, t Tag) (V, bool) {
	p := s.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.ok {
		if found, ok := p.copies.Get(key.Name); ok && found.tag == t {
			p.hits++
			return found.value, true
		}
	}
	p.misses++
	var none V
	return none, false
}

// Put stores a copy that was loaded after the tag was taken.
func (s *Store[V]) Put(key Key, t Tag, v V) {
	if !t.ok {
		return
	}
	p := s.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copies.Add(key.Name, storedCopy[V]{t, v})
}

// Peek returns the copy under whatever tag: good for what never changes about a thing.
func (s *Store[V]) Peek(key Key) (V, bool) {
	p := s.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.copies.Peek(key.Name)
	return found.value, ok
}

// Stats counts the Gets that were served and those that were not, since the start.
func (s *Store[V]) Stats() (hits, misses int64) {
	for i := range s.parts {
		p := &s.parts[i]
		p.mu.Lock()
		hits, misses = hits+p.hits, misses+p.misses
		p.mu.Unlock()
	}
	return hits, misses
}
