package social

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// referencePayload is a comment's or repost's edge for the shard of what it refers to.
type referencePayload struct {
	On    int64     `json:"on"` // msg_id of the target's message
	Kind  Kind      `json:"kind"`
	By    MessageID `json:"by"`
	State int       `json:"state"`
	Time  int64     `json:"time"`
}

// A message is stored once and deleted once: its edges need no more than two revs.
const (
	revCreated = 1
	revDeleted = 2
)

// references lists the edges of a comment or repost: one to its parent, one to its origin, and one alone where they are
// the same (REVIEW F29).
func (b *Backend) references(msg *stored, state int) []*effect {
	var effs []*effect
	for i, on := range []MessageID{msg.parent, msg.origin} {
		if on.IsZero() || i == 1 && on == msg.parent {
			continue
		}
		effs = append(effs, b.newEffect(msg.id.Author, effReference, on.Author,
			referencePayload{On: on.N, Kind: msg.kind, By: msg.id, State: state, Time: msg.timeMS}))
	}
	return effs
}

// applyReferences brings edges to one author's messages into their shard. The first application of an edge takes the
// next number of its only-growing counter, in whatever state it arrives (REVIEW F28); live counters move with the state.
func (b *Backend) applyReferences(ctx context.Context, group []*effect) error {
	author := group[0].target
	edges := make([]referencePayload, len(group))
	var touched []copies.Key
	for i, e := range group {
		if err := e.decode(&edges[i]); err != nil {
			return err
		}
		touched = append(touched, messageKey(MessageID{author, edges[i].On}))
	}
	slices.SortStableFunc(edges, func(x, y referencePayload) int { return int(x.On - y.On) })
	err := b.Cluster.Write(ctx, int64(author), func(ctx context.Context, tx *sharding.Tx) error {
		for todo := edges; len(todo) > 0; {
			n := 1
			for n < len(todo) && todo[n].On == todo[0].On {
				n++
			}
			if err := b.applyReferencesTo(ctx, tx, MessageID{author, todo[0].On}, todo[:n]); err != nil {
				return err
			}
			todo = todo[n:]
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("apply references to messages of %d: %w", author, err)
	}
	return b.cache.Invalidate(ctx, touched...)
}

// applyReferencesTo applies edges to one message, whose row is locked once for all of them.
func (b *Backend) applyReferencesTo(ctx context.Context, tx *sharding.Tx, on MessageID, edges []referencePayload) error {
	bucket := b.bucket(on.Author)
	var ever, live [2]int64 // comments, reposts
	err := tx.QueryRow(ctx, `
		SELECT commented_count, transferred_count, comment_count, transfer_count
		FROM msg_info WHERE bucket = ? AND user_id = ? AND msg_id = ? {for update}`, bucket, int64(on.Author), on.N).
		Scan(&ever[0], &ever[1], &live[0], &live[1])
	if errors.Is(err, sql.ErrNoRows) {
		return nil // nobody ever wrote that message: the edge has nothing to hold on to
	}
	if err != nil {
		return err
	}
	for _, edge := range edges {
		which := 0
		if edge.Kind == KindRepost {
			which = 1
		}
		if err := applyReference(ctx, tx, bucket, on, edge, &ever[which], &live[which]); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, sharding.Key("msg_info", bucket, int64(on.Author), on.N), `
		UPDATE msg_info SET commented_count = ?, transferred_count = ?, comment_count = ?, transfer_count = ?
		WHERE bucket = ? AND user_id = ? AND msg_id = ?`, ever[0], ever[1], live[0], live[1], bucket, int64(on.Author), on.N)
	return err
}

func applyReference(ctx context.Context, tx *sharding.Tx, bucket sharding.Bucket, on MessageID, edge referencePayload, ever, live *int64) error {
	rev := int64(revCreated)
	if edge.State == stateGone {
		rev = revDeleted
	}
	var state int
	var have int64
	err := tx.QueryRow(ctx, `
		SELECT state, rev FROM msg_msg_relation
		WHERE bucket = ? AND referenced_id = ? AND referenced_msg_id = ? AND kind = ? AND reference_id = ? AND reference_msg_id = ?`,
		bucket, int64(on.Author), on.N, int(edge.Kind), int64(edge.By.Author), edge.By.N).Scan(&state, &have)
	fresh := errors.Is(err, sql.ErrNoRows)
	if err != nil && !fresh {
		return err
	}
	if !fresh && have >= rev {
		return nil
	}
	key := sharding.Key("msg_msg_relation", bucket, int64(on.Author), on.N, int(edge.Kind), int64(edge.By.Author), edge.By.N)
	if fresh {
		*ever++
		*live += int64(edge.State)
		_, err = tx.Exec(ctx, key, `
			INSERT INTO msg_msg_relation (bucket, referenced_id, referenced_msg_id, kind, reference_id, reference_msg_id, state, rev, seq, time_ms)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			bucket, int64(on.Author), on.N, int(edge.Kind), int64(edge.By.Author), edge.By.N, edge.State, rev, *ever, edge.Time)
		return err
	}
	*live += int64(edge.State - state)
	_, err = tx.Exec(ctx, key, `
		UPDATE msg_msg_relation SET state = ?, rev = ?
		WHERE bucket = ? AND referenced_id = ? AND referenced_msg_id = ? AND kind = ? AND reference_id = ? AND reference_msg_id = ?`,
		edge.State, rev, bucket, int64(on.Author), on.N, int(edge.Kind), int64(edge.By.Author), edge.By.N)
	return err
}

// liveRepost returns the number of the person's live repost without words of exactly that message, or 0.
func (b *Backend) liveRepost(ctx context.Context, q reader, user UserID, of MessageID) (int64, error) {
	n, live, err := b.lastRepost(ctx, q, user, of)
	if !live {
		n = 0
	}
	return n, err
}

// lastRepost is the repost without words that a person has, or had last, of a message; 0 for none ever.
func (b *Backend) lastRepost(ctx context.Context, q reader, user UserID, of MessageID) (n int64, live bool, err error) {
	state := stateGone
	err = q.QueryRow(ctx, `
		SELECT msg_id, state FROM user_repost
		WHERE bucket = ? AND user_id = ? AND referenced_id = ? AND referenced_msg_id = ?`,
		b.bucket(user), int64(user), int64(of.Author), of.N).Scan(&n, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return n, state == stateLive, err
}

func putRepost(ctx context.Context, tx *sharding.Tx, bucket sharding.Bucket, user UserID, of MessageID, n int64, state int) error {
	_, err := tx.Exec(ctx, sharding.Key("user_repost", bucket, int64(user), int64(of.Author), of.N), `
		INSERT INTO user_repost (bucket, user_id, referenced_id, referenced_msg_id, msg_id, state) VALUES (?, ?, ?, ?, ?, ?)
		{upsert bucket, user_id, referenced_id, referenced_msg_id} msg_id = {new msg_id}, state = {new state}`,
		bucket, int64(user), int64(of.Author), of.N, n, state)
	if err != nil {
		return fmt.Errorf("store repost: %w", err)
	}
	return nil
}
