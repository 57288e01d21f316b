package social

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"socialctl/sharding"
)

func mustJSON(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil { // plain structs of this package
		return []byte("{}")
	}
	return raw
}

// removalPage takes a deleted message out of one page of timelines. It never deletes: it writes `gone` entries, also where
// there are none, for all fan rows, gone ones included, so that a late insert of any origin is a no-op (REVIEW F9). A day
// later the same job sweeps them away.
func (b *Backend) removalPage(ctx context.Context, e *effect) (bool, error) {
	var p deliveryPayload
	var at deliveryProgress
	if err := errors.Join(e.decode(&p), e.state(&at)); err != nil {
		return false, err
	}
	var msg *stored
	var fans []fan
	var last UserID
	err := b.Cluster.Read(ctx, int64(e.owner), func(ctx context.Context, r *sharding.Reader) error {
		fans, last = nil, 0
		var err error
		if msg, err = messageForDelivery(ctx, r, b.bucket(e.owner), MessageID{e.owner, p.N}); err != nil || msg == nil {
			return err
		}
		page, err := readFans(ctx, r, b.bucket(e.owner), e.owner, at, false)
		if err != nil {
			return err
		}
		if len(page) == fanPage {
			last = page[len(page)-1].id
		}
		for _, f := range page {
			if at.wants(b.bucket(f.id)) {
				fans = append(fans, f)
			}
		}
		if at.Sweep && at.After == 0 && at.wants(b.bucket(e.owner)) {
			fans = append(fans, fan{id: e.owner}) // the author's own entry, gone since the deletion
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("read fans of %d: %w", e.owner, err)
	}
	if msg == nil {
		return false, b.checkpoint(ctx, e, at, true, 0)
	}
	write := b.bury
	if at.Sweep {
		write = b.sweep
	}
	refused, n, err := b.perShard(ctx, fans, maxTxRows, func(ctx context.Context, shard *sharding.Shard, part []fan) (n int64, err error) {
		err = b.Cluster.WriteShard(ctx, shard, b.bucketsOf(part), func(ctx context.Context, tx *sharding.Tx) error {
			n, err = write(ctx, tx, msg, part)
			return err
		})
		return n, err
	})
	if err != nil {
		return false, err
	}
	return b.advance(ctx, e, p, at, last, refused, n)
}

func (b *Backend) bury(ctx context.Context, tx *sharding.Tx, msg *stored, fans []fan) (int64, error) {
	args := make([]any, 0, 9*len(fans))
	for _, f := range fans {
		args = append(args, b.bucket(f.id), int64(f.id), msg.timeMS, int64(msg.id.Author), msg.id.N, 0, stateGone, int(msg.kind), 0)
	}
	return tx.Exec(ctx, entriesOf(b, msg, fans), `
		INSERT INTO msg_index (bucket, user_id, time_ms, author_id, msg_id, rev, state, kind, limited)
		VALUES `+sharding.Values(9, len(fans))+`
		{upsert bucket, user_id, time_ms, author_id, msg_id} state = {new state}`, args...)
}

func (b *Backend) sweep(ctx context.Context, tx *sharding.Tx, msg *stored, fans []fan) (int64, error) {
	args := make([]any, 0, 5*len(fans)+1)
	for _, f := range fans {
		args = append(args, b.bucket(f.id), int64(f.id), msg.timeMS, int64(msg.id.Author), msg.id.N)
	}
	return tx.Exec(ctx, entriesOf(b, msg, fans), `
		DELETE FROM msg_index WHERE `+tx.Dialect().In("bucket, user_id, time_ms, author_id, msg_id", len(fans))+` AND state = ?`,
		append(args, stateGone)...)
}

// purgePayload takes an author's entries out of one reader's timeline, those written under revs up to Most.
type purgePayload struct {
	Reader      UserID `json:"reader"`
	Most        int64  `json:"most"`
	From        int64  `json:"from"`  // msg_id
	Until       int64  `json:"until"` // msg_id
	LimitedOnly bool   `json:"limited_only,omitempty"`
}

type purgeProgress struct {
	After   int64 `json:"after"`
	Removed int64 `json:"removed,omitempty"`
}

// purgePage deletes by exact keys, enumerated from the author's messages of the span (REVIEW F43). Entries of a newer
// follow have a higher rev and stay (F8); gone ones stay as well (F9).
func (b *Backend) purgePage(ctx context.Context, e *effect) (bool, error) {
	var p purgePayload
	var at purgeProgress
	if err := errors.Join(e.decode(&p), e.state(&at)); err != nil {
		return false, err
	}
	var keys [][2]int64 // time_ms, msg_id
	err := b.Cluster.Read(ctx, int64(e.owner), func(ctx context.Context, r *sharding.Reader) error {
		keys = nil
		rows, err := r.Query(ctx, `
			SELECT time_ms, msg_id FROM msg_info
			WHERE bucket = ? AND user_id = ? AND msg_id > ? AND msg_id <= ?
			ORDER BY msg_id LIMIT ?`, b.bucket(e.owner), int64(e.owner), max(at.After, p.From-1), p.Until, maxTxRows)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var k [2]int64
			if err := rows.Scan(&k[0], &k[1]); err != nil {
				return err
			}
			keys = append(keys, k)
		}
		return rows.Err()
	})
	if err != nil {
		return false, fmt.Errorf("read messages of %d: %w", e.owner, err)
	}
	if len(keys) > 0 {
		n, err := b.purge(ctx, e.owner, p, keys)
		if err != nil {
			return false, err
		}
		at.Removed += n
		at.After = keys[len(keys)-1][1]
	}
	finished := len(keys) < maxTxRows
	return !finished, b.checkpoint(ctx, e, at, finished, 0)
}

func (b *Backend) purge(ctx context.Context, author UserID, p purgePayload, keys [][2]int64) (int64, error) {
	bucket := b.bucket(p.Reader)
	args := make([]any, 0, 5*len(keys)+3)
	for _, k := range keys {
		args = append(args, bucket, int64(p.Reader), k[0], int64(author), k[1])
	}
	changed := sharding.KeysIn("msg_index", args, 5, 5)
	least := 0
	if p.LimitedOnly {
		least = 1
	}
	all := append(args, p.Most, stateLive, least)
	var n int64
	err := b.Cluster.Write(ctx, int64(p.Reader), func(ctx context.Context, tx *sharding.Tx) error {
		var err error
		n, err = tx.Exec(ctx, changed, `
			DELETE FROM msg_index WHERE `+tx.Dialect().In("bucket, user_id, time_ms, author_id, msg_id", len(keys))+`
			AND rev <= ? AND state = ? AND limited >= ?`, all...)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge %d from the timeline of %d: %w", author, p.Reader, err)
	}
	return n, b.cache.Invalidate(ctx, timelineKey(p.Reader))
}
