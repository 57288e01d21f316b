package social

import (
	"slices"
	"testing"
)

func TestAccountsGet(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(4)
		a, b, disabled, deleted := p[0], p[1], p[2], p[3]
		bio := "a life"
		_, err := s.b.Accounts.Update(ctx, as(a), ProfilePatch{Bio: &bio})
		s.ok(err)
		s.follow(b, a)
		s.post(a, "one")
		s.ok(s.b.Accounts.Disable(ctx, disabled))
		s.ok(s.b.Accounts.Erase(ctx, deleted))
		got, err := s.b.Accounts.Get(ctx, Viewer{}, a)
		s.ok(err)
		if got.ID != a || got.Name != "p1" || got.DisplayName != "p1" || got.Bio != bio || got.CreatedAt == 0 || got.Relationship != nil ||
			got.MessageCount != 1 || got.FollowersCount != 1 || got.FollowingCount != 0 {
			t.Errorf("%+v", got)
		}
		got, err = s.b.Accounts.Get(ctx, as(b), a)
		s.ok(err)
		if want := (Relationship{ID: a, Following: true}); got.Relationship == nil || *got.Relationship != want {
			t.Errorf("seen by a follower: %+v", got.Relationship)
		}
		pending := UserID(4000)
		s.exec(pending, `INSERT INTO user_info (bucket, user_id, name, display_name, bio, password_hash, state, msg_count, message_count,
			follow_count, fans_count, clock, last_time_ms, created_ms) VALUES (?, ?, 'x', 'x', '', '', ?, 0, 0, 0, 0, 1, 0, 1)`,
			s.b.bucket(pending), int64(pending), accountPending)
		for what, id := range map[string]UserID{"disabled": disabled, "deleted": deleted, "pending": pending, "nobody": 4711} {
			if _, err := s.b.Accounts.Get(ctx, as(a), id); CodeOf(err) != CodeNotFound {
				t.Errorf("%s: %v", what, err)
			}
		}
		many, err := s.b.Accounts.GetMany(ctx, as(b), []UserID{b, disabled, 4711, a, deleted, pending})
		s.ok(err)
		if !slices.Equal(accountIDs(many), []UserID{b, a}) || !many[1].Relationship.Following {
			t.Errorf("many: %+v", many)
		}
		if none, err := s.b.Accounts.GetMany(ctx, Viewer{}, nil); err != nil || none == nil || len(none) != 0 {
			t.Errorf("none: %v, %v", none, err)
		}
		if _, err := s.b.Accounts.GetMany(ctx, Viewer{}, make([]UserID, 101)); CodeOf(err) != CodeInvalid {
			t.Errorf("101: %v", err)
		}
		s.relate(s.b.Relations.Block, a, b)
		if got, err = s.b.Accounts.Get(ctx, as(b), a); err != nil || !got.Relationship.BlockedBy || got.Relationship.Following || got.FollowersCount != 0 {
			t.Errorf("a profile stays readable behind a block: %+v, %v", got, err)
		}
	})
}

func TestResolve(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		id, err := s.b.Accounts.Create(ctx, "Straße_Ä", "", "")
		s.ok(err)
		me := as(77)
		for ref, want := range map[string]UserID{"17": 17, "me": 77, "@Straße_Ä": id, "@STRASSE_ä": id, "@strasse_A\u0308": id} {
			if got, err := s.b.Accounts.Resolve(ctx, me, ref); err != nil || got != want {
				t.Errorf("%s: %d, %v; want %d", ref, got, err, want)
			}
		}
		for _, ref := range []string{"", "@", "@nobody", "@me", "Me", "017", "-1", "0", "1.5", "99999999999999999999", "@a b", "@\xff"} {
			if got, err := s.b.Accounts.Resolve(ctx, me, ref); CodeOf(err) != CodeNotFound {
				t.Errorf("%q: %d, %v", ref, got, err)
			}
		}
		if _, err := s.b.Accounts.Resolve(ctx, Viewer{}, "me"); CodeOf(err) != CodeTokenMissing {
			t.Errorf("nobody's me: %v", err)
		}
	})
}

func TestBetween(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(7)
		me, followed, fan, blocked, blocker, muted, gone := p[0], p[1], p[2], p[3], p[4], p[5], p[6]
		s.follow(me, followed)
		s.follow(fan, me)
		s.follow(me, muted)
		s.relate(s.b.Relations.Block, me, blocked)
		s.relate(s.b.Relations.Block, blocker, me)
		s.relate(s.b.Relations.Mute, me, muted)
		s.ok(s.b.Accounts.Erase(ctx, gone))
		got, err := s.b.Relations.Between(ctx, as(me), []UserID{muted, gone, blocker, 4711, blocked, fan, followed, me})
		s.ok(err)
		want := []Relationship{{ID: muted, Following: true, Muting: true}, {ID: blocker, BlockedBy: true}, {ID: blocked, Blocking: true},
			{ID: fan, FollowedBy: true}, {ID: followed, Following: true}, {ID: me}}
		if !slices.Equal(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		if none, err := s.b.Relations.Between(ctx, as(me), nil); err != nil || none == nil || len(none) != 0 {
			t.Errorf("none: %v, %v", none, err)
		}
		if _, err := s.b.Relations.Between(ctx, Viewer{}, []UserID{me}); CodeOf(err) != CodeTokenMissing {
			t.Errorf("nobody: %v", err)
		}
		if _, err := s.b.Relations.Between(ctx, as(me), make([]UserID, 101)); CodeOf(err) != CodeInvalid {
			t.Errorf("101: %v", err)
		}
	})
}
