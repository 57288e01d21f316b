package social

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"socialctl/configs"
	"socialctl/sharding"
)

// A worker has read its page of fans and sleeps past its lease. Another one finishes the job, the message is deleted and
// its removal runs to the end; then the first one writes.
func TestF9AZombieWorkerAfterTheRemoval(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, uma, vic, walt := person(t, b), person(t, b), person(t, b), person(t, b)
		follow(t, b, uma, ada)
		follow(t, b, vic, ada)
		m := post(t, b, ada, "soon deleted", VisibilityPublic)
		limited := post(t, b, ada, "soon deleted, for followers", VisibilityFollowers)
		zombies := []*delivery{fansToReach(t, b, m.ID), fansToReach(t, b, limited.ID)}
		jobs := dueJobs(t, b, effFanout)
		runDue(t, b, effFanout)
		unfollow(t, b, vic, ada) // a gone fan row: the removal has to reach it too
		for _, id := range []MessageID{m.ID, limited.ID} {
			if err := b.Messages.Delete(t.Context(), ada, id); err != nil {
				t.Fatal(err)
			}
		}
		drain(t, b)
		follow(t, b, walt, ada) // later than the removal: no list holds a deleted message
		for _, page := range zombies {
			if _, _, err := b.deliver(t.Context(), page); err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range jobs { // and one that wakes before it reads the page writes nothing at all
			if more, err := b.jobPage(t.Context(), e); more || err != nil {
				t.Errorf("the job of a deleted message goes on: %v, %v", more, err)
			}
		}
		drain(t, b)
		for _, v := range []Viewer{uma, vic} {
			for _, m := range []*Message{m, limited} {
				if e := entryIn(t, b, v, m); e == nil || e.live {
					t.Errorf("the entry of %s in the timeline of %d is %+v, want one that is gone", m.ID, v.UserID, e)
				}
			}
		}
		for _, v := range []Viewer{ada, uma, vic, walt} {
			if got := home(t, b, v, 20); len(got) > 0 {
				t.Errorf("home of %d has %q", v.UserID, contents(got))
			}
		}
		checkInvariants(t, b)
	})
}

func TestF9ABackfillFixedBeforeTheDeletion(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, uma := person(t, b), person(t, b)
		m := post(t, b, ada, "in the list", VisibilityPublic)
		post(t, b, ada, "stays", VisibilityPublic)
		list := applied(t, b, decideFollow(t, b, uma, ada, stateLive)...)
		if err := b.Messages.Delete(t.Context(), ada, m.ID); err != nil {
			t.Fatal(err)
		}
		if n := runDue(t, b, effRemoval); n != 1 {
			t.Fatalf("%d removals", n)
		}
		b.settle(t.Context(), list...)
		b.settle(t.Context(), list...) // effects come at least once
		drain(t, b)
		if e := entryIn(t, b, uma, m); e == nil || e.live {
			t.Errorf("the deleted message's entry is %+v", e)
		}
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"stays"}) {
			t.Errorf("home has %q", got)
		}
		checkInvariants(t, b)
	})
}

// The removal of an unfollow, late, meets the tombstone of a message of its span: the entry is of an old rev, and gone.
// Without it a list and a worker of the next follow would bring the message back.
func TestF9TheRemovalOfAnUnfollowLeavesTombstones(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, uma := person(t, b), person(t, b)
		follow(t, b, uma, ada)
		m := post(t, b, ada, "m", VisibilityPublic)
		drain(t, b)
		applied(t, b, decideFollow(t, b, uma, ada, stateGone)...) // its removal is stored and does not run yet
		list := applied(t, b, decideFollow(t, b, uma, ada, stateLive)...)
		zombie := fansToReach(t, b, m.ID)
		if err := b.Messages.Delete(t.Context(), ada, m.ID); err != nil {
			t.Fatal(err)
		}
		if n := runDue(t, b, effRemoval); n != 1 {
			t.Fatalf("%d removals", n)
		}
		if n := runDue(t, b, effPurge); n != 1 {
			t.Fatalf("%d removals of an unfollow", n)
		}
		b.settle(t.Context(), list...)
		if _, _, err := b.deliver(t.Context(), zombie); err != nil {
			t.Fatal(err)
		}
		drain(t, b)
		if e := entryIn(t, b, uma, m); e == nil || e.live {
			t.Errorf("the deleted message's entry is %+v", e)
		}
		checkInvariants(t, b)
	})
}

// A fan's transaction is in flight, with the message in its list, and has not committed its fan row: the deletion waits
// for it, or its removal would page past a row that is not there yet.
func TestF9ADeletionWaitsForAFansTransaction(t *testing.T) {
	onCluster(t, func(t *testing.T, b *Backend) {
		ada, uma := person(t, b), person(t, b)
		m := post(t, b, ada, "m", VisibilityPublic)
		edges := decideFollow(t, b, uma, ada, stateLive)
		var edge edgePayload
		if err := edges[0].decode(&edge); err != nil {
			t.Fatal(err)
		}
		var list []*effect
		deleted := make(chan error, 1)
		err := b.Cluster.Write(t.Context(), int64(ada.UserID), func(ctx context.Context, tx *sharding.Tx) error {
			author, err := lockAccount(ctx, tx, b.bucket(ada.UserID), ada.UserID)
			if err != nil {
				return err
			}
			if list, err = b.applyEdge(ctx, tx, author, edge); err != nil {
				return err
			}
			if err := b.emit(ctx, tx, list...); err != nil {
				return err
			}
			go func() { deleted <- b.Messages.Delete(t.Context(), ada, m.ID) }()
			awaitLockWait(t, ctx, b, ada, deleted)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-deleted; err != nil {
			t.Fatal(err)
		}
		if n := runDue(t, b, effRemoval); n != 1 {
			t.Fatalf("%d removals", n)
		}
		b.settle(t.Context(), list...)
		drain(t, b)
		if e := entryIn(t, b, uma, m); e == nil || e.live {
			t.Errorf("the deleted message's entry is %+v", e)
		}
		checkInvariants(t, b)
	})
}

// awaitLockWait returns when somebody waits for a row lock in the person's shard, and fails when the other one is done
// without having waited.
func awaitLockWait(t *testing.T, ctx context.Context, b *Backend, v Viewer, done chan error) {
	t.Helper()
	db := b.Cluster.RawForTest(b.Cluster.For(int64(v.UserID)))
	// InnoDB makes the table that is asked here anew only when nobody has asked for a tenth of a second.
	again := time.NewTicker(150 * time.Millisecond)
	defer again.Stop()
	for ctx.Err() == nil {
		select {
		case err := <-done:
			t.Error("it did not wait")
			done <- err
			return
		case <-again.C:
		}
		var waiting int
		if err := db.QueryRowContext(ctx, `
			SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
			WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()`).Scan(&waiting); err != nil {
			t.Error(err)
			return
		}
		if waiting > 0 {
			return
		}
	}
	t.Error("nobody came to wait")
}

func TestF18TheBackfillIsFixedWithTheFollow(t *testing.T) {
	few := func(cfg *configs.Config) { cfg.Timeline.Backfill = 3 }
	staged(t, few, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, uma, vic, none := person(t, b), person(t, b), person(t, b), person(t, b)
		follow(t, b, uma, none)
		if fan := fanRow(t, b, none, uma); fan.fromMsg != 1 {
			t.Errorf("a follow of somebody who has written nothing begins at %d", fan.fromMsg)
		}
		var posts []*Message
		for _, p := range []struct {
			content string
			vis     Visibility
		}{{"1", VisibilityPublic}, {"2", VisibilityPublic}, {"3", VisibilityPublic}, {"4", VisibilityFollowers}, {"5", VisibilityPublic}, {"6", VisibilityPublic}} {
			posts = append(posts, post(t, b, ada, p.content, p.vis))
		}
		follow(t, b, uma, ada)
		drain(t, b)
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"6", "5", "3"}) {
			t.Errorf("the backfill gave %q", got)
		}
		if fan := fanRow(t, b, ada, uma); fan.fromMsg != posts[2].ID.N {
			t.Errorf("the follow begins at message %d", fan.fromMsg)
		}

		// What is deleted later is not made good by an older one, and what is written later does not push out the oldest.
		if err := b.Messages.Delete(t.Context(), ada, posts[4].ID); err != nil {
			t.Fatal(err)
		}
		post(t, b, ada, "7", VisibilityPublic)
		post(t, b, ada, "8", VisibilityPublic)
		drain(t, b)
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"8", "7", "6", "3"}) {
			t.Errorf("later home has %q", got)
		}
		for i, want := range []bool{false, false, true, false, false, true} {
			if got := isDue(t, b, uma, posts[i].ID); got != want {
				t.Errorf("message %d is due: %v, want %v", i+1, got, want)
			}
		}
		follow(t, b, vic, ada)
		drain(t, b)
		if got := contents(home(t, b, vic, 20)); !slices.Equal(got, []string{"8", "7", "6"}) {
			t.Errorf("the backfill of a later follow gave %q", got)
		}
		checkInvariants(t, b)
	})
}

// Removals go by exact keys, and lock no other row. MariaDB scans the whole table for a DELETE of a single row value: it
// waited for every uncommitted entry of the shard.
func TestF43ARemovalLooksUpItsKeysAndNothingElse(t *testing.T) {
	onCluster(t, func(t *testing.T, b *Backend) {
		shard := b.Cluster.Shards()[0]
		db, dialect := b.Cluster.RawForTest(shard), shard.Dialect()
		for i := range 40 {
			if _, err := db.ExecContext(t.Context(), `
				INSERT INTO msg_index (bucket, user_id, time_ms, author_id, msg_id, rev, state, kind, limited) VALUES (0, 64, ?, 1, 1, 0, 1, 1, 0)`, i); err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), `
				INSERT INTO outbox (bucket, user_id, event_id, kind, target, due_ms, attempts, created_ms, payload, progress)
				VALUES (0, 64, ?, 1, 1, 1, 0, 0, '', '')`, i); err != nil {
				t.Fatal(err)
			}
		}
		for statement, columns := range map[string]string{
			"DELETE FROM msg_index": "bucket, user_id, time_ms, author_id, msg_id",
			"DELETE FROM outbox":    "bucket, user_id, event_id",
		} {
			for _, n := range []int{1, 2, 5} {
				var args []any
				for i := range n {
					args = append(args, append([]any{0, 64, i}, []any{1, 1}[:strings.Count(columns, ",")-2]...)...)
				}
				rows, err := db.QueryContext(t.Context(), "EXPLAIN "+statement+" WHERE "+dialect.In(columns, n), args...)
				if err != nil {
					t.Fatal(statement, err)
				}
				if plan := planOf(t, rows); plan["key"] != "PRIMARY" || plan["type"] != "range" && plan["type"] != "const" {
					t.Errorf("%s of %d keys: %v", statement, n, plan)
				}
			}
		}
	})
}

// planOf is the first line of an EXPLAIN.
func planOf(t *testing.T, rows *sql.Rows) map[string]string {
	t.Helper()
	columns, err := rows.Columns()
	if err != nil || !rows.Next() {
		t.Fatal("no plan", err, rows.Err())
	}
	values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := errors.Join(rows.Scan(into...), rows.Close()); err != nil {
		t.Fatal(err)
	}
	plan := map[string]string{}
	for i, name := range columns {
		plan[name] = values[i].String
	}
	return plan
}

// isDue asks the one rule about one reader and one message, from the rows of the author's shard.
func isDue(t *testing.T, b *Backend, reader Viewer, id MessageID) bool {
	t.Helper()
	x, err := b.Timelines.Explain(t.Context(), reader.UserID, id)
	if err != nil {
		t.Fatal(err)
	}
	if x.Problem != "" {
		t.Errorf("%s for %d: %s", id, reader.UserID, x.Problem)
	}
	return x.Due
}
