package social

import (
	"context"
	"fmt"
	"slices"

	"socialctl/sharding"
)

// pair is a person and the other end of a relation.
type pair struct{ user, other UserID }

// lockAccounts takes the row locks of many people in the order of the primary key, and fills them in; who does not exist
// keeps state 0.
func (b *Backend) lockAccounts(ctx context.Context, tx *sharding.Tx, ids []UserID, into map[UserID]*accountRow) error {
	for part := range slices.Chunk(ids, maxTxRows) {
		args := make([]any, 0, 2*len(part))
		for _, id := range part {
			args = append(args, b.bucket(id), int64(id))
		}
		rows, err := tx.Query(ctx, `
			SELECT user_id, state, msg_count, clock, last_time_ms, fans_count FROM user_info {primary}
			WHERE `+tx.Dialect().In("bucket, user_id", len(part))+` ORDER BY bucket, user_id {for update}`, args...)
		if err != nil {
			return fmt.Errorf("lock accounts: %w", err)
		}
		for rows.Next() {
			var acc accountRow
			if err := rows.Scan(&acc.id, &acc.state, &acc.msgCount, &acc.clock, &acc.lastTimeMS, &acc.fansCount); err != nil {
				_ = rows.Close()
				return err
			}
			*into[acc.id] = acc
		}
		if err := rows.Err(); err != nil {
			return err
		}
		_ = rows.Close()
	}
	return nil
}

// relationsOf reads the rows of these kinds between these pairs; absent ones are not in the map.
func (b *Backend) relationsOf(ctx context.Context, q reader, pairs []pair, kinds ...int) (map[relationKey]relation, error) {
	out := make(map[relationKey]relation, len(pairs))
	for part := range slices.Chunk(pairs, maxTxRows) {
		args := make([]any, 0, 4*len(kinds)*len(part))
		for _, p := range part {
			for _, kind := range kinds {
				args = append(args, b.bucket(p.user), int64(p.user), kind, int64(p.other))
			}
		}
		rows, err := q.Query(ctx, `
			SELECT user_id, kind, other_id, state, rev, since_clock, from_msg_id, until_msg_id FROM user_relation {primary}
			WHERE `+q.Dialect().In("bucket, user_id, kind, other_id", len(kinds)*len(part)), args...)
		if err != nil {
			return nil, fmt.Errorf("read relations: %w", err)
		}
		for rows.Next() {
			var k relationKey
			var r relation
			if err := rows.Scan(&k.owner, &k.kind, &k.other, &r.state, &r.rev, &r.sinceClock, &r.fromMsg, &r.untilMsg); err != nil {
				_ = rows.Close()
				return nil, err
			}
			out[k] = r
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
		_ = rows.Close()
	}
	return out, nil
}

// putRelations stores many rows with one statement.
func (b *Backend) putRelations(ctx context.Context, tx *sharding.Tx, list []relationRow) error {
	if len(list) == 0 {
		return nil
	}
	args := make([]any, 0, 9*len(list))
	for _, r := range list {
		args = append(args, b.bucket(r.key.owner), int64(r.key.owner), r.key.kind, int64(r.key.other), r.state, r.rev, r.sinceClock, r.fromMsg, r.untilMsg)
	}
	keys := sharding.KeysIn("user_relation", args, 9, 4)
	_, err := tx.Exec(ctx, keys, `
		INSERT INTO user_relation (bucket, user_id, kind, other_id, state, rev, since_clock, from_msg_id, until_msg_id)
		VALUES `+sharding.Values(9, len(list))+`
		{upsert bucket, user_id, kind, other_id} state = {new state}, rev = {new rev}, since_clock = {new since_clock},
			from_msg_id = {new from_msg_id}, until_msg_id = {new until_msg_id}`, args...)
	if err != nil {
		return fmt.Errorf("store relations: %w", err)
	}
	return nil
}
