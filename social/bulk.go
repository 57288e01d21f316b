package social

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// ImportedFollow is one follow of an import. At 0 means now.
type ImportedFollow struct {
	Follower, Followed UserID
	At                 Millis
}

// importChunk bounds the edges of one transaction of an import: about 10 ms.
const importChunk = 500

// edgesPayload is a chunk of follows for one shard.
type edgesPayload struct {
	Edges [][3]int64 `json:"edges"` // follower, followed, rev; all live
}

// Import makes follows in batches: both sides per shard, one outbox row for each pair of shards and chunk, one counter
// update for each person and chunk. Follows that are there already, of oneself, and across a block are left out; the
// number of new ones is returned. It can be run again with the same follows.
func (r *Relations) Import(ctx context.Context, follows []ImportedFollow) (made int, err error) {
	b := r.b
	follows = slices.Clone(follows)
	slices.SortFunc(follows, func(x, y ImportedFollow) int {
		return cmp.Or(cmp.Compare(b.bucket(x.Follower), b.bucket(y.Follower)), cmp.Compare(x.Follower, y.Follower), cmp.Compare(x.Followed, y.Followed))
	})
	follows = slices.CompactFunc(follows, func(x, y ImportedFollow) bool { return x.Follower == y.Follower && x.Followed == y.Followed })
	byFollower := func(f ImportedFollow) sharding.Bucket { return b.bucket(f.Follower) }
	var owed []*effect
	err = writeByShard(ctx, b.Cluster, follows, byFollower, importChunk, func(ctx context.Context, tx *sharding.Tx, part []ImportedFollow) (func(), error) {
		edges, err := b.importFollows(ctx, tx, part)
		if err != nil || len(edges) == 0 {
			return nil, err
		}
		effs := b.edgeEffects(part[0].Follower, edges)
		return func() {
			made += len(edges)
			owed = append(owed, effs...)
		}, b.emit(ctx, tx, effs...)
	})
	if err != nil {
		return made, fmt.Errorf("import follows: %w", err)
	}
	var touched []copies.Key
	for i, f := range follows {
		if i == 0 || follows[i-1].Follower != f.Follower {
			touched = append(touched, viewerKey(f.Follower))
		}
	}
	b.settleTold(ctx, b.cache.Invalidate(ctx, touched...), owed...)
	return made, nil
}

// edgeEffects makes one effect for each shard that the followed are thought to be in; who applies it looks again.
func (b *Backend) edgeEffects(owner UserID, edges [][3]int64) []*effect {
	byShard := map[*sharding.Shard][][3]int64{}
	for _, e := range edges {
		s := b.Cluster.For(e[1])
		byShard[s] = append(byShard[s], e)
	}
	var effs []*effect
	for _, s := range b.Cluster.Shards() {
		if len(byShard[s]) > 0 {
			effs = append(effs, b.newEffect(owner, effEdges, 0, edgesPayload{Edges: byShard[s]}))
		}
	}
	return effs
}

// importFollows decides follows in their followers' shard and returns the new ones.
func (b *Backend) importFollows(ctx context.Context, tx *sharding.Tx, part []ImportedFollow) ([][3]int64, error) {
	people := map[UserID]*accountRow{}
	var ids []UserID
	var pairs []pair
	for _, f := range part {
		if people[f.Follower] == nil {
			people[f.Follower] = &accountRow{}
			ids = append(ids, f.Follower)
		}
		pairs = append(pairs, pair{f.Follower, f.Followed})
	}
	if err := b.lockAccounts(ctx, tx, ids, people); err != nil {
		return nil, err
	}
	have, err := b.relationsOf(ctx, tx, pairs, relFollow, relBlock, relBlockedBy)
	if err != nil {
		return nil, err
	}
	now := b.now()
	var edges [][3]int64
	var rows []relationRow
	gained := map[UserID]int64{}
	for _, f := range part {
		me := people[f.Follower]
		old := have[relationKey{f.Follower, relFollow, f.Followed}]
		if me.state != accountLive || f.Follower == f.Followed || old.live() ||
			have[relationKey{f.Follower, relBlock, f.Followed}].live() || have[relationKey{f.Follower, relBlockedBy, f.Followed}].live() {
			continue
		}
		at := now
		if f.At > 0 && int64(f.At) < now {
			at = int64(f.At)
		}
		row := relation{state: stateLive, rev: max(old.rev+1, at), sinceClock: me.clock + 1}
		rows = append(rows, relationRow{relationKey{f.Follower, relFollow, f.Followed}, row})
		edges = append(edges, [3]int64{int64(f.Follower), int64(f.Followed), row.rev})
		gained[f.Follower]++
	}
	if err := b.putRelations(ctx, tx, rows); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if gained[id] > 0 {
			if err := bump(ctx, tx, b.bucket(id), id, 1, gained[id], 0); err != nil {
				return nil, err
			}
		}
	}
	return edges, nil
}

// applyEdgeBatch brings chunks of imported follows into the shards of the followed, together.
func (b *Backend) applyEdgeBatch(ctx context.Context, group []*effect) ([]*effect, error) {
	var p edgesPayload
	for _, e := range group {
		var part edgesPayload
		if err := e.decode(&part); err != nil {
			return nil, err
		}
		p.Edges = append(p.Edges, part.Edges...)
	}
	slices.SortFunc(p.Edges, func(x, y [3]int64) int {
		return cmp.Or(cmp.Compare(b.Cluster.Bucket(x[1]), b.Cluster.Bucket(y[1])), cmp.Compare(x[1], y[1]), cmp.Compare(x[0], y[0]))
	})
	byFollowed := func(e [3]int64) sharding.Bucket { return b.Cluster.Bucket(e[1]) }
	var replies []*effect
	var touched []copies.Key
	err := writeByShard(ctx, b.Cluster, p.Edges, byFollowed, importChunk, func(ctx context.Context, tx *sharding.Tx, part [][3]int64) (func(), error) {
		more, err := b.importFans(ctx, tx, part)
		if err != nil {
			return nil, err
		}
		return func() { replies = append(replies, more...) }, b.emit(ctx, tx, more...)
	})
	if err != nil {
		return nil, fmt.Errorf("apply imported follows: %w", err)
	}
	for i, e := range p.Edges {
		if i == 0 || p.Edges[i-1][1] != e[1] {
			touched = append(touched, viewerKey(UserID(e[1])))
		}
	}
	return replies, b.cache.Invalidate(ctx, touched...)
}

// importFans is applyEdges for many followed people of one shard; all follows of a person in the chunk share one step of
// their clock.
func (b *Backend) importFans(ctx context.Context, tx *sharding.Tx, part [][3]int64) ([]*effect, error) {
	people := map[UserID]*accountRow{}
	var ids []UserID
	var pairs []pair
	for _, e := range part {
		if people[UserID(e[1])] == nil {
			people[UserID(e[1])] = &accountRow{}
			ids = append(ids, UserID(e[1]))
		}
		pairs = append(pairs, pair{UserID(e[1]), UserID(e[0])})
	}
	if err := b.lockAccounts(ctx, tx, ids, people); err != nil {
		return nil, err
	}
	have, err := b.relationsOf(ctx, tx, pairs, relFan, relBlock, relBlockedBy)
	if err != nil {
		return nil, err
	}
	var rows []relationRow
	var replies []*effect
	gained, moved := map[UserID]int64{}, map[UserID]bool{}
	lists := map[UserID][][3]int64{}
	for _, e := range part {
		author, edge := people[UserID(e[1])], edgePayload{Follower: UserID(e[0]), Rev: e[2], State: stateLive}
		if author.state == 0 { // nobody has this id
			replies = append(replies, b.newEffect(UserID(e[1]), effEndFollow, edge.Follower, endFollowPayload{Of: UserID(e[1]), Rev: edge.Rev}))
			continue
		}
		key := relationKey{author.id, relFan, edge.Follower}
		old := have[key]
		if edge.Rev <= old.rev {
			continue
		}
		if !moved[author.id] {
			moved[author.id] = true
			author.clock++
			if author.msgCount > 0 {
				if lists[author.id], err = b.backfillList(ctx, tx, author.id); err != nil {
					return nil, err
				}
			}
		}
		refused := author.state == accountDeleted || author.state == accountVoid ||
			have[relationKey{author.id, relBlock, edge.Follower}].live() || have[relationKey{author.id, relBlockedBy, edge.Follower}].live()
		row, more := b.turnFan(author, old, edge, lists[author.id], refused)
		rows, replies = append(rows, relationRow{key, row}), append(replies, more...)
		gained[author.id] += int64(stateLive - old.state)
	}
	if err := b.putRelations(ctx, tx, rows); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if moved[id] {
			if err := bump(ctx, tx, b.bucket(id), id, 1, 0, gained[id]); err != nil {
				return nil, err
			}
		}
	}
	return replies, nil
}
