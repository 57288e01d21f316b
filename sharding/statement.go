package sharding

import (
	"context"
	"strconv"
	"strings"
)

// epochMark stands in a statement where the epoch that it was planned under belongs.
const epochMark = "{epoch}"

// WriteStatement runs one statement for buckets of that shard, alone where it can be: then the statement itself takes the
// shared lock and compares the epoch, because it joins shard_state under {share} with `epoch = {epoch}`. No row matched
// means that the epoch has to be asked, and not that there was nothing to do. While a bucket journals, after a deadlock
// and on SQLite it runs inside the bracket of every write. It must be one that can be done twice. Errors are those of
// WriteShard.
func (c *Cluster) WriteStatement(ctx context.Context, shard *Shard, buckets []Bucket, changed Changed, query string, args ...any) (int64, error) {
	if n, done, err := c.writeAlone(ctx, shard, buckets, query, args); done {
		return n, shard.pool.wrap(err)
	}
	var n int64
	err := c.WriteShard(ctx, shard, buckets, func(ctx context.Context, tx *Tx) error {
		var err error
		n, err = tx.Exec(ctx, changed, at(query, tx.view.epoch), args...)
		return err
	})
	return n, err
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
