package sharding

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Sequence gives out increasing integers from meta, a block at a time: plain numbers spread evenly under modulo. A
// process that ends leaves the rest of its block unused.
type Sequence struct {
	cluster *Cluster
	name    string
	block   int64
	turn    chan struct{} // held by who takes numbers; waiting for it ends with the context
	next    int64
	end     int64
}

// Sequence returns the named sequence; block is how many numbers one round trip to meta reserves.
func (c *Cluster) Sequence(name string, block int64) *Sequence {
	return &Sequence{cluster: c, name: name, block: block, turn: make(chan struct{}, 1)}
}

// Next returns the next number, beginning at 1. The error is an UnavailableError when meta is away.
func (s *Sequence) Next(ctx context.Context) (int64, error) {
	first, err := s.Reserve(ctx, 1)
	return first, err
}

// Reserve returns the first of n consecutive numbers.
func (s *Sequence) Reserve(ctx context.Context, n int64) (int64, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return 0, s.cluster.meta.wrap(ctx.Err())
	}
	if s.next == 0 || s.next+n > s.end {
		first, err := s.cluster.reserve(ctx, s.name, max(s.block, n))
		if err != nil {
			return 0, err
		}
		s.next, s.end = first, first+max(s.block, n)
	}
	first := s.next
	s.next += n
	return first, nil
}

func (c *Cluster) reserve(ctx context.Context, name string, n int64) (int64, error) {
	var first int64
	err := c.metaWrite(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, c.meta.dialect.SQL(`SELECT next FROM sequence WHERE name = ? {for update}`), []byte(name)).Scan(&first)
		if errors.Is(err, sql.ErrNoRows) {
			first = 1
		} else if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, c.meta.dialect.SQL(`
			INSERT INTO sequence (name, next) VALUES (?, ?) {upsert name} next = sequence.next + ?`), []byte(name), first+n, n)
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT next - ? FROM sequence WHERE name = ?`, n, []byte(name)).Scan(&first)
	})
	if err != nil {
		return 0, fmt.Errorf("reserve numbers of %s: %w", name, err)
	}
	return first, nil
}

// metaWrite runs fn in a transaction on meta, again after deadlocks.
func (c *Cluster) metaWrite(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	var err error
	for try := range retries {
		err = c.metaOnce(ctx, fn)
		if err == nil || !retryable(err) && !(away(err) && try < 2) {
			break
		}
		if sleep(ctx, backoff(try)) != nil {
			break
		}
	}
	return c.meta.wrap(err)
}

func (c *Cluster) metaOnce(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	release, err := c.meta.acquireWrite(ctx)
	if err != nil {
		return err
	}
	defer release()
	tx, ended, err := c.meta.begin(ctx)
	if err != nil {
		return err
	}
	defer ended()
	if err := fn(ctx, tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	return c.commit(ctx, c.meta, tx, func() {})
}
