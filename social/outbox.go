package social

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"socialctl/sharding"
)

// effectKind is what an outbox row owes.
type effectKind int

// The kinds of effect, as the tables number them. The first group is applied in one transaction in the target's shard,
// the second is a job with pages and a checkpoint.
const (
	effClaimName effectKind = 1 // the name's own row decides who has it
	effEdge      effectKind = 2 // a follow or its end, for the shard of the followed
	effBackfill  effectKind = 3 // the list that was fixed with the fan row, for the reader's shard
	effEndFollow effectKind = 4 // a wish to the follower's shard: only there a follow gets its rev
	effBlocked   effectKind = 5 // a block or its end, for the shard of the blocked
	effReference effectKind = 6 // a comment's or repost's edge, for the shard of what it refers to
	effEdges     effectKind = 7 // many follows at once, of an import: one row for each pair of shards and chunk
	effForget    effectKind = 8 // a change that owes no rows elsewhere, but whose copies have to be forgotten

	effFanout        effectKind = 20 // a message into its readers' timelines
	effRemoval       effectKind = 21 // a message out of all timelines
	effPurge         effectKind = 22 // an author out of one reader's timeline
	effDeleteAccount effectKind = 23 // an account's follows, fans and messages
	effEndMutual     effectKind = 24 // what was for mutuals out of the timeline of a fan who is followed no more
)

var effectNames = map[effectKind]string{effClaimName: "claim-name", effEdge: "edge", effBackfill: "backfill",
	effEndFollow: "end-follow", effEdges: "edges", effForget: "forget", effBlocked: "blocked", effReference: "reference",
	effFanout: "fan-out", effRemoval: "removal", effPurge: "purge", effDeleteAccount: "delete-account", effEndMutual: "end-mutual"}

func (k effectKind) String() string { return effectNames[k] }

func (k effectKind) isJob() bool { return k >= effFanout }

// effect is a row of outbox: something owed to another shard since the owner's transaction committed.
type effect struct {
	owner    UserID
	event    int64
	kind     effectKind
	target   UserID // whose shard has to act; 0 where the payload says it
	dueMS    int64
	attempts int
	created  int64
	payload  []byte
	progress []byte
	leased   bool // born under a lease of this process
	found    bool // in the outbox: whoever committed it may not have lived to forget what it changed
}

// Timings of the outbox. The server that took the request applies its effects at once; settleGrace keeps the workers
// from doing the same meanwhile. A lease that runs out is the end of a worker that died.
const (
	settleGrace  = 2 * time.Second
	settleWithin = 3 * time.Second
	jobLease     = 5 * time.Second
	retryMost    = 60 * time.Second
	scanEvery    = 250 * time.Millisecond
	scanBatch    = 200
	settleDepth  = 8
	applyBatch   = 100
)

// newEffect makes an effect that emit stores. The payload is one of this package's own structs.
func (b *Backend) newEffect(owner UserID, kind effectKind, target UserID, payload any) *effect {
	raw, err := json.Marshal(payload)
	if err != nil { // the structs are this package's: plain fields only
		raw = []byte("{}")
	}
	now := b.now()
	e := &effect{owner: owner, event: b.eventID(), kind: kind, target: target, created: now, payload: raw, progress: []byte("{}")}
	switch {
	case !kind.isJob():
		e.dueMS = now + settleGrace.Milliseconds()
	case b.working.Load(): // this process takes the job itself, at once: it is born under a lease
		e.dueMS, e.leased = now+jobLease.Milliseconds(), true
	default:
		e.dueMS = now
	}
	return e
}

// eventID is unique for its owner: the time in the upper bits keeps a bucket's rows together, chance separates processes.
func (b *Backend) eventID() int64 {
	for {
		last := b.eventSeq.Load()
		next := max(last+1+rand.Int64N(64), b.now()<<20|rand.Int64N(1<<20))
		if b.eventSeq.CompareAndSwap(last, next) {
			return next
		}
	}
}

// emit stores effects in the transaction that causes them.
func (b *Backend) emit(ctx context.Context, tx *sharding.Tx, effs ...*effect) error {
	for part := range slices.Chunk(effs, maxTxRows) {
		args := make([]any, 0, 10*len(part))
		for _, e := range part {
			args = append(args, b.bucket(e.owner), int64(e.owner), e.event, int(e.kind), int64(e.target), e.dueMS, 0, e.created,
				string(e.payload), string(e.progress))
		}
		keys := sharding.KeysIn("outbox", args, 10, 3)
		_, err := tx.Exec(ctx, keys, `
			INSERT INTO outbox (bucket, user_id, event_id, kind, target, due_ms, attempts, created_ms, payload, progress)
			VALUES `+sharding.Values(10, len(part)), args...)
		if err != nil {
			return fmt.Errorf("store effects: %w", err)
		}
	}
	return nil
}

// settle applies effects now, in the name of the request that caused them, and what these cause in turn. It reports
// whether something is left to the workers because a shard is away. Jobs are only handed over.
func (b *Backend) settle(ctx context.Context, effs ...*effect) (pending bool) {
	patience := settleWithin
	if deadline, ok := ctx.Deadline(); ok { // a client that has gone away ends nothing, the request's time does
		patience = min(patience, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for depth := 0; len(effs) > 0 && depth < settleDepth; depth++ {
		var next []*effect
		for _, group := range b.group(effs) {
			if group[0].kind.isJob() {
				for _, e := range group {
					b.hint(e)
				}
				continue
			}
			replies, err := b.apply(ctx, group)
			if err != nil {
				pending = true
				b.log.Info("effect left to the workers", "kind", group[0].kind.String(), "target", group[0].target, "error", err)
				continue
			}
			b.ack.done(group...)
			next = append(next, replies...)
		}
		effs = next
	}
	return pending
}

// settleTold is settle after a change of which the others were to be told: where they could not be, all that is owed is
// left to the workers, who tell them again before they apply it.
func (b *Backend) settleTold(ctx context.Context, told error, effs ...*effect) (pending bool) {
	return told != nil || b.settle(ctx, effs...)
}

// group puts effects on the same person's rows together, in batches of one transaction each: one hot row takes ten
// to forty times as many edges a second so.
func (b *Backend) group(effs []*effect) [][]*effect {
	type key struct {
		kind   effectKind
		target UserID
		event  int64
	}
	index := map[key]int{}
	var out [][]*effect
	for _, e := range effs {
		k := key{kind: e.kind, target: e.target}
		if e.kind.isJob() {
			k.event = e.event
		}
		at, ok := index[k]
		if !ok || len(out[at]) >= applyBatch {
			at = len(out)
			index[k] = at
			out = append(out, nil)
		}
		out[at] = append(out[at], e)
	}
	return out
}

// apply carries out effects of one kind on one person's rows. Applying twice, or in another order, changes nothing more.
func (b *Backend) apply(ctx context.Context, group []*effect) (replies []*effect, err error) {
	if err := b.forgetFor(ctx, group); err != nil {
		return nil, err
	}
	switch group[0].kind {
	case effClaimName:
		return nil, b.applyClaims(ctx, group)
	case effEdge:
		return b.applyEdges(ctx, group)
	case effEdges:
		return b.applyEdgeBatch(ctx, group)
	case effBackfill:
		return nil, b.applyBackfills(ctx, group)
	case effEndFollow:
		return b.applyEndFollows(ctx, group)
	case effBlocked:
		return b.applyBlocked(ctx, group)
	case effReference:
		return nil, b.applyReferences(ctx, group)
	case effForget:
		return nil, nil // done, by the server that made the change or above
	}
	return nil, fmt.Errorf("outbox row of unknown kind %d: written by a newer program?", group[0].kind)
}

// Run works off the outbox until the context ends: effects that their requests could not apply, and all jobs.
func (b *Backend) Run(ctx context.Context) error {
	jobs := make(chan *effect)
	running := make(chan struct{})
	workers := max(1, b.Config.Fanout.Workers)
	for range workers {
		go func() {
			defer func() { running <- struct{}{} }()
			for e := range jobs {
				b.runJobs(ctx, b.more([]*effect{e}))
			}
		}()
	}
	b.working.Store(true)
	b.dispatch(ctx, jobs)
	b.working.Store(false)
	close(jobs)
	for range workers {
		<-running
	}
	return nil
}

// dispatch feeds the job runners from the hints of this process and, beside that, from looking at what is due: a shard
// that is slow to say so keeps no hint waiting.
func (b *Backend) dispatch(ctx context.Context, jobs chan<- *effect) {
	var looking sync.WaitGroup
	looking.Go(func() { b.lookForDue(ctx, jobs) })
	defer looking.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-b.hints:
			select {
			case jobs <- h:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (b *Backend) lookForDue(ctx context.Context, jobs chan<- *effect) {
	ticker := time.NewTicker(scanEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		found, err := b.scanDue(ctx)
		if err != nil && ctx.Err() == nil {
			b.log.Warn("look for due work", "error", err)
		}
		for _, h := range found {
			select {
			case jobs <- h:
			case <-ctx.Done():
				return
			}
		}
	}
}

// Pass works off what is due now, once, in the calling goroutine, and returns how many rows it took: what tests call,
// and what `worker --once` would.
func (b *Backend) Pass(ctx context.Context) (int, error) {
	found, err := b.scanDue(ctx)
	n := len(found)
	for _, h := range found {
		b.runJob(ctx, h)
	}
	for {
		hinted := b.more(nil)
		if len(hinted) == 0 {
			b.ack.flush(ctx)
			return n, err
		}
		b.runJobs(ctx, hinted)
		n += len(hinted)
	}
}

// scanDue claims what is due in every shard, applies the effects among it, and returns the jobs.
func (b *Backend) scanDue(ctx context.Context) ([]*effect, error) {
	var jobs []*effect
	var errs []error
	for _, shard := range b.Cluster.Shards() {
		due, err := b.dueIn(ctx, shard)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", shard, err))
			continue
		}
		var effs []*effect
		for _, e := range due {
			if e.kind.isJob() {
				jobs = append(jobs, e)
				continue
			}
			claimed, err := b.claim(ctx, e, settleGrace+backoffFor(e.attempts))
			if err == nil && claimed {
				effs = append(effs, e)
			}
		}
		b.settle(ctx, effs...)
	}
	return jobs, errors.Join(errs...)
}

// backoffFor is how long a failed effect rests: doubling up to a minute, for ever.
func backoffFor(attempts int) time.Duration {
	return min(time.Duration(1<<min(attempts, 10))*100*time.Millisecond, retryMost)
}

// dueIn reads what is due in a shard, in the buckets that it has open: copies of a move are nobody's work (REVIEW F14).
func (b *Backend) dueIn(ctx context.Context, shard *sharding.Shard) ([]*effect, error) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	open, err := b.Cluster.OpenBuckets(ctx, shard)
	if err != nil {
		return nil, err
	}
	var out []*effect
	err = b.Cluster.ReadShard(ctx, shard, nil, func(ctx context.Context, r *sharding.Reader) error {
		due, err := outboxRows(ctx, r, `WHERE due_ms <= ? ORDER BY due_ms LIMIT ?`, b.now(), scanBatch)
		out = slices.DeleteFunc(due, func(e *effect) bool {
			_, mine := slices.BinarySearch(open, b.bucket(e.owner))
			return !mine
		})
		return err
	})
	return out, err
}

// outboxRows reads rows of the outbox by a condition.
func outboxRows(ctx context.Context, q reader, where string, args ...any) ([]*effect, error) {
	rows, err := q.Query(ctx, `
		SELECT user_id, event_id, kind, target, due_ms, attempts, created_ms, payload, progress FROM outbox `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*effect
	for rows.Next() {
		e := effect{found: true}
		if err := rows.Scan(&e.owner, &e.event, &e.kind, &e.target, &e.dueMS, &e.attempts, &e.created, &e.payload, &e.progress); err != nil {
			return nil, err
		}
		out = append(out, &e)
	}
	return out, rows.Err()
}

// eachOwed reads all rows of the outbox that a condition chooses, in the order of their key, and hands them over a page at
// a time: a look that stopped after so many would take what lies behind it for not owed.
func (b *Backend) eachOwed(ctx context.Context, q reader, where string, args []any, fn func(page []*effect) error) error {
	after := [3]any{-1, 0, 0} // the last key of the page before
	for {
		page, err := outboxRows(ctx, q, `{primary}
			WHERE `+where+` AND (bucket, user_id, event_id) > (?, ?, ?)
			ORDER BY bucket, user_id, event_id LIMIT ?`, append(append(slices.Clone(args), after[:]...), maxRows)...)
		if err != nil {
			return err
		}
		if err := fn(page); err != nil || len(page) < maxRows {
			return err
		}
		last := page[len(page)-1]
		after = [3]any{b.bucket(last.owner), int64(last.owner), last.event}
	}
}

// owedBetween reads the effects, not the jobs, that two people owe each other. What cannot be read is left to the workers.
func (b *Backend) owedBetween(ctx context.Context, one, other UserID) []*effect {
	var all []*effect
	for owner, target := range map[UserID]UserID{one: other, other: one} {
		var mine []*effect
		err := b.Cluster.Read(ctx, int64(owner), func(ctx context.Context, r *sharding.Reader) error {
			mine = nil
			return b.eachOwed(ctx, r, `bucket = ? AND user_id = ? AND target = ? AND kind < ?`,
				[]any{b.bucket(owner), int64(owner), int64(target), int(effFanout)}, func(page []*effect) error {
					mine = append(mine, page...)
					return nil
				})
		})
		if err != nil {
			b.log.Debug("read what two people owe each other", "owner", owner, "target", target, "error", err)
			continue
		}
		all = append(all, mine...)
	}
	return all
}

// claim moves a row's due time forward if nobody else did: that is the lease.
func (b *Backend) claim(ctx context.Context, e *effect, lease time.Duration) (bool, error) {
	claimed := false
	bucket := b.bucket(e.owner)
	until := b.now() + lease.Milliseconds()
	err := b.Cluster.Write(ctx, int64(e.owner), func(ctx context.Context, tx *sharding.Tx) error {
		claimed = false
		got, err := effectOf(ctx, tx, bucket, e.owner, e.event)
		if err != nil || got == nil || got.dueMS != e.dueMS {
			return err
		}
		_, err = tx.Exec(ctx, sharding.Key("outbox", bucket, int64(e.owner), e.event),
			`UPDATE outbox SET due_ms = ?, attempts = attempts + 1 WHERE bucket = ? AND user_id = ? AND event_id = ?`,
			until, bucket, int64(e.owner), e.event)
		claimed = err == nil
		*e = *got
		e.dueMS = until
		return err
	})
	return claimed, err
}

// effectOf locks and reads one row; nil where it is done.
func effectOf(ctx context.Context, tx *sharding.Tx, bucket sharding.Bucket, owner UserID, event int64) (*effect, error) {
	rows, err := outboxRows(ctx, tx, `WHERE bucket = ? AND user_id = ? AND event_id = ? {for update}`, bucket, int64(owner), event)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

func (e *effect) decode(into any) error {
	if err := json.Unmarshal(e.payload, into); err != nil {
		return fmt.Errorf("outbox row %d of %d: %w", e.event, e.owner, err)
	}
	return nil
}
