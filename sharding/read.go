package sharding

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Reader reads from one shard, outside any transaction: each statement sees what was committed when it began.
type Reader struct {
	shard *Shard
	saw   int64 // an epoch that the last statement itself returned; 0 for none
}

// Shard is the shard being read.
func (r *Reader) Shard() *Shard { return r.shard }

// Dialect is the engine's.
func (r *Reader) Dialect() Dialect { return r.shard.pool.dialect }

// Query reads rows.
func (r *Reader) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	r.saw = 0
	return r.shard.pool.read.QueryContext(ctx, r.Dialect().SQL(query), args...)
}

// QueryRow reads one row.
func (r *Reader) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	r.saw = 0
	return r.shard.pool.read.QueryRowContext(ctx, r.Dialect().SQL(query), args...)
}

// SawEpoch tells the reader the epoch that the last statement returned beside its rows (a scalar subquery on
// shard_state), which saves the statement that would ask for it.
func (r *Reader) SawEpoch(epoch int64) { r.saw = epoch }

// Read runs fn on the shard that has userID's bucket, and runs it again when the shard turns out not to have had the
// bucket while fn was reading: what fn returns is never taken from a copy that was left behind. fn must start anew at
// each call. Errors: UnavailableError, EpochError, or what fn returned.
func (c *Cluster) Read(ctx context.Context, userID int64, fn func(ctx context.Context, r *Reader) error) error {
	return c.ReadBucket(ctx, c.Bucket(userID), fn)
}

// ReadBucket is Read for a row that is not found by a person.
func (c *Cluster) ReadBucket(ctx context.Context, bucket Bucket, fn func(ctx context.Context, r *Reader) error) error {
	deadline := time.Now().Add(fencePatience)
	for {
		err := c.ReadShard(ctx, c.shardOf(bucket), []Bucket{bucket}, fn)
		var notOpen *NotOpenError
		if !errors.As(err, &notOpen) {
			return err
		}
		if err := c.follow(ctx, notOpen, deadline); err != nil {
			return err
		}
	}
}

// ReadShard is Read for many buckets of one shard; a NotOpenError says which of them are not there.
func (c *Cluster) ReadShard(ctx context.Context, shard *Shard, buckets []Bucket, fn func(ctx context.Context, r *Reader) error) error {
	if err := shard.silent(); err != nil {
		return err
	}
	release, err := shard.pool.acquireRead(ctx)
	if err != nil {
		return shard.pool.wrap(err)
	}
	defer release()
	for try := range retries {
		err = c.readOnce(ctx, shard, buckets, fn)
		if errors.Is(err, errEpochChanged) || away(err) && try < 2 && ctx.Err() == nil {
			continue
		}
		break
	}
	if errors.Is(err, errEpochChanged) {
		return &UnavailableError{Where: shard.pool.where, Err: err}
	}
	return shard.pool.wrap(err)
}

var errEpochChanged = errors.New("the shard's epoch changed during a read")

// readOnce holds because epochs only rise: when the epoch after the reading is the one that the view was made under,
// it was so all the while, and the view says whether the buckets were here.
func (c *Cluster) readOnce(ctx context.Context, shard *Shard, buckets []Bucket, fn func(ctx context.Context, r *Reader) error) error {
	before := shard.known.Load()
	r := &Reader{shard: shard}
	if before == nil {
		var epoch int64
		if err := r.QueryRow(ctx, `SELECT epoch FROM shard_state WHERE id = 1`).Scan(&epoch); err != nil {
			return fmt.Errorf("read shard_state: %w", err)
		}
		v, err := shard.viewAt(ctx, epoch, shard.pool.read)
		if err != nil {
			return err
		}
		before = v
	}
	if err := fn(ctx, r); err != nil {
		return err
	}
	after := r.saw
	if after == 0 {
		if err := r.QueryRow(ctx, `SELECT epoch FROM shard_state WHERE id = 1`).Scan(&after); err != nil {
			return fmt.Errorf("read shard_state: %w", err)
		}
	}
	if after != before.epoch {
		if _, err := shard.viewAt(ctx, after, shard.pool.read); err != nil {
			return err
		}
		return errEpochChanged
	}
	shard.answered()
	var bad *NotOpenError
	for _, b := range buckets {
		st := before.of(b)
		if st.state.readable() {
			continue
		}
		if bad == nil {
			bad = &NotOpenError{Shard: shard.id, Gone: map[Bucket]ShardID{}}
		}
		bad.Gone[b] = st.successor
	}
	if bad != nil {
		return bad
	}
	return nil
}

// viewAt returns what is known of the shard at that epoch, reading it where it is new.
func (s *Shard) viewAt(ctx context.Context, epoch int64, q querier) (*view, error) {
	if high := s.highest.Load(); epoch < high {
		return nil, &EpochError{Shard: s.id, Seen: high, Is: epoch}
	}
	if v := s.known.Load(); v != nil && v.epoch == epoch {
		return v, nil
	}
	v, err := loadView(ctx, q, s.buckets)
	if err != nil {
		return nil, err
	}
	if v.epoch != epoch {
		return nil, errEpochChanged
	}
	for {
		old := s.known.Load()
		if old != nil && old.epoch > v.epoch || s.known.CompareAndSwap(old, v) {
			break
		}
	}
	for {
		high := s.highest.Load()
		if high >= epoch || s.highest.CompareAndSwap(high, epoch) {
			return v, nil
		}
	}
}

// OpenBuckets lists the buckets that this shard has open now: what every scan over people must keep to (REVIEW F14).
func (c *Cluster) OpenBuckets(ctx context.Context, shard *Shard) ([]Bucket, error) {
	if err := shard.silent(); err != nil {
		return nil, err
	}
	var epoch int64
	err := shard.pool.read.QueryRowContext(ctx, `SELECT epoch FROM shard_state WHERE id = 1`).Scan(&epoch)
	if err != nil {
		return nil, shard.pool.wrap(err)
	}
	v, err := shard.viewAt(ctx, epoch, shard.pool.read)
	if err != nil {
		return nil, shard.pool.wrap(err)
	}
	var out []Bucket
	for b := range v.buckets {
		if v.buckets[b].state.writable() {
			out = append(out, Bucket(b))
		}
	}
	return out, nil
}
