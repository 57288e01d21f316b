package social

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"socialctl/sharding"
)

// Relations are who follows, blocks and mutes whom. A follow is decided in the follower's shard and nowhere else; a
// block is a veto in the blocker's.
type Relations struct{ b *Backend }

// relationOf reads one row of user_relation; an absent one is the zero value. Under the person's row lock it needs none
// of its own.
func relationOf(ctx context.Context, q reader, bucket sharding.Bucket, user UserID, kind int, other UserID) (relation, error) {
	var r relation
	err := q.QueryRow(ctx, `
		SELECT state, rev, since_clock, from_msg_id, until_msg_id
		FROM user_relation WHERE bucket = ? AND user_id = ? AND kind = ? AND other_id = ?`, bucket, int64(user), kind, int64(other)).
		Scan(&r.state, &r.rev, &r.sinceClock, &r.fromMsg, &r.untilMsg)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("read relation: %w", err)
	}
	return r, nil
}

func (b *Backend) putRelation(ctx context.Context, tx *sharding.Tx, user UserID, kind int, other UserID, r relation) error {
	return b.putRelations(ctx, tx, []relationRow{{relationKey{user, kind, other}, r}})
}

// bump moves the person's clock and counters, under their row lock.
func bump(ctx context.Context, tx *sharding.Tx, bucket sharding.Bucket, user UserID, clock, follows, fans int64) error {
	_, err := tx.Exec(ctx, sharding.Key("user_info", bucket, int64(user)), `
		UPDATE user_info SET clock = clock + ?, follow_count = follow_count + ?, fans_count = fans_count + ?
		WHERE bucket = ? AND user_id = ?`, clock, follows, fans, bucket, int64(user))
	if err != nil {
		return fmt.Errorf("move clock: %w", err)
	}
	return nil
}

// decide runs one verb of the viewer in their own shard and applies what it owes elsewhere. The verb returns its effects.
func (r *Relations) decide(ctx context.Context, v Viewer, other UserID,
	verb func(ctx context.Context, tx *sharding.Tx, me *accountRow) ([]*effect, error)) (Relationship, error) {
	if v.UserID == other {
		return Relationship{}, errorf(CodeSelf, "", "this cannot be done to oneself")
	}
	them, err := r.b.readAccount(ctx, other)
	var away *sharding.UnavailableError
	switch {
	case errors.As(err, &away):
		// Their shard will decide when it is back: it answers a follow of nobody, or of a deleted account, with its end.
	case err != nil:
		return Relationship{}, err
	case them == nil || them.state != accountLive:
		return Relationship{}, notFound("account")
	}
	var effs []*effect
	err = r.b.Cluster.Write(ctx, int64(v.UserID), func(ctx context.Context, tx *sharding.Tx) error {
		me, err := r.b.lockLive(ctx, tx, v.UserID)
		if err != nil {
			return err
		}
		if effs, err = verb(ctx, tx, me); err != nil {
			return err
		}
		return r.b.emit(ctx, tx, effs...)
	})
	told := r.b.cache.InvalidateAfter(ctx, err, viewerKey(v.UserID))
	if err != nil {
		return Relationship{}, err
	}
	if len(effs) == 0 { // it was so before, perhaps by a server that died before it had applied the rest
		effs = r.b.owedBetween(ctx, v.UserID, other)
	}
	pending := r.b.settleTold(ctx, told, effs...)
	out, err := r.b.relationship(ctx, v.UserID, other)
	out.Pending = pending
	return out, err
}

// relationship reads how the viewer stands to another, from the viewer's own shard, as it is now.
func (b *Backend) relationship(ctx context.Context, me, other UserID) (Relationship, error) {
	out := Relationship{ID: other}
	err := b.Cluster.Read(ctx, int64(me), func(ctx context.Context, q *sharding.Reader) error {
		out = Relationship{ID: other}
		for kind, field := range map[int]*bool{relFollow: &out.Following, relFan: &out.FollowedBy, relBlock: &out.Blocking,
			relBlockedBy: &out.BlockedBy, relMute: &out.Muting} {
			rel, err := relationOf(ctx, q, b.bucket(me), me, kind, other)
			if err != nil {
				return err
			}
			*field = rel.live()
		}
		return nil
	})
	return out, err
}

// Follow makes the viewer follow another account. Errors: self, not_found, blocked.
func (r *Relations) Follow(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return r.decide(ctx, v, other, func(ctx context.Context, tx *sharding.Tx, me *accountRow) ([]*effect, error) {
		bucket := r.b.bucket(v.UserID)
		for _, kind := range []int{relBlock, relBlockedBy} {
			block, err := relationOf(ctx, tx, bucket, v.UserID, kind, other)
			if err != nil {
				return nil, err
			}
			if block.live() {
				return nil, errorf(CodeBlocked, "", "a block stands between these accounts")
			}
		}
		return r.b.turnFollow(ctx, tx, me, other, stateLive, 0)
	})
}

// Unfollow ends the viewer's follow, if there is one.
func (r *Relations) Unfollow(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return r.decide(ctx, v, other, func(ctx context.Context, tx *sharding.Tx, me *accountRow) ([]*effect, error) {
		return r.b.turnFollow(ctx, tx, me, other, stateGone, 0)
	})
}

// turnFollow gives a person's own follow its next rev and state: the only place where a follow is decided. With most
// above 0 a follow newer than that rev is left alone. The person's row is locked.
func (b *Backend) turnFollow(ctx context.Context, tx *sharding.Tx, me *accountRow, other UserID, state int, most int64) ([]*effect, error) {
	bucket := b.bucket(me.id)
	row, err := relationOf(ctx, tx, bucket, me.id, relFollow, other)
	if err != nil {
		return nil, err
	}
	if row.state == state || most > 0 && row.rev > most {
		return nil, nil
	}
	row = relation{state: state, rev: max(row.rev+1, b.now()), sinceClock: me.clock + 1}
	step := int64(-1)
	if state == stateLive {
		step = 1
	}
	if err := bump(ctx, tx, bucket, me.id, 1, step, 0); err != nil {
		return nil, err
	}
	me.clock++
	if err := b.putRelation(ctx, tx, me.id, relFollow, other, row); err != nil {
		return nil, err
	}
	effs := []*effect{b.newEffect(me.id, effEdge, other, edgePayload{Follower: me.id, Rev: row.rev, State: state})}
	if state == stateLive {
		return effs, nil
	}
	more, err := b.endMutual(ctx, tx, me, other)
	return append(effs, more...), err
}

// Block keeps another account and the viewer out of each other's sight, and ends follows both ways.
func (r *Relations) Block(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return r.turnBlock(ctx, v, other, stateLive)
}

// Unblock ends a block; the follows that it ended do not come back.
func (r *Relations) Unblock(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return r.turnBlock(ctx, v, other, stateGone)
}

func (r *Relations) turnBlock(ctx context.Context, v Viewer, other UserID, state int) (Relationship, error) {
	return r.decide(ctx, v, other, func(ctx context.Context, tx *sharding.Tx, me *accountRow) ([]*effect, error) {
		bucket := r.b.bucket(v.UserID)
		row, err := relationOf(ctx, tx, bucket, v.UserID, relBlock, other)
		if err != nil || row.state == state {
			return nil, err
		}
		row = relation{state: state, rev: max(row.rev+1, r.b.now()), sinceClock: me.clock + 1}
		if err := bump(ctx, tx, bucket, v.UserID, 1, 0, 0); err != nil {
			return nil, err
		}
		me.clock++
		if err := r.b.putRelation(ctx, tx, v.UserID, relBlock, other, row); err != nil {
			return nil, err
		}
		effs := []*effect{r.b.newEffect(v.UserID, effBlocked, other, blockedPayload{By: v.UserID, Rev: row.rev, State: state})}
		if state == stateLive {
			more, err := r.b.turnFollow(ctx, tx, me, other, stateGone, 0)
			if err != nil {
				return nil, err
			}
			effs = append(effs, more...)
		}
		return effs, nil
	})
}

// Mute takes another account's messages out of the viewer's home, and out of nothing else.
func (r *Relations) Mute(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return r.turnMute(ctx, v, other, stateLive)
}

// Unmute brings them back.
func (r *Relations) Unmute(ctx context.Context, v Viewer, other UserID) (Relationship, error) {
	return r.turnMute(ctx, v, other, stateGone)
}

func (r *Relations) turnMute(ctx context.Context, v Viewer, other UserID, state int) (Relationship, error) {
	return r.decide(ctx, v, other, func(ctx context.Context, tx *sharding.Tx, _ *accountRow) ([]*effect, error) {
		bucket := r.b.bucket(v.UserID)
		row, err := relationOf(ctx, tx, bucket, v.UserID, relMute, other)
		if err != nil || row.state == state {
			return nil, err
		}
		effs := []*effect{r.b.forgetting(v.UserID, viewerKey(v.UserID))}
		return effs, r.b.putRelation(ctx, tx, v.UserID, relMute, other, relation{state: state, rev: max(row.rev+1, r.b.now())})
	})
}

// RemoveFollower asks the follower's shard to end their follow of the viewer: only there a follow is decided.
func (r *Relations) RemoveFollower(ctx context.Context, v Viewer, follower UserID) (Relationship, error) {
	return r.decide(ctx, v, follower, func(ctx context.Context, tx *sharding.Tx, _ *accountRow) ([]*effect, error) {
		fan, err := relationOf(ctx, tx, r.b.bucket(v.UserID), v.UserID, relFan, follower)
		if err != nil || !fan.live() {
			return nil, err
		}
		return []*effect{r.b.newEffect(v.UserID, effEndFollow, follower, endFollowPayload{Of: v.UserID, Rev: fan.rev})}, nil
	})
}
