package social

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// OutboxStatus is what one shard owes of one kind. Kind is the effect's, or "sweep" for removals that only wait for the
// day after which they clear what they have left.
type OutboxStatus struct {
	Shard    sharding.ShardID `json:"shard"`
	Kind     string           `json:"kind"`
	Count    int64            `json:"count"`
	Due      int64            `json:"due"`       // of these, those that nobody holds a lease on and that need not wait
	Oldest   Millis           `json:"oldest"`    // when the oldest of all was stored
	DueSince Millis           `json:"due_since"` // since when the longest due one has been due; the zero time where none is
	Attempts int64            `json:"attempts"`  // the most that one of them has taken since it last got on
}

// sweeping is in the progress of a removal that has taken the message out of all timelines.
const sweeping = `%"sweep":true%`

// OutboxStatus counts what is owed, by shard and kind, in the buckets that each shard has open. It reads the whole of the
// outbox, which is short as long as the workers keep up. What could be read is returned with the error for the rest.
func (b *Backend) OutboxStatus(ctx context.Context) ([]OutboxStatus, error) {
	var all []OutboxStatus
	var failed []error
	for _, shard := range b.Cluster.Shards() {
		found, err := b.outboxOf(ctx, shard)
		if err != nil {
			failed = append(failed, fmt.Errorf("outbox of %s: %w", shard, err))
		}
		all = append(all, found...)
	}
	return all, errors.Join(failed...)
}

func (b *Backend) outboxOf(ctx context.Context, shard *sharding.Shard) ([]OutboxStatus, error) {
	open, err := b.Cluster.OpenBuckets(ctx, shard)
	if err != nil {
		return nil, err
	}
	var byKind map[string]*OutboxStatus
	err = b.Cluster.ReadShard(ctx, shard, nil, func(ctx context.Context, r *sharding.Reader) error {
		byKind = map[string]*OutboxStatus{}
		return b.countOutbox(ctx, r, open, byKind)
	})
	if err != nil {
		return nil, err
	}
	out := make([]OutboxStatus, 0, len(byKind))
	for _, s := range byKind {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(x, y OutboxStatus) int { return cmp.Compare(x.Kind, y.Kind) })
	return out, nil
}

func (b *Backend) countOutbox(ctx context.Context, r *sharding.Reader, open []sharding.Bucket, byKind map[string]*OutboxStatus) error {
	now := b.now()
	rows, err := r.Query(ctx, `
		SELECT bucket, kind, CASE WHEN progress LIKE ? THEN 1 ELSE 0 END AS sweeps,
			COUNT(*), SUM(CASE WHEN due_ms <= ? THEN 1 ELSE 0 END), MIN(created_ms), MIN(due_ms), MAX(attempts)
		FROM outbox GROUP BY bucket, kind, sweeps`, sweeping, now)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var bucket sharding.Bucket
		var kind effectKind
		var sweeps int
		var part OutboxStatus
		if err := rows.Scan(&bucket, &kind, &sweeps, &part.Count, &part.Due, &part.Oldest, &part.DueSince, &part.Attempts); err != nil {
			return err
		}
		if _, mine := slices.BinarySearch(open, bucket); !mine {
			continue
		}
		if part.Due == 0 {
			part.DueSince = 0
		}
		part.Shard, part.Kind = r.Shard().ID(), nameOf(kind, sweeps != 0)
		if sum := byKind[part.Kind]; sum != nil {
			sum.add(part)
		} else {
			byKind[part.Kind] = &part
		}
	}
	return rows.Err()
}

func nameOf(kind effectKind, sweeps bool) string {
	if sweeps {
		return "sweep"
	}
	return cmp.Or(kind.String(), fmt.Sprintf("kind %d", int(kind)))
}

func (s *OutboxStatus) add(part OutboxStatus) {
	s.Count += part.Count
	s.Due += part.Due
	s.Oldest = min(s.Oldest, part.Oldest)
	if s.DueSince == 0 || part.DueSince != 0 && part.DueSince < s.DueSince {
		s.DueSince = part.DueSince
	}
	s.Attempts = max(s.Attempts, part.Attempts)
}

// CacheStatus counts, since the start of the process, what the versioned cache has done.
type CacheStatus struct {
	Tags   copies.Stats
	Copies []CopyStatus
}

// CopyStatus counts the uses of this process's copies of one kind of row.
type CopyStatus struct {
	Kind         string
	Hits, Misses int64
}

// CacheStatus returns the counts.
func (b *Backend) CacheStatus() CacheStatus {
	out := CacheStatus{Tags: b.cache.Stats()}
	add := func(kind string, stats func() (hits, misses int64)) {
		hits, misses := stats()
		out.Copies = append(out.Copies, CopyStatus{kind, hits, misses})
	}
	add("message", b.messages.Stats)
	add("account", b.authors.Stats)
	add("viewer", b.viewers.Stats)
	add("login", b.logins.Stats)
	add("timeline", b.heads.Stats)
	return out
}
