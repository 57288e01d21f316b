package sharding

import (
	"context"
	"database/sql"
	"fmt"
)

// State is where a bucket stands in its life on one shard (DESIGN 4).
type State int

// The states of a bucket on a shard, in the order in which a move passes them. Open to Verifying take writes.
const (
	StateAbsent     State = 0 // no row: never here
	StateOpen       State = 1
	StatePrepared   State = 2
	StateCopying    State = 3
	StateCatchingUp State = 4
	StateVerifying  State = 5
	StateFenced     State = 6
	StateGone       State = 7
	StateIncoming   State = 8 // the target's side before it opens
)

// String names the state as `shard status` shows it.
func (s State) String() string {
	names := [...]string{"absent", "open", "prepared", "copying", "catching-up", "verifying", "fenced", "gone", "incoming"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("state %d", int(s))
	}
	return names[s]
}

func (s State) writable() bool { return s >= StateOpen && s <= StateVerifying }
func (s State) readable() bool { return s >= StateOpen && s <= StateFenced }

// bucketState is one row of bucket_state, as far as a write has to know it.
type bucketState struct {
	state     State
	journal   bool
	successor ShardID
}

// view is what a process knows of a shard's ownership, valid exactly while the shard's epoch is the view's.
type view struct {
	epoch      int64
	cacheEpoch int64
	buckets    []bucketState // by bucket; StateAbsent where the shard has no row
	journals   bool          // any bucket journals
}

func (v *view) of(b Bucket) bucketState {
	if v == nil || int(b) >= len(v.buckets) {
		return bucketState{}
	}
	return v.buckets[b]
}

// check returns a NotOpenError when one of the buckets does not take writes here.
func (v *view) check(shard ShardID, buckets []Bucket) error {
	var bad *NotOpenError
	for _, b := range buckets {
		st := v.of(b)
		if st.state.writable() {
			continue
		}
		if bad == nil {
			bad = &NotOpenError{Shard: shard, Gone: map[Bucket]ShardID{}}
		}
		if st.state == StateFenced {
			bad.Fenced = append(bad.Fenced, b)
		} else {
			bad.Gone[b] = st.successor
		}
	}
	if bad != nil {
		return bad
	}
	return nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// loadView reads the states of all the shard's buckets. Inside a write transaction it runs under the shared lock, so
// that what it reads holds until the commit; outside, the caller compares the epoch again.
func loadView(ctx context.Context, q querier, buckets int) (*view, error) {
	v := &view{buckets: make([]bucketState, buckets)}
	if err := q.QueryRowContext(ctx, `SELECT epoch, cache_epoch FROM shard_state WHERE id = 1`).Scan(&v.epoch, &v.cacheEpoch); err != nil {
		return nil, fmt.Errorf("read shard_state: %w", err)
	}
	rows, err := q.QueryContext(ctx, `SELECT bucket, state, journal, successor FROM bucket_state`)
	if err != nil {
		return nil, fmt.Errorf("read bucket_state: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var b, journal int
		var st bucketState
		if err := rows.Scan(&b, &st.state, &journal, &st.successor); err != nil {
			return nil, fmt.Errorf("read bucket_state: %w", err)
		}
		if b < 0 || b >= buckets {
			return nil, fmt.Errorf("bucket_state names bucket %d of %d", b, buckets)
		}
		st.journal = journal != 0
		v.journals = v.journals || st.journal
		v.buckets[b] = st
	}
	return v, rows.Err()
}
