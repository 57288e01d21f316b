package social

import (
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"socialctl/configs"
	"socialctl/sharding/shardingtest"
)

// each runs a test on the embedded default and on the real servers.
func each(t *testing.T, test func(t *testing.T, b *Backend)) {
	t.Helper()
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) { test(t, openTest(t, p.Config(t))) })
	}
}

// onCluster runs a test on the real servers alone: it is about locks or orders that SQLite cannot have.
func onCluster(t *testing.T, test func(t *testing.T, b *Backend)) {
	t.Helper()
	for _, p := range shardingtest.Profiles() {
		if p.Cluster {
			t.Run(p.Name, func(t *testing.T) { test(t, openTest(t, p.Config(t))) })
		}
	}
}

func testLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func openTest(t *testing.T, cfg configs.Config) *Backend {
	t.Helper()
	b, err := Open(t.Context(), cfg, OpenOptions{Role: RoleServer, Log: testLog()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

var named atomic.Int64

// person makes an account without a password: hashing is not what these tests are about.
func person(t *testing.T, b *Backend) Viewer {
	t.Helper()
	id, err := b.Accounts.Create(t.Context(), fmt.Sprintf("p%d", named.Add(1)), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return Viewer{UserID: id}
}

func people(t *testing.T, b *Backend, n int) []Viewer {
	t.Helper()
	out := make([]Viewer, n)
	for i := range out {
		out[i] = person(t, b)
	}
	return out
}

func follow(t *testing.T, b *Backend, v, other Viewer) {
	t.Helper()
	rel, err := b.Relations.Follow(t.Context(), v, other.UserID)
	if err != nil || !rel.Following || rel.Pending {
		t.Fatalf("follow: %+v, %v", rel, err)
	}
}

func post(t *testing.T, b *Backend, v Viewer, content string, vis Visibility) *Message {
	t.Helper()
	m, err := b.Messages.Publish(t.Context(), v, Draft{Content: content, Visibility: vis}, KeyUse{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// drain works off the outbox until nothing is due, now or under a lease that this process holds.
func drain(t *testing.T, b *Backend) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := b.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if owed(t, b) == 0 {
			return
		}
	}
	t.Fatalf("%d effects are still owed", owed(t, b))
}

// owed counts what is still to do, without the sweeps that wait for a day.
func owed(t *testing.T, b *Backend) int {
	t.Helper()
	total := 0
	for _, shard := range b.Cluster.Shards() {
		var n int
		row := b.Cluster.RawForTest(shard).QueryRowContext(t.Context(),
			`SELECT COUNT(*) FROM outbox WHERE due_ms < ?`, b.now()+time.Hour.Milliseconds())
		if err := row.Scan(&n); err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

// killed has a server die in a verb, between the commit and the first word of it to the others.
func killed(t *testing.T, dies *Backend, verb func() error) {
	t.Helper()
	const last = "dies"
	dies.cache.AfterCommitForTest(func() { panic(last) })
	var err error
	defer func() {
		if got := recover(); got != last {
			t.Fatalf("the server lived on: %v, %v", got, err)
		}
	}()
	err = verb()
}

// soon waits for what other goroutines and processes bring about.
func soon(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit, tick := time.NewTimer(20*time.Second), time.NewTicker(2*time.Millisecond)
	defer limit.Stop()
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit.C:
			t.Fatal("does not come: " + what)
		case <-tick.C:
		}
	}
}

// home reads a whole timeline to its end, in pages.
func home(t *testing.T, b *Backend, v Viewer, limit int) []*Message {
	t.Helper()
	var out []*Message
	cursor := ""
	for range 1000 {
		page, err := b.Timelines.Home(t.Context(), v, ListQuery{PageRequest: PageRequest{Limit: limit, Cursor: cursor}})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, page.Items...)
		if page.NextCursor == "" {
			return out
		}
		cursor = page.NextCursor
	}
	t.Fatal("a timeline without end")
	return nil
}

func contents(list []*Message) []string {
	out := []string{}
	for _, m := range list {
		out = append(out, m.Content)
	}
	return out
}
