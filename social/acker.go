package social

import (
	"context"
	"sync"
	"time"

	"socialctl/sharding"
)

// acker takes out of the outbox what has been applied, many rows a transaction. What it loses by a crash is applied a
// second time, which changes nothing.
type acker struct {
	b     *Backend
	mu    sync.Mutex
	rows  []*effect
	flash sync.Mutex // one flush at a time
}

const (
	ackEvery = 50 * time.Millisecond
	ackMost  = 200
)

func newAcker(b *Backend) *acker { return &acker{b: b} }

func (a *acker) done(effs ...*effect) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rows = append(a.rows, effs...)
}

func (a *acker) run(ctx context.Context) {
	ticker := time.NewTicker(ackEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
			a.flush(last)
			cancel()
			return
		case <-ticker.C:
			a.flush(ctx)
		}
	}
}

func (a *acker) flush(ctx context.Context) {
	a.flash.Lock()
	defer a.flash.Unlock()
	a.mu.Lock()
	rows := a.rows
	a.rows = nil
	a.mu.Unlock()
	byShard := map[*sharding.Shard][]*effect{}
	for _, e := range rows {
		s := a.b.Cluster.For(int64(e.owner))
		byShard[s] = append(byShard[s], e)
	}
	for shard, effs := range byShard {
		for len(effs) > 0 {
			n := min(len(effs), ackMost)
			if err := a.remove(ctx, shard, effs[:n]); err != nil {
				a.b.log.Debug("take applied effects out of the outbox", "shard", shard.ID(), "error", err)
			}
			effs = effs[n:]
		}
	}
}

func (a *acker) remove(ctx context.Context, shard *sharding.Shard, effs []*effect) error {
	var buckets []sharding.Bucket
	args := make([]any, 0, 3*len(effs))
	for _, e := range effs {
		bucket := a.b.bucket(e.owner)
		buckets = append(buckets, bucket)
		args = append(args, bucket, int64(e.owner), e.event)
	}
	return a.b.Cluster.WriteShard(ctx, shard, buckets, func(ctx context.Context, tx *sharding.Tx) error {
		keys := sharding.KeysIn("outbox", args, 3, 3)
		_, err := tx.Exec(ctx, keys, `DELETE FROM outbox WHERE `+tx.Dialect().In("bucket, user_id, event_id", len(effs)), args...)
		return err
	})
}
