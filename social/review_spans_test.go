package social

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"socialctl/configs"
	"socialctl/sharding"
	"socialctl/sharding/shardingtest"
)

// The tests named F… are the interleavings of REVIEW.md. They run verbs in their parts: a transaction commits and what it
// owes elsewhere is held back, to be applied later, twice, or in another order.

func TestF7ThePostBetweenTheFollowAndTheFanRow(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, uma := person(t, b), person(t, b)
		post(t, b, ada, "1 before", VisibilityPublic)
		edge := decideFollow(t, b, uma, ada, stateLive)
		post(t, b, ada, "2 between", VisibilityPublic)
		early := post(t, b, ada, "3 between, for followers", VisibilityFollowers)
		list := applied(t, b, edge...)
		post(t, b, ada, "4 after", VisibilityPublic)
		post(t, b, ada, "5 after, for followers", VisibilityFollowers)
		if n := runDue(t, b, effFanout); n != 2 { // the backfill is still on its way
			t.Fatalf("%d fan-outs, want one for each post that met a fan", n)
		}
		if want := []string{"5 after, for followers", "4 after"}; !slices.Equal(contents(home(t, b, uma, 20)), want) {
			t.Fatalf("before the backfill home has %q, want %q", contents(home(t, b, uma, 20)), want)
		}
		b.settle(t.Context(), list...)
		drain(t, b)
		want := []string{"5 after, for followers", "4 after", "2 between", "1 before"}
		if got := contents(home(t, b, uma, 2)); !slices.Equal(got, want) {
			t.Errorf("home has %q, want %q", got, want)
		}
		unseen(t, b, uma, early.ID)
		checkInvariants(t, b)
	})
}

func TestF7AFanBehindTheCursorOfARunningFanOut(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		uma, vic, ada := person(t, b), person(t, b), person(t, b)
		follow(t, b, vic, ada)
		post(t, b, ada, "m", VisibilityPublic)
		limited := post(t, b, ada, "for followers", VisibilityFollowers)
		for _, job := range dueJobs(t, b, effFanout) { // both have passed uma's id when she comes
			if taken, err := b.take(t.Context(), job); err != nil || !taken {
				t.Fatal(taken, err)
			}
			if err := b.checkpoint(t.Context(), job, deliveryProgress{After: uma.UserID}, false, b.now()); err != nil {
				t.Fatal(err)
			}
		}
		follow(t, b, uma, ada)
		drain(t, b)
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"m"}) {
			t.Errorf("home of the newcomer has %q", got)
		}
		if got := contents(home(t, b, vic, 20)); !slices.Equal(got, []string{"for followers", "m"}) {
			t.Errorf("home of the fan has %q", got)
		}
		unseen(t, b, uma, limited.ID)
		checkInvariants(t, b)
	})
}

func TestF8ARefollowOvertakesTheRemovalOfTheSpanBefore(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, uma := person(t, b), person(t, b)
		post(t, b, ada, "1", VisibilityPublic)
		follow(t, b, uma, ada)
		post(t, b, ada, "2", VisibilityPublic)
		post(t, b, ada, "3, given up", VisibilityFollowers)
		drain(t, b)
		applied(t, b, decideFollow(t, b, uma, ada, stateGone)...) // its removal is stored and does not run yet
		follow(t, b, uma, ada)
		post(t, b, ada, "4", VisibilityFollowers)
		post(t, b, ada, "5", VisibilityPublic)
		runDue(t, b, effFanout)
		if n := runDue(t, b, effPurge); n != 1 {
			t.Fatalf("%d removals, want the one of the unfollow", n)
		}
		want := []string{"5", "4", "2", "1"}
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, want) {
			t.Errorf("after the late removal home has %q, want %q", got, want)
		}
		drain(t, b)
		checkInvariants(t, b)
	})
}

// A worker that has read its page of fans is slower than an unfollow and a follow anew. The newer follow is younger than
// all the worker has seen in the first case; in the second another fan of the page is younger still.
func TestF8AFanOutReadUnderTheFollowBefore(t *testing.T) {
	for name, another := range map[string]bool{"alone": false, "beside a younger fan": true} {
		t.Run(name, func(t *testing.T) {
			few := func(cfg *configs.Config) { cfg.Timeline.Backfill = 1 }
			staged(t, few, func(t *testing.T, b *Backend, clock *stoppedClock) {
				all := people(t, b, 6)
				ada, uma, vic := all[0], all[1], all[5]
				if b.Cluster.For(int64(uma.UserID)) != b.Cluster.For(int64(vic.UserID)) {
					t.Fatal("the two fans are not written by one statement")
				}
				follow(t, b, uma, ada)
				late := post(t, b, ada, "too old for the list of the second follow", VisibilityPublic)
				clock.move(time.Second)
				edges := append(decideFollow(t, b, uma, ada, stateGone), decideFollow(t, b, uma, ada, stateLive)...)
				if another {
					clock.move(time.Second)
					follow(t, b, vic, ada)
				}
				page := fansToReach(t, b, late.ID)
				post(t, b, ada, "the list", VisibilityPublic)
				b.settle(t.Context(), edges...)
				if refused, _, err := b.deliver(t.Context(), page); err != nil || len(refused) > 0 {
					t.Fatal(refused, err)
				}
				drain(t, b)
				if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"the list"}) {
					t.Errorf("home has %q", got)
				}
				checkInvariants(t, b)
			})
		})
	}
}

func TestF17ASpanBrokenUnheardBeginsAnew(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, uma := person(t, b), person(t, b)
		follow(t, b, uma, ada)
		given := post(t, b, ada, "delivered, then given up", VisibilityFollowers)
		drain(t, b)
		end := decideFollow(t, b, uma, ada, stateGone)
		again := decideFollow(t, b, uma, ada, stateLive)
		meanwhile := post(t, b, ada, "while ada's shard still knows the first follow", VisibilityFollowers)
		public := post(t, b, ada, "public meanwhile", VisibilityPublic)
		runDue(t, b, effFanout)
		if e := entryIn(t, b, uma, meanwhile); e != nil {
			t.Errorf("a limited message was delivered under a follow that its author's shard had not heard of: %+v", e)
		}
		list := applied(t, b, again...)
		after := post(t, b, ada, "after", VisibilityFollowers)
		if late := applied(t, b, end...); len(late) > 0 {
			t.Errorf("the end of the first follow, late, owes %d effects", len(late))
		}
		b.settle(t.Context(), list...)
		drain(t, b)
		unseen(t, b, uma, given.ID)
		unseen(t, b, uma, meanwhile.ID)
		if _, err := b.Messages.Get(t.Context(), uma, after.ID); err != nil {
			t.Errorf("the message of the new span: %v", err)
		}
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"after", "public meanwhile"}) {
			t.Errorf("home has %q", got)
		}
		if entryIn(t, b, uma, public) == nil {
			t.Error("the public message has no entry")
		}
		if acc, err := b.Accounts.Get(t.Context(), uma, ada.UserID); err != nil || acc.FollowersCount != 1 {
			t.Errorf("%d followers, %v", acc.FollowersCount, err)
		}
		checkInvariants(t, b)
	})
}

// Both ends of the broken span come in one batch, in either order.
func TestF17BothRevsInOneBatch(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, uma, vic := person(t, b), person(t, b), person(t, b)
		for turn, v := range []Viewer{uma, vic} {
			follow(t, b, v, ada)
			m := post(t, b, ada, "given up", VisibilityFollowers)
			drain(t, b)
			both := append(decideFollow(t, b, v, ada, stateGone), decideFollow(t, b, v, ada, stateLive)...)
			if turn == 1 {
				slices.Reverse(both)
			}
			b.settle(t.Context(), both...)
			drain(t, b)
			unseen(t, b, v, m.ID)
			if fan := fanRow(t, b, ada, v); !fan.live() || fan.sinceClock <= clockOf(t, b, m.ID) {
				t.Errorf("the fan row is %+v", fan)
			}
		}
		checkInvariants(t, b)
	})
}

func TestF19KeepLeavesPublicMessagesAndNothingElse(t *testing.T) {
	staged(t, keepPublic, func(t *testing.T, b *Backend, clock *stoppedClock) {
		ada, uma := person(t, b), person(t, b)
		post(t, b, ada, "1", VisibilityPublic)
		follow(t, b, uma, ada)
		kept := post(t, b, ada, "2, deleted later", VisibilityPublic)
		limited := post(t, b, ada, "3, for followers", VisibilityFollowers)
		drain(t, b)
		unfollow(t, b, uma, ada)
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"2, deleted later", "1"}) {
			t.Errorf("after the unfollow home has %q", got)
		}
		post(t, b, ada, "4, too late", VisibilityPublic)
		drain(t, b)
		if e := entryIn(t, b, uma, limited); e != nil {
			t.Errorf("the limited entry was kept: %+v", e)
		}
		unseen(t, b, uma, limited.ID)
		checkInvariants(t, b)

		// A removal pages over gone fan rows too.
		if err := b.Messages.Delete(t.Context(), ada, kept.ID); err != nil {
			t.Fatal(err)
		}
		drain(t, b)
		if e := entryIn(t, b, uma, kept); e == nil || e.live {
			t.Errorf("the deleted message's kept entry is %+v", e)
		}
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"1"}) {
			t.Errorf("after the deletion home has %q", got)
		}
		checkInvariants(t, b)

		follow(t, b, uma, ada)
		drain(t, b)
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"4, too late", "1"}) {
			t.Errorf("after the next follow home has %q", got)
		}
		checkInvariants(t, b)
	})
}

// What is kept is what the rows say, whatever was on its way when the follow ended.
func TestF19KeepWithEffectsUnderWay(t *testing.T) {
	story := map[string]func(t *testing.T, b *Backend, ada, uma Viewer){
		"a fan-out that had not begun": func(t *testing.T, b *Backend, ada, uma Viewer) {
			post(t, b, ada, "m", VisibilityPublic)
			unfollow(t, b, uma, ada)
		},
		"a fan-out that had read its page": func(t *testing.T, b *Backend, ada, uma Viewer) {
			m := post(t, b, ada, "m", VisibilityPublic)
			page := fansToReach(t, b, m.ID)
			unfollow(t, b, uma, ada)
			if _, _, err := b.deliver(t.Context(), page); err != nil {
				t.Fatal(err)
			}
		},
		"a post before the author's shard heard of the end": func(t *testing.T, b *Backend, ada, uma Viewer) {
			end := decideFollow(t, b, uma, ada, stateGone)
			post(t, b, ada, "m", VisibilityPublic)
			runDue(t, b, effFanout)
			b.settle(t.Context(), end...)
		},
		"a backfill": func(t *testing.T, b *Backend, ada, uma Viewer) {
			vic := person(t, b)
			list := applied(t, b, decideFollow(t, b, vic, ada, stateLive)...)
			unfollow(t, b, vic, ada)
			b.settle(t.Context(), list...)
		},
		"a follow of which the author's shard heard the end first": func(t *testing.T, b *Backend, ada, _ Viewer) {
			vic := person(t, b)
			post(t, b, ada, "m", VisibilityPublic)
			begin := decideFollow(t, b, vic, ada, stateLive)
			b.settle(t.Context(), decideFollow(t, b, vic, ada, stateGone)...)
			b.settle(t.Context(), begin...)
		},
		"a second follow of which the author's shard heard the end alone": func(t *testing.T, b *Backend, ada, uma Viewer) {
			unfollow(t, b, uma, ada)
			post(t, b, ada, "m", VisibilityPublic)
			begin := decideFollow(t, b, uma, ada, stateLive)
			b.settle(t.Context(), decideFollow(t, b, uma, ada, stateGone)...)
			b.settle(t.Context(), begin...)
		},
		"a list that a second follow and its end overtook": func(t *testing.T, b *Backend, ada, uma Viewer) {
			post(t, b, ada, "m", VisibilityPublic)
			list := applied(t, b, decideFollow(t, b, uma, ada, stateGone)...)
			post(t, b, ada, "after the end", VisibilityPublic)
			begin := decideFollow(t, b, uma, ada, stateLive)
			b.settle(t.Context(), decideFollow(t, b, uma, ada, stateGone)...)
			b.settle(t.Context(), append(list, begin...)...)
		},
		"a block": func(t *testing.T, b *Backend, ada, uma Viewer) {
			if _, err := b.Relations.Block(t.Context(), ada, uma.UserID); err != nil {
				t.Fatal(err)
			}
			if got := contents(home(t, b, uma, 20)); len(got) > 0 {
				t.Errorf("behind the block home has %q", got)
			}
			drain(t, b)
			if !isDue(t, b, uma, MessageID{ada.UserID, 1}) { // hidden, and still there
				t.Error("the block took away what was kept")
			}
			if _, err := b.Relations.Unblock(t.Context(), ada, uma.UserID); err != nil {
				t.Fatal(err)
			}
			if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"delivered", "before"}) {
				t.Errorf("after the block home has %q", got)
			}
		},
	}
	staged(t, keepPublic, func(t *testing.T, b *Backend, _ *stoppedClock) {
		for name, tell := range story {
			t.Run(name, func(t *testing.T) {
				ada, uma := person(t, b), person(t, b)
				post(t, b, ada, "before", VisibilityPublic)
				follow(t, b, uma, ada)
				post(t, b, ada, "delivered", VisibilityPublic)
				drain(t, b)
				tell(t, b, ada, uma)
				drain(t, b)
				checkInvariants(t, b)
			})
		}
	})
}

func TestF20AFollowThatArrivesUnderABlock(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, uma := person(t, b), person(t, b)
		post(t, b, ada, "before", VisibilityPublic)
		edge := decideFollow(t, b, uma, ada, stateLive)
		before := fanRow(t, b, ada, uma)
		block := decideBlock(t, b, ada, uma, stateLive)
		if fan := fanRow(t, b, ada, uma); fan != before {
			t.Fatalf("the block touched the fan row: %+v", fan)
		}
		replies := applied(t, b, edge...)
		if len(replies) != 1 || replies[0].kind != effEndFollow {
			t.Errorf("the follow is answered by %d effects, want the wish to end it and no backfill", len(replies))
		}
		if fan := fanRow(t, b, ada, uma); !fan.live() || fan.rev != followRow(t, b, uma, ada).rev {
			t.Errorf("the fan row is %+v and the follow %+v", fan, followRow(t, b, uma, ada))
		}
		m := post(t, b, ada, "behind the veto", VisibilityPublic)
		limited := post(t, b, ada, "behind the veto, for followers", VisibilityFollowers)
		runDue(t, b, effFanout)
		if e := entryIn(t, b, uma, m); e != nil {
			t.Errorf("delivered in spite of the veto: %+v", e)
		}
		unseen(t, b, uma, limited.ID)

		// The answer ends the follow where it was decided, with its next rev: before the block has come there.
		edge = applied(t, b, replies...)
		if f := followRow(t, b, uma, ada); f.live() || len(edge) != 1 {
			t.Fatalf("the follow is %+v, %d effects", f, len(edge))
		}
		b.settle(t.Context(), edge...)
		b.settle(t.Context(), block...)
		drain(t, b)
		if got := home(t, b, uma, 20); len(got) > 0 {
			t.Errorf("home has %q", contents(got))
		}
		if _, err := b.Relations.Follow(t.Context(), uma, ada.UserID); CodeOf(err) != CodeBlocked {
			t.Errorf("a follow behind a block: %v", err)
		}
		checkInvariants(t, b)

		// Unblocking brings nothing back, and a follow stands again.
		if _, err := b.Relations.Unblock(t.Context(), ada, uma.UserID); err != nil {
			t.Fatal(err)
		}
		drain(t, b)
		if got := home(t, b, uma, 20); len(got) > 0 {
			t.Errorf("after the unblock home has %q", contents(got))
		}
		follow(t, b, uma, ada)
		drain(t, b)
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"behind the veto", "before"}) {
			t.Errorf("after the next follow home has %q", got)
		}
		unseen(t, b, uma, limited.ID)
		checkInvariants(t, b)
	})
}

func TestF20TheWishToEndAFollowSparesANewerOne(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, uma := person(t, b), person(t, b)
		post(t, b, ada, "m", VisibilityPublic)
		edge := decideFollow(t, b, uma, ada, stateLive)
		block := decideBlock(t, b, ada, uma, stateLive)
		wish := applied(t, b, edge...)
		unblock := decideBlock(t, b, ada, uma, stateGone)
		b.settle(t.Context(), unblock...) // overtakes the block, which then changes nothing
		b.settle(t.Context(), block...)
		if !followRow(t, b, uma, ada).live() {
			t.Fatal("a block that was over when it was heard of has ended a follow")
		}
		unfollow(t, b, uma, ada)
		follow(t, b, uma, ada)
		b.settle(t.Context(), wish...)
		drain(t, b)
		if f := followRow(t, b, uma, ada); !f.live() {
			t.Errorf("the wish ended a follow that is newer than what it was about: %+v", f)
		}
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"m"}) {
			t.Errorf("home has %q", got)
		}
		checkInvariants(t, b)
	})
}

func TestF21TheClockMovesWithTheAuthorsOwnFollows(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, uma := person(t, b), person(t, b)
		follow(t, b, uma, ada)
		one := post(t, b, ada, "1, before ada follows", VisibilityMutuals)
		follow(t, b, ada, uma)
		two := post(t, b, ada, "2, mutual", VisibilityMutuals)
		drain(t, b)
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"2, mutual"}) {
			t.Errorf("home has %q", got)
		}
		unseen(t, b, uma, one.ID)
		if _, err := b.Messages.Get(t.Context(), uma, two.ID); err != nil {
			t.Errorf("the mutual's message: %v", err)
		}
		checkInvariants(t, b)

		// A span that was broken on the author's side is over as well.
		before := clockOfAccount(t, b, ada)
		unfollow(t, b, ada, uma)
		ended := clockOfAccount(t, b, ada)
		three := post(t, b, ada, "3, ada does not follow", VisibilityMutuals)
		follow(t, b, ada, uma)
		if again := clockOfAccount(t, b, ada); ended <= before || again <= ended+1 {
			t.Errorf("the clock went %d, %d, %d", before, ended, again)
		}
		four := post(t, b, ada, "4, mutual again", VisibilityMutuals)
		drain(t, b)
		for _, m := range []*Message{one, two, three} {
			unseen(t, b, uma, m.ID)
		}
		if _, err := b.Messages.Get(t.Context(), uma, four.ID); err != nil {
			t.Errorf("the mutual's message: %v", err)
		}
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"4, mutual again"}) {
			t.Errorf("home has %q", got)
		}
		checkInvariants(t, b)
	})
}

// The author's own unfollow is decided in the author's shard, so no row of the reader refuses a slow worker.
func TestF21AFanOutReadBeforeTheAuthorsUnfollow(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, clock *stoppedClock) {
		ada, uma := person(t, b), person(t, b)
		follow(t, b, uma, ada)
		follow(t, b, ada, uma)
		m := post(t, b, ada, "mutual", VisibilityMutuals)
		post(t, b, ada, "public", VisibilityPublic)
		page := fansToReach(t, b, m.ID)
		unfollow(t, b, ada, uma)
		drain(t, b)
		if _, _, err := b.deliver(t.Context(), page); err != nil {
			t.Fatal(err)
		}
		unseen(t, b, uma, m.ID)
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"public"}) {
			t.Errorf("home has %q", got)
		}
		checkInvariants(t, b)
		clock.move(25 * time.Hour)
		drain(t, b)
		if e := entryIn(t, b, uma, m); e != nil {
			t.Errorf("a day later there is still %+v", e)
		}
		checkInvariants(t, b)
	})
}

// stoppedClock is a clock that the test moves: what a test holds back is never due by itself.
type stoppedClock struct{ ms atomic.Int64 }

func (c *stoppedClock) now() time.Time       { return time.UnixMilli(c.ms.Load()) }
func (c *stoppedClock) move(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// staged is each with a changed configuration and a clock that stands still.
func staged(t *testing.T, change func(*configs.Config), test func(t *testing.T, b *Backend, clock *stoppedClock)) {
	t.Helper()
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			cfg := p.Config(t)
			if change != nil {
				change(&cfg)
			}
			clock := &stoppedClock{}
			clock.ms.Store(time.Now().UnixMilli())
			b, err := Open(t.Context(), cfg, OpenOptions{Role: RoleServer, Log: testLog(), Now: clock.now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
			test(t, b, clock)
		})
	}
}

func keepPublic(cfg *configs.Config) { cfg.Timeline.OnUnfollow = "keep" }

// decideFollow runs the follower's own transaction of a follow or its end, and returns what it owes.
func decideFollow(t *testing.T, b *Backend, v, other Viewer, state int) []*effect {
	t.Helper()
	return decided(t, b, v, func(ctx context.Context, tx *sharding.Tx, me *accountRow) ([]*effect, error) {
		return b.turnFollow(ctx, tx, me, other.UserID, state, 0)
	})
}

// decideBlock runs the blocker's own transaction, of somebody who does not follow the blocked, and returns what it owes.
func decideBlock(t *testing.T, b *Backend, v, other Viewer, state int) []*effect {
	t.Helper()
	return decided(t, b, v, func(ctx context.Context, tx *sharding.Tx, me *accountRow) ([]*effect, error) {
		bucket := b.bucket(v.UserID)
		row, err := relationOf(ctx, tx, bucket, v.UserID, relBlock, other.UserID)
		if err != nil {
			return nil, err
		}
		if err := bump(ctx, tx, bucket, v.UserID, 1, 0, 0); err != nil {
			return nil, err
		}
		row = relation{state: state, rev: max(row.rev+1, b.now()), sinceClock: me.clock + 1}
		return []*effect{b.newEffect(v.UserID, effBlocked, other.UserID, blockedPayload{By: v.UserID, Rev: row.rev, State: state})},
			b.putRelation(ctx, tx, v.UserID, relBlock, other.UserID, row)
	})
}

func decided(t *testing.T, b *Backend, v Viewer, verb ownVerb) []*effect {
	t.Helper()
	effs, err := b.decideAlone(t.Context(), v, verb)
	if err != nil {
		t.Fatal(err)
	}
	return effs
}

// ownVerb is what a person's own transaction does, under their row lock.
type ownVerb func(ctx context.Context, tx *sharding.Tx, me *accountRow) ([]*effect, error)

// decideAlone is Relations.decide without applying what is owed elsewhere.
func (b *Backend) decideAlone(ctx context.Context, v Viewer, verb ownVerb) ([]*effect, error) {
	var effs []*effect
	err := b.Cluster.Write(ctx, int64(v.UserID), func(ctx context.Context, tx *sharding.Tx) error {
		me, err := b.lockLive(ctx, tx, v.UserID)
		if err != nil {
			return err
		}
		if effs, err = verb(ctx, tx, me); err != nil {
			return err
		}
		return b.emit(ctx, tx, effs...)
	})
	b.cache.Invalidate(ctx, viewerKey(v.UserID), accountKey(v.UserID))
	return effs, err
}

// applied applies effects and returns what these owe in turn, held back as well. Jobs among it lie in the outbox.
func applied(t *testing.T, b *Backend, effs ...*effect) []*effect {
	t.Helper()
	var replies []*effect
	for _, group := range b.group(effs) {
		if group[0].kind.isJob() {
			continue
		}
		more, err := b.apply(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		b.ack.done(group...)
		replies = append(replies, more...)
	}
	return replies
}

// dueJobs are the jobs of a kind that a worker would take now.
func dueJobs(t *testing.T, b *Backend, kind effectKind) []*effect {
	t.Helper()
	var jobs []*effect
	for _, shard := range b.Cluster.Shards() {
		due, err := b.dueIn(t.Context(), shard)
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, slices.DeleteFunc(due, func(e *effect) bool { return e.kind != kind })...)
	}
	return jobs
}

// runDue works off the due jobs of one kind and nothing else, and returns how many there were.
func runDue(t *testing.T, b *Backend, kind effectKind) int {
	t.Helper()
	jobs := dueJobs(t, b, kind)
	for _, e := range jobs {
		more, err := b.take(t.Context(), e)
		for more && err == nil {
			more, err = b.jobPage(t.Context(), e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b.ack.flush(t.Context())
	return len(jobs)
}

// fansToReach is the first half of a fan-out's page: whom a worker would write to that stops here.
func fansToReach(t *testing.T, b *Backend, id MessageID) *delivery {
	t.Helper()
	page, err := b.fansToReach(t.Context(), id.Author, deliveryPayload{N: id.N}, deliveryProgress{})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.msgs) != 1 || len(page.fans) == 0 {
		t.Fatalf("the fan-out of %s reaches %d fans", id, len(page.fans))
	}
	return page
}

func unfollow(t *testing.T, b *Backend, v, other Viewer) {
	t.Helper()
	rel, err := b.Relations.Unfollow(t.Context(), v, other.UserID)
	if err != nil || rel.Following || rel.Pending {
		t.Fatalf("unfollow: %+v, %v", rel, err)
	}
}

// unseen fails when the reader gets the message at its own address.
func unseen(t *testing.T, b *Backend, v Viewer, id MessageID) {
	t.Helper()
	if m, err := b.Messages.Get(t.Context(), v, id); CodeOf(err) != CodeNotFound {
		t.Errorf("%d reads %s: %+v, %v", v.UserID, id, m, err)
	}
}

func relationRowOf(t *testing.T, b *Backend, user Viewer, kind int, other Viewer) relation {
	t.Helper()
	rows, err := b.relations(t.Context(), []relationKey{{user.UserID, kind, other.UserID}})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) == 0 {
		return relation{}
	}
	return rows[0].relation
}

// fanRow is the author's copy of a follow, followRow the follower's.
func fanRow(t *testing.T, b *Backend, author, reader Viewer) relation {
	t.Helper()
	return relationRowOf(t, b, author, relFan, reader)
}

func followRow(t *testing.T, b *Backend, reader, author Viewer) relation {
	t.Helper()
	return relationRowOf(t, b, reader, relFollow, author)
}

// entryIn is the row, live or gone, that a reader's timeline has for a message; nil for none.
func entryIn(t *testing.T, b *Backend, reader Viewer, m *Message) *entry {
	t.Helper()
	var e *entry
	err := b.Cluster.Read(t.Context(), int64(reader.UserID), func(ctx context.Context, r *sharding.Reader) (err error) {
		e, err = entryOf(ctx, r, b.bucket(reader.UserID), reader.UserID, &stored{id: m.ID, timeMS: int64(m.CreatedAt)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func clockOf(t *testing.T, b *Backend, id MessageID) int64 {
	t.Helper()
	rows, err := b.storedRows(t.Context(), []MessageID{id})
	if err != nil || len(rows) != 1 {
		t.Fatal(len(rows), err)
	}
	return rows[0].clock
}

func clockOfAccount(t *testing.T, b *Backend, v Viewer) int64 {
	t.Helper()
	acc, err := b.readAccount(t.Context(), v.UserID)
	if err != nil || acc == nil {
		t.Fatal(acc, err)
	}
	return acc.clock
}
