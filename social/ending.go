package social

import (
	"context"
	"fmt"

	"socialctl/sharding"
)

// endingProgress is how far the end of an account has come.
type endingProgress struct {
	Phase int   `json:"phase"` // follows, fans, messages, fans again
	After int64 `json:"after"`
}

const endingPage = 100

// deleteAccountPage ends what a deleted account left: its follows, its fans, its messages. The fans are gone through a
// second time at the end, and the job goes on while any is live: a follow may have been under way (REVIEW F40).
func (b *Backend) deleteAccountPage(ctx context.Context, e *effect) (bool, error) {
	var at endingProgress
	if err := e.state(&at); err != nil {
		return false, err
	}
	var last int64
	var found int
	var err error
	switch at.Phase {
	case 0:
		last, found, err = b.endFollowsOf(ctx, e.owner, at.After)
	case 1, 3:
		last, found, err = b.endFansOf(ctx, e.owner, at.After)
	case 2:
		last, found, err = b.eraseMessagesOf(ctx, e.owner, at.After)
	default:
		return false, b.checkpoint(ctx, e, at, true, 0)
	}
	if err != nil {
		return false, err
	}
	next := endingProgress{Phase: at.Phase, After: last}
	switch {
	case found == endingPage:
	case at.Phase == 3 && (found > 0 || at.After > 0):
		// Some were live: their shards have been asked; look again when the answers have had time to arrive.
		return false, b.checkpoint(ctx, e, endingProgress{Phase: 3}, false, b.now()+1000)
	default:
		next = endingProgress{Phase: at.Phase + 1}
	}
	return true, b.checkpoint(ctx, e, next, false, 0)
}

// livePage reads the other ends of an account's live relations of one kind, in the order of their ids.
func (b *Backend) livePage(ctx context.Context, id UserID, kind int, after int64) ([]fan, error) {
	var out []fan
	err := b.Cluster.Read(ctx, int64(id), func(ctx context.Context, r *sharding.Reader) error {
		out = nil
		rows, err := r.Query(ctx, `
			SELECT other_id, rev FROM user_relation {primary}
			WHERE bucket = ? AND user_id = ? AND kind = ? AND other_id > ? AND state = ?
			ORDER BY other_id LIMIT ?`, b.bucket(id), int64(id), kind, after, stateLive, endingPage)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var f fan
			if err := rows.Scan(&f.id, &f.row.rev); err != nil {
				return err
			}
			out = append(out, f)
		}
		return rows.Err()
	})
	return out, err
}

func (b *Backend) endFollowsOf(ctx context.Context, id UserID, after int64) (int64, int, error) {
	page, err := b.livePage(ctx, id, relFollow, after)
	if err != nil || len(page) == 0 {
		return after, 0, err
	}
	var effs []*effect
	err = b.Cluster.Write(ctx, int64(id), func(ctx context.Context, tx *sharding.Tx) error {
		effs = nil
		me, err := lockAccount(ctx, tx, b.bucket(id), id)
		if err != nil || me == nil {
			return err
		}
		for _, f := range page {
			more, err := b.turnFollow(ctx, tx, me, f.id, stateGone, 0)
			if err != nil {
				return err
			}
			effs = append(effs, more...)
		}
		return b.emit(ctx, tx, effs...)
	})
	if err != nil {
		return 0, 0, fmt.Errorf("end follows of a deleted account: %w", err)
	}
	b.settle(ctx, effs...)
	return int64(page[len(page)-1].id), len(page), nil
}

func (b *Backend) endFansOf(ctx context.Context, id UserID, after int64) (int64, int, error) {
	page, err := b.livePage(ctx, id, relFan, after)
	if err != nil || len(page) == 0 {
		return after, 0, err
	}
	var effs []*effect
	for _, f := range page {
		effs = append(effs, b.newEffect(id, effEndFollow, f.id, endFollowPayload{Of: id, Rev: f.row.rev}))
	}
	err = b.Cluster.Write(ctx, int64(id), func(ctx context.Context, tx *sharding.Tx) error {
		return b.emit(ctx, tx, effs...)
	})
	if err != nil {
		return 0, 0, fmt.Errorf("end fans of a deleted account: %w", err)
	}
	b.settle(ctx, effs...)
	return int64(page[len(page)-1].id), len(page), nil
}

func (b *Backend) eraseMessagesOf(ctx context.Context, id UserID, after int64) (int64, int, error) {
	var page []int64
	err := b.Cluster.Read(ctx, int64(id), func(ctx context.Context, r *sharding.Reader) error {
		page = nil
		rows, err := r.Query(ctx, `
			SELECT msg_id FROM msg_info WHERE bucket = ? AND user_id = ? AND msg_id > ? AND state = ?
			ORDER BY msg_id LIMIT ?`, b.bucket(id), int64(id), after, stateLive, endingPage)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var n int64
			if err := rows.Scan(&n); err != nil {
				return err
			}
			page = append(page, n)
		}
		return rows.Err()
	})
	if err != nil || len(page) == 0 {
		return after, 0, err
	}
	for _, n := range page {
		if err := b.erase(ctx, MessageID{id, n}); err != nil {
			return 0, 0, err
		}
	}
	return page[len(page)-1], len(page), nil
}
