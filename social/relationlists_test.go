package social

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"socialctl/sharding"
)

func accountIDs(accounts []Account) []UserID {
	ids := make([]UserID, len(accounts))
	for i, a := range accounts {
		ids[i] = a.ID
	}
	return ids
}

func (s *stage) walkAccounts(limit int, list func(PageRequest) (Page[Account], error)) []UserID {
	s.t.Helper()
	out := []UserID{}
	p := PageRequest{Limit: limit}
	for {
		page, err := list(p)
		s.ok(err)
		out = append(out, accountIDs(page.Items)...)
		if page.NextCursor == "" {
			return out
		}
		p.Cursor = page.NextCursor
	}
}

func TestFollowersAndFollowing(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(7)
		star := p[0]
		order := []UserID{p[3], p[1], p[6], p[2], p[5], p[4]}
		for _, fan := range order {
			s.follow(fan, star)
			s.follow(star, fan)
		}
		slices.Reverse(order)
		followers := func(v Viewer, limit int) []UserID {
			return s.walkAccounts(limit, func(p PageRequest) (Page[Account], error) { return s.b.Relations.Followers(ctx, v, star, p) })
		}
		following := func(v Viewer, limit int) []UserID {
			return s.walkAccounts(limit, func(p PageRequest) (Page[Account], error) { return s.b.Relations.Following(ctx, v, star, p) })
		}
		for limit := 1; limit <= 7; limit++ {
			if got := followers(Viewer{}, limit); !slices.Equal(got, order) {
				t.Errorf("followers by %d: %v, want %v", limit, got, order)
			}
			if got := following(as(p[1]), limit); !slices.Equal(got, order) {
				t.Errorf("following by %d: %v, want %v", limit, got, order)
			}
		}
		// Following again is newest again; who left, and who is not in use any more, are out; a block hides no profile.
		s.relate(s.b.Relations.Unfollow, p[3], star)
		s.relate(s.b.Relations.Unfollow, p[1], star)
		s.follow(p[1], star)
		s.ok(s.b.Accounts.Disable(ctx, p[6]))
		s.ok(s.b.Accounts.Erase(ctx, p[2]))
		s.relate(s.b.Relations.Block, p[4], p[5])
		for _, v := range []Viewer{{}, as(p[5]), as(star)} {
			if got, want := followers(v, 2), []UserID{p[1], p[4], p[5]}; !slices.Equal(got, want) {
				t.Errorf("followers then: %v, want %v", got, want)
			}
		}
		page, err := s.b.Relations.Followers(ctx, as(p[5]), star, PageRequest{})
		s.ok(err)
		if rel := page.Items[1].Relationship; rel == nil || !rel.BlockedBy || rel.ID != p[4] {
			t.Errorf("the relationship in a list: %+v", rel)
		}
		page, err = s.b.Relations.Followers(ctx, Viewer{}, star, PageRequest{})
		s.ok(err)
		if page.Items[0].Relationship != nil {
			t.Error("nobody has a relationship")
		}
		for _, nobody := range []UserID{4711, p[2], p[6]} {
			if _, err := s.b.Relations.Followers(ctx, as(star), nobody, PageRequest{}); CodeOf(err) != CodeNotFound {
				t.Errorf("followers of %d: %v", nobody, err)
			}
			if _, err := s.b.Relations.Following(ctx, as(star), nobody, PageRequest{}); CodeOf(err) != CodeNotFound {
				t.Errorf("followed by %d: %v", nobody, err)
			}
		}
		first, err := s.b.Relations.Followers(ctx, Viewer{}, star, PageRequest{Limit: 1})
		s.ok(err)
		if _, err := s.b.Relations.Following(ctx, Viewer{}, star, PageRequest{Cursor: first.NextCursor}); CodeOf(err) != CodeCursorInvalid {
			t.Errorf("a cursor of the other list: %v", err)
		}
		s.follow(p[3], star)
		above, err := s.b.Relations.Followers(ctx, Viewer{}, star, PageRequest{Cursor: first.PrevCursor})
		s.ok(err)
		if !slices.Equal(accountIDs(above.Items), []UserID{p[3]}) {
			t.Errorf("above: %v", accountIDs(above.Items))
		}
	})
}

func TestBlocksAndMutes(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(5)
		me := p[0]
		for _, other := range p[1:] {
			s.relate(s.b.Relations.Block, me, other)
			s.relate(s.b.Relations.Mute, me, other)
		}
		s.relate(s.b.Relations.Unblock, me, p[2])
		s.relate(s.b.Relations.Unmute, me, p[3])
		blocks := s.walkAccounts(2, func(p PageRequest) (Page[Account], error) { return s.b.Relations.Blocks(ctx, as(me), p) })
		mutes := s.walkAccounts(2, func(p PageRequest) (Page[Account], error) { return s.b.Relations.Mutes(ctx, as(me), p) })
		if !slices.Equal(blocks, []UserID{p[4], p[3], p[1]}) || !slices.Equal(mutes, []UserID{p[4], p[2], p[1]}) {
			t.Errorf("blocks %v, mutes %v", blocks, mutes)
		}
		for what, list := range map[string]func(context.Context, Viewer, PageRequest) (Page[Account], error){
			"blocks": s.b.Relations.Blocks, "mutes": s.b.Relations.Mutes} {
			if _, err := list(ctx, Viewer{}, PageRequest{}); CodeOf(err) != CodeTokenMissing {
				t.Errorf("nobody's %s: %v", what, err)
			}
			page, err := list(ctx, as(p[1]), PageRequest{})
			if err != nil || len(page.Items) != 0 || page.NextCursor != "" || page.PrevCursor == "" {
				t.Errorf("another's %s: %+v, %v", what, page, err)
			}
		}
	})
}

// The primary key is by who; newest first has an index of its own (REVIEW F44).
func TestF44FollowersNewestFirstUsesIndex(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		const star = UserID(5)
		bucket := s.b.bucket(star)
		for from := int64(0); from < 5000; from += 500 {
			args := make([]any, 0, 500*9)
			for n := from; n < from+500; n++ {
				args = append(args, bucket, int64(star), relFan, n+100, int(n%2), 1_700_000_000_000+n*7919%5000, 0, 0, 0)
			}
			s.exec(star, `INSERT INTO user_relation (bucket, user_id, kind, other_id, state, rev, since_clock, from_msg_id, until_msg_id)
				VALUES `+sharding.Values(9, 500), args...)
		}
		s.analyze(star, "user_relation")
		for _, from := range []seek{{newestEnd, false}, {oldestEnd, true},
			{boundary{Position{TimeMS: 1_700_000_002_000, Author: 700}, true}, false},
			{boundary{Position{TimeMS: 1_700_000_002_000, Author: 700}, false}, true}} {
			plan := s.explain(star, relatedQuery(from), relatedArgs(bucket, star, relFan, from, 21)...)
			s.wantRange(t, plan, "user_relation_newest", fmt.Sprint(from))
		}
	})
}
