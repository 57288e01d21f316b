package social

import (
	"slices"
	"testing"
	"time"

	"socialctl/configs"
	"socialctl/sharding"
	"socialctl/sharding/shardingtest"
)

// What the model test has found, each as a small story of its own.

// onClock runs a test on both profiles with a clock that the test moves.
func onClock(t *testing.T, policy func(*configs.Config), test func(t *testing.T, s *modelStore, b *Backend)) {
	t.Helper()
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			cfg := p.Config(t)
			if policy != nil {
				policy(&cfg)
			}
			s := newModelStore(t, cfg)
			t.Cleanup(s.close)
			test(t, s, s.servers[0].Backend)
		})
	}
}

// passAll works off what is owed, letting three seconds go by each time.
func (s *modelStore) passAll(t *testing.T) {
	t.Helper()
	for range 20 {
		for _, server := range s.servers {
			if _, err := server.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if owed(t, s.servers[0].Backend) == 0 {
			return
		}
		s.clock.Add(3000)
	}
	t.Fatalf("%d effects are still owed", owed(t, s.servers[0].Backend))
}

func countRows(t *testing.T, b *Backend, query string, args ...any) int {
	t.Helper()
	total := 0
	for _, shard := range b.Cluster.Shards() {
		var n int
		if err := b.Cluster.RawForTest(shard).QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

// A job's progress that began at the first fan could be written and not be read: no tombstone was ever swept away.
func TestTombstonesAreSweptAwayADayLater(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		author, reader := person(t, b), person(t, b)
		follow(t, b, reader, author)
		m := post(t, b, author, "soon gone", VisibilityPublic)
		s.passAll(t)
		if err := b.Messages.Delete(t.Context(), author, m.ID); err != nil {
			t.Fatal(err)
		}
		s.passAll(t)
		if n := countRows(t, b, `SELECT COUNT(*) FROM msg_index`); n != 2 {
			t.Fatalf("%d tombstones instead of 2", n)
		}
		s.clock.Add(25 * time.Hour.Milliseconds())
		s.passAll(t)
		if n := countRows(t, b, `SELECT COUNT(*) FROM msg_index`); n != 0 {
			t.Fatalf("%d tombstones are left after a day", n)
		}
		if n := countRows(t, b, `SELECT COUNT(*) FROM outbox`); n != 0 {
			t.Fatalf("%d jobs are left after a day", n)
		}
	})
}

// For the same reason what a fenced bucket refused was never delivered (REVIEW F13).
func TestWhatAFenceRefusedIsDeliveredLater(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		author, reader := person(t, b), person(t, b)
		follow(t, b, reader, author)
		post(t, b, author, "hello", VisibilityPublic)
		setBucket(t, b, b.bucket(reader.UserID), sharding.StateFenced)
		if _, err := b.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		setBucket(t, b, b.bucket(reader.UserID), sharding.StateOpen)
		s.passAll(t)
		if got := contents(home(t, b, reader, 20)); !slices.Equal(got, []string{"hello"}) {
			t.Fatalf("home has %q", got)
		}
	})
}

// setBucket does by hand what a mover does to a bucket's state.
func setBucket(t *testing.T, b *Backend, bucket sharding.Bucket, state sharding.State) {
	t.Helper()
	db := b.Cluster.RawForTest(b.Cluster.ForBucket(bucket))
	if _, err := db.ExecContext(t.Context(), `UPDATE bucket_state SET state = ? WHERE bucket = ?`, int(state), int(bucket)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE shard_state SET epoch = epoch + 1 WHERE id = 1`); err != nil {
		t.Fatal(err)
	}
}
