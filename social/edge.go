package social

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// claimPayload asks for a name on behalf of a pending account.
type claimPayload struct {
	Name string `json:"name"` // folded
}

// edgePayload is a follow as its follower's shard decided it.
type edgePayload struct {
	Follower UserID `json:"follower"`
	Rev      int64  `json:"rev"`
	State    int    `json:"state"`
}

// endFollowPayload asks a follower's shard to end a follow, unless it is newer than Rev.
type endFollowPayload struct {
	Of  UserID `json:"of"`
	Rev int64  `json:"rev"`
}

// blockedPayload is a block as the blocker's shard decided it.
type blockedPayload struct {
	By    UserID `json:"by"`
	Rev   int64  `json:"rev"`
	State int    `json:"state"`
}

// claimed is one claim on its way: who asks, and who has the name.
type claimed struct {
	name   string
	owner  UserID
	at     int64
	holder UserID
}

// applyClaims lets each name's own row decide, then settles the accounts: live for the winner, void for the loser.
func (b *Backend) applyClaims(ctx context.Context, group []*effect) error {
	claims := make([]*claimed, len(group))
	touched := make([]copies.Key, len(group))
	for i, e := range group {
		var p claimPayload
		if err := e.decode(&p); err != nil {
			return err
		}
		claims[i] = &claimed{name: p.Name, owner: e.owner, at: e.created}
		touched[i] = accountKey(e.owner)
	}
	byName := func(c *claimed) sharding.Bucket { return b.Cluster.BucketOfText(c.name) }
	err := writeByShard(ctx, b.Cluster, claims, byName, applyBatch, func(ctx context.Context, tx *sharding.Tx, part []*claimed) (func(), error) {
		slices.SortFunc(part, func(x, y *claimed) int { return strings.Compare(x.name, y.name) })
		for _, c := range part {
			// An insert that meets a holder changes nothing, and keeps the row locked while the holder is read.
			if _, err := tx.Exec(ctx, sharding.Key("user_name", byName(c), []byte(c.name)), `
				INSERT INTO user_name (bucket, name, user_id, created_ms) VALUES (?, ?, ?, ?)
				{upsert bucket, name} created_ms = user_name.created_ms`, byName(c), []byte(c.name), int64(c.owner), c.at); err != nil {
				return nil, err
			}
			if err := tx.QueryRow(ctx, `SELECT user_id FROM user_name WHERE bucket = ? AND name = ?`, byName(c), []byte(c.name)).Scan(&c.holder); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("claim names: %w", err)
	}
	byOwner := func(c *claimed) sharding.Bucket { return b.bucket(c.owner) }
	err = writeByShard(ctx, b.Cluster, claims, byOwner, applyBatch, func(ctx context.Context, tx *sharding.Tx, part []*claimed) (func(), error) {
		for _, c := range part {
			state := accountVoid
			if c.holder == c.owner {
				state = accountLive
			}
			if _, err := tx.Exec(ctx, sharding.Key("user_info", byOwner(c), int64(c.owner)),
				`UPDATE user_info SET state = ? WHERE bucket = ? AND user_id = ? AND state = ?`, state, byOwner(c), int64(c.owner), accountPending); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("settle accounts: %w", err)
	}
	return b.cache.Invalidate(ctx, touched...)
}

// applyEdges brings follows of one person into that person's shard. Counters move with the state; the span moves with the
// rev, also from live to live: then one was broken that has not been heard of (REVIEW F17).
func (b *Backend) applyEdges(ctx context.Context, group []*effect) ([]*effect, error) {
	edges := make([]edgePayload, len(group))
	for i, e := range group {
		if err := e.decode(&edges[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(edges, func(x, y edgePayload) int { return int(x.Follower - y.Follower) })
	author := group[0].target
	var replies []*effect
	err := b.Cluster.Write(ctx, int64(author), func(ctx context.Context, tx *sharding.Tx) error {
		replies = nil
		acc, err := lockAccount(ctx, tx, b.bucket(author), author)
		if err != nil {
			return err
		}
		if acc == nil { // nobody has this id: the follow ends where it was decided
			return b.refuseEdges(ctx, tx, author, edges, &replies)
		}
		for _, edge := range edges {
			more, err := b.applyEdge(ctx, tx, acc, edge)
			if err != nil {
				return err
			}
			replies = append(replies, more...)
		}
		return b.emit(ctx, tx, replies...)
	})
	if err != nil {
		return nil, fmt.Errorf("apply follows of %d: %w", author, err)
	}
	return replies, b.cache.Invalidate(ctx, viewerKey(author))
}

func (b *Backend) refuseEdges(ctx context.Context, tx *sharding.Tx, author UserID, edges []edgePayload, replies *[]*effect) error {
	for _, edge := range edges {
		if edge.State == stateLive {
			*replies = append(*replies, b.newEffect(author, effEndFollow, edge.Follower, endFollowPayload{Of: author, Rev: edge.Rev}))
		}
	}
	return b.emit(ctx, tx, *replies...)
}

func (b *Backend) applyEdge(ctx context.Context, tx *sharding.Tx, author *accountRow, edge edgePayload) ([]*effect, error) {
	bucket := b.bucket(author.id)
	old, err := relationOf(ctx, tx, bucket, author.id, relFan, edge.Follower)
	if err != nil || edge.Rev <= old.rev {
		return nil, err
	}
	if err := bump(ctx, tx, bucket, author.id, 1, 0, int64(edge.State-old.state)); err != nil {
		return nil, err
	}
	author.clock++
	var list [][3]int64
	refused := false
	if kept := old.keptUntil(author); edge.State == stateGone && b.keepsGone() && kept > 0 {
		if list, err = b.newestPublic(ctx, tx, author.id, kept, max(underWay, b.Config.Timeline.Backfill)); err != nil {
			return nil, err
		}
	}
	if edge.State == stateLive {
		if list, err = b.backfillList(ctx, tx, author.id); err != nil {
			return nil, err
		}
		if refused, err = b.vetoed(ctx, tx, author, edge.Follower); err != nil {
			return nil, err
		}
	}
	row, replies := b.turnFan(author, old, edge, list, refused)
	return replies, b.putRelation(ctx, tx, author.id, relFan, edge.Follower, row)
}

// keepsGone reports whether what was delivered under a follow stays when the follow ends, as far as it is public.
func (b *Backend) keepsGone() bool { return b.Config.Timeline.OnUnfollow == "keep" }

// keptUntil is the newest message that stays, under keep, with a reader whose follow ends. After a span of which nothing
// was heard it is still what the one before it left, and that is listed again: the list before may have come too late.
func (r relation) keptUntil(author *accountRow) int64 {
	if r.live() {
		return author.msgCount
	}
	return r.untilMsg
}

// turnFan is what becomes of a fan row under a newer rev, at the author's clock, and what that owes. list is the backfill
// as it is now: what a follow begins with, and, under keep, what may have been under way to a reader when theirs ended.
func (b *Backend) turnFan(author *accountRow, old relation, edge edgePayload, list [][3]int64, refused bool) (relation, []*effect) {
	row := relation{state: edge.State, rev: edge.Rev, sinceClock: author.clock, fromMsg: old.fromMsg}
	var replies []*effect
	keep := b.keepsGone()
	switch {
	case edge.State == stateLive:
		row.fromMsg = author.msgCount + 1
		if len(list) > 0 && !refused {
			row.fromMsg = list[len(list)-1][0]
		}
		if refused {
			list = nil
			replies = append(replies, b.newEffect(author.id, effEndFollow, edge.Follower, endFollowPayload{Of: author.id, Rev: edge.Rev}))
		}
	case keep:
		row.untilMsg = old.keptUntil(author)
		list = slices.DeleteFunc(slices.Clone(list), func(e [3]int64) bool { return e[0] < old.fromMsg })
	}
	if len(list) > 0 {
		replies = append(replies, b.newEffect(author.id, effBackfill, edge.Follower, backfillPayload{Author: author.id, Rev: edge.Rev, Entries: list}))
	}
	// What was delivered under the span before goes, but for what is kept: at an unfollow, and where a newer span begins.
	if old.live() || old.rev > 0 && edge.State == stateLive && keep {
		replies = append(replies, b.newEffect(author.id, effPurge, edge.Follower, purgePayload{
			Reader: edge.Follower, Most: edge.Rev - int64(edge.State), From: old.fromMsg, Until: author.msgCount,
			LimitedOnly: edge.State == stateGone && keep}))
	}
	return row, replies
}

// vetoed reports whether a follow of this author cannot stand: the author is gone, or a block lies between.
func (b *Backend) vetoed(ctx context.Context, tx *sharding.Tx, author *accountRow, reader UserID) (bool, error) {
	if author.state != accountLive && author.state != accountDisabled {
		return true, nil
	}
	for _, kind := range []int{relBlock, relBlockedBy} {
		rel, err := relationOf(ctx, tx, b.bucket(author.id), author.id, kind, reader)
		if err != nil || rel.live() {
			return true, err
		}
	}
	return false, nil
}

// applyEndFollows ends a person's own follows at the wish of others' shards.
func (b *Backend) applyEndFollows(ctx context.Context, group []*effect) ([]*effect, error) {
	follower := group[0].target
	var replies []*effect
	err := b.Cluster.Write(ctx, int64(follower), func(ctx context.Context, tx *sharding.Tx) error {
		replies = nil
		me, err := lockAccount(ctx, tx, b.bucket(follower), follower)
		if err != nil || me == nil {
			return err
		}
		for _, e := range group {
			var p endFollowPayload
			if err := e.decode(&p); err != nil {
				return err
			}
			more, err := b.turnFollow(ctx, tx, me, p.Of, stateGone, p.Rev)
			if err != nil {
				return err
			}
			replies = append(replies, more...)
		}
		return b.emit(ctx, tx, replies...)
	})
	if err != nil {
		return nil, fmt.Errorf("end follows of %d: %w", follower, err)
	}
	return replies, b.cache.Invalidate(ctx, viewerKey(follower))
}

// applyBlocked notes in the blocked person's shard who blocks them, and ends their follow there.
func (b *Backend) applyBlocked(ctx context.Context, group []*effect) ([]*effect, error) {
	blocked := group[0].target
	bucket := b.bucket(blocked)
	var replies []*effect
	err := b.Cluster.Write(ctx, int64(blocked), func(ctx context.Context, tx *sharding.Tx) error {
		replies = nil
		me, err := lockAccount(ctx, tx, bucket, blocked)
		if err != nil || me == nil {
			return err
		}
		for _, e := range group {
			var p blockedPayload
			if err := e.decode(&p); err != nil {
				return err
			}
			old, err := relationOf(ctx, tx, bucket, blocked, relBlockedBy, p.By)
			if err != nil {
				return err
			}
			if p.Rev <= old.rev {
				continue
			}
			if err := bump(ctx, tx, bucket, blocked, 1, 0, 0); err != nil {
				return err
			}
			me.clock++
			if err := b.putRelation(ctx, tx, blocked, relBlockedBy, p.By, relation{state: p.State, rev: p.Rev, sinceClock: me.clock}); err != nil {
				return err
			}
			if p.State != stateLive {
				continue
			}
			more, err := b.turnFollow(ctx, tx, me, p.By, stateGone, 0)
			if err != nil {
				return err
			}
			replies = append(replies, more...)
		}
		return b.emit(ctx, tx, replies...)
	})
	if err != nil {
		return nil, fmt.Errorf("note blocks of %d: %w", blocked, err)
	}
	return replies, b.cache.Invalidate(ctx, viewerKey(blocked))
}
