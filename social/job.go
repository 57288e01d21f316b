package social

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"socialctl/sharding"
)

// hint tells this process's job runners of a job just stored; when they are behind, it is found when it is due.
func (b *Backend) hint(e *effect) {
	select {
	case b.hints <- e:
	default:
	}
}

// pagesPerTurn is after how many pages a job goes to the back of the queue, so that a big author's does not keep small
// ones waiting.
const pagesPerTurn = 8

// runJob takes the job under a lease and works off some pages of it, each with a checkpoint in the owner's shard.
func (b *Backend) runJob(ctx context.Context, e *effect) {
	if !e.leased || e.dueMS <= b.now() {
		e.leased = false
		taken, err := b.take(ctx, e)
		if err != nil && ctx.Err() == nil {
			b.log.Warn("take a job", "owner", e.owner, "event", e.event, "error", err)
		}
		if err != nil || !taken {
			return
		}
		if err := b.forgetFor(ctx, []*effect{e}); err != nil {
			b.giveBack(ctx, e, err)
			return
		}
	}
	for range pagesPerTurn {
		more, err := b.jobPage(ctx, e)
		if err != nil {
			if ctx.Err() == nil {
				b.log.Warn("job page failed; it will be tried again", "kind", e.kind.String(), "owner", e.owner, "event", e.event, "attempts", e.attempts, "error", err)
			}
			b.giveBack(ctx, e, err)
			return
		}
		if !more {
			return
		}
		if ctx.Err() != nil {
			break
		}
	}
	b.giveBack(ctx, e, nil)
	e.leased = false
	b.hint(e)
}

// giveBack is release also for a run that is being stopped, so that the next one goes on at once.
func (b *Backend) giveBack(ctx context.Context, e *effect, failed error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	b.release(ctx, e, failed)
}

// take leases a job that is due, and reads where it stands.
func (b *Backend) take(ctx context.Context, e *effect) (bool, error) {
	taken := false
	bucket := b.bucket(e.owner)
	err := b.Cluster.Write(ctx, int64(e.owner), func(ctx context.Context, tx *sharding.Tx) error {
		taken = false
		got, err := effectOf(ctx, tx, bucket, e.owner, e.event)
		if err != nil || got == nil || got.dueMS > b.now() {
			return err
		}
		*e = *got
		e.dueMS = b.now() + jobLease.Milliseconds()
		_, err = tx.Exec(ctx, sharding.Key("outbox", bucket, int64(e.owner), e.event),
			`UPDATE outbox SET due_ms = ?, attempts = attempts + 1 WHERE bucket = ? AND user_id = ? AND event_id = ?`,
			e.dueMS, bucket, int64(e.owner), e.event)
		taken = err == nil
		return err
	})
	return taken, err
}

// release gives the lease back: due now after a turn, later after a failure.
func (b *Backend) release(ctx context.Context, e *effect, failed error) {
	due := b.now()
	attempts := 0
	if failed != nil {
		attempts = e.attempts + 1
		due += backoffFor(attempts).Milliseconds()
	}
	bucket := b.bucket(e.owner)
	err := b.Cluster.Write(ctx, int64(e.owner), func(ctx context.Context, tx *sharding.Tx) error {
		_, err := tx.Exec(ctx, sharding.Key("outbox", bucket, int64(e.owner), e.event),
			`UPDATE outbox SET due_ms = ?, attempts = ? WHERE bucket = ? AND user_id = ? AND event_id = ?`,
			due, attempts, bucket, int64(e.owner), e.event)
		return err
	})
	if err != nil {
		b.log.Debug("release a job; its lease will run out", "owner", e.owner, "event", e.event, "error", err)
	}
}

// jobPage does one page and reports whether the job goes on.
func (b *Backend) jobPage(ctx context.Context, e *effect) (more bool, err error) {
	started := time.Now()
	defer func() { b.metrics.page(e.kind, time.Since(started), err) }()
	switch e.kind {
	case effFanout:
		return b.fanoutPage(ctx, e)
	case effRemoval:
		return b.removalPage(ctx, e)
	case effPurge:
		return b.purgePage(ctx, e)
	case effDeleteAccount:
		return b.deleteAccountPage(ctx, e)
	case effEndMutual:
		return b.endMutualPage(ctx, e)
	}
	return false, fmt.Errorf("job of unknown kind %d: written by a newer program?", e.kind)
}

func (e *effect) state(into any) error {
	if err := json.Unmarshal(e.progress, into); err != nil {
		return fmt.Errorf("progress of job %d of %d: %w", e.event, e.owner, err)
	}
	return nil
}

// checkpoint stores where a job stands, with more effects in the same transaction, and lengthens its lease; a finished
// job's row goes, with others that are done. due 0 means a lease from now.
func (b *Backend) checkpoint(ctx context.Context, e *effect, progress any, finished bool, due int64, more ...*effect) error {
	raw, err := json.Marshal(progress)
	if err != nil {
		return err
	}
	if finished && len(more) == 0 {
		b.ack.done(e)
		return nil
	}
	if due == 0 {
		due = b.now() + jobLease.Milliseconds()
	}
	bucket := b.bucket(e.owner)
	key := sharding.Key("outbox", bucket, int64(e.owner), e.event)
	err = b.Cluster.Write(ctx, int64(e.owner), func(ctx context.Context, tx *sharding.Tx) error {
		if err := b.emit(ctx, tx, more...); err != nil {
			return err
		}
		if finished {
			_, err := tx.Exec(ctx, key, `DELETE FROM outbox WHERE bucket = ? AND user_id = ? AND event_id = ?`, bucket, int64(e.owner), e.event)
			return err
		}
		_, err := tx.Exec(ctx, key, `UPDATE outbox SET progress = ?, due_ms = ?, attempts = 0 WHERE bucket = ? AND user_id = ? AND event_id = ?`,
			string(raw), due, bucket, int64(e.owner), e.event)
		return err
	})
	if err != nil {
		return fmt.Errorf("checkpoint of job %d of %d: %w", e.event, e.owner, err)
	}
	e.progress, e.dueMS, e.attempts = raw, due, 0
	return nil
}
