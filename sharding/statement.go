package sharding

import (
	"context"
	"strconv"
	"strings"
)

// epochMark stands in a statement where the epoch that it was planned under belongs.
const epochMark = "{epoch}"

// Statement is a write that can be done twice and that takes care of ownership by itself: it joins shard_state under
// {share} with `epoch = {epoch}`. Changed names the rows that it changes, or may change.
type Statement struct {
	Changed Changed
	Query   string
	Args    []any
}

// WriteStatements runs statements for buckets of that shard and returns how many rows they wrote. A single one runs alone
// where it can, without a transaction around it: the statement itself takes the shared lock and compares the epoch, and no
// row matched means that the epoch has to be asked, and not that there was nothing to do. Several, and one while a bucket
// journals, after a deadlock and on SQLite, run inside the bracket of every write. Errors are those of WriteShard.
func (c *Cluster) WriteStatements(ctx context.Context, shard *Shard, buckets []Bucket, list ...Statement) (int64, error) {
	if len(list) == 1 {
		if n, done, err := c.writeAlone(ctx, shard, buckets, list[0].Query, list[0].Args); done {
			return n, shard.pool.wrap(err)
		}
	}
	var total int64
	err := c.WriteShard(ctx, shard, buckets, func(ctx context.Context, tx *Tx) error {
		total = 0
		for _, s := range list {
			n, err := tx.Exec(ctx, s.Changed, at(s.Query, tx.view.epoch), s.Args...)
			if err != nil {
				return err
			}
			total += n
		}
		return nil
	})
	return total, err
}

func at(query string, epoch int64) string {
	return strings.Replace(query, epochMark, strconv.FormatInt(epoch, 10), 1)
}

// writeAlone reports whether the statement has been decided on: done, or failed in a way that the bracket would not mend.
func (c *Cluster) writeAlone(ctx context.Context, shard *Shard, buckets []Bucket, query string, args []any) (n int64, done bool, err error) {
	v := shard.known.Load()
	if shard.pool.dialect.sqlite || v == nil || v.journals || v.check(shard.id, buckets) != nil || v.epoch < shard.highest.Load() {
		return 0, false, nil
	}
	if err := shard.silent(); err != nil {
		return 0, true, err
	}
	release, err := shard.pool.acquireWrite(ctx)
	if err != nil {
		return 0, true, err
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, c.options.TxTimeout)
	defer cancel()
	res, err := shard.pool.write.ExecContext(ctx, at(shard.pool.dialect.SQL(query), v.epoch), args...)
	if err != nil {
		return 0, !retryable(err), err
	}
	if n, err = res.RowsAffected(); err != nil || n > 0 {
		return n, true, err
	}
	var epoch int64
	if err := shard.pool.write.QueryRowContext(ctx, `SELECT epoch FROM shard_state WHERE id = 1`).Scan(&epoch); err != nil {
		return 0, true, err
	}
	return 0, epoch == v.epoch, nil
}
