package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"socialctl/sharding"
	"socialctl/social"
)

// ErrStopped says that a job stopped at a checkpoint with work left, because of a signal or its time budget: running it
// again goes on.
var ErrStopped = errors.New("stopped with work left; run the same command again to go on")

// Progress is told how far a job has come.
type Progress interface {
	Advance(n int)
}

// JobOptions are what every long job takes.
type JobOptions struct {
	DryRun      bool
	MaxDuration time.Duration // 0: no bound
	Rate        float64       // items a second; 0: no bound
	Progress    Progress      // nil: nobody is told
}

// Validate names the flag at fault.
func (o JobOptions) Validate() error {
	if o.Rate < 0 {
		return fmt.Errorf("--rate: %v is less than 0", o.Rate)
	}
	if o.MaxDuration < 0 {
		return fmt.Errorf("--max-duration: %v is less than 0", o.MaxDuration)
	}
	return nil
}

// run is one run of a job.
type run struct {
	options JobOptions
	limiter *rate.Limiter
	until   time.Time
	signal  context.Context // ends on Ctrl-C or SIGTERM: the job stops at its next checkpoint
	save    func(ctx context.Context, checkpoint string) error
	// Checkpoint is what the run before stored last; empty at first.
	checkpoint string
}

// start runs a job under its lock. body works in steps and calls step between them, where everything is stored; its
// context goes on through a signal, so that a step is not cut in the middle.
func start(ctx context.Context, b *social.Backend, name string, o JobOptions, body func(ctx context.Context, r *run) error) error {
	if err := o.Validate(); err != nil {
		return err
	}
	r := &run{options: o, signal: ctx, save: func(context.Context, string) error { return nil }}
	if o.Rate > 0 {
		r.limiter = rate.NewLimiter(rate.Limit(o.Rate), max(1, int(o.Rate)))
	}
	if o.MaxDuration > 0 {
		r.until = time.Now().Add(o.MaxDuration)
	}
	work := context.WithoutCancel(ctx)
	if o.DryRun { // a dry run opens nothing for writing, so it needs no lock
		return body(work, r)
	}
	lease, checkpoint, held, err := b.Cluster.AcquireLease(work, name)
	if err != nil {
		return err
	}
	r.checkpoint, r.save = checkpoint, lease.Save
	err = body(held, r)
	if cause := context.Cause(held); cause != nil && errors.Is(cause, sharding.ErrLeaseLost) {
		err = errors.Join(cause, err)
	}
	return errors.Join(err, lease.Release(work))
}

// step tells of n items done, keeps the pace, and returns ErrStopped when the job has to stop here.
func (r *run) step(n int) error {
	if r.options.Progress != nil {
		r.options.Progress.Advance(n)
	}
	if r.signal.Err() != nil || !r.until.IsZero() && time.Now().After(r.until) {
		return ErrStopped
	}
	for r.limiter != nil && n > 0 {
		part := min(n, r.limiter.Burst())
		if err := r.limiter.WaitN(r.signal, part); err != nil {
			return ErrStopped
		}
		n -= part
	}
	return nil
}
