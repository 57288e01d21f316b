package sharding

import (
	"context"
	"sync"
	"time"
)

// Servers know a shard's cache_epoch to half a second: it is read every watchEvery and trusted for watchTrust.
const (
	watchEvery = 150 * time.Millisecond
	watchTrust = 500 * time.Millisecond
)

// watch polls each shard's cache_epoch until the context ends.
func (c *Cluster) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		var wg sync.WaitGroup
		for _, s := range c.shards {
			wg.Go(func() { s.poll(ctx) })
		}
		wg.Wait()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Shard) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchTrust)
	defer cancel()
	asked := time.Now()
	var cacheEpoch int64
	err := s.pool.read.QueryRowContext(ctx, `SELECT cache_epoch FROM shard_state WHERE id = 1`).Scan(&cacheEpoch)
	if err != nil {
		return
	}
	s.cacheSeen.Store(cacheEpoch)
	s.polledAtMS.Store(asked.UnixMilli())
}

// CacheEpoch returns the shard's cache_epoch as read at most half a second ago; false when it is not known to that.
// A cached value that was made under another one is worthless.
func (s *Shard) CacheEpoch() (int64, bool) {
	at := s.polledAtMS.Load()
	return s.cacheSeen.Load(), at != 0 && time.Since(time.UnixMilli(at)) <= watchTrust
}

// RaiseCacheEpoch makes worthless, within half a second and on every server, all that was cached from this shard. It
// is what a writer does who could not tell the cache about a commit.
func (c *Cluster) RaiseCacheEpoch(ctx context.Context, shard *Shard) error {
	for try := range retries {
		err := shard.pool.raiseCacheEpoch(ctx)
		if err == nil || !retryable(err) && !away(err) || try == retries-1 {
			return shard.pool.wrap(err)
		}
		if err := sleep(ctx, backoff(try)); err != nil {
			return shard.pool.wrap(err)
		}
	}
	return nil
}

// Ping asks meta and every shard whether they answer; the error names the first that does not.
func (c *Cluster) Ping(ctx context.Context) error {
	if err := c.meta.read.PingContext(ctx); err != nil {
		return &UnavailableError{Where: c.meta.where, Err: err}
	}
	for _, s := range c.shards {
		var one int
		if err := s.pool.read.QueryRowContext(ctx, `SELECT id FROM shard_state WHERE id = 1`).Scan(&one); err != nil {
			return &UnavailableError{Where: s.pool.where, Err: err}
		}
	}
	return nil
}

func (p *pool) raiseCacheEpoch(ctx context.Context) error {
	release, err := p.acquireWrite(ctx)
	if err != nil {
		return err
	}
	defer release()
	tx, ended, err := p.begin(ctx)
	if err != nil {
		return err
	}
	defer ended()
	if _, err := tx.ExecContext(ctx, `UPDATE shard_state SET cache_epoch = cache_epoch + 1 WHERE id = 1`); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}
