package social

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"socialctl/configs"
	"socialctl/sharding/shardingtest"
)

func (s *stage) wantHome(t *testing.T, who UserID, what string, want ...MessageID) {
	t.Helper()
	if got := s.home(who); !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// What decides at reading: none of this waits for the jobs that mend the rows.
func TestHomeDecidesAtOnce(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		p := s.people(4)
		me, a, b, c := p[0], p[1], p[2], p[3]
		s.follow(me, a, b, c)
		one := s.post(a, "one")
		two := s.post(b, "two")
		passed := s.repost(c, two, "")
		own := s.repost(me, two, "and I")
		s.deliver()
		s.wantHome(t, me, "all", own, passed, two, one)

		s.relate(s.b.Relations.Unfollow, me, a)
		s.wantHome(t, me, "after an unfollow", own, passed, two)
		s.relate(s.b.Relations.Mute, me, b)
		s.wantHome(t, me, "the muted, reposts of them, and one's own reposts of them")
		s.remove(two)
		s.wantHome(t, me, "reposts of what the muted have deleted")
		s.relate(s.b.Relations.Unmute, me, b)
		s.wantHome(t, me, "after unmuting", own, passed)
		s.relate(s.b.Relations.Block, b, me)
		s.wantHome(t, me, "reposts of who blocks")
		s.relate(s.b.Relations.Unblock, b, me)
		s.wantHome(t, me, "reposts of who did", own, passed)
		s.relate(s.b.Relations.Block, me, c)
		s.wantHome(t, me, "after a block", own)
	})
}

// A limited entry is tied to the follow under which it was written: not even the moment before the jobs run gives those of
// an ended one back.
func TestARefollowGivesNoLimitedMessagesBack(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		p := s.people(2)
		me, a := p[0], p[1]
		s.follow(me, a)
		open, limited := s.post(a, "open"), s.post(a, "limited", VisibilityFollowers)
		s.deliver()
		s.wantHome(t, me, "while following", limited, open)
		s.relate(s.b.Relations.Unfollow, me, a)
		s.follow(me, a)
		s.wantHome(t, me, "following again, before the jobs", open)
		if s.get(me, limited) != nil {
			t.Error("the limited message is still read at its own address")
		}
		s.deliver()
		s.wantHome(t, me, "following again", open)
		again := s.post(a, "limited too", VisibilityFollowers)
		s.deliver()
		s.wantHome(t, me, "a limited one of the new follow", again, open)
	})
}

// Under keep the public messages of an ended follow stay, the limited ones go (REVIEW F19).
func TestF19KeepLeavesPublicMessagesAlone(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		p := s.people(2)
		me, a := p[0], p[1]
		s.follow(me, a)
		open, limited := s.post(a, "open"), s.post(a, "limited", VisibilityFollowers)
		gone := s.post(a, "deleted later")
		s.deliver()
		s.relate(s.b.Relations.Unfollow, me, a)
		s.wantHome(t, me, "before the jobs", gone, open)
		s.deliver()
		s.wantHome(t, me, "after them", gone, open)
		s.post(a, "after the end")
		s.remove(gone)
		s.wantHome(t, me, "a kept one is deleted", open)
		s.deliver()
		s.wantHome(t, me, "and delivered no more", open)
		if s.get(me, limited) != nil {
			t.Error("a limited message outlives its follow")
		}
		s.relate(s.b.Relations.Block, a, me)
		s.wantHome(t, me, "a block takes kept ones too")
	}, func(cfg *configs.Config) { cfg.Timeline.OnUnfollow = "keep" })
}

func TestHomeKindsAndComments(t *testing.T) {
	for _, comments := range []bool{false, true} {
		onStage(t, func(t *testing.T, s *stage) {
			p := s.people(2)
			me, a := p[0], p[1]
			s.follow(me, a)
			post := s.post(a, "a post")
			passed := s.repost(a, post, "with words")
			answer := s.comment(a, post, "an answer")
			s.deliver()
			all := []MessageID{passed, post}
			var answers []MessageID
			if comments {
				all, answers = []MessageID{answer, passed, post}, []MessageID{answer}
			}
			for _, c := range []struct {
				kinds []Kind
				want  []MessageID
			}{{nil, all}, {[]Kind{KindOriginal}, []MessageID{post}}, {[]Kind{KindRepost}, []MessageID{passed}},
				{[]Kind{KindRepost, KindOriginal, KindRepost}, []MessageID{passed, post}}, {[]Kind{KindComment}, answers}} {
				if got := s.home(me, c.kinds...); !slices.Equal(got, c.want) {
					t.Errorf("comments %v, kinds %v: got %v, want %v", comments, c.kinds, got, c.want)
				}
			}
			if _, err := s.b.Timelines.Home(t.Context(), as(me), ListQuery{Kinds: []Kind{4}}); CodeOf(err) != CodeInvalid {
				t.Errorf("an unknown kind: %v", err)
			}
		}, func(cfg *configs.Config) { cfg.Timeline.Comments = comments })
	}
}

// Equal milliseconds exist. Order is by time, then author, then number, all descending, and before is exclusive.
func TestHomeOrderAndBefore(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(4)
		me := p[0]
		s.follow(me, p[1:]...)
		var want []MessageID
		for i, a := range p[1:] {
			id := s.post(a, "at once")
			s.exec(a, `UPDATE msg_info SET time_ms = ? WHERE bucket = ? AND user_id = ?`, 1000+i/2, s.b.bucket(a), int64(a))
			s.entry(me, entry{id: id, timeMS: int64(1000 + i/2), rev: 1, kind: KindOriginal, live: true})
			want = append(want, id)
		}
		s.flush()
		slices.SortFunc(want[:2], func(x, y MessageID) int { return int(y.Author - x.Author) })
		want = []MessageID{want[2], want[0], want[1]}
		s.wantHome(t, me, "in order", want...)
		for _, c := range []struct {
			before Millis
			want   []MessageID
		}{{1002, want}, {1001, want[1:]}, {1000, nil}, {-5, nil}} {
			got, err := s.b.Timelines.Home(ctx, as(me), ListQuery{Before: c.before})
			s.ok(err)
			if !slices.Equal(idsOf(got.Items), c.want) {
				t.Errorf("before %d: %v, want %v", c.before, idsOf(got.Items), c.want)
			}
			above, err := s.b.Timelines.Home(ctx, as(me), ListQuery{PageRequest: PageRequest{Cursor: got.PrevCursor}})
			s.ok(err)
			if wantAbove := want[:len(want)-len(c.want)]; !slices.Equal(idsOf(above.Items), wantAbove) {
				t.Errorf("above before %d: %v, want %v", c.before, idsOf(above.Items), wantAbove)
			}
		}
		first, err := s.b.Timelines.Home(ctx, as(me), ListQuery{PageRequest: PageRequest{Limit: 1}, Before: 1002})
		s.ok(err)
		second, err := s.b.Timelines.Home(ctx, as(me), ListQuery{PageRequest: PageRequest{Cursor: first.NextCursor}})
		s.ok(err)
		if !slices.Equal(idsOf(second.Items), want[1:]) {
			t.Errorf("on from a page that had a before: %v", idsOf(second.Items))
		}
		_, err = s.b.Timelines.Home(ctx, as(me), ListQuery{PageRequest: PageRequest{Cursor: first.NextCursor}, Before: 1002})
		if e, ok := err.(*Error); !ok || e.Code != CodeInvalid || e.Pointer != "/before" {
			t.Errorf("before with a cursor: %v", err)
		}
	})
}

// Cursors hold on every server and across restarts, and nowhere but in their own list.
func TestHomeCursorsAreBoundAndLast(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(2)
		me, other := p[0], p[1]
		var want []MessageID
		for range 5 {
			want = append([]MessageID{s.post(me, "words")}, want...)
		}
		first, err := s.b.Timelines.Home(ctx, as(me), ListQuery{PageRequest: PageRequest{Limit: 2}})
		s.ok(err)
		second, err := Open(ctx, s.b.Config, OpenOptions{Log: slog.New(slog.DiscardHandler), Role: RoleServer})
		s.ok(err)
		defer func() { s.ok(second.Close()) }()
		rest, err := second.Timelines.Home(ctx, as(me), ListQuery{PageRequest: PageRequest{Cursor: first.NextCursor}})
		s.ok(err)
		if !slices.Equal(idsOf(rest.Items), want[2:]) || rest.NextCursor != "" {
			t.Errorf("on another server: %v, next %q", idsOf(rest.Items), rest.NextCursor)
		}
		for what, try := range map[string]func() error{
			"another reader": func() error {
				_, err := s.b.Timelines.Home(ctx, as(other), ListQuery{PageRequest: PageRequest{Cursor: first.NextCursor}})
				return err
			},
			"another filter": func() error {
				_, err := s.b.Timelines.Home(ctx, as(me), ListQuery{PageRequest: PageRequest{Cursor: first.NextCursor}, Kinds: []Kind{KindOriginal}})
				return err
			},
			"another list": func() error {
				_, err := s.b.Messages.ByAccount(ctx, as(me), me, ListQuery{PageRequest: PageRequest{Cursor: first.NextCursor}})
				return err
			},
		} {
			if err := try(); CodeOf(err) != CodeCursorInvalid {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := s.b.Timelines.Home(ctx, Viewer{}, ListQuery{}); CodeOf(err) != CodeTokenMissing {
			t.Errorf("nobody's home: %v", err)
		}
	})
}

// A page that was read before asks the shards for the timeline's rows and for nothing else.
func TestAWarmPageLoadsNothing(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		p := s.people(3)
		me := p[0]
		s.follow(me, p[1:]...)
		for _, a := range p[1:] {
			id := s.post(a, "words")
			s.repost(a, id, "passed on")
			s.comment(me, id, "mine")
		}
		s.deliver()
		s.home(me)
		_, messages := s.b.messages.Stats()
		_, authors := s.b.authors.Stats()
		_, viewers := s.b.viewers.Stats()
		if got := s.home(me); len(got) != 4 {
			t.Fatalf("home: %v", got)
		}
		_, messagesThen := s.b.messages.Stats()
		_, authorsThen := s.b.authors.Stats()
		_, viewersThen := s.b.viewers.Stats()
		if messagesThen != messages || authorsThen != authors || viewersThen != viewers {
			t.Errorf("misses on a warm page: %d messages, %d authors, %d viewers", messagesThen-messages, authorsThen-authors, viewersThen-viewers)
		}
	})
}

// What is passed on or answered is known beforehand from any copy, so that a warm page takes one exchange with Redis.
func TestAWarmPageTakesOneExchange(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		p := s.people(3)
		me, friend, other := p[0], p[1], p[2]
		s.follow(me, friend)
		original := s.post(other, "words")
		passed := s.repost(friend, original, "")
		s.deliver()
		s.wantHome(t, me, "warm", passed)
		s.b.cache.Invalidate(t.Context(), messageKey(passed)) // an old copy knows it as well
		page := s.b.look(as(me))
		st, err := page.begin(t.Context(), []MessageID{passed})
		s.ok(err)
		if !slices.Equal(st.messages, []MessageID{passed, original}) || !slices.Equal(st.authors, []UserID{friend, other}) {
			t.Errorf("the first step is about %v by %v", st.messages, st.authors)
		}
		s.ok(page.finish(t.Context(), st))
		if st, err = page.begin(t.Context(), []MessageID{original}); err != nil || len(st.keys) != 0 {
			t.Errorf("there is a second step: %v, %v", st.keys, err)
		}
	})
}

// Whatever one server acknowledges decides every read begun afterwards on another, which has copies of how it was.
func TestAnotherServersCopiesAreCurrent(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		second, err := Open(ctx, s.b.Config, OpenOptions{Log: slog.New(slog.DiscardHandler), Role: RoleServer})
		s.ok(err)
		defer func() { s.ok(second.Close()) }()
		reading := &stage{t: t, b: second, cluster: s.cluster}
		p := s.people(3)
		me, a, b := p[0], p[1], p[2]
		s.follow(me, a, b)
		limited := s.post(a, "limited", VisibilityFollowers)
		one, two := s.post(a, "one"), s.post(b, "two")
		s.deliver()
		reading.wantHome(t, me, "warm", two, one, limited)

		s.remove(one)
		reading.wantHome(t, me, "deleted", two, limited)
		s.relate(s.b.Relations.Mute, me, b)
		reading.wantHome(t, me, "muted", limited)
		s.relate(s.b.Relations.Unmute, me, b)
		reading.wantHome(t, me, "unmuted", two, limited)
		s.relate(s.b.Relations.Block, b, me)
		reading.wantHome(t, me, "blocked", limited)
		if reading.get(me, two) != nil {
			t.Error("a message of who blocks is read at its own address")
		}
		answer := s.comment(b, s.post(b, "three"), "an answer")
		if reading.get(me, answer) != nil {
			t.Error("a comment of who blocks is read")
		}
		_, err = s.b.Relations.RemoveFollower(ctx, as(a), me)
		s.ok(err)
		reading.wantHome(t, me, "removed as a follower")
		if reading.get(me, limited) != nil {
			t.Error("a removed follower reads a limited message")
		}
		s.ok(s.b.Accounts.Disable(ctx, b))
		if reading.get(a, two) != nil {
			t.Error("a disabled account's message is read")
		}
		s.ok(s.b.Accounts.Enable(ctx, b))
		if reading.get(a, two) == nil {
			t.Error("an enabled account's message is not read")
		}
		mine := s.repost(a, two, "")
		if got := reading.get(a, two); !got.Reposted || got.RepostCount != 1 {
			t.Errorf("after a repost: %+v", got)
		}
		s.remove(mine)
		if got := reading.get(a, two); got.Reposted || got.RepostCount != 0 {
			t.Errorf("after its end: %+v", got)
		}
	})
}

// When the cache server is away every read asks the shards, and sees the same.
func TestReadsNeedNoCache(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		p := s.people(2)
		me, a := p[0], p[1]
		s.follow(me, a)
		id := s.post(a, "words")
		s.deliver()
		s.home(me)
		_, before := s.b.messages.Stats()
		s.b.cache.AwayForTest(true)
		s.wantHome(t, me, "without Redis", id)
		s.b.cache.AwayForTest(false)
		if _, after := s.b.messages.Stats(); after == before {
			t.Error("a copy was used although nobody could say whether it is current")
		}
	})
}

// Gone entries, of which a deleted author leaves thousands, are passed over within one call.
func TestHomePassesOverGoneEntries(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		me := s.people(1)[0]
		id := s.post(me, "at the bottom")
		for n := range int64(1500) {
			s.entry(me, entry{id: MessageID{99, n + 1}, timeMS: 1 << 42, rev: 1, kind: KindOriginal})
		}
		s.flush()
		got, err := s.b.Timelines.Home(context.Background(), as(me), ListQuery{})
		s.ok(err)
		if !slices.Equal(idsOf(got.Items), []MessageID{id}) || got.NextCursor != "" {
			t.Fatalf("%v, next %q", idsOf(got.Items), got.NextCursor)
		}
	})
}

// BenchmarkHome reads the top page of a timeline in use: 20 of 400 entries of 20 authors, some of them reposts.
func BenchmarkHome(b *testing.B) {
	for _, p := range shardingtest.Profiles() {
		b.Run(p.Name, func(b *testing.B) {
			s := newStage(b, p)
			people := s.people(21)
			me := people[0]
			s.follow(me, people[1:]...)
			for i := range 400 {
				by := people[1+i%20]
				id := s.post(by, "some words, as many as people write when they have something to say to others")
				if i%10 == 0 {
					s.repost(people[1+(i+1)%20], id, "")
				}
			}
			s.deliver()
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					page, err := s.b.Timelines.Home(context.Background(), as(me), ListQuery{})
					if err != nil || len(page.Items) != 20 {
						b.Errorf("%d items, %v", len(page.Items), err)
						return
					}
				}
			})
		})
	}
}
