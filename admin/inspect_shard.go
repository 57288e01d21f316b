package admin

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"socialctl/configs"
	"socialctl/sharding"
	"socialctl/social"
)

// ShardDetail is a shard with its buckets.
type ShardDetail struct {
	ShardReport
	Rows []sharding.BucketRow
}

// InspectShard asks one shard for all that it says of itself. Errors: ErrNoFolder, sharding.ErrNotInitialised,
// UnavailableError, and one for a number that no shard has.
func InspectShard(ctx context.Context, cfg configs.Config, log *slog.Logger, id int) (ShardDetail, error) {
	if err := Made(cfg); err != nil {
		return ShardDetail{}, err
	}
	c, err := sharding.Open(ctx, social.ShardingOptions(cfg, log))
	if err != nil {
		return ShardDetail{}, err
	}
	defer func() { _ = c.Close() }()
	if id < 0 || id >= len(c.Shards()) {
		return ShardDetail{}, &UsageError{fmt.Errorf("there is no shard %d: they are numbered 0 to %d", id, len(c.Shards())-1)}
	}
	shard := c.Shard(sharding.ShardID(id))
	var d ShardDetail
	if d.ShardReport, err = shardReport(ctx, c, shard); err != nil {
		return ShardDetail{}, err
	}
	d.Rows, err = c.BucketRows(ctx, shard)
	return d, err
}

// OwedQuery says which outbox rows are wanted.
type OwedQuery struct {
	Shard int           // -1: all
	Owner social.UserID // 0: anybody's
	Limit int           // rows in all
}

// InspectOwed reads outbox rows, those that have been due the longest first, shard by shard, in the buckets that each
// shard has open.
func InspectOwed(ctx context.Context, b *social.Backend, q OwedQuery) ([]Row, error) {
	var all []Row
	for _, shard := range b.Cluster.Shards() {
		if q.Shard >= 0 && q.Shard != int(shard.ID()) {
			continue
		}
		open, err := b.Cluster.OpenBuckets(ctx, shard)
		if err != nil {
			return nil, err
		}
		var rows []Row
		err = b.Cluster.ReadShard(ctx, shard, nil, func(ctx context.Context, r *sharding.Reader) (err error) {
			rows, err = owedRows(ctx, r, b, q)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("outbox of %s: %w", shard, err)
		}
		all = append(all, slices.DeleteFunc(rows, func(row Row) bool { return !slices.Contains(open, row.Bucket) })...)
	}
	slices.SortStableFunc(all, func(x, y Row) int { return cmp.Compare(x.Fields.Int("due_ms"), y.Fields.Int("due_ms")) })
	return all[:min(len(all), q.Limit)], nil
}

func owedRows(ctx context.Context, r *sharding.Reader, b *social.Backend, q OwedQuery) ([]Row, error) {
	if q.Owner != 0 {
		return readRows(ctx, r, "outbox", `WHERE bucket = ? AND user_id = ? ORDER BY due_ms LIMIT ?`,
			b.Cluster.Bucket(int64(q.Owner)), int64(q.Owner), q.Limit)
	}
	return readRows(ctx, r, "outbox", `ORDER BY due_ms LIMIT ?`, q.Limit)
}
