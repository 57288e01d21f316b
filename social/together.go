package social

import (
	"context"
	"errors"
	"time"

	"socialctl/sharding"
)

// How many small fan-outs are carried together, and how many rows of theirs a transaction holds.
const (
	togetherJobs = 32
	togetherRows = 500
)

// runJobs works jobs off. Fresh fan-outs of authors with few fans are carried together, one transaction a shard for all
// of them: under load the commits, and not the rows, are what they cost.
func (b *Backend) runJobs(ctx context.Context, jobs []*effect) {
	var small []*carried
	for _, e := range jobs {
		if c := b.carry(ctx, e); c != nil && len(jobs) > 1 {
			small = append(small, c)
		} else {
			b.runJob(ctx, e)
		}
	}
	b.runTogether(ctx, small)
}

// more takes hints that wait already, so that one runner carries them together.
func (b *Backend) more(jobs []*effect) []*effect {
	for len(jobs) < togetherJobs {
		select {
		case e := <-b.hints:
			jobs = append(jobs, e)
		default:
			return jobs
		}
	}
	return jobs
}

// carried is a fan-out whose fans are all of one page.
type carried struct {
	e      *effect
	d      *delivery
	failed bool
}

// carry reads what a fresh fan-out has to bring; nil where it goes its own way.
func (b *Backend) carry(ctx context.Context, e *effect) *carried {
	var p deliveryPayload
	if e.kind != effFanout || !e.leased || e.dueMS-b.now() < settleGrace.Milliseconds() || e.decode(&p) != nil || len(p.More) > 0 {
		return nil
	}
	d, err := b.fansToReach(ctx, e.owner, p, deliveryProgress{})
	if err != nil || d.last != 0 || len(d.fans) > togetherRows {
		return nil
	}
	return &carried{e: e, d: d}
}

// runTogether writes shard by shard. A job with any part that could not be written is run again by itself: what was
// written of it is written once more, which changes nothing.
func (b *Backend) runTogether(ctx context.Context, list []*carried) {
	began := time.Now()
	type parcel struct {
		statements []sharding.Statement
		buckets    []sharding.Bucket
		fans       []fan
		of         []*carried
	}
	open := map[*sharding.Shard]*parcel{}
	send := func(shard *sharding.Shard) {
		p := open[shard]
		delete(open, shard)
		if p == nil {
			return
		}
		_, err := b.Cluster.WriteStatements(ctx, shard, p.buckets, p.statements...)
		if err == nil {
			err = b.forgetTimelines(ctx, p.fans)
		}
		if err != nil {
			for _, c := range p.of {
				c.failed = true
			}
			var notOpen *sharding.NotOpenError
			if errors.As(err, &notOpen) {
				b.Cluster.Follow(notOpen)
			}
		}
	}
	for _, c := range list {
		byShard := map[*sharding.Shard][]fan{}
		for _, f := range c.d.fans {
			s := b.Cluster.For(int64(f.id))
			byShard[s] = append(byShard[s], f)
		}
		for shard, part := range byShard {
			if p := open[shard]; p != nil && len(p.fans)+len(part) > togetherRows {
				send(shard)
			}
			p := open[shard]
			if p == nil {
				p = &parcel{}
				open[shard] = p
			}
			p.statements = append(p.statements, b.statements(shard, c.d, part)...)
			p.buckets = append(p.buckets, b.bucketsOf(part)...)
			p.fans = append(p.fans, part...)
			p.of = append(p.of, c)
		}
	}
	for _, shard := range b.Cluster.Shards() {
		send(shard)
	}
	for _, c := range list {
		if c.failed {
			b.runJob(ctx, c.e)
			continue
		}
		b.ack.done(c.e)
		b.metrics.page(effFanout, time.Since(began)/time.Duration(len(list)), nil)
	}
}
