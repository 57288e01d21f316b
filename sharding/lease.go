package sharding

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Lease is one process's hold on a named job, in meta, with the job's checkpoint. It is renewed until Release.
type Lease struct {
	cluster *Cluster
	name    string
	holder  string
	stop    context.CancelFunc
	done    sync.WaitGroup
	lost    context.CancelCauseFunc
}

// ErrJobHeld says that another run holds the job.
var ErrJobHeld = errors.New("another run holds this job; try later")

// ErrLeaseLost says that a lease could not be renewed in time and may be another's now.
var ErrLeaseLost = errors.New("the hold on this job was lost")

const (
	leaseLife  = 15 * time.Second
	leaseRenew = 3 * time.Second
)

// AcquireLease takes hold of a job and returns its checkpoint, empty at first, and a context that ends when the hold is
// lost. A holder that died on this machine is taken over at once, one elsewhere when its lease has run out. Errors:
// ErrJobHeld, UnavailableError.
func (c *Cluster) AcquireLease(ctx context.Context, name string) (*Lease, string, context.Context, error) {
	nonce := make([]byte, 4)
	if _, err := rand.Read(nonce); err != nil {
		return nil, "", nil, err
	}
	l := &Lease{cluster: c, name: name, holder: thisProcess() + "/" + hex.EncodeToString(nonce)}
	var checkpoint []byte
	err := c.metaWrite(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var holder []byte
		var until int64
		checkpoint = []byte{}
		err := tx.QueryRowContext(ctx, c.meta.dialect.SQL(`SELECT holder, lease_until, checkpoint FROM job WHERE name = ? {for update}`), []byte(name)).
			Scan(&holder, &until, &checkpoint)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if checkpoint == nil {
			checkpoint = []byte{}
		}
		now := time.Now().UnixMilli()
		if err == nil && until > now && len(holder) > 0 && !dead(string(holder)) {
			return fmt.Errorf("%w (%s)", ErrJobHeld, holder)
		}
		_, err = tx.ExecContext(ctx, c.meta.dialect.SQL(`
			INSERT INTO job (name, holder, lease_until, checkpoint, updated_ms) VALUES (?, ?, ?, ?, ?)
			{upsert name} holder = {new holder}, lease_until = {new lease_until}, updated_ms = {new updated_ms}`),
			[]byte(name), []byte(l.holder), now+leaseLife.Milliseconds(), checkpoint, now)
		return err
	})
	if err != nil {
		return nil, "", nil, err
	}
	held, lost := context.WithCancelCause(ctx)
	renew, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop, l.lost = stop, lost
	l.done.Go(func() { l.renew(renew) })
	return l, string(checkpoint), held, nil
}

func (l *Lease) renew(ctx context.Context) {
	ticker := time.NewTicker(leaseRenew)
	defer ticker.Stop()
	good := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := l.update(ctx, `lease_until = ?`, time.Now().Add(leaseLife).UnixMilli())
		switch {
		case err == nil:
			good = time.Now()
		case errors.Is(err, ErrLeaseLost), time.Since(good) > leaseLife-leaseRenew:
			l.lost(ErrLeaseLost)
			return
		}
	}
}

// update changes the job's row if it is still this run's.
func (l *Lease) update(ctx context.Context, set string, value any) error {
	return l.cluster.metaWrite(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE job SET updated_ms = ?, `+set+` WHERE name = ? AND holder = ?`,
			time.Now().UnixMilli(), value, []byte(l.name), []byte(l.holder))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrLeaseLost, err)
		}
		return nil
	})
}

// Save stores the job's checkpoint, at most 8,000 bytes. The error is ErrLeaseLost when another run has taken the job.
func (l *Lease) Save(ctx context.Context, checkpoint string) error {
	return l.update(ctx, `checkpoint = ?`, []byte(checkpoint))
}

// Release gives the job back; its checkpoint stays.
func (l *Lease) Release(ctx context.Context) error {
	l.stop()
	l.done.Wait()
	defer l.lost(nil)
	err := l.update(context.WithoutCancel(ctx), `holder = '', lease_until = ?`, 0)
	if errors.Is(err, ErrLeaseLost) {
		return nil
	}
	return err
}

// thisProcess names this process so that another one on this machine can tell whether it still runs.
func thisProcess() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s/%s/%d/%s", host, bootID(), os.Getpid(), startOf(os.Getpid()))
}

func bootID() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(raw))
}

// startOf is when a process began, in clock ticks since boot; "" where there is none or no /proc.
func startOf(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(after)
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// dead reports whether a holder was a process of this machine, since its boot, that does not run any more.
func dead(holder string) bool {
	parts := strings.Split(holder, "/")
	host, _ := os.Hostname()
	if len(parts) != 5 || parts[0] != host || parts[1] != bootID() || parts[1] == "?" || parts[3] == "" {
		return false
	}
	var pid int
	if _, err := fmt.Sscan(parts[2], &pid); err != nil {
		return false
	}
	return startOf(pid) != parts[3]
}
