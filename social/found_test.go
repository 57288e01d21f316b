package social

import (
	"context"
	"fmt"
	"slices"
	"strings"
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

// A message published under a follow, and not delivered yet when it ended, was lost to a timeline that keeps.
func TestKeepKeepsWhatWasStillOnItsWay(t *testing.T) {
	keep := func(cfg *configs.Config) { cfg.Timeline.OnUnfollow = "keep" }
	onClock(t, keep, func(t *testing.T, s *modelStore, b *Backend) {
		author, reader := person(t, b), person(t, b)
		follow(t, b, reader, author)
		post(t, b, author, "on its way", VisibilityPublic)
		post(t, b, author, "for followers", VisibilityFollowers)
		if _, err := b.Relations.Unfollow(t.Context(), reader, author.UserID); err != nil {
			t.Fatal(err)
		}
		post(t, b, author, "too late", VisibilityPublic)
		s.passAll(t)
		if got := contents(home(t, b, reader, 20)); !slices.Equal(got, []string{"on its way"}) {
			t.Fatalf("home has %q", got)
		}
		checkInvariants(t, b)
	})
}

// An unfollow that overtook its follow made the whole of the author's history due to a timeline that keeps.
func TestKeepKeepsNothingOfAFollowThatNeverWas(t *testing.T) {
	keep := func(cfg *configs.Config) { cfg.Timeline.OnUnfollow, cfg.Timeline.Backfill = "keep", 2 }
	onClock(t, keep, func(t *testing.T, s *modelStore, b *Backend) {
		author, reader := person(t, b), person(t, b)
		for range 4 {
			post(t, b, author, "before", VisibilityPublic)
		}
		unsettledFollow(t, b, reader, author)
		if _, err := b.Relations.Unfollow(t.Context(), reader, author.UserID); err != nil {
			t.Fatal(err)
		}
		s.passAll(t)
		if got := home(t, b, reader, 20); len(got) != 0 {
			t.Fatalf("home has %q", contents(got))
		}
		checkInvariants(t, b)
	})
}

// unsettledFollow commits a follow as a server does that dies before it has forgotten or applied anything.
func unsettledFollow(t *testing.T, b *Backend, v, other Viewer) {
	t.Helper()
	err := b.Cluster.Write(t.Context(), int64(v.UserID), func(ctx context.Context, tx *sharding.Tx) error {
		me, err := b.lockLive(ctx, tx, v.UserID)
		if err != nil {
			return err
		}
		effs, err := b.turnFollow(ctx, tx, me, other.UserID, stateLive, 0)
		if err != nil {
			return err
		}
		return b.emit(ctx, tx, effs...)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What was for mutuals stayed in a timeline, unseen, when its author stopped following the reader.
func TestMessagesForMutualsLeaveWhenTheAuthorUnfollows(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		author, reader := person(t, b), person(t, b)
		follow(t, b, reader, author)
		follow(t, b, author, reader)
		post(t, b, author, "for mutuals", VisibilityMutuals)
		post(t, b, author, "for followers", VisibilityFollowers)
		s.passAll(t)
		post(t, b, author, "late for mutuals", VisibilityMutuals)
		if _, err := b.Relations.Unfollow(t.Context(), author, reader.UserID); err != nil {
			t.Fatal(err)
		}
		s.passAll(t)
		checkInvariants(t, b)
		follow(t, b, author, reader)
		post(t, b, author, "for mutuals again", VisibilityMutuals)
		s.passAll(t)
		if got := contents(home(t, b, reader, 20)); !slices.Equal(got, []string{"for mutuals again", "for followers"}) {
			t.Fatalf("home has %q", got)
		}
		checkInvariants(t, b)
		s.clock.Add(25 * time.Hour.Milliseconds())
		s.passAll(t)
		if n := countRows(t, b, `SELECT COUNT(*) FROM msg_index WHERE state = 0`) + countRows(t, b, `SELECT COUNT(*) FROM outbox`); n != 0 {
			t.Fatalf("%d tombstones and jobs are left after a day", n)
		}
		checkInvariants(t, b)
	})
}

// A server that died between its commit and the deletion of the tags left the other servers with their copies for a day.
func TestWhatADeadServerDidNotForgetIsForgottenByTheWorkers(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		author, reader := person(t, b), person(t, b)
		m, deleted := post(t, b, author, "hello", VisibilityPublic), post(t, b, author, "deleted", VisibilityPublic)
		c, err := b.Messages.Comment(t.Context(), author, m.ID, "deleted too", KeyUse{})
		if err != nil {
			t.Fatal(err)
		}
		s.passAll(t)
		if err := s.open(0); err != nil {
			t.Fatal(err)
		}
		see := func(want int) {
			t.Helper()
			seen, err := b.Messages.GetMany(t.Context(), reader, []MessageID{m.ID, deleted.ID, c.ID})
			if err != nil || len(seen) != want {
				t.Fatalf("%d messages of %d, %v", len(seen), want, err)
			}
		}
		see(3)
		if got := home(t, b, reader, 20); len(got) != 0 {
			t.Fatalf("home has %q", contents(got))
		}
		dies := s.servers[1].Backend
		unsettledFollow(t, dies, reader, author)
		for _, id := range []MessageID{deleted.ID, c.ID} {
			err := dies.Cluster.Write(t.Context(), int64(id.Author), func(ctx context.Context, tx *sharding.Tx) error {
				if _, err := dies.lockLive(ctx, tx, id.Author); err != nil {
					return err
				}
				_, err := dies.eraseTx(ctx, tx, id)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		s.passAll(t)
		see(1)
		if got := contents(home(t, b, reader, 20)); !slices.Equal(got, []string{"hello"}) {
			t.Fatalf("home has %q", got)
		}
	})
}

// Neither did the workers forget what a dead server had changed without owing anything to another shard: sessions that
// had been ended were good on the other servers for up to a day.
func TestWhatADeadServerDidNotForgetThoughItOwedNothing(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		if err := s.open(0); err != nil {
			t.Fatal(err)
		}
		author := person(t, b)
		post(t, b, author, "hello", VisibilityPublic)
		const password, next = "correct horse", "battery staple"
		reader, err := b.Accounts.SignUp(t.Context(), SignUp{Name: "ended", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		v := Viewer{UserID: reader.Account.ID}
		follow(t, b, v, author)
		s.passAll(t)
		dies := s.servers[1].Backend
		after := func(verb func() error) {
			t.Helper()
			killed(t, dies, verb)
			s.clock.Add(settleGrace.Milliseconds() + 1)
			s.passAll(t)
		}
		granted := func() string {
			t.Helper()
			login, err := b.Sessions.Grant(t.Context(), v.UserID)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Sessions.Authenticate(t.Context(), login.Token); err != nil {
				t.Fatal(err)
			}
			return login.Token
		}
		refused := func(what, token string) {
			t.Helper()
			if _, err := b.Sessions.Authenticate(t.Context(), token); CodeOf(err) != CodeTokenInvalid {
				t.Errorf("after %s its sessions are good: %v", what, err)
			}
		}
		sees := func(want ...string) {
			t.Helper()
			if got := contents(home(t, b, v, 20)); !slices.Equal(got, want) {
				t.Errorf("home has %q, not %q", got, want)
			}
		}

		sees("hello")
		after(func() error { _, err := dies.Relations.Mute(t.Context(), v, author.UserID); return err })
		sees()
		after(func() error { _, err := dies.Relations.Unmute(t.Context(), v, author.UserID); return err })
		sees("hello")

		display := "Another"
		after(func() error {
			_, err := dies.Accounts.Update(t.Context(), author, ProfilePatch{DisplayName: &display})
			return err
		})
		if got := home(t, b, v, 20); got[0].Author.DisplayName != display {
			t.Errorf("the author is shown as %q", got[0].Author.DisplayName)
		}

		token := granted()
		session, err := b.Sessions.Authenticate(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		after(func() error { return dies.Sessions.End(t.Context(), session, "current") })
		refused("a log-out", token)
		token = granted()
		after(func() error {
			old, next := password, next
			_, err := dies.Accounts.Update(t.Context(), v, ProfilePatch{Password: &next, CurrentPassword: &old})
			return err
		})
		refused("another password", token)
		token = granted()
		after(func() error { return dies.Accounts.SetPassword(t.Context(), v.UserID, password) })
		refused("an operator's password", token)
		token = granted()
		after(func() error { return dies.Accounts.Disable(t.Context(), v.UserID) })
		refused("being disabled", token)
		after(func() error { return dies.Accounts.Disable(t.Context(), author.UserID) })
		if got, err := b.Messages.GetMany(t.Context(), v, []MessageID{{author.UserID, 1}}); err != nil || len(got) != 0 {
			t.Errorf("a disabled author's message is shown: %v, %v", got, err)
		}
		if n := countRows(t, b, `SELECT COUNT(*) FROM outbox WHERE kind = ?`, int(effForget)); n != 0 {
			t.Errorf("%d changes are still to be forgotten", n)
		}
	})
}

// A request that was repeated at another server, after the first had died between its commit and its answer, was answered
// there from copies of how it was before.
func TestARepeatedRequestIsSeenWhereItIsAnswered(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		if err := s.open(0); err != nil {
			t.Fatal(err)
		}
		me := person(t, b)
		of := post(t, b, person(t, b), "passed on", VisibilityPublic)
		post(t, b, me, "first", VisibilityPublic)
		s.passAll(t)
		sees := func(what string, want ...string) {
			t.Helper()
			if got := contents(home(t, b, me, 20)); !slices.Equal(got, want) {
				t.Errorf("after %s home has %q, not %q", what, got, want)
			}
		}
		sees("a post", "first")
		dies := s.servers[1].Backend
		use := KeyUse{Key: "k", Route: "POST messages"}
		killed(t, dies, func() error {
			_, err := dies.Messages.Publish(t.Context(), me, Draft{Content: "second"}, use)
			return err
		})
		s.clock.Add(2 * inProgressFor)
		replay, err := b.Keys.Begin(t.Context(), me, use)
		if err != nil || replay == nil || replay.Status != 0 {
			t.Fatalf("%+v, %v", replay, err)
		}
		if m, err := b.Messages.Replayed(t.Context(), me, replay); err != nil || m.Content != "second" {
			t.Fatalf("%+v, %v", m, err)
		}
		sees("a repeated post", "second", "first")

		if _, _, err := b.Messages.Repost(t.Context(), me, of.ID, "", KeyUse{}); err != nil {
			t.Fatal(err)
		}
		sees("a repost", "", "second", "first")
		killed(t, dies, func() error { _, err := dies.Messages.Unrepost(t.Context(), me, of.ID); return err })
		if m, err := b.Messages.Unrepost(t.Context(), me, of.ID); err != nil || m.Reposted {
			t.Errorf("a repeated end of a repost answers %+v, %v", m, err)
		}
		sees("the end of a repost", "second", "first")
		killed(t, dies, func() error { return dies.Messages.Delete(t.Context(), me, MessageID{me.UserID, 1}) })
		if err := b.Messages.Delete(t.Context(), me, MessageID{me.UserID, 1}); err != nil {
			t.Error(err)
		}
		sees("a repeated deletion", "second")
		s.clock.Add(2 * jobLease.Milliseconds())
		s.passAll(t)

		killed(t, dies, func() error { _, err := dies.Relations.Follow(t.Context(), me, of.Author.ID); return err })
		if rel, err := b.Relations.Follow(t.Context(), me, of.Author.ID); err != nil || !rel.Following || rel.Pending {
			t.Errorf("a repeated follow: %+v, %v", rel, err)
		}
		sees("a repeated follow", "second", "passed on")
		if profile, err := b.Accounts.Get(t.Context(), me, of.Author.ID); err != nil || profile.FollowersCount != 1 {
			t.Errorf("after a repeated follow: %+v, %v", profile, err)
		}
		s.passAll(t)
		checkInvariants(t, b)
	})
}

// An import that ended between a commit and the forgetting left the followers' copies as they were.
func TestWhatADeadImportDidNotForget(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		if err := s.open(0); err != nil {
			t.Fatal(err)
		}
		author, reader := person(t, b), person(t, b)
		post(t, b, reader, "mine", VisibilityPublic)
		s.clock.Add(1)
		post(t, b, author, "hello", VisibilityPublic)
		if got := contents(home(t, b, reader, 20)); !slices.Equal(got, []string{"mine"}) {
			t.Fatalf("home has %q", got)
		}
		dies := s.servers[1].Backend
		err := dies.Cluster.Write(t.Context(), int64(reader.UserID), func(ctx context.Context, tx *sharding.Tx) error {
			edges, err := dies.importFollows(ctx, tx, []ImportedFollow{{Follower: reader.UserID, Followed: author.UserID}})
			if err != nil {
				return err
			}
			return dies.emit(ctx, tx, dies.edgeEffects(reader.UserID, edges)...)
		})
		if err != nil {
			t.Fatal(err)
		}
		s.clock.Add(settleGrace.Milliseconds() + 1)
		s.passAll(t)
		if got := contents(home(t, b, reader, 20)); !slices.Equal(got, []string{"hello", "mine"}) {
			t.Fatalf("home has %q", got)
		}
	})
}

// The key of a repeated repost named a message that there was not, or was another one later.
func TestTheKeyOfARepeatedRepostNamesTheRepostThatThereIs(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		author, reader := person(t, b), person(t, b)
		m := post(t, b, author, "hello", VisibilityPublic)
		first, created, err := b.Messages.Repost(t.Context(), reader, m.ID, "", KeyUse{})
		if err != nil || !created {
			t.Fatalf("%t, %v", created, err)
		}
		use := KeyUse{Key: "k", Route: "POST reposts"}
		again, created, err := b.Messages.Repost(t.Context(), reader, m.ID, "", use)
		if err != nil || created || again.ID != first.ID {
			t.Fatalf("%+v, %t, %v", again, created, err)
		}
		s.clock.Add(2 * inProgressFor) // the answer was never kept: the server died
		replay, err := b.Keys.Begin(t.Context(), reader, use)
		if err != nil || replay == nil || replay.Message != first.ID || !replay.Repeated || replay.Status != 0 {
			t.Fatalf("the key answers %+v, %v, and not %s", replay, err, first.ID)
		}
	})
}

// A refusal under a key that was used more than a day ago, and whose answer was never kept, was not kept either.
func TestARefusalUnderAnOldKeyIsKept(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		author := person(t, b)
		use := KeyUse{Key: "k", Route: "POST messages"}
		if _, err := b.Messages.Publish(t.Context(), author, Draft{Content: "hello"}, use); err != nil {
			t.Fatal(err)
		}
		s.clock.Add(25 * time.Hour.Milliseconds())
		use.BodyHash[0]++
		if replay, err := b.Keys.Begin(t.Context(), author, use); replay != nil || err != nil {
			t.Fatalf("%+v, %v", replay, err)
		}
		if err := b.Keys.Keep(t.Context(), author, use, 422, []byte("empty")); err != nil {
			t.Fatal(err)
		}
		replay, err := b.Keys.Begin(t.Context(), author, use)
		if err != nil || replay == nil || replay.Status != 422 || string(replay.Body) != "empty" {
			t.Fatalf("the key answers %+v, %v", replay, err)
		}
	})
}

// The longest name could not be claimed on MariaDB while its bucket was being moved: its key did not fit into the journal.
func TestTheLongestNameFitsIntoTheJournal(t *testing.T) {
	const ligature = "\ufdfa" // it folds to 33 bytes
	name := strings.Repeat(ligature, maxFoldedName/len(foldName(ligature)))
	each(t, func(t *testing.T, b *Backend) {
		journalAll(t, b)
		if _, err := b.Accounts.Create(t.Context(), name, "", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Accounts.Create(t.Context(), name+ligature, "", ""); CodeOf(err) != CodeNameInvalid {
			t.Fatalf("a longer name: %v", err)
		}
	})
}

// Comments of one import were numbered by their authors' shards and not by their times.
func TestImportedCommentsAreNumberedInTheOrderOfTheirTimes(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, b *Backend) {
		m := post(t, b, person(t, b), "hello", VisibilityPublic)
		authors := people(t, b, 6)
		var list []ImportedMessage
		var want []string
		for i := range 12 {
			content := fmt.Sprint("number ", i)
			list = append(list, ImportedMessage{Author: authors[(i*5+2)%len(authors)].UserID, Source: "test", External: content,
				At: m.CreatedAt + Millis(i) + 1, Kind: KindComment, Content: content, Parent: m.ID})
			want = append(want, content)
		}
		if _, err := b.Messages.Import(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		page, err := b.Messages.CommentsPage(t.Context(), Viewer{}, m.ID, 0)
		if err != nil || !slices.Equal(contents(page.Items), want) {
			t.Fatalf("page 0 is %q, %v", contents(page.Items), err)
		}
	})
}
