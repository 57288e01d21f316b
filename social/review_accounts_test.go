package social

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"socialctl/sharding"
)

// The server dies between storing the account and claiming its name: the claim lies in the outbox and is carried out.
func TestF32ASignUpThatWasCutOffIsCompleted(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, clock *stoppedClock) {
		ctx := t.Context()
		id, claim := pendingAccount(t, b, "Ada")
		if _, err := b.Accounts.Get(ctx, Viewer{}, id); CodeOf(err) != CodeNotFound {
			t.Errorf("a pending account is shown: %v", err)
		}
		if _, err := b.Sessions.Grant(ctx, id); CodeOf(err) != CodeNotFound {
			t.Errorf("a session of a pending account: %v", err)
		}
		if _, err := b.Accounts.Resolve(ctx, Viewer{}, "@ada"); CodeOf(err) != CodeNotFound {
			t.Errorf("a name that nobody has yet: %v", err)
		}
		clock.move(3 * time.Second)
		drain(t, b)
		if got, err := b.Accounts.Resolve(ctx, Viewer{}, "@ada"); err != nil || got != id {
			t.Errorf("the name is %d's, want %d's: %v", got, id, err)
		}
		if _, err := b.Sessions.Grant(ctx, id); err != nil {
			t.Errorf("a session of the completed account: %v", err)
		}
		b.settle(ctx, claim) // comes again
		if _, err := b.Accounts.Get(ctx, Viewer{}, id); err != nil {
			t.Errorf("after the claim came twice: %v", err)
		}
		drain(t, b)
		checkInvariants(t, b)
	})
}

// The same through the door: the shard that decides on the name is closed to writers for longer than a request waits.
func TestF32ASignUpWhoseNameCannotBeClaimedNow(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, clock *stoppedClock) {
		ctx := t.Context()
		name := "ada"
		for b.Cluster.BucketOfText(name) < 32 { // not the bucket of one of the first accounts
			name += "a"
		}
		setBucket(t, b, b.Cluster.BucketOfText(name), sharding.StateFenced)
		if _, err := b.Accounts.Create(ctx, name, "", ""); CodeOf(err) != CodeUnavailable {
			t.Fatalf("a sign-up without the name's shard: %v", err)
		}
		setBucket(t, b, b.Cluster.BucketOfText(name), sharding.StateOpen)
		drainOn(t, b, clock)
		id, err := b.Accounts.Resolve(ctx, Viewer{}, "@"+name)
		if err != nil {
			t.Fatalf("nobody got the name: %v", err)
		}
		if _, err := b.Sessions.Grant(ctx, id); err != nil {
			t.Errorf("a session of the completed account: %v", err)
		}
		checkInvariants(t, b)
	})
}

// A creator wakes up when another has the name: the name's own row decides, for ever, and no time frees it.
func TestF32ASlowCreatorLosesToTheHolderOfTheName(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, clock *stoppedClock) {
		ctx := t.Context()
		slow, claim := pendingAccount(t, b, "Ada")
		clock.move(time.Second)
		winner, err := b.Accounts.Create(ctx, "aDA", "", "")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			b.settle(ctx, claim)
		}
		clock.move(10 * 365 * 24 * time.Hour)
		drain(t, b)
		if got, err := b.Accounts.Resolve(ctx, Viewer{}, "@ada"); err != nil || got != winner {
			t.Errorf("the name is %d's, want %d's: %v", got, winner, err)
		}
		if acc, err := b.readAccount(ctx, slow); err != nil || acc.state != accountVoid {
			t.Errorf("the loser is %+v, %v", acc, err)
		}
		if _, err := b.Sessions.Grant(ctx, slow); CodeOf(err) != CodeNotFound {
			t.Errorf("a session of the loser: %v", err)
		}
		if err := b.Accounts.Erase(ctx, winner); err != nil {
			t.Fatal(err)
		}
		drainOn(t, b, clock)
		if _, err := b.Accounts.Create(ctx, "ada", "", ""); CodeOf(err) != CodeNameTaken {
			t.Errorf("the name of a deleted account: %v", err)
		}
		drain(t, b)
		checkInvariants(t, b)
	})
}

// Many claims of one name, in one batch and in several, in any order and twice: one account is live, the others are void.
func TestF32ManyClaimsOfOneName(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ctx := t.Context()
		var ids []UserID
		var claims []*effect
		for range 6 {
			id, claim := pendingAccount(t, b, "Ada")
			ids, claims = append(ids, id), append(claims, claim)
		}
		slices.Reverse(claims)
		applied(t, b, claims[2:]...)
		applied(t, b, claims...)
		for _, c := range claims {
			applied(t, b, c)
		}
		got, err := b.Accounts.Resolve(ctx, Viewer{}, "@ADA")
		if err != nil {
			t.Fatal(err)
		}
		live := 0
		for _, id := range ids {
			acc, err := b.readAccount(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if acc.state == accountLive {
				live++
			}
			if (acc.state == accountLive) != (id == got) || acc.state == accountPending {
				t.Errorf("account %d is in state %d, and the name is %d's", id, acc.state, got)
			}
		}
		if live != 1 {
			t.Errorf("%d accounts are live", live)
		}
		drain(t, b)
		checkInvariants(t, b)
	})
}

// Two servers whose clocks differ by an hour, and one that is set back: an author's times rise with the numbers, and an
// answer is later than what it answers.
func TestF34TimesRiseWhateverTheClocksSay(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, clock *stoppedClock) {
		ctx := t.Context()
		ada, uma := person(t, b), person(t, b)
		follow(t, b, uma, ada)
		var all []*Message
		for i, back := range []time.Duration{0, -time.Hour, 0, 2 * time.Hour, -3 * time.Hour, time.Millisecond} {
			clock.move(back)
			all = append(all, post(t, b, ada, fmt.Sprint(i), VisibilityPublic))
		}
		newest := all[len(all)-1]
		answer, err := b.Messages.Comment(ctx, uma, newest.ID, "late clock", KeyUse{})
		if err != nil {
			t.Fatal(err)
		}
		passed, _, err := b.Messages.Repost(ctx, uma, newest.ID, "", KeyUse{})
		if err != nil {
			t.Fatal(err)
		}
		if answer.CreatedAt <= newest.CreatedAt || passed.CreatedAt <= answer.CreatedAt {
			t.Errorf("posted at %s, answered at %s, passed on at %s", newest.CreatedAt, answer.CreatedAt, passed.CreatedAt)
		}
		for i := 1; i < len(all); i++ {
			if all[i].CreatedAt <= all[i-1].CreatedAt {
				t.Errorf("message %d is of %s and the one before of %s", i, all[i].CreatedAt, all[i-1].CreatedAt)
			}
		}
		if n := b.AheadOfClock(); n != 6 { // of the posts those of the hour before, and the two below the newest
			t.Errorf("%d messages were ahead of the clock", n)
		}
		clock.move(3 * time.Hour) // what the fast clock's server owes is due when the others have come to that time
		drain(t, b)
		// Times of an import are its own, and rise all the same.
		for _, at := range []Millis{newest.CreatedAt, newest.CreatedAt - 1, all[0].CreatedAt} {
			if got, err := importOne(t, b, ImportedMessage{Author: ada.UserID, Source: "old", External: at.String(), At: at, Kind: KindOriginal, Content: "imported"}); err == nil {
				t.Errorf("imported at %s, with %s there: %+v", at, newest.CreatedAt, got)
			}
		}
		next := ImportedMessage{Author: ada.UserID, Source: "old", External: "1 ms later", At: newest.CreatedAt + 1, Kind: KindOriginal, Content: "6"}
		if got, err := importOne(t, b, next); err != nil || !got.New {
			t.Errorf("imported a millisecond after the newest: %+v, %v", got, err)
		}
		drain(t, b)
		want := []string{"6", "5", "4", "3", "2", "1", "0"}
		if passed.CreatedAt > next.At {
			want = slices.Insert(want, 0, "")
		} else {
			want = slices.Insert(want, 1, "")
		}
		if got := contents(home(t, b, uma, 2)); !slices.Equal(got, want) {
			t.Errorf("home has %q, want %q", got, want)
		}
		checkInvariants(t, b)
	})
}

// An import is killed and taken up again after years: its keys have not expired, as idempotency keys have by then.
func TestF38AnImportTakenUpAgainDoublesNothing(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, clock *stoppedClock) {
		ctx := t.Context()
		ada, uma := person(t, b), person(t, b)
		follow(t, b, uma, ada)
		start := b.now() - 1_000_000
		var list []ImportedMessage
		for i := range 100 {
			list = append(list, ImportedMessage{Author: ada.UserID, Source: "old", External: fmt.Sprint("id ", i),
				At: Millis(start + int64(i)), Kind: KindOriginal, Content: fmt.Sprint(i)})
		}
		first, err := b.Messages.Import(ctx, list[:60])
		if err != nil {
			t.Fatal(err)
		}
		key := KeyUse{Key: "k", Route: "POST /v1/messages"}
		if _, err := b.Messages.Publish(ctx, uma, Draft{Content: "under a key"}, key); err != nil {
			t.Fatal(err)
		}
		clock.move(10 * 365 * 24 * time.Hour)
		drain(t, b)
		for range 2 {
			again, err := b.Messages.Import(ctx, append(slices.Clone(list), list[99])) // one of them stands there twice
			if err != nil {
				t.Fatal(err)
			}
			if twice := again[100]; twice.Err != nil || twice.New || twice.ID != again[99].ID {
				t.Errorf("a message that stands there twice came to %+v", twice)
			}
			for i, out := range again[:100] {
				if out.Err != nil || out.ID.N != int64(i)+1 || i < 60 && (out.New || out != (ImportOutcome{ID: first[i].ID})) {
					t.Fatalf("message %d came to %+v", i, out)
				}
			}
		}
		drain(t, b)
		if got := home(t, b, uma, 100); len(got) != 101 {
			t.Errorf("home has %d messages", len(got))
		}
		// Another source's ids are its own, and so are another author's.
		other := list[99]
		other.Source, other.At = "older", Millis(b.now())
		if out, err := importOne(t, b, other); err != nil || !out.New || out.ID.N != 101 {
			t.Errorf("the same id of another source came to %+v, %v", out, err)
		}
		other = list[99]
		other.Author = uma.UserID
		if out, err := importOne(t, b, other); err == nil || out.New { // older than what uma has written: refused, and not taken for ada's
			t.Errorf("the same id for another author came to %+v, %v", out, err)
		}
		if second, err := b.Messages.Publish(ctx, uma, Draft{Content: "under a key"}, key); err != nil || second.ID.N != 2 {
			t.Errorf("under a key of ten years ago: %+v, %v", second, err)
		}
		drain(t, b)
		checkInvariants(t, b)
	})
}

// The account is deleted while a follow of it is on its way, and while one of its own is.
func TestF40AFollowThatArrivesAfterTheEnd(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, clock *stoppedClock) {
		ctx := t.Context()
		ada, uma, vic := person(t, b), person(t, b), person(t, b)
		follow(t, b, vic, ada)
		m := post(t, b, ada, "m", VisibilityPublic)
		drain(t, b)
		coming := decideFollow(t, b, uma, ada, stateLive)
		going := decideFollow(t, b, ada, uma, stateLive)
		if err := b.Accounts.Erase(ctx, ada.UserID); err != nil {
			t.Fatal(err)
		}
		for range 10 { // the job runs to its end; what is held back is not due yet
			runDue(t, b, effDeleteAccount)
		}
		runDue(t, b, effRemoval)
		if n := len(dueJobs(t, b, effDeleteAccount)); n != 0 || waiting(t, b, effDeleteAccount) {
			t.Fatalf("the job of the deletion goes on")
		}
		if f := followRow(t, b, vic, ada); f.live() {
			t.Errorf("a fan of before still follows: %+v", f)
		}
		b.settle(ctx, going...)
		b.settle(ctx, coming...)
		drainOn(t, b, clock)
		for _, f := range []relation{followRow(t, b, uma, ada), fanRow(t, b, ada, uma), followRow(t, b, ada, uma), fanRow(t, b, uma, ada)} {
			if f.live() {
				t.Errorf("a follow of or by the deleted account stands: %+v", f)
			}
		}
		for _, v := range []Viewer{uma, vic} {
			unseen(t, b, v, m.ID)
			if got := home(t, b, v, 20); len(got) > 0 {
				t.Errorf("home of %d has %q", v.UserID, contents(got))
			}
			acc, err := b.Accounts.Get(ctx, v, v.UserID)
			if err != nil || acc.FollowingCount != 0 || acc.FollowersCount != 0 {
				t.Errorf("%+v, %v", acc, err)
			}
		}
		if _, err := b.Relations.Follow(ctx, uma, ada.UserID); CodeOf(err) != CodeNotFound {
			t.Errorf("a follow of the deleted account: %v", err)
		}
		checkInvariants(t, b)
	})
}

// A fan has ended and renewed their follow, and the author's shard has heard of neither: the wish to end the first follow
// is older than the second and ends nothing. The job looks again until no fan is live.
func TestF40TheJobOutlastsAFanWhoseFollowIsOnItsWay(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, clock *stoppedClock) {
		ctx := t.Context()
		ada, uma := person(t, b), person(t, b)
		follow(t, b, uma, ada)
		end := decideFollow(t, b, uma, ada, stateGone)
		again := decideFollow(t, b, uma, ada, stateLive)
		if err := b.Accounts.Erase(ctx, ada.UserID); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			runDue(t, b, effDeleteAccount)
		}
		if !fanRow(t, b, ada, uma).live() || !followRow(t, b, uma, ada).live() {
			t.Fatal("the follow is over: this is not the story")
		}
		if !waiting(t, b, effDeleteAccount) {
			t.Error("the job of the deletion has ended, and a fan is live")
		}
		b.settle(ctx, again...)
		b.settle(ctx, end...)
		drainOn(t, b, clock)
		if fanRow(t, b, ada, uma).live() || followRow(t, b, uma, ada).live() {
			t.Error("the deleted account has a fan")
		}
		if waiting(t, b, effDeleteAccount) {
			t.Error("the job of the deletion does not end")
		}
		checkInvariants(t, b)
	})
}

// pendingAccount stores an account with the claim to its name, and goes no further.
func pendingAccount(t *testing.T, b *Backend, name string) (UserID, *effect) {
	t.Helper()
	next, err := b.userIDs.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := UserID(next)
	claim := b.newEffect(id, effClaimName, 0, claimPayload{Name: foldName(name)})
	err = b.Cluster.Write(t.Context(), next, func(ctx context.Context, tx *sharding.Tx) error {
		if err := insertAccount(ctx, tx, b.bucket(id), id, name, name, "", b.now()); err != nil {
			return err
		}
		return b.emit(ctx, tx, claim)
	})
	if err != nil {
		t.Fatal(err)
	}
	return id, claim
}

// drainOn is drain with a clock that goes on, for jobs that rest in between.
func drainOn(t *testing.T, b *Backend, clock *stoppedClock) {
	t.Helper()
	for range 50 {
		if _, err := b.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if owed(t, b) == 0 {
			return
		}
		clock.move(3 * time.Second)
	}
	t.Fatalf("%d effects are still owed", owed(t, b))
}

// waiting reports whether an effect of this kind lies in the outbox, due or not.
func waiting(t *testing.T, b *Backend, kind effectKind) bool {
	t.Helper()
	return countRows(t, b, `SELECT COUNT(*) FROM outbox WHERE kind = ?`, int(kind)) > 0
}

func importOne(t *testing.T, b *Backend, in ImportedMessage) (ImportOutcome, error) {
	t.Helper()
	out, err := b.Messages.Import(t.Context(), []ImportedMessage{in})
	if err != nil {
		t.Fatal(err)
	}
	return out[0], out[0].Err
}
