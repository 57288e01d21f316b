package social

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"socialctl/sharding"
)

// backfillPayload is the list that was fixed in the transaction that made a fan row live.
type backfillPayload struct {
	Author  UserID     `json:"author"`
	Rev     int64      `json:"rev"`
	Entries [][3]int64 `json:"entries"` // msg_id, time_ms, kind
}

// underWay bounds how many of an author's public messages may be on their way to a reader whose follow ends: a second or
// two of the outbox. Only where more are does the end of a follow, under keep, leave holes in what is kept.
const underWay = 200

// backfillList reads the author's newest public messages that belong in timelines, newest first. Under the author's row
// lock nothing falls between it and what fan-out brings later (REVIEW F7).
func (b *Backend) backfillList(ctx context.Context, tx *sharding.Tx, author UserID) ([][3]int64, error) {
	if b.Config.Timeline.Backfill <= 0 {
		return nil, nil
	}
	return b.newestPublic(ctx, tx, author, math.MaxInt64, b.Config.Timeline.Backfill)
}

func (b *Backend) newestPublic(ctx context.Context, tx *sharding.Tx, author UserID, until int64, most int) ([][3]int64, error) {
	comments := KindOriginal
	if b.Config.Timeline.Comments {
		comments = KindComment
	}
	rows, err := tx.Query(ctx, `
		SELECT msg_id, time_ms, kind FROM msg_info
		WHERE bucket = ? AND user_id = ? AND msg_id <= ? AND state = ? AND visibility = ? AND kind IN (?, ?, ?)
		ORDER BY msg_id DESC LIMIT ?`, b.bucket(author), int64(author), until, stateLive, int(VisibilityPublic),
		int(KindOriginal), int(KindRepost), int(comments), most)
	if err != nil {
		return nil, fmt.Errorf("read the backfill: %w", err)
	}
	defer rows.Close()
	var list [][3]int64
	for rows.Next() {
		var e [3]int64
		if err := rows.Scan(&e[0], &e[1], &e[2]); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// applyBackfills writes fixed lists into one reader's timeline, each while the follow, or under keep its end, that it
// belongs to is the last that was decided: a newer one has a list of its own.
func (b *Backend) applyBackfills(ctx context.Context, group []*effect) error {
	reader := group[0].target
	for _, e := range group {
		var p backfillPayload
		if err := e.decode(&p); err != nil {
			return err
		}
		for len(p.Entries) > 0 {
			n := min(len(p.Entries), maxTxRows)
			part := p.Entries[:n]
			p.Entries = p.Entries[n:]
			err := b.Cluster.Write(ctx, int64(reader), func(ctx context.Context, tx *sharding.Tx) error {
				var rev int64
				err := tx.QueryRow(ctx, `
					SELECT rev FROM user_relation
					WHERE bucket = ? AND user_id = ? AND kind = ? AND other_id = ? {share}`,
					b.bucket(reader), int64(reader), relFollow, int64(p.Author)).Scan(&rev)
				if errors.Is(err, sql.ErrNoRows) || err == nil && rev != p.Rev {
					return nil
				}
				if err != nil {
					return err
				}
				return putEntries(ctx, tx, b.bucket(reader), reader, p.Author, rev, part)
			})
			if err != nil {
				return fmt.Errorf("backfill %d from %d: %w", reader, p.Author, err)
			}
		}
	}
	return b.cache.Invalidate(ctx, timelineKey(reader))
}

// putEntries upserts public entries of one author; an entry that is gone stays gone (REVIEW F9).
func putEntries(ctx context.Context, tx *sharding.Tx, bucket sharding.Bucket, reader, author UserID, rev int64, entries [][3]int64) error {
	args := make([]any, 0, 9*len(entries))
	for _, e := range entries {
		args = append(args, bucket, int64(reader), e[1], int64(author), e[0], rev, stateLive, e[2], 0)
	}
	keys := sharding.KeysIn("msg_index", args, 9, 5)
	_, err := tx.Exec(ctx, keys, `
		INSERT INTO msg_index (bucket, user_id, time_ms, author_id, msg_id, rev, state, kind, limited)
		VALUES `+sharding.Values(9, len(entries))+`
		{upsert bucket, user_id, time_ms, author_id, msg_id} rev = {greatest}(msg_index.rev, {new rev})`, args...)
	return err
}
