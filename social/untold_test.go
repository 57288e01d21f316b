package social

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"
)

// A server that can tell neither Redis nor a shard of what it has changed, and then dies: what it owes must still be
// there for the others, and they forget what it could not.

// untold gives a store with a server that lives on, and one that reaches everything but the means to tell of a change.
func untold(t *testing.T, s *modelStore) (lives, dies *Backend) {
	t.Helper()
	if err := s.open(0); err != nil {
		t.Fatal(err)
	}
	return s.servers[0].Backend, s.servers[1].Backend
}

// cut takes the server's Redis and its way to raise an epoch away, when all that was owed before is done.
func cut(t *testing.T, b *Backend, others ...*Backend) {
	t.Helper()
	for _, other := range others {
		other.ack.flush(t.Context())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b.cache.CutOffForTest(nobody)
	b.cache.RaiseTimeoutForTest(1)
}

// dead leaves the server's work to the others, once it has acknowledged what it holds for done.
func dead(t *testing.T, s *modelStore, b *Backend) {
	t.Helper()
	b.ack.flush(t.Context())
	s.servers = s.servers[:1]
	t.Cleanup(func() { _ = b.Close() })
	s.clock.Add(2 * jobLease.Milliseconds())
	s.passAll(t)
}

func TestADeletionThatNobodyCouldBeToldOf(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, _ *Backend) {
		lives, dies := untold(t, s)
		author, reader := person(t, lives), person(t, lives)
		follow(t, lives, reader, author)
		m := post(t, lives, author, "deleted", VisibilityPublic)
		c, err := lives.Messages.Comment(t.Context(), author, m.ID, "deleted too", KeyUse{})
		if err != nil {
			t.Fatal(err)
		}
		s.passAll(t)
		if got := contents(home(t, lives, reader, 20)); !slices.Equal(got, []string{"deleted"}) {
			t.Fatalf("home has %q", got)
		}
		see := func(want int) {
			t.Helper()
			if got, err := lives.Messages.GetMany(t.Context(), reader, []MessageID{m.ID, c.ID}); err != nil || len(got) != want {
				t.Errorf("%d messages are shown and not %d, %v", len(got), want, err)
			}
		}
		see(2)
		cut(t, dies, lives)
		dies.working.Store(true) // it takes its jobs itself
		for _, id := range []MessageID{m.ID, c.ID} {
			if err := dies.Messages.Delete(t.Context(), author, id); err != nil {
				t.Fatal(err)
			}
		}
		dies.cache.RaiseTimeoutForTest(2 * time.Second) // the shard is well again, and the removal is done
		if _, err := dies.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		dies.cache.RaiseTimeoutForTest(1)
		dead(t, s, dies)
		see(0)
		for _, v := range []Viewer{author, reader} {
			if got := home(t, lives, v, 20); len(got) != 0 {
				t.Errorf("home of %d has %q", v.UserID, contents(got))
			}
		}
	})
}

func TestAnImportThatNobodyCouldBeToldOf(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, _ *Backend) {
		lives, dies := untold(t, s)
		author, reader := person(t, lives), person(t, lives)
		post(t, lives, author, "one", VisibilityPublic)
		post(t, lives, reader, "mine", VisibilityPublic)
		s.passAll(t)
		home(t, lives, author, 20)
		home(t, lives, reader, 20)
		cut(t, dies, lives)
		s.clock.Add(10)
		out, err := dies.Messages.Import(t.Context(), []ImportedMessage{{Author: author.UserID, Source: "test", External: "1",
			At: Millis(s.clock.Load()), Kind: KindOriginal, Content: "two"}})
		if err != nil || out[0].Err != nil {
			t.Fatalf("%+v, %v", out, err)
		}
		if made, err := dies.Relations.Import(t.Context(), []ImportedFollow{{Follower: reader.UserID, Followed: author.UserID}}); err != nil || made != 1 {
			t.Fatalf("%d follows, %v", made, err)
		}
		dead(t, s, dies)
		if got := contents(home(t, lives, author, 20)); !slices.Equal(got, []string{"two", "one"}) {
			t.Errorf("the author's home has %q", got)
		}
		if got := contents(home(t, lives, reader, 20)); len(got) != 3 {
			t.Errorf("the reader's home has %q", got)
		}
	})
}

func TestALogOutThatNobodyCouldBeToldOf(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, _ *Backend) {
		lives, dies := untold(t, s)
		reader, err := lives.Accounts.SignUp(t.Context(), SignUp{Name: "ended", Password: "correct horse"})
		if err != nil {
			t.Fatal(err)
		}
		session, err := lives.Sessions.Authenticate(t.Context(), reader.Token)
		if err != nil {
			t.Fatal(err)
		}
		cut(t, dies, lives)
		if err := dies.Sessions.End(t.Context(), session, "current"); err != nil {
			t.Fatal(err)
		}
		dead(t, s, dies)
		if _, err := lives.Sessions.Authenticate(t.Context(), reader.Token); CodeOf(err) != CodeTokenInvalid {
			t.Errorf("the session is good: %v", err)
		}
	})
}

// A bucket moves, and a server that has not heard of it, and asks no shard, is told by a writer that can raise only the
// epoch of the shard where the bucket is now.
func TestAMoveEndsTheCopiesOfThoseWhoHaveNotHeard(t *testing.T) {
	onClock(t, nil, func(t *testing.T, s *modelStore, _ *Backend) {
		lives, dies := untold(t, s)
		author := person(t, lives)
		reader, err := lives.Accounts.SignUp(t.Context(), SignUp{Name: "moved", Password: "correct horse"})
		if err != nil {
			t.Fatal(err)
		}
		v := Viewer{UserID: reader.Account.ID}
		follow(t, lives, v, author)
		post(t, lives, author, "hello", VisibilityPublic)
		s.passAll(t)
		see := func() error {
			v, taken, err := lives.Sessions.AuthenticateReader(t.Context(), reader.Token, true, 0)
			if err != nil {
				return err
			}
			page, err := lives.Timelines.Home(t.Context(), v, ListQuery{Prefetched: taken})
			if got := contents(page.Items); err == nil && !slices.Equal(got, []string{"hello"}) {
				t.Errorf("home has %q", got)
			}
			return err
		}
		for range 3 { // it is warm then
			if err := see(); err != nil {
				t.Fatal(err)
			}
		}
		session, err := lives.Sessions.Authenticate(t.Context(), reader.Token)
		if err != nil {
			t.Fatal(err)
		}
		moving := &stage{t: t, b: dies, rows: map[UserID][]entry{}}
		moving.move(v.UserID)
		cut(t, dies, lives)
		dies.cache.RaiseTimeoutForTest(2 * time.Second)
		if err := dies.Sessions.End(t.Context(), session, "current"); err != nil {
			t.Fatal(err)
		}
		soon(t, "the session is refused", func() bool { return CodeOf(see()) == CodeTokenInvalid })
	})
}

// A log-in that waited for its turn to compare passwords opened a session although the password had been changed, and
// the sessions ended, meanwhile.
func TestALogInDoesNotOutliveAPasswordChange(t *testing.T) {
	onClock(t, nil, func(t *testing.T, _ *modelStore, b *Backend) {
		const password, next = "correct horse", "battery staple"
		reader, err := b.Accounts.SignUp(t.Context(), SignUp{Name: "waits", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		id := reader.Account.ID
		// meanwhile runs the verb, which has read the account, and waits to compare, while the other deed is done.
		meanwhile := func(verb func() error, deed func()) error {
			t.Helper()
			for range cap(b.hashing) {
				b.hashing <- struct{}{}
			}
			ended := make(chan error, 1)
			go func() { ended <- verb() }()
			time.Sleep(200 * time.Millisecond) // it is not told from outside that it waits
			select {
			case err := <-ended:
				t.Fatalf("it did not wait: %v", err)
			default:
			}
			deed()
			for range cap(b.hashing) {
				<-b.hashing
			}
			return <-ended
		}
		set := func(to string) func() {
			hash, err := b.hashPassword(context.Background(), to)
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				for _, shard := range b.Cluster.Shards() {
					if _, err := b.Cluster.RawForTest(shard).Exec(`UPDATE user_info SET password_hash = ? WHERE user_id = ?`, hash, int64(id)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		logIn := func() error { _, err := b.Sessions.LogIn(context.Background(), "waits", password); return err }
		if err := meanwhile(logIn, set(next)); CodeOf(err) != CodeCredentialsInvalid {
			t.Errorf("a log-in by the old password: %v", err)
		}
		change := func() error {
			old, mine := next, "an attacker's own"
			_, err := b.Accounts.Update(context.Background(), Viewer{UserID: id}, ProfilePatch{Password: &mine, CurrentPassword: &old})
			return err
		}
		if err := meanwhile(change, set(password)); CodeOf(err) != CodeCredentialsInvalid {
			t.Errorf("a change by the old password: %v", err)
		}
		end := func() error { return b.Accounts.Delete(context.Background(), Viewer{UserID: id}, password) }
		if err := meanwhile(end, set(next)); CodeOf(err) != CodeCredentialsInvalid {
			t.Errorf("a deletion by the old password: %v", err)
		}
		if err := meanwhile(func() error { _, err := b.Sessions.LogIn(context.Background(), "waits", next); return err }, func() {
			if err := b.Accounts.Disable(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}); CodeOf(err) != CodeCredentialsInvalid {
			t.Errorf("a log-in to an account that was disabled: %v", err)
		}
	})
}
