package sharding

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Servers know a shard's cache_epoch to half a second: it is read every watchEvery and trusted for watchTrust.
const (
	watchEvery = 150 * time.Millisecond
	watchTrust = 500 * time.Millisecond
)

// watch polls the shard's cache_epoch until the context ends, each shard by itself, so that one that does not answer
// hides no other's. It also does away with what was cached of transactions in doubt.
func (s *Shard) watch(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	doubts := &doubts{shard: s}
	for {
		doubts.clear(ctx)
		s.poll(ctx)
		select {
		case <-ctx.Done():
			doubts.rest = time.Time{}
			if !doubts.clear(context.WithoutCancel(ctx)) {
				log.Warn("closed while it was not known what became of a transaction; other servers may show for a day what was before it",
					"shard", s.String())
			}
			return
		case <-ticker.C:
		}
	}
}

// doubts are the transactions of which it is not known whether they were committed.
type doubts struct {
	shard   *Shard
	cleared int64     // so many of the shard's
	rest    time.Time // no try before then: writers wait behind each
}

const (
	doubtPatience = 2 * time.Second
	doubtRest     = 5 * time.Second
)

// clear raises cache_epoch where there is a new doubt, and reports whether none is left. The raise waits for the lock
// that the transaction holds, so it comes when that is decided, and kills all copies made before.
func (d *doubts) clear(ctx context.Context) bool {
	now := d.shard.doubts.Load()
	if now == d.cleared || time.Now().Before(d.rest) {
		return now == d.cleared
	}
	ctx, cancel := context.WithTimeout(ctx, doubtPatience)
	defer cancel()
	if d.shard.pool.raiseCacheEpoch(ctx) != nil {
		d.rest = time.Now().Add(doubtRest)
		return false
	}
	d.cleared = now
	return true
}

// silentAfter is how long a server may leave all that it is asked unanswered. From then on callers are told at once that
// the shard is away, instead of waiting each for itself, with a connection and, in the background, a worker held. The
// watch goes on asking.
const silentAfter = 3 * time.Second

var (
	processStart = time.Now()
	errSilent    = errors.New("its server has not answered for some seconds")
)

func (s *Shard) answered() { s.heard.Store(int64(time.Since(processStart))) }

// silent is an UnavailableError when the shard's server does not answer. A file always does.
func (s *Shard) silent() error {
	heard := time.Duration(s.heard.Load())
	if s.pool.dialect.sqlite || heard == 0 || time.Since(processStart)-heard <= silentAfter {
		return nil
	}
	return &UnavailableError{Where: s.pool.where, Err: errSilent}
}

func (s *Shard) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchTrust)
	defer cancel()
	asked := time.Now()
	var cacheEpoch int64 // with the epoch: a bucket's move ends the copies made here, whoever has not heard of it yet
	err := s.pool.read.QueryRowContext(ctx, `SELECT cache_epoch + epoch FROM shard_state WHERE id = 1`).Scan(&cacheEpoch)
	if err != nil {
		return
	}
	s.answered()
	s.cacheSeen.Store(cacheEpoch)
	s.polledAtMS.Store(asked.UnixMilli())
}

// CacheEpoch returns a number that rises with the shard's cache_epoch and with its epoch, as read at most half a second
// ago; false when it is not known to that. A cached value that was made under another one is worthless.
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
		s.answered()
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
