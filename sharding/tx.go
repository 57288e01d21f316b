package sharding

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"
)

// Tx is a write transaction on one shard. It has taken the shared lock on shard_state and knows that its buckets are
// open here; it keeps the journal. It must not be used after the function it was given to has returned.
type Tx struct {
	shard   *Shard
	tx      *sql.Tx
	view    *view
	buckets []Bucket
}

// Changed names the rows that a statement changes, or may change: one table, and keys that begin with the bucket.
type Changed struct {
	table string
	one   []any
	each  iter.Seq[[]any]
}

// Key names one changed row by its primary key, bucket first.
func Key(table string, bucket Bucket, rest ...any) Changed {
	return Changed{table: table, one: append([]any{bucket}, rest...)}
}

// Keys names many changed rows; each yields a primary key, bucket first. It is only walked while a bucket journals.
func Keys(table string, each iter.Seq[[]any]) Changed { return Changed{table: table, each: each} }

// KeysIn is Keys for rows that lie one behind the other, as a statement's arguments: each has so many columns, of which
// the first so many are its primary key. The slice must not be changed before the statement has run.
func KeysIn(table string, rows []any, columns, key int) Changed {
	return Keys(table, func(yield func([]any) bool) {
		for row := range slices.Chunk(rows, columns) {
			if !yield(row[:key]) {
				return
			}
		}
	})
}

func (c Changed) all() iter.Seq[[]any] {
	if c.each != nil {
		return c.each
	}
	return func(yield func([]any) bool) { yield(c.one) }
}

// Shard is the shard that the transaction writes.
func (tx *Tx) Shard() *Shard { return tx.shard }

// Dialect is the engine's.
func (tx *Tx) Dialect() Dialect { return tx.shard.pool.dialect }

// Exec runs a statement that changes the named rows and returns how many it matched.
func (tx *Tx) Exec(ctx context.Context, changed Changed, query string, args ...any) (int64, error) {
	if changed.one != nil && !tx.owns(changed.one[0].(Bucket)) {
		return 0, fmt.Errorf("write to %s outside the buckets of its transaction", changed.table)
	}
	if tx.view.journals {
		if err := tx.journal(ctx, changed); err != nil {
			return 0, err
		}
	}
	res, err := tx.tx.ExecContext(ctx, tx.Dialect().SQL(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Query reads rows inside the transaction.
func (tx *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return tx.tx.QueryContext(ctx, tx.Dialect().SQL(query), args...)
}

// QueryRow reads one row inside the transaction.
func (tx *Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return tx.tx.QueryRowContext(ctx, tx.Dialect().SQL(query), args...)
}

func (tx *Tx) owns(b Bucket) bool {
	for _, mine := range tx.buckets {
		if mine == b {
			return true
		}
	}
	return false
}

// How long a write waits for a fence or for a lock before it says that the shard is away.
const (
	fencePatience = 1500 * time.Millisecond
	fencePoll     = 5 * time.Millisecond
	retries       = 12
)

// Write runs fn in a transaction on the shard that has userID's bucket open, as often as deadlocks, lock waits and
// moves demand; fn must therefore have no effect outside the transaction. Errors: UnavailableError, EpochError,
// UnknownOutcomeError (the commit's fate), or what fn returned.
func (c *Cluster) Write(ctx context.Context, userID int64, fn func(ctx context.Context, tx *Tx) error) error {
	return c.WriteBucket(ctx, c.Bucket(userID), fn)
}

// WriteBucket is Write for a row that is not found by a person.
func (c *Cluster) WriteBucket(ctx context.Context, bucket Bucket, fn func(ctx context.Context, tx *Tx) error) error {
	deadline := time.Now().Add(fencePatience)
	for {
		shard := c.shardOf(bucket)
		err := c.WriteShard(ctx, shard, []Bucket{bucket}, fn)
		var notOpen *NotOpenError
		if !errors.As(err, &notOpen) {
			return err
		}
		if err := c.follow(ctx, notOpen, deadline); err != nil {
			return err
		}
	}
}

// follow makes the map agree with what a shard said of its buckets, and waits a little where they are fenced.
func (c *Cluster) follow(ctx context.Context, notOpen *NotOpenError, deadline time.Time) error {
	moved := false
	for b, to := range notOpen.Gone {
		moved = c.learn(b, notOpen.Shard, to) || moved
	}
	if moved {
		return nil
	}
	if time.Now().After(deadline) {
		return &UnavailableError{Where: c.Shard(notOpen.Shard).String(), Err: notOpen}
	}
	if len(notOpen.Gone) > 0 {
		if err := c.Refresh(ctx); err != nil {
			return err
		}
	}
	return sleep(ctx, fencePoll)
}

// WriteShard runs fn in a transaction on that shard, for the given buckets, which it must have open: otherwise the
// error is a NotOpenError and nothing was done. This is the bracket that every write goes through.
func (c *Cluster) WriteShard(ctx context.Context, shard *Shard, buckets []Bucket, fn func(ctx context.Context, tx *Tx) error) error {
	var err error
	for try := range retries {
		if err := shard.silent(); err != nil {
			return err
		}
		err = c.writeOnce(ctx, shard, buckets, fn)
		if err == nil || ctx.Err() != nil && !away(err) {
			return err
		}
		if retryable(err) {
			if serr := sleep(ctx, backoff(try)); serr != nil {
				break
			}
			continue
		}
		var unknown *UnknownOutcomeError
		if away(err) && !errors.As(err, &unknown) && ctx.Err() == nil && try < 2 {
			// A pooled connection that the server has closed: one more try on a fresh one.
			if serr := sleep(ctx, backoff(try)); serr != nil {
				break
			}
			continue
		}
		break
	}
	return shard.pool.wrap(err)
}

func (p *pool) wrap(err error) error {
	var unknown *UnknownOutcomeError
	var unavailable *UnavailableError
	switch {
	case err == nil, errors.As(err, &unknown), errors.As(err, &unavailable):
		return err
	case retryable(err), away(err):
		return &UnavailableError{Where: p.where, Err: err}
	}
	return err
}

func (c *Cluster) writeOnce(ctx context.Context, shard *Shard, buckets []Bucket, fn func(ctx context.Context, tx *Tx) error) error {
	release, err := shard.pool.acquireWrite(ctx)
	if err != nil {
		return err
	}
	defer release()
	caller := ctx
	bound, cancel := context.WithCancel(ctx)
	defer cancel()
	if !shard.pool.dialect.sqlite { // there, beginning is waiting for the file
		bound, cancel = context.WithTimeout(bound, c.options.TxTimeout)
		defer cancel()
	}
	sqlTx, ended, err := shard.pool.begin(bound)
	if err != nil {
		return err
	}
	defer ended()
	ctx, cancelTimeout := context.WithTimeout(bound, c.options.TxTimeout)
	defer cancelTimeout()
	tx := &Tx{shard: shard, tx: sqlTx, buckets: buckets}
	if err := tx.plan(ctx); err != nil {
		_ = sqlTx.Rollback()
		return err
	}
	if err := fn(ctx, tx); err != nil {
		_ = sqlTx.Rollback()
		return err
	}
	if err := c.commit(caller, shard.pool, sqlTx, func() { shard.doubts.Add(1) }); err != nil {
		if away(err) {
			shard.doubts.Add(1)
			return &UnknownOutcomeError{Where: shard.pool.where, Err: err}
		}
		return err
	}
	shard.answered() // the watch may starve on a busy machine; work that gets through speaks for the server too
	return nil
}

// commitPatience is how long a server's word on a commit is waited for, where the caller has no earlier deadline.
const commitPatience = 5 * time.Second

// commit does not wait for a server that does not answer, as the driver would for half a minute: the outcome is unknown
// then, and decided is called when it no longer is. A caller who has only gone away is waited for, because what follows
// a commit has to be done.
func (c *Cluster) commit(ctx context.Context, p *pool, tx *sql.Tx, decided func()) error {
	if p.dialect.sqlite {
		return tx.Commit()
	}
	patience := commitPatience
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline))
	}
	done := make(chan error, 1)
	go func() { done <- tx.Commit() }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		c.done.Go(func() {
			<-done
			decided()
		})
		return context.DeadlineExceeded
	}
}

// plan takes the shared lock, compares the epoch, and looks at the buckets again where it differs.
func (tx *Tx) plan(ctx context.Context) error {
	var epoch int64
	if err := tx.QueryRow(ctx, `SELECT epoch FROM shard_state WHERE id = 1 {share}`).Scan(&epoch); err != nil {
		return fmt.Errorf("lock shard_state: %w", err)
	}
	v, err := tx.shard.viewAt(ctx, epoch, tx.tx)
	if err != nil {
		return err
	}
	tx.view = v
	return v.check(tx.shard.id, tx.buckets)
}

func backoff(try int) time.Duration {
	base := min(time.Duration(1<<min(try, 6))*time.Millisecond, 50*time.Millisecond)
	return base/2 + rand.N(base)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Follow makes the map agree with what a shard said of buckets that have moved on, for callers that write to many
// buckets at once and sort them anew.
func (c *Cluster) Follow(notOpen *NotOpenError) {
	for b, to := range notOpen.Gone {
		c.learn(b, notOpen.Shard, to)
	}
}

// FollowAndWait is Follow, and a short wait where buckets are fenced or where the map has to be read again.
func (c *Cluster) FollowAndWait(ctx context.Context, notOpen *NotOpenError) error {
	return c.follow(ctx, notOpen, time.Now().Add(fencePatience))
}
