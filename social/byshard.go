package social

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"socialctl/sharding"
)

// writeByShard runs fn for the items of each shard, the shards side by side, at most chunk items in a transaction,
// following buckets that have moved. It is for items of which each can be done twice. What fn returns is called after its
// commit, once and never two at a time: fn itself may run more often. The error is the first shard's; what others did
// stays done.
func writeByShard[T any](ctx context.Context, cluster *sharding.Cluster, items []T, bucketOf func(T) sharding.Bucket, chunk int,
	fn func(ctx context.Context, tx *sharding.Tx, part []T) (committed func(), err error)) error {
	const rounds = 300 // a fence lasts up to a second; each round waits 5 ms
	w := &shardWriter[T]{cluster: cluster, bucketOf: bucketOf, chunk: chunk, fn: fn}
	for round := 0; len(items) > 0; round++ {
		byShard := map[*sharding.Shard][]T{}
		for _, item := range items {
			s := cluster.ForBucket(bucketOf(item))
			byShard[s] = append(byShard[s], item)
		}
		w.refused, w.left = nil, nil
		group, within := errgroup.WithContext(ctx)
		for shard, mine := range byShard {
			group.Go(func() error { return w.write(within, shard, mine) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if items = w.left; w.refused == nil {
			continue
		}
		if round >= rounds {
			return &sharding.UnavailableError{Where: "a fenced bucket", Err: w.refused}
		}
		if err := cluster.FollowAndWait(ctx, w.refused); err != nil {
			return err
		}
	}
	return nil
}

// shardWriter is one call of writeByShard under way.
type shardWriter[T any] struct {
	cluster  *sharding.Cluster
	bucketOf func(T) sharding.Bucket
	chunk    int
	fn       func(ctx context.Context, tx *sharding.Tx, part []T) (func(), error)
	mu       sync.Mutex
	refused  *sharding.NotOpenError
	left     []T
}

// write runs fn for one shard's items. Once a part is refused what comes after waits too: items of one person keep their
// order.
func (w *shardWriter[T]) write(ctx context.Context, shard *sharding.Shard, items []T) error {
	for len(items) > 0 {
		part := items[:min(w.chunk, len(items))]
		buckets := make([]sharding.Bucket, len(part))
		for i, item := range part {
			buckets[i] = w.bucketOf(item)
		}
		slices.Sort(buckets)
		var committed func()
		err := w.cluster.WriteShard(ctx, shard, slices.Compact(buckets), func(ctx context.Context, tx *sharding.Tx) (err error) {
			committed, err = w.fn(ctx, tx, part)
			return err
		})
		var notOpen *sharding.NotOpenError
		if errors.As(err, &notOpen) {
			w.mu.Lock()
			w.refused, w.left = notOpen, append(w.left, items...)
			w.mu.Unlock()
			return nil
		}
		if err != nil {
			return err
		}
		if committed != nil {
			w.mu.Lock()
			committed()
			w.mu.Unlock()
		}
		items = items[len(part):]
	}
	return nil
}
