package social

import (
	"context"
	"errors"
	"fmt"

	"socialctl/sharding"
)

// mutualPayload takes an author's messages for mutuals out of one reader's timeline.
type mutualPayload struct {
	Reader UserID `json:"reader"`
	From   int64  `json:"from"`  // msg_id
	Until  int64  `json:"until"` // msg_id
}

// mutualProgress is how far that has come through the author's messages.
type mutualProgress struct {
	After  int64 `json:"after"` // msg_id
	Buried int64 `json:"buried,omitempty"`
	Sweep  bool  `json:"sweep,omitempty"` // the second phase, a day later
}

// endMutual makes the job for when a person stops following a fan. The fan's own follow goes on, so that nothing in the
// fan's shard ends or refuses an entry: what was for mutuals is buried, like a deleted message (REVIEW F9, F21).
func (b *Backend) endMutual(ctx context.Context, tx *sharding.Tx, me *accountRow, other UserID) ([]*effect, error) {
	if me.state == accountDeleted { // all its messages go
		return nil, nil
	}
	fan, err := relationOf(ctx, tx, b.bucket(me.id), me.id, relFan, other)
	if err != nil || !fan.live() || fan.fromMsg > me.msgCount {
		return nil, err
	}
	return []*effect{b.newEffect(me.id, effEndMutual, other, mutualPayload{Reader: other, From: fan.fromMsg, Until: me.msgCount})}, nil
}

// endMutualPage goes through one page of the author's messages: it writes `gone` entries for those that were for mutuals,
// also where there are none, and in the second phase takes these away. Deleted messages have a removal of their own.
func (b *Backend) endMutualPage(ctx context.Context, e *effect) (bool, error) {
	var p mutualPayload
	var at mutualProgress
	if err := errors.Join(e.decode(&p), e.state(&at)); err != nil {
		return false, err
	}
	last, list, err := b.forMutuals(ctx, e.owner, max(at.After, p.From-1), p.Until)
	if err != nil {
		return false, fmt.Errorf("read messages of %d: %w", e.owner, err)
	}
	if len(list) > 0 {
		if err := b.buryEach(ctx, p.Reader, list, at.Sweep); err != nil {
			return false, fmt.Errorf("take what is for mutuals of %d out of the timeline of %d: %w", e.owner, p.Reader, err)
		}
	}
	at.Buried += int64(len(list))
	at.After = last
	switch {
	case last != 0:
		return true, b.checkpoint(ctx, e, at, false, 0)
	case at.Sweep || at.Buried == 0:
		return false, b.checkpoint(ctx, e, at, true, 0)
	}
	return false, b.checkpoint(ctx, e, mutualProgress{Sweep: true}, false, b.now()+sweepAfter)
}

// forMutuals reads the next page of an author's messages and returns those for mutuals, and where the page ends: 0 when
// there are no more.
func (b *Backend) forMutuals(ctx context.Context, author UserID, after, until int64) (last int64, list []*stored, err error) {
	err = b.Cluster.Read(ctx, int64(author), func(ctx context.Context, r *sharding.Reader) error {
		last, list = 0, nil
		rows, err := r.Query(ctx, `
			SELECT msg_id, time_ms, kind, state, visibility FROM msg_info
			WHERE bucket = ? AND user_id = ? AND msg_id > ? AND msg_id <= ?
			ORDER BY msg_id LIMIT ?`, b.bucket(author), int64(author), after, until, maxTxRows)
		if err != nil {
			return err
		}
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			m := &stored{id: MessageID{Author: author}}
			var state int
			if err := rows.Scan(&m.id.N, &m.timeMS, &m.kind, &state, &m.visibility); err != nil {
				return err
			}
			last = m.id.N
			if state == stateLive && m.visibility == VisibilityMutuals && m.kind != KindComment {
				list = append(list, m)
			}
		}
		if n < maxTxRows {
			last = 0
		}
		return rows.Err()
	})
	return last, list, err
}

// buryEach is bury, and in the second phase sweep, for many messages of one author and one reader.
func (b *Backend) buryEach(ctx context.Context, reader UserID, list []*stored, sweep bool) error {
	bucket := b.bucket(reader)
	rows := make([]any, 0, 9*len(list))
	keys := make([]any, 0, 5*len(list)+1)
	for _, m := range list {
		keys = append(keys, bucket, int64(reader), m.timeMS, int64(m.id.Author), m.id.N)
		rows = append(append(rows, keys[len(keys)-5:]...), 0, stateGone, int(m.kind), 1)
	}
	changed := sharding.KeysIn("msg_index", keys, 5, 5)
	err := b.Cluster.Write(ctx, int64(reader), func(ctx context.Context, tx *sharding.Tx) error {
		if sweep {
			_, err := tx.Exec(ctx, changed, `
				DELETE FROM msg_index WHERE `+tx.Dialect().In("bucket, user_id, time_ms, author_id, msg_id", len(list))+` AND state = ?`,
				append(keys, stateGone)...)
			return err
		}
		_, err := tx.Exec(ctx, changed, `
			INSERT INTO msg_index (bucket, user_id, time_ms, author_id, msg_id, rev, state, kind, limited)
			VALUES `+sharding.Values(9, len(list))+`
			{upsert bucket, user_id, time_ms, author_id, msg_id} state = {new state}`, rows...)
		return err
	})
	if err != nil {
		return err
	}
	return b.cache.Invalidate(ctx, timelineKey(reader))
}
