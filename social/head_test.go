package social

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"socialctl/configs"
)

// TestHeadIsThePlainReading compares what a head gives with a reading of all rows, for any seek.
func TestHeadIsThePlainReading(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		position := rapid.Custom(func(rt *rapid.T) Position {
			small := rapid.Int64Range(1, 4)
			return Position{small.Draw(rt, "time"), UserID(small.Draw(rt, "author")), small.Draw(rt, "n")}
		})
		at := rapid.SliceOfNDistinct(position, 0, 30, func(p Position) Position { return p }).Draw(rt, "rows")
		slices.SortFunc(at, Position.Compare)
		rows := make([]entry, len(at))
		for i, p := range at {
			rows[i] = entry{timeMS: p.TimeMS, id: MessageID{p.Author, p.N}}
		}
		size := rapid.IntRange(0, len(rows)).Draw(rt, "size")
		h := &head{rows: rows[:size:size], all: size == len(rows) && rapid.Bool().Draw(rt, "known to be all")}
		s := seek{newer: rapid.Bool().Draw(rt, "newer")}
		switch rapid.IntRange(0, 3).Draw(rt, "from") {
		case 0:
			s.boundary = newestEnd
		case 1:
			s.boundary = oldestEnd
		default:
			s.boundary = boundary{position.Draw(rt, "at"), rapid.Bool().Draw(rt, "older")}
		}
		n := rapid.IntRange(1, 12).Draw(rt, "n")

		var want []entry
		for _, e := range rows {
			c := e.position().Compare(s.at)
			older := c > 0 || c == 0 && !s.older // than the boundary
			if older != s.newer {
				want = append(want, e)
			}
		}
		if s.newer {
			slices.Reverse(want)
		}
		want = want[:min(n, len(want))]
		got, ok := h.from(s, n)
		if ok && !slices.Equal(got, want) {
			rt.Fatalf("%+v, %d rows: %v, not %v", s, n, got, want)
		}
		if !ok && size == len(rows) && h.all {
			rt.Fatalf("%+v: a head that is the whole gave nothing", s)
		}
		if !ok && s.boundary == newestEnd && !s.newer && n <= size {
			rt.Fatalf("the top %d of %d rows are not given", n, size)
		}
	})
}

// TestF11EveryWriteToATimelineForgetsItsCopies: whatever writes to a timeline on one server, no other shows its copy
// from before.
func TestF11EveryWriteToATimelineForgetsItsCopies(t *testing.T) {
	for _, policy := range []string{"remove", "keep"} {
		t.Run(policy, func(t *testing.T) {
			onClock(t, func(cfg *configs.Config) { cfg.Timeline.OnUnfollow = policy; cfg.Timeline.Backfill = 5 }, everyWriteToATimeline)
		})
	}
}

func everyWriteToATimeline(t *testing.T, s *modelStore, reads *Backend) {
	if err := s.open(0); err != nil {
		t.Fatal(err)
	}
	writes := s.servers[1].Backend
	s.servers = s.servers[1:] // the other one reads, and does no work
	t.Cleanup(func() {
		if err := reads.Close(); err != nil {
			t.Error(err)
		}
	})
	reader, author, fanless := person(t, writes), person(t, writes), person(t, writes)
	all := []Viewer{reader, author, fanless}
	rows := func(v Viewer) ([]entry, []entry) {
		t.Helper()
		taken := reads.prefetch(t.Context(), v.UserID, 20)
		copied, err := reads.timeline(v.UserID, taken)(t.Context(), seek{boundary: newestEnd}, 50)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := reads.entries(t.Context(), v.UserID, seek{boundary: newestEnd}, 50)
		if err != nil {
			t.Fatal(err)
		}
		return copied, fresh
	}
	last := map[UserID][]entry{}
	// after does something on the writing server; changed are those whose timelines must be others then.
	after := func(what string, verb func() error, changed ...Viewer) {
		t.Helper()
		for _, v := range all {
			last[v.UserID], _ = rows(v) // a copy is there now
		}
		s.clock.Add(5)
		if err := verb(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		s.passAll(t)
		for _, v := range all {
			copied, fresh := rows(v)
			if !slices.Equal(copied, fresh) {
				t.Errorf("after %s the copy has %v, the table %v", what, copied, fresh)
			}
			if slices.ContainsFunc(changed, func(c Viewer) bool { return c.UserID == v.UserID }) == slices.Equal(fresh, last[v.UserID]) {
				t.Errorf("%s: is the timeline of %d another? It was %v and is %v", what, v.UserID, last[v.UserID], fresh)
			}
		}
	}
	ctx := t.Context()
	publish := func(by Viewer, visibility Visibility) func() error {
		return func() error {
			_, err := writes.Messages.Publish(ctx, by, Draft{Content: "words", Visibility: visibility}, KeyUse{})
			return err
		}
	}
	relate := func(verb func(context.Context, Viewer, UserID) (Relationship, error), by, of Viewer) func() error {
		return func() error {
			_, err := verb(ctx, by, of.UserID)
			return err
		}
	}
	imported := 0
	bring := func(by Viewer) func() error {
		return func() error {
			imported++
			out, err := writes.Messages.Import(ctx, []ImportedMessage{{Author: by.UserID, Source: "test", External: fmt.Sprint(imported),
				At: Millis(s.clock.Load()), Kind: KindOriginal, Content: "imported"}})
			if err == nil {
				err = out[0].Err
			}
			return err
		}
	}
	rel := writes.Relations
	after("a post without fans", publish(fanless, VisibilityPublic), fanless)
	after("an import without fans", bring(fanless), fanless)
	after("a post", publish(author, VisibilityPublic), author)
	after("a follow, by its backfill", relate(rel.Follow, reader, author), reader)
	after("a post to a fan", publish(author, VisibilityPublic), author, reader)
	after("posts carried together", func() error {
		writes.working.Store(true)
		defer writes.working.Store(false)
		if err := publish(author, VisibilityPublic)(); err != nil {
			return err
		}
		return publish(author, VisibilityPublic)()
	}, author, reader)
	after("an import to a fan", bring(author), author, reader)
	after("a follow back", relate(rel.Follow, author, reader))
	after("a post for mutuals", publish(author, VisibilityMutuals), author, reader)
	after("the end of being mutuals", relate(rel.Unfollow, author, reader), reader)
	var repost *Message
	after("a repost", func() (err error) {
		repost, _, err = writes.Messages.Repost(ctx, author, MessageID{fanless.UserID, 1}, "", KeyUse{})
		return err
	}, author, reader)
	after("a deletion", func() error { return writes.Messages.Delete(ctx, author, repost.ID) }, author, reader)
	after("a day, by the sweep", func() error {
		s.clock.Add(25 * time.Hour.Milliseconds())
		return nil
	}, author, reader)
	after("a post for followers", publish(author, VisibilityFollowers), author, reader)
	after("an unfollow, by its purge", relate(rel.Unfollow, reader, author), reader)
	after("an import of follows", func() error {
		_, err := rel.Import(ctx, []ImportedFollow{{Follower: reader.UserID, Followed: fanless.UserID}})
		return err
	}, reader)
	after("the end of an account", func() error { return writes.Accounts.Erase(ctx, fanless.UserID) }, fanless, reader)
}

// TestF11ADeadServersDeliveryIsForgotten: a server died between writing to timelines and saying so; whoever takes the job
// over says it.
func TestF11ADeadServersDeliveryIsForgotten(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		if err := s.open(0); err != nil {
			t.Fatal(err)
		}
		author, reader, alone := person(t, b), person(t, b), person(t, b)
		follow(t, b, reader, author)
		s.passAll(t)
		dies := s.servers[1].Backend
		publish := func(by Viewer) {
			t.Helper()
			if got := home(t, b, by, 20); len(got) != 0 {
				t.Fatalf("home has %q", contents(got))
			}
			killed(t, dies, func() error {
				_, err := dies.Messages.Publish(t.Context(), by, Draft{Content: "hello"}, KeyUse{})
				return err
			})
		}
		if got := home(t, b, reader, 20); len(got) != 0 {
			t.Fatalf("home has %q", contents(got))
		}
		publish(author)
		publish(alone)
		d, err := dies.fansToReach(t.Context(), author.UserID, deliveryPayload{N: 1}, deliveryProgress{})
		if err != nil || len(d.fans) != 1 {
			t.Fatalf("%+v, %v", d, err)
		}
		shard := dies.Cluster.For(int64(reader.UserID))
		if _, err := dies.Cluster.WriteStatements(t.Context(), shard, dies.bucketsOf(d.fans), dies.statements(shard, d, d.fans)...); err != nil {
			t.Fatal(err)
		}
		s.clock.Add(2 * jobLease.Milliseconds())
		s.servers = s.servers[:1]
		s.passAll(t)
		for _, v := range []Viewer{author, reader, alone} {
			if got := contents(home(t, b, v, 20)); !slices.Equal(got, []string{"hello"}) {
				t.Errorf("home of %d has %q", v.UserID, got)
			}
		}
		if err := dies.Close(); err != nil {
			t.Error(err)
		}
	})
}

// commands counts what a client is asked.
type commands struct{ n atomic.Int64 }

func (c *commands) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}
func (c *commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmds)
	}
}

// TestAWarmHomeTakesOneExchangeAndNoStatement, the token included; and what was guessed wrong is asked for.
func TestAWarmHomeTakesOneExchangeAndNoStatement(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		author, original := person(t, b), person(t, b)
		reader, err := b.Accounts.SignUp(t.Context(), SignUp{Name: "warm", Password: "correct horse"})
		if err != nil {
			t.Fatal(err)
		}
		v := Viewer{UserID: reader.Account.ID}
		follow(t, b, v, author)
		m := post(t, b, original, "passed on", VisibilityPublic)
		if _, _, err := b.Messages.Repost(t.Context(), author, m.ID, "look", KeyUse{}); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			s.clock.Add(1)
			post(t, b, author, fmt.Sprint(i), VisibilityPublic)
		}
		s.passAll(t)
		see := func(limit int) []string {
			t.Helper()
			v, taken, err := b.Sessions.AuthenticateReader(t.Context(), reader.Token, true, limit)
			if err != nil {
				t.Fatal(err)
			}
			page, err := b.Timelines.Home(t.Context(), v, ListQuery{PageRequest: PageRequest{Limit: limit}, Prefetched: taken})
			if err != nil {
				t.Fatal(err)
			}
			return contents(page.Items)
		}
		want := []string{"4", "3", "2", "1", "0", "look"}
		asked := &commands{}
		b.cache.Client().AddHook(asked)
		soon(t, "a page is warm", func() bool { // once: the watch of Redis asks in between, and a busy machine is late with the epochs
			before := asked.n.Load()
			_, misses := b.heads.Stats()
			if got := see(0); !slices.Equal(got, want) {
				t.Fatalf("home has %q", got)
			}
			_, now := b.heads.Stats()
			return asked.n.Load() == before+1 && now == misses
		})
		if got := see(2); !slices.Equal(got, want[:2]) {
			t.Errorf("home has %q", got)
		}
		s.clock.Add(1)
		post(t, b, author, "news", VisibilityPublic)
		s.passAll(t)
		if got := see(0); !slices.Equal(got, append([]string{"news"}, want...)) {
			t.Errorf("home has %q", got)
		}
		_, others, err := b.Sessions.AuthenticateReader(t.Context(), reader.Token, true, 0)
		if err != nil {
			t.Fatal(err)
		}
		page, err := b.Timelines.Home(t.Context(), author, ListQuery{Prefetched: others})
		if got := contents(page.Items); err != nil || !slices.Equal(got, []string{"news", "4", "3", "2", "1", "0", "look"}) {
			t.Errorf("another's home has %q, %v", got, err)
		}
	})
}
