package social

import (
	"context"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// forgetPayload names what an owner's change has made stale.
type forgetPayload struct {
	Names []string `json:"names"` // of copies.Keys
}

// forgetting is the effect of a change that has no other: a server that dies between the commit and the deletion of the
// tags leaves it to the workers of the others.
func (b *Backend) forgetting(owner UserID, keys ...copies.Key) *effect {
	p := forgetPayload{Names: make([]string, len(keys))}
	for i, key := range keys {
		p.Names[i] = key.Name
	}
	return b.newEffect(owner, effForget, owner, p)
}

// change writes rows of one person that are shown from copies elsewhere and owe nothing else: fn's transaction, and
// then the copies are forgotten, whoever dies meanwhile.
func (b *Backend) change(ctx context.Context, owner UserID, keys []copies.Key, fn func(ctx context.Context, tx *sharding.Tx) error) error {
	owed := b.forgetting(owner, keys...)
	err := b.Cluster.Write(ctx, int64(owner), func(ctx context.Context, tx *sharding.Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return b.emit(ctx, tx, owed)
	})
	if told := b.cache.InvalidateAfter(ctx, err, keys...); err == nil && told == nil {
		b.ack.done(owed)
	}
	return err
}

// forgetFor forgets what the verbs that owe these effects have changed: whoever finds them in the outbox cannot know
// whether the server that committed them lived on to forget it. For others there is nothing to do.
func (b *Backend) forgetFor(ctx context.Context, effs []*effect) error {
	var keys []copies.Key
	for _, e := range effs {
		if !e.found {
			continue
		}
		switch e.kind {
		case effForget:
			var p forgetPayload
			if e.decode(&p) == nil {
				for _, name := range p.Names {
					keys = append(keys, copies.Key{Name: name, Owner: int64(e.owner)})
				}
			}
		case effEdges:
			var p edgesPayload
			if e.decode(&p) == nil {
				for _, edge := range p.Edges {
					keys = append(keys, viewerKey(UserID(edge[0])))
				}
			}
		case effEdge, effBlocked:
			keys = append(keys, viewerKey(e.owner))
		case effReference:
			var p referencePayload
			if e.decode(&p) == nil {
				keys = append(keys, viewerKey(e.owner), timelineKey(e.owner), messageKey(p.By))
			}
		case effFanout:
			keys = append(keys, timelineKey(e.owner))
		case effRemoval:
			var p deliveryPayload
			if e.decode(&p) == nil {
				keys = append(keys, viewerKey(e.owner), timelineKey(e.owner), messageKey(MessageID{e.owner, p.N}))
			}
		case effDeleteAccount:
			keys = append(keys, accountKey(e.owner), sessionKey(e.owner), viewerKey(e.owner))
		}
	}
	return b.cache.Invalidate(ctx, keys...)
}
