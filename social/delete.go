package social

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"socialctl/sharding"
)

// Delete takes the author's own message away: at once for everybody who looks, and from all timelines by a job. A second
// time is no error. Errors: not_found where the viewer may not see it, not_allowed where it is another's.
func (m *Messages) Delete(ctx context.Context, v Viewer, id MessageID) error {
	if id.Author != v.UserID {
		if _, err := m.Get(ctx, v, id); err != nil {
			return err
		}
		return errorf(CodeNotAllowed, "", "only its author can delete a message")
	}
	return m.b.erase(ctx, id)
}

// Unrepost deletes the viewer's repost without words of that message, if there is one, and answers with the message.
func (m *Messages) Unrepost(ctx context.Context, v Viewer, of MessageID) (*Message, error) {
	seen, err := m.Get(ctx, v, of)
	if err != nil {
		return nil, err
	}
	var n int64
	var live bool
	err = m.b.Cluster.Read(ctx, int64(v.UserID), func(ctx context.Context, r *sharding.Reader) error {
		var err error
		n, live, err = m.b.lastRepost(ctx, r, v.UserID, of)
		return err
	})
	if err != nil {
		return nil, err
	}
	repost := MessageID{v.UserID, n}
	switch {
	case n == 0:
		return seen, nil
	case live:
		err = m.b.erase(ctx, repost)
	default: // it is gone, and who took it away may have died before the others were told
		err = m.b.cache.Invalidate(ctx, messageKey(repost), viewerKey(v.UserID), timelineKey(v.UserID))
	}
	if err != nil {
		return nil, err
	}
	return m.Get(ctx, v, of)
}

// erase is the deleting transaction, under the author's row lock like a post and a fan, so that no backfill in flight can
// hold the message and commit after the removal has passed its reader (REVIEW F9).
func (b *Backend) erase(ctx context.Context, id MessageID) error {
	var effs []*effect
	err := b.Cluster.Write(ctx, int64(id.Author), func(ctx context.Context, tx *sharding.Tx) error {
		effs = nil
		if _, err := lockAccount(ctx, tx, b.bucket(id.Author), id.Author); err != nil {
			return err
		}
		var err error
		effs, err = b.eraseTx(ctx, tx, id)
		return err
	})
	told := b.cache.InvalidateAfter(ctx, err, messageKey(id), viewerKey(id.Author), timelineKey(id.Author))
	if err != nil {
		return fmt.Errorf("delete %s: %w", id, err)
	}
	b.settleTold(ctx, told, effs...)
	return nil
}

func (b *Backend) eraseTx(ctx context.Context, tx *sharding.Tx, id MessageID) ([]*effect, error) {
	bucket := b.bucket(id.Author)
	msg := stored{id: id}
	var state int
	err := tx.QueryRow(ctx, `
		SELECT kind, state, visibility, root_visibility, time_ms, parent_id, parent_msg_id, origin_id, origin_msg_id
		FROM msg_info WHERE bucket = ? AND user_id = ? AND msg_id = ? {for update}`, bucket, int64(id.Author), id.N).
		Scan(&msg.kind, &state, &msg.visibility, &msg.rootVisibility, &msg.timeMS, &msg.parent.Author, &msg.parent.N, &msg.origin.Author, &msg.origin.N)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("message")
	}
	if err != nil || state == stateGone {
		return nil, err
	}
	if _, err := tx.Exec(ctx, sharding.Key("msg_info", bucket, int64(id.Author), id.N),
		`UPDATE msg_info SET state = ? WHERE bucket = ? AND user_id = ? AND msg_id = ?`, stateGone, bucket, int64(id.Author), id.N); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, sharding.Key("user_info", bucket, int64(id.Author)),
		`UPDATE user_info SET message_count = message_count - 1, clock = clock + 1 WHERE bucket = ? AND user_id = ?`, bucket, int64(id.Author)); err != nil {
		return nil, err
	}
	author := int64(id.Author)
	if _, err := tx.Exec(ctx, sharding.Key("msg_index", bucket, author, msg.timeMS, author, id.N), `
		UPDATE msg_index SET state = ? WHERE bucket = ? AND user_id = ? AND time_ms = ? AND author_id = ? AND msg_id = ?`,
		stateGone, bucket, author, msg.timeMS, author, id.N); err != nil {
		return nil, err
	}
	if msg.kind == KindRepost {
		if live, err := b.liveRepost(ctx, tx, id.Author, msg.parent); err != nil {
			return nil, err
		} else if live == id.N {
			if err := putRepost(ctx, tx, bucket, id.Author, msg.parent, id.N, stateGone); err != nil {
				return nil, err
			}
		}
	}
	effs := b.references(&msg, stateGone)
	if b.inTimelines(&msg) {
		effs = append(effs, b.newEffect(id.Author, effRemoval, id.Author, deliveryPayload{N: id.N}))
	}
	return effs, b.emit(ctx, tx, effs...)
}
