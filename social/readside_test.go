package social

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"socialctl/configs"
	"socialctl/sharding"
	"socialctl/sharding/shardingtest"
)

// stage is an opened system with some people on it, for the tests of what they see.
type stage struct {
	t       rapid.TB
	b       *Backend
	cluster bool // on the real servers
	rows    map[UserID][]entry
}

// onStage runs the test on the embedded default and on the real servers.
func onStage(t *testing.T, test func(t *testing.T, s *stage), change ...func(*configs.Config)) {
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) { test(t, newStage(t, p, change...)) })
	}
}

func newStage(t testing.TB, p shardingtest.Profile, change ...func(*configs.Config)) *stage {
	t.Helper()
	cfg := p.Config(t)
	for _, f := range change {
		f(&cfg)
	}
	b, err := Open(t.Context(), cfg, OpenOptions{Log: slog.New(slog.DiscardHandler), Role: RoleServer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return &stage{t: t, b: b, cluster: p.Cluster, rows: map[UserID][]entry{}}
}

// checks lowers how many cases rapid tries in this test where nobody asked for another number.
func checks(t *testing.T, n int) {
	t.Helper()
	const name = "rapid.checks"
	was := flag.Lookup(name).Value.String()
	if was != flag.Lookup(name).DefValue {
		return
	}
	if err := flag.Set(name, strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, was) })
}

func (s *stage) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// people makes accounts named p1, p2 …
func (s *stage) people(n int) []UserID {
	s.t.Helper()
	ids := make([]UserID, n)
	for i := range ids {
		id, err := s.b.Accounts.Create(context.Background(), fmt.Sprintf("p%d", i+1), "", "")
		s.ok(err)
		ids[i] = id
	}
	return ids
}

func as(id UserID) Viewer { return Viewer{UserID: id} }

func (s *stage) post(by UserID, content string, visibility ...Visibility) MessageID {
	s.t.Helper()
	d := Draft{Content: content}
	if len(visibility) > 0 {
		d.Visibility = visibility[0]
	}
	m, err := s.b.Messages.Publish(context.Background(), as(by), d, KeyUse{})
	s.ok(err)
	return m.ID
}

func (s *stage) comment(by UserID, on MessageID, content string) MessageID {
	s.t.Helper()
	m, err := s.b.Messages.Comment(context.Background(), as(by), on, content, KeyUse{})
	s.ok(err)
	return m.ID
}

func (s *stage) repost(by UserID, of MessageID, content string) MessageID {
	s.t.Helper()
	m, _, err := s.b.Messages.Repost(context.Background(), as(by), of, content, KeyUse{})
	s.ok(err)
	return m.ID
}

func (s *stage) remove(id MessageID) {
	s.t.Helper()
	s.ok(s.b.Messages.Delete(context.Background(), as(id.Author), id))
}

// relate runs a verb of one person on another.
func (s *stage) relate(verb func(context.Context, Viewer, UserID) (Relationship, error), me, other UserID) {
	s.t.Helper()
	rel, err := verb(context.Background(), as(me), other)
	s.ok(err)
	if rel.Pending {
		s.t.Fatalf("%d to %d is pending", me, other)
	}
}

func (s *stage) follow(me UserID, others ...UserID) {
	s.t.Helper()
	for _, other := range others {
		s.relate(s.b.Relations.Follow, me, other)
	}
}

// deliver works off all that is due.
func (s *stage) deliver() {
	s.t.Helper()
	for range 50 {
		n, err := s.b.Pass(context.Background())
		s.ok(err)
		if n == 0 {
			return
		}
	}
	s.t.Fatal("work without end")
}

func (s *stage) get(v UserID, id MessageID) *Message {
	s.t.Helper()
	m, err := s.b.Messages.Get(context.Background(), as(v), id)
	if CodeOf(err) == CodeNotFound {
		return nil
	}
	s.ok(err)
	return m
}

// home reads the whole home timeline by its cursors.
func (s *stage) home(v UserID, kinds ...Kind) []MessageID {
	s.t.Helper()
	return s.walk(func(p PageRequest) (Page[*Message], error) {
		return s.b.Timelines.Home(context.Background(), as(v), ListQuery{PageRequest: p, Kinds: kinds})
	})
}

// walk reads a list of messages from its top to its end, three at a time.
func (s *stage) walk(list func(PageRequest) (Page[*Message], error)) []MessageID {
	s.t.Helper()
	out := []MessageID{}
	p := PageRequest{Limit: 3}
	for {
		page, err := list(p)
		s.ok(err)
		out = append(out, idsOf(page.Items)...)
		if page.NextCursor == "" {
			return out
		}
		p.Cursor = page.NextCursor
	}
}

func idsOf(messages []*Message) []MessageID {
	ids := make([]MessageID, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	return ids
}

// entry puts a row straight into a timeline, at the next flush: for what needs more rows than verbs would write in time.
func (s *stage) entry(reader UserID, e entry) { s.rows[reader] = append(s.rows[reader], e) }

func (s *stage) flush() {
	s.t.Helper()
	for reader, rows := range s.rows {
		for len(rows) > 0 {
			part := rows[:min(len(rows), 500)]
			rows = rows[len(part):]
			bucket := s.b.bucket(reader)
			args := make([]any, 0, 9*len(part))
			for _, e := range part {
				args = append(args, bucket, int64(reader), e.timeMS, int64(e.id.Author), e.id.N, e.rev, number(e.live), int(e.kind), number(e.limited))
			}
			s.exec(reader, `INSERT INTO msg_index (bucket, user_id, time_ms, author_id, msg_id, rev, state, kind, limited)
				VALUES `+sharding.Values(9, len(part)), args...)
		}
		delete(s.rows, reader)
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// exec writes to the person's shard behind the verbs' backs.
func (s *stage) exec(owner UserID, query string, args ...any) {
	s.t.Helper()
	s.ok(s.b.Cluster.Write(context.Background(), int64(owner), func(ctx context.Context, tx *sharding.Tx) error {
		_, err := tx.Exec(ctx, sharding.Key("test", s.b.bucket(owner), int64(owner)), query, args...)
		return err
	}))
}

// explain returns the plan of a statement on the person's shard: type, key and remarks of each table.
func (s *stage) explain(owner UserID, query string, args ...any) string {
	s.t.Helper()
	word := "EXPLAIN QUERY PLAN "
	if s.cluster {
		word = "EXPLAIN "
	}
	var plan []string
	s.ok(s.b.Cluster.Read(context.Background(), int64(owner), func(ctx context.Context, r *sharding.Reader) error {
		plan = nil
		rows, err := r.Query(ctx, word+query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			line, err := planLine(rows, s.cluster)
			if err != nil {
				return err
			}
			plan = append(plan, line)
		}
		return rows.Err()
	}))
	return strings.Join(plan, "; ")
}

func planLine(rows *sql.Rows, mariadb bool) (string, error) {
	if !mariadb {
		var id, parent, unused int
		var detail string
		err := rows.Scan(&id, &parent, &unused, &detail)
		return detail, err
	}
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return "", err
	}
	by := map[string]string{}
	for i, name := range columns {
		by[name] = values[i].String
	}
	return fmt.Sprintf("%s: %s %s rows %s %s", by["table"], by["type"], by["key"], by["rows"], by["Extra"]), nil
}
