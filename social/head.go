package social

import (
	"context"
	"slices"

	"socialctl/social/copies"
)

// head is the newest part of a reader's timeline as it was read: a local copy under the reader's timeline tag. Whoever
// writes to the timeline invalidates it, so that a reader who looks again and again costs the shard nothing in between.
type head struct {
	rows []entry // newest first, gone ones too; never changed
	all  bool    // there are no others
}

// headRows bounds a head: two pages of the usual size, and the row by which a page knows that there are more.
const headRows = 2*DefaultPage + 1

// timelineKey names the rows of msg_index of a reader: "t:17".
func timelineKey(id UserID) copies.Key { return personKey("t:", id) }

// from returns what a reading of the timeline from the seek on would, at most n rows, if the head is known to hold it.
func (h *head) from(s seek, n int) ([]entry, bool) {
	if h == nil {
		return nil, false
	}
	cut := placeIn(s, h.rows, (*entry).position)
	if !s.newer {
		rows := h.rows[cut:]
		if len(rows) >= n {
			return rows[:n:n], true
		}
		return slices.Clip(rows), h.all
	}
	if cut == len(h.rows) && !h.all { // rows that are not here may lie between
		return nil, false
	}
	rows := slices.Clone(h.rows[max(0, cut-n):cut])
	slices.Reverse(rows)
	return rows, true
}

// homeKeys names what a first page of so many messages of the reader's home will probably need.
func (b *Backend) homeKeys(reader UserID, n int) []copies.Key {
	keys := []copies.Key{timelineKey(reader), viewerKey(reader)}
	known, ok := b.heads.Peek(keys[0])
	if !ok || n == 0 {
		return keys
	}
	ids := make([]MessageID, 0, n)
	for i := range known.rows {
		if known.rows[i].live && len(ids) < n {
			ids = append(ids, known.rows[i].id)
		}
	}
	return append(keys, b.look(Viewer{UserID: reader}).step(ids).keys...)
}

// prefetch takes now the tags that a page of so many messages will need.
func (b *Backend) prefetch(ctx context.Context, reader UserID, n int) *copies.Prefetched {
	return b.cache.Prefetch(ctx, b.homeKeys(reader, n))
}

// timeline reads a reader's timeline for one page: from the copy of its head where that holds the rows, otherwise from
// the shard, which then gives the copy.
func (b *Backend) timeline(reader UserID, p *copies.Prefetched) func(ctx context.Context, from seek, n int) ([]entry, error) {
	key := timelineKey(reader)
	t := p.Tag(key)
	copied, _ := b.heads.Get(key, t)
	return func(ctx context.Context, from seek, n int) ([]entry, error) {
		if rows, ok := copied.from(from, n); ok {
			return rows, nil
		}
		rows, err := b.entries(ctx, reader, from, n)
		if err == nil && !from.newer && from.boundary == newestEnd {
			top := slices.Clone(rows[:min(len(rows), headRows)])
			b.heads.Put(key, t, &head{rows: top, all: len(rows) < n && len(top) == len(rows)})
		}
		return rows, err
	}
}

// forgetTimelines forgets the timelines of fans that were written to.
func (b *Backend) forgetTimelines(ctx context.Context, fans []fan) error {
	keys := make([]copies.Key, len(fans))
	for i, f := range fans {
		keys[i] = timelineKey(f.id)
	}
	return b.cache.Invalidate(ctx, keys...)
}
