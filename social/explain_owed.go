package social

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"socialctl/sharding"
)

// owedWork is an outbox row that is about the message and the reader.
type owedWork struct {
	kind   effectKind
	shard  sharding.ShardID
	bucket sharding.Bucket
	text   string
}

// matters says whether the work would change what the timeline holds of the message now.
func (w owedWork) matters(due, live bool) bool {
	switch w.kind {
	case effFanout, effBackfill:
		return due && !live
	case effRemoval, effPurge, effEndMutual:
		return live
	}
	return true
}

// owedBy looks through what a person owes for work that concerns this message or the relation of its two people.
func (x *explaining) owedBy(ctx context.Context, r *sharding.Reader, owner UserID) error {
	return x.b.eachOwed(ctx, r, `bucket = ? AND user_id = ?`, []any{x.b.bucket(owner), int64(owner)}, func(page []*effect) error {
		return x.concern(r, page)
	})
}

// owedByImports looks for imported follows that have not reached the author's shard: a chunk of them is one row, of any
// person of the reader's shard.
func (x *explaining) owedByImports(ctx context.Context, r *sharding.Reader) error {
	return x.b.eachOwed(ctx, r, `kind = ?`, []any{int(effEdges)}, func(page []*effect) error { return x.concern(r, page) })
}

func (x *explaining) concern(r *sharding.Reader, rows []*effect) error {
	for _, e := range rows {
		text, err := x.concerns(e)
		if err != nil {
			return err
		}
		if text == "" {
			continue
		}
		text = fmt.Sprintf("%s: %s (event %d of account %d, stored %s, due %s, tried %d times)",
			e.kind, text, e.event, e.owner, Millis(e.created), Millis(e.dueMS), e.attempts)
		work := owedWork{e.kind, r.Shard().ID(), x.b.bucket(e.owner), text}
		if !slices.Contains(x.owed, work) {
			x.owed = append(x.owed, work)
		}
	}
	return nil
}

// concerns says what an outbox row will do to the message in the reader's timeline; "" for nothing.
func (x *explaining) concerns(e *effect) (string, error) {
	author, reader := x.id.Author, x.reader
	if x.own && e.kind != effDeleteAccount { // one's own entry is written and taken out with the message
		return "", nil
	}
	switch e.kind {
	case effFanout, effRemoval:
		return x.concernsDelivery(e)
	case effPurge:
		var p purgePayload
		err := e.decode(&p)
		if e.owner == author && p.Reader == reader && x.id.N >= p.From && x.id.N <= p.Until {
			return fmt.Sprintf("the author's messages %d to %d go out of this timeline", p.From, p.Until), err
		}
		return "", err
	case effEndMutual:
		var p mutualPayload
		var at mutualProgress
		err := errors.Join(e.decode(&p), e.state(&at))
		if e.owner == author && p.Reader == reader && !at.Sweep && x.msg.visibility == VisibilityMutuals && x.id.N > at.After &&
			x.id.N >= p.From && x.id.N <= p.Until {
			return fmt.Sprintf("what is for mutuals of the author's messages %d to %d goes out of this timeline", p.From, p.Until), err
		}
		return "", err
	case effBackfill:
		var p backfillPayload
		err := e.decode(&p)
		has := slices.ContainsFunc(p.Entries, func(entry [3]int64) bool { return entry[0] == x.id.N })
		if p.Author == author && e.target == reader && has {
			return "the messages of the new follow, this one among them, have not been written yet", err
		}
		return "", err
	case effEdge, effEndFollow, effBlocked:
		if e.owner == author && e.target == reader || e.owner == reader && e.target == author {
			return "a change between the two has not reached the other's shard", nil
		}
	case effEdges:
		var p edgesPayload
		err := e.decode(&p)
		if slices.ContainsFunc(p.Edges, func(edge [3]int64) bool { return edge[0] == int64(reader) && edge[1] == int64(author) }) {
			return "the imported follow has not reached the author's shard", err
		}
		return "", err
	case effDeleteAccount:
		return "an account is being deleted", nil
	}
	return "", nil
}

// concernsDelivery tells whether a fan-out or a removal of the message has still to come to the reader.
func (x *explaining) concernsDelivery(e *effect) (string, error) {
	var p deliveryPayload
	var at deliveryProgress
	if err := e.decode(&p); err != nil {
		return "", err
	}
	if err := e.state(&at); err != nil {
		return "", err
	}
	about := e.owner == x.id.Author && (p.N == x.id.N || slices.Contains(p.More, x.id.N))
	passed := x.reader <= at.After || at.Until != 0 && x.reader > at.Until || !at.wants(x.b.bucket(x.reader))
	if !about || passed || at.Sweep {
		return "", nil
	}
	return fmt.Sprintf("it has come to fan %d of the author, and not yet to the reader", at.After), nil
}
