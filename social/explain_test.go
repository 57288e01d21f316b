package social

import (
	"strings"
	"testing"
)

// TestWhyAgreesWithDue goes through every relation that can decide, and every message.
func TestWhyAgreesWithDue(t *testing.T) {
	clauses := map[string]bool{}
	rels := []relation{{}, {state: stateLive, rev: 5, sinceClock: 3, fromMsg: 2}, {state: stateLive, rev: 5, sinceClock: 9, fromMsg: 8},
		{state: stateGone, rev: 6, sinceClock: 3, fromMsg: 2, untilMsg: 6}, {state: stateGone, rev: 6, sinceClock: 3, fromMsg: 2, untilMsg: 3}}
	for _, fan := range rels {
		for _, follow := range rels {
			for bits := range 16 {
				s := span{fan: fan, follow: follow, vetoed: bits&1 != 0, keepGone: bits&2 != 0}
				for v := VisibilityPublic; v <= VisibilityPrivate; v++ {
					m := &stored{id: MessageID{1, 5}, live: bits&4 == 0, visibility: v, rootVisibility: v, clock: 5, kind: KindOriginal}
					if bits&8 != 0 {
						m.kind = KindComment
					}
					due, clause := s.why(m)
					if due != s.due(m) || clause == "" {
						t.Fatalf("%+v %+v: why says %v (%s), due %v", s, m, due, clause, s.due(m))
					}
					clauses[clause] = true
				}
			}
		}
	}
	if len(clauses) < 12 {
		t.Errorf("only %d clauses were ever given: %v", len(clauses), clauses)
	}
}

// explained asks, and holds the answer's own claim to what reading really shows.
func explained(t *testing.T, b *Backend, reader Viewer, id MessageID) Explanation {
	t.Helper()
	x, err := b.Timelines.Explain(t.Context(), reader.UserID, id)
	if err != nil {
		t.Fatal(err)
	}
	shown := false
	for _, m := range home(t, b, reader, 100) {
		shown = shown || m.ID == id
	}
	if shown != x.Shown {
		t.Errorf("reading shows it: %v; the explanation says %v: %+v", shown, x.Shown, x)
	}
	return x
}

func TestExplainSaysWhatDecides(t *testing.T) {
	each(t, func(t *testing.T, b *Backend) {
		ctx := t.Context()
		b.Config.Timeline.Backfill = 1
		p := people(t, b, 4)
		author, reader, other, stranger := p[0], p[1], p[2], p[3]
		tooOld := post(t, b, author, "too old for the backfill", VisibilityPublic)
		old := post(t, b, author, "the backfill", VisibilityPublic)
		early := post(t, b, author, "for the followers of before", VisibilityFollowers)
		follow(t, b, reader, author)
		follow(t, b, reader, other)
		public := post(t, b, author, "public", VisibilityPublic)
		limited := post(t, b, author, "limited", VisibilityFollowers)
		mutual := post(t, b, author, "mutual", VisibilityMutuals)
		private := post(t, b, author, "private", VisibilityPrivate)

		want := func(who Viewer, id MessageID, shown bool, answer string) Explanation {
			t.Helper()
			x := explained(t, b, who, id)
			if x.Shown != shown || !strings.Contains(x.Answer, answer) || x.Problem != "" {
				t.Errorf("%s for %s: shown %v, %q, problem %q; want %v, %q", id, who.UserID, x.Shown, x.Answer, x.Problem, shown, answer)
			}
			return x
		}
		if x := want(reader, public.ID, false, "the work that brings it is owed"); !x.Pending || x.Entry != "none" {
			t.Errorf("before the fan-out: %+v", x)
		}
		drain(t, b)
		want(reader, public.ID, true, "It is shown: public, and the reader follows the author")
		want(reader, limited.ID, true, "held without a break")
		want(reader, old.ID, true, "follows the author from message 2 on")
		want(reader, tooOld.ID, false, "with which the backfill of the follow begins")
		want(reader, early.ID, false, "followers only: the reader's follow holds since")
		want(reader, mutual.ID, false, "mutuals only: the author's follow of the reader does not hold now")
		want(reader, private.ID, false, "private: only the author sees it")
		want(author, private.ID, true, "one's own messages")
		want(stranger, public.ID, false, "has never followed the author")

		repost, _, err := b.Messages.Repost(ctx, other, public.ID, "", KeyUse{})
		if err != nil {
			t.Fatal(err)
		}
		comment, err := b.Messages.Comment(ctx, other, public.ID, "a comment", KeyUse{})
		if err != nil {
			t.Fatal(err)
		}
		drain(t, b)
		want(reader, repost.ID, true, "It is shown")
		want(reader, comment.ID, false, "this kind of message is not carried into timelines")
		if _, err := b.Relations.Mute(ctx, reader, author.UserID); err != nil {
			t.Fatal(err)
		}
		want(reader, public.ID, false, "the reader has muted the author")
		want(reader, repost.ID, false, "what it passes on is by somebody whom the reader has muted")
		if _, err := b.Relations.Unmute(ctx, reader, author.UserID); err != nil {
			t.Fatal(err)
		}
		if err := b.Messages.Delete(ctx, author, old.ID); err != nil {
			t.Fatal(err)
		}
		if x := want(reader, old.ID, false, "the message is deleted"); !x.Pending || x.Entry != "live" {
			t.Errorf("before the removal: %+v", x)
		}
		drain(t, b)
		if x := want(reader, old.ID, false, "the message is deleted"); x.Pending || x.Entry != "gone" {
			t.Errorf("after the removal: %+v", x)
		}
		if err := b.Accounts.Disable(ctx, other.UserID); err != nil {
			t.Fatal(err)
		}
		want(reader, repost.ID, false, "the author's account is disabled")
		if _, err := b.Relations.Unfollow(ctx, reader, author.UserID); err != nil {
			t.Fatal(err)
		}
		want(reader, public.ID, false, "does not follow the author any more")
		drain(t, b)
		if x := want(reader, public.ID, false, "does not follow the author any more"); x.Entry != "none" {
			t.Errorf("after the purge: %+v", x)
		}
		if _, err := b.Relations.Block(ctx, author, reader.UserID); err != nil {
			t.Fatal(err)
		}
		want(reader, public.ID, false, "a block lies between reader and author")
		if _, err := b.Timelines.Explain(ctx, reader.UserID, MessageID{author.UserID, 999}); CodeOf(err) != CodeNotFound {
			t.Errorf("a message that never was: %v", err)
		}
		if _, err := b.Timelines.Explain(ctx, 999_999, public.ID); CodeOf(err) != CodeNotFound {
			t.Errorf("a reader who never was: %v", err)
		}
	})
}

// TestExplainFindsWhatIsBroken breaks rows by hand, which nothing in the program does.
func TestExplainFindsWhatIsBroken(t *testing.T) {
	each(t, func(t *testing.T, b *Backend) {
		p := people(t, b, 2)
		author, reader := p[0], p[1]
		follow(t, b, reader, author)
		m := post(t, b, author, "lost", VisibilityPublic)
		drain(t, b)
		breaking := func(query string, args ...any) {
			t.Helper()
			args = append(args, int64(reader.UserID))
			if _, err := b.Cluster.RawForTest(b.Cluster.For(int64(reader.UserID))).ExecContext(t.Context(), query+` user_id = ?`, args...); err != nil {
				t.Fatal(err)
			}
		}
		breaking(`UPDATE msg_index SET state = 0 WHERE`)
		if x := explained(t, b, reader, m.ID); x.Problem != "the message is due, and its entry is gone" || x.Pending {
			t.Errorf("%+v", x)
		}
		breaking(`DELETE FROM msg_index WHERE`)
		if x := explained(t, b, reader, m.ID); !strings.Contains(x.Problem, "its entry is missing, and nothing is owed") {
			t.Errorf("%+v", x)
		}
		breaking(`UPDATE user_relation SET rev = rev + 1 WHERE kind = ? AND`, relFollow)
		if x := explained(t, b, reader, m.ID); !strings.Contains(x.Problem, "disagree") {
			t.Errorf("%+v", x)
		}
	})
}

func TestFindAndWalkAccounts(t *testing.T) {
	each(t, func(t *testing.T, b *Backend) {
		ctx := t.Context()
		p := people(t, b, 7)
		if err := b.Accounts.Disable(ctx, p[2].UserID); err != nil {
			t.Fatal(err)
		}
		one, err := b.Accounts.Find(ctx, p[2].UserID.String())
		if err != nil || one.State != "disabled" || one.Password || one.Shard != b.Cluster.For(int64(one.ID)).ID() {
			t.Fatalf("%+v, %v", one, err)
		}
		for _, ref := range []string{one.Name, "@" + strings.ToUpper(one.Name)} {
			if same, err := b.Accounts.Find(ctx, ref); err != nil || same != one {
				t.Errorf("%s: %+v, %v", ref, same, err)
			}
		}
		if _, err := b.Accounts.Find(ctx, "nobody_at_all"); CodeOf(err) != CodeNotFound {
			t.Errorf("nobody: %v", err)
		}
		var ids []UserID
		err = b.Accounts.Walk(ctx, p[1].UserID, func(a AccountStatus) error {
			ids = append(ids, a.ID)
			return nil
		})
		if err != nil || len(ids) != 5 || ids[0] != p[2].UserID || ids[4] != p[6].UserID {
			t.Errorf("walked %v, %v", ids, err)
		}
		if err := b.Accounts.CheckCreate(ctx, strings.ToUpper(one.Name), "", ""); CodeOf(err) != CodeNameTaken {
			t.Errorf("a taken name: %v", err)
		}
		if err := b.Accounts.CheckCreate(ctx, "a b", "", ""); CodeOf(err) != CodeNameInvalid {
			t.Errorf("a wrong name: %v", err)
		}
	})
}

func TestOutboxStatusCountsWhatIsOwed(t *testing.T) {
	each(t, func(t *testing.T, b *Backend) {
		p := people(t, b, 2)
		follow(t, b, p[1], p[0])
		m := post(t, b, p[0], "one", VisibilityPublic)
		count := func() map[string]OutboxStatus {
			t.Helper()
			b.ack.flush(t.Context())
			all, err := b.OutboxStatus(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			kinds := map[string]OutboxStatus{}
			for _, s := range all {
				kinds[s.Kind] = s
			}
			return kinds
		}
		got := count()["fan-out"]
		if got.Count != 1 || got.Due != 1 || got.Shard != b.Cluster.For(int64(p[0].UserID)).ID() || got.Oldest != got.DueSince || got.Oldest == 0 {
			t.Errorf("after a post: %+v", count())
		}
		drain(t, b)
		if err := b.Messages.Delete(t.Context(), p[0], m.ID); err != nil {
			t.Fatal(err)
		}
		drain(t, b)
		kinds := count()
		if sweep := kinds["sweep"]; len(kinds) != 1 || sweep.Count != 1 || sweep.Due != 0 || sweep.DueSince != 0 {
			t.Errorf("after a removal: %+v", kinds)
		}
	})
}
