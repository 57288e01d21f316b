package copies

import "context"

// Prefetched holds tags that were taken together with others, to spare exchanges of their own. It is good for the request
// for which they were taken, and no longer. Nil holds nothing.
type Prefetched struct {
	tags map[string]Tag // by the names of their keys
}

// NewPrefetched holds tags that Tags has returned for these keys.
func NewPrefetched(keys []Key, tags []Tag) *Prefetched {
	p := &Prefetched{make(map[string]Tag, len(keys))}
	for i, key := range keys {
		p.tags[key.Name] = tags[i]
	}
	return p
}

// Prefetch takes the tags of these keys now.
func (c *Cache) Prefetch(ctx context.Context, keys []Key) *Prefetched {
	return NewPrefetched(keys, c.Tags(ctx, keys))
}

// Tag returns the tag of the key, an unusable one where it was not taken.
func (p *Prefetched) Tag(key Key) Tag {
	if p == nil {
		return Tag{}
	}
	return p.tags[key.Name]
}

// Take returns the tags of the keys in their order: those that were taken before, and the others from the cache.
func (p *Prefetched) Take(ctx context.Context, c *Cache, keys []Key) []Tag {
	if p == nil {
		return c.Tags(ctx, keys)
	}
	out := make([]Tag, len(keys))
	var missing []int
	for i, key := range keys {
		t, ok := p.tags[key.Name]
		if !ok {
			missing = append(missing, i)
		}
		out[i] = t
	}
	if len(missing) == 0 {
		return out
	}
	rest := make([]Key, len(missing))
	for i, at := range missing {
		rest[i] = keys[at]
	}
	for i, t := range c.Tags(ctx, rest) {
		out[missing[i]] = t
	}
	return out
}
