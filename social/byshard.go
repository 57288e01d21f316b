package social

import (
	"context"
	"errors"
	"slices"

	"socialctl/sharding"
)

// writeByShard runs fn for the items of each shard, at most chunk in a transaction, following buckets that have moved. It
// is for items of which each can be done twice. What fn returns is called after its commit, once: fn itself may run more
// often. The error is the first shard's; what others did stays done.
func writeByShard[T any](ctx context.Context, cluster *sharding.Cluster, items []T, bucketOf func(T) sharding.Bucket, chunk int,
	fn func(ctx context.Context, tx *sharding.Tx, part []T) (committed func(), err error)) error {
	const rounds = 300 // a fence lasts up to a second; each round waits 5 ms
	todo := items
	for round := 0; len(todo) > 0; round++ {
		byShard := map[*sharding.Shard][]T{}
		for _, item := range todo {
			s := cluster.ForBucket(bucketOf(item))
			byShard[s] = append(byShard[s], item)
		}
		todo = nil
		var notOpen *sharding.NotOpenError
		for shard, mine := range byShard {
			var refused bool
			for part := range slices.Chunk(mine, chunk) {
				if refused { // what comes after waits too: items of one person keep their order
					todo = append(todo, part...)
					continue
				}
				buckets := make([]sharding.Bucket, len(part))
				for i, item := range part {
					buckets[i] = bucketOf(item)
				}
				var committed func()
				err := cluster.WriteShard(ctx, shard, buckets, func(ctx context.Context, tx *sharding.Tx) (err error) {
					committed, err = fn(ctx, tx, part)
					return err
				})
				if errors.As(err, &notOpen) && round < rounds {
					refused = true
					todo = append(todo, part...)
					continue
				}
				if err != nil {
					return err
				}
				if committed != nil {
					committed()
				}
			}
		}
		if notOpen != nil {
			if err := cluster.FollowAndWait(ctx, notOpen); err != nil {
				return err
			}
		}
	}
	return nil
}
