package social

import (
	"context"
	"fmt"
	"strconv"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// Timelines are what people read of those whom they follow.
type Timelines struct{ b *Backend }

// entry is a row of msg_index: one message in one reader's timeline.
type entry struct {
	id      MessageID
	timeMS  int64
	rev     int64 // of the follow under which it was written; 0 on one's own
	kind    Kind
	live    bool
	limited bool
}

func (e *entry) position() Position { return Position{e.timeMS, e.id.Author, e.id.N} }

// Home is the reader's home timeline, newest first. Errors: token_missing, cursor_invalid, invalid for a kind that there
// is not and for Before together with a cursor.
func (t *Timelines) Home(ctx context.Context, v Viewer, q ListQuery) (Page[*Message], error) {
	if err := v.required(); err != nil {
		return Page[*Message]{}, err
	}
	kinds, err := kindsOf(q.Kinds)
	if err != nil {
		return Page[*Message]{}, err
	}
	start, err := q.start()
	if err != nil {
		return Page[*Message]{}, err
	}
	carried := kinds
	if !t.b.Config.Timeline.Comments {
		carried = carried.without(KindComment)
	}
	taken := q.Prefetched
	if taken == nil {
		guess := q.limit()
		if q.Cursor != "" || start != (boundary{}) {
			guess = 0
		}
		taken = t.b.prefetch(ctx, v.UserID, guess)
	}
	read := t.b.timeline(v.UserID, taken)
	return list[entry, *Message]{
		secret:  t.b.Cluster.Secret(),
		binding: binding("home", "", v, kinds.String()),
		start:   start,
		read: func(ctx context.Context, from seek, n int) ([]entry, error) {
			if carried == 0 {
				return nil, nil
			}
			return read(ctx, from, n)
		},
		at:   func(e *entry) Position { return e.position() },
		keep: func(e *entry) bool { return e.live && carried.has(e.kind) },
		show: func(ctx context.Context, rows []entry, emit func(int, *Message)) error {
			return t.show(ctx, v, taken, rows, emit)
		},
	}.page(ctx, q.PageRequest)
}

const entryOrder = "time_ms, author_id, msg_id"

// entries reads a reader's timeline from a place on, gone entries too. A colder source is to be asked in here, once the
// hot rows are read and end (REVIEW F15).
func (b *Backend) entries(ctx context.Context, reader UserID, from seek, n int) ([]entry, error) {
	out := make([]entry, 0, n)
	bucket := b.bucket(reader)
	err := b.Cluster.Read(ctx, int64(reader), func(ctx context.Context, r *sharding.Reader) error {
		out = out[:0]
		rows, err := r.Query(ctx, `
			SELECT time_ms, author_id, msg_id, rev, state, kind, limited,
				(SELECT epoch FROM shard_state WHERE id = 1)
			FROM msg_index
			WHERE bucket = ? AND user_id = ? AND `+from.where(entryOrder)+from.order(entryOrder)+` LIMIT ?`,
			bucket, int64(reader), from.at.TimeMS, from.at.TimeMS, int64(from.at.Author), from.at.N, n)
		if err != nil {
			return err
		}
		defer rows.Close()
		var epoch int64
		for rows.Next() {
			var e entry
			var state, limited int
			if err := rows.Scan(&e.timeMS, &e.id.Author, &e.id.N, &e.rev, &state, &e.kind, &limited, &epoch); err != nil {
				return err
			}
			e.live, e.limited = state == stateLive, limited != 0
			out = append(out, e)
		}
		r.SawEpoch(epoch)
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read timeline: %w", err)
	}
	return out, nil
}

// show renders entries, but for what the reader does not follow any more, has muted, or is kept from by a block.
func (t *Timelines) show(ctx context.Context, v Viewer, taken *copies.Prefetched, rows []entry, emit func(int, *Message)) error {
	ids := make([]MessageID, len(rows))
	for i := range rows {
		ids[i] = rows[i].id
	}
	keep := t.b.Config.Timeline.OnUnfollow == "keep"
	seen, err := t.b.render(ctx, v, ids, renderOptions{
		taken: taken,
		entry: func(s *viewerState, i int) bool {
			return rows[i].id.Author == v.UserID || s.carries(&rows[i], keep)
		},
		message: func(s *viewerState, m *stored) bool { return m.kind != KindRepost || s.passesOn(m) },
	})
	if err != nil {
		return err
	}
	for i, m := range seen {
		if m != nil {
			emit(i, m)
		}
	}
	return nil
}

// carries says whether another's entry still stands in the reader's home. A limited one is tied to the very follow under
// which it was written; a public one outlives its follow where that is the policy.
func (v *viewerState) carries(e *entry, keep bool) bool {
	author := e.id.Author
	if v.apart(author) || v.muted(author) {
		return false
	}
	rev, follows := v.follows[author]
	if e.limited {
		return follows && rev == e.rev
	}
	return follows || keep
}

// passesOn says whether a repost, one's own too, may stand in home: not where what is behind it is by somebody muted or
// behind a block, be it deleted or not.
func (v *viewerState) passesOn(repost *stored) bool {
	for _, author := range []UserID{repost.parent.Author, repost.origin.Author} {
		if v.muted(author) || v.apart(author) {
			return false
		}
	}
	return true
}

// start is where a first page begins.
func (q ListQuery) start() (boundary, error) {
	switch {
	case q.Before == 0:
		return boundary{}, nil
	case q.Cursor != "":
		return boundary{}, errorf(CodeInvalid, "/before", "before says where a first page begins; a cursor goes on from there without it")
	}
	return boundary{Position{TimeMS: max(0, int64(q.Before))}, true}, nil
}

// kindSet is a filter by kind.
type kindSet uint8

const allKinds = kindSet(1<<KindOriginal | 1<<KindComment | 1<<KindRepost)

// kindsOf makes a set of kinds; none mean all.
func kindsOf(kinds []Kind) (kindSet, error) {
	if len(kinds) == 0 {
		return allKinds, nil
	}
	var set kindSet
	for _, k := range kinds {
		if k < KindOriginal || k > KindRepost {
			return 0, errorf(CodeInvalid, "/kind", "there is no such kind of message")
		}
		set |= 1 << k
	}
	return set, nil
}

func (s kindSet) has(k Kind) bool        { return s&(1<<k) != 0 }
func (s kindSet) without(k Kind) kindSet { return s &^ (1 << k) }
func (s kindSet) String() string         { return strconv.Itoa(int(s)) }
