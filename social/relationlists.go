package social

import (
	"context"
	"fmt"

	"socialctl/sharding"
)

// Followers are the accounts that follow an account, newest first. Errors: not_found, cursor_invalid.
func (r *Relations) Followers(ctx context.Context, v Viewer, of UserID, p PageRequest) (Page[Account], error) {
	if _, err := r.b.Accounts.Get(ctx, Viewer{}, of); err != nil {
		return Page[Account]{}, err
	}
	return r.b.relationList(v, "followers", of, relFan).page(ctx, p)
}

// Following are the accounts that an account follows, newest first. Errors: not_found, cursor_invalid.
func (r *Relations) Following(ctx context.Context, v Viewer, of UserID, p PageRequest) (Page[Account], error) {
	if _, err := r.b.Accounts.Get(ctx, Viewer{}, of); err != nil {
		return Page[Account]{}, err
	}
	return r.b.relationList(v, "following", of, relFollow).page(ctx, p)
}

// Blocks are the accounts that the viewer blocks, newest first. Errors: token_missing, cursor_invalid.
func (r *Relations) Blocks(ctx context.Context, v Viewer, p PageRequest) (Page[Account], error) {
	if err := v.required(); err != nil {
		return Page[Account]{}, err
	}
	return r.b.relationList(v, "blocks", v.UserID, relBlock).page(ctx, p)
}

// Mutes are the accounts that the viewer mutes, newest first. Errors: token_missing, cursor_invalid.
func (r *Relations) Mutes(ctx context.Context, v Viewer, p PageRequest) (Page[Account], error) {
	if err := v.required(); err != nil {
		return Page[Account]{}, err
	}
	return r.b.relationList(v, "mutes", v.UserID, relMute).page(ctx, p)
}

// related is a row of a relation list. Its place is (rev, other, 0): a rev is the time at which it was given, or later.
type related struct {
	rev   int64
	other UserID
}

// relationList lists the live relations of one kind of an account, as accounts; those not in use any more are left out.
func (b *Backend) relationList(v Viewer, name string, of UserID, kind int) list[related, Account] {
	return list[related, Account]{
		secret:  b.Cluster.Secret(),
		binding: binding(name, of.String(), v, ""),
		read: func(ctx context.Context, from seek, n int) ([]related, error) {
			return b.relatedTo(ctx, of, kind, from, n)
		},
		at: func(r *related) Position { return Position{TimeMS: r.rev, Author: r.other} },
		show: func(ctx context.Context, rows []related, emit func(int, Account)) error {
			ids := make([]UserID, len(rows))
			for i := range rows {
				ids[i] = rows[i].other
			}
			found, err := b.accounts(ctx, v, ids)
			row := 0
			for _, a := range found {
				for ids[row] != a.ID {
					row++
				}
				emit(row, a)
			}
			return err
		},
	}
}

const relationOrder = "rev, other_id"

func relatedQuery(from seek) string {
	return `
		SELECT rev, other_id,
			(SELECT epoch FROM shard_state WHERE id = 1)
		FROM user_relation
		WHERE bucket = ? AND user_id = ? AND kind = ? AND state = ? AND ` + from.where(relationOrder) + from.order(relationOrder) + ` LIMIT ?`
}

func relatedArgs(bucket sharding.Bucket, of UserID, kind int, from seek, n int) []any {
	return []any{bucket, int64(of), kind, stateLive, from.at.TimeMS, from.at.TimeMS, int64(from.at.Author), n}
}

// relatedTo reads the live relations of one kind, by the index user_relation_newest.
func (b *Backend) relatedTo(ctx context.Context, of UserID, kind int, from seek, n int) ([]related, error) {
	var out []related
	err := b.Cluster.Read(ctx, int64(of), func(ctx context.Context, r *sharding.Reader) error {
		out = nil
		rows, err := r.Query(ctx, relatedQuery(from), relatedArgs(b.bucket(of), of, kind, from, n)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var epoch int64
		for rows.Next() {
			var row related
			if err := rows.Scan(&row.rev, &row.other, &epoch); err != nil {
				return err
			}
			out = append(out, row)
		}
		r.SawEpoch(epoch)
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read a list of relations: %w", err)
	}
	return out, nil
}
