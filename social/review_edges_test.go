package social

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"socialctl/sharding"
)

// An effect may come twice and later than others: the edge's identity is its key, and its number stays.
func TestF27AnEdgeAppliedTwiceIsOneEdge(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, vic := person(t, b), person(t, b)
		root := post(t, b, ada, "root", VisibilityPublic)
		first, one := storeComment(t, b, vic, root, "first")
		applied(t, b, one...)
		for i := range CommentPageSize {
			_, next := storeComment(t, b, vic, root, fmt.Sprint("between ", i))
			applied(t, b, next...)
		}
		applied(t, b, one...)
		applied(t, b, slices.Concat(one, one)...)
		_, quote := storeRepost(t, b, vic, root, "and a quote, whose numbers are its own")
		applied(t, b, slices.Concat(quote, one, quote)...)
		wantCounts(t, b, root, 21, 1)
		if got := pageOf(t, b, vic, root, 0); len(got) != CommentPageSize || got[0].ID != first {
			t.Errorf("page 0 has %q", contents(got))
		}
		if got := pageOf(t, b, vic, root, 1); len(got) != 1 || got[0].CommentPage == nil || *got[0].CommentPage != 1 {
			t.Errorf("page 1 has %q", contents(got))
		}
		drain(t, b)
		checkInvariants(t, b)
	})
}

// Written and deleted before anything of it arrives: the counters do not depend on what arrives first, or how often.
func TestF28CountersDoNotDependOnTheOrderOfArrival(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, vic := person(t, b), person(t, b)
		root := post(t, b, ada, "root", VisibilityPublic)
		const create, end = 0, 1
		orders := [][]int{{create, end}, {end, create}, {end}, {end, end, create, create}, {create, end, create, end}, {end, create, end, create}}
		for i, order := range orders {
			id, made := storeComment(t, b, vic, root, fmt.Sprint(i))
			owed := [][]*effect{made, deleteHeld(t, b, id)}
			for _, which := range order {
				applied(t, b, owed[which]...)
			}
			if !slices.Contains(order, create) {
				b.ack.done(made...) // it is never applied alone: the worker's answer to it was lost
			}
			wantCounts(t, b, root, 0, 0)
			if got := commentedOf(t, b, root.ID); got != int64(i)+1 {
				t.Fatalf("after %v there were ever %d comments, want %d", order, got, i+1)
			}
		}
		id, made := storeComment(t, b, vic, root, "stays")
		applied(t, b, append(deleteHeld(t, b, mustStore(t, b, vic, root)), made...)...) // two edges in one batch
		wantCounts(t, b, root, 1, 0)
		page, err := b.Messages.CommentsPage(t.Context(), vic, root.ID, 0)
		if err != nil || len(page.Items) != 1 || page.Items[0].ID != id || page.PageCount != 1 {
			t.Errorf("%+v, %v", page, err)
		}
		drain(t, b)
		checkInvariants(t, b)
	})
}

func TestF29AReplyToTheRootIsOneEdge(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ada, vic := person(t, b), person(t, b)
		root := post(t, b, ada, "root", VisibilityPublic)
		direct, effs := storeComment(t, b, vic, root, "direct")
		if len(effs) != 1 {
			t.Errorf("a reply to the root owes %d edges", len(effs))
		}
		b.settle(t.Context(), effs...)
		below, err := b.Messages.Get(t.Context(), vic, direct)
		if err != nil {
			t.Fatal(err)
		}
		reply, effs := storeComment(t, b, ada, below, "reply")
		if len(effs) != 2 {
			t.Errorf("a reply to a comment owes %d edges, want one to the comment and one to the root", len(effs))
		}
		b.settle(t.Context(), effs...)
		wantCounts(t, b, root, 2, 0)
		wantCounts(t, b, below, 1, 0)
		passed, effs := storeRepost(t, b, vic, root, "words")
		b.settle(t.Context(), effs...)
		again, err := b.Messages.Get(t.Context(), ada, passed)
		if err != nil {
			t.Fatal(err)
		}
		_, effs = storeRepost(t, b, ada, again, "more words")
		b.settle(t.Context(), effs...)
		wantCounts(t, b, root, 2, 2)
		wantCounts(t, b, again, 0, 1)

		// Each of the two edges is exact alone, also below what is deleted.
		if err := b.Messages.Delete(t.Context(), vic, direct); err != nil {
			t.Fatal(err)
		}
		wantCounts(t, b, root, 1, 0+2)
		if got := commentedOf(t, b, direct); got != 1 {
			t.Errorf("the deleted comment was answered %d times", got)
		}
		onReply, err := b.Messages.Get(t.Context(), vic, reply)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Messages.Delete(t.Context(), ada, root.ID); err != nil {
			t.Fatal(err)
		}
		_, effs = storeComment(t, b, vic, onReply, "below a deleted root")
		b.settle(t.Context(), effs...)
		wantCounts(t, b, onReply, 1, 0)
		if got := commentedOf(t, b, root.ID); got != 3 {
			t.Errorf("the deleted root was answered %d times", got)
		}
		drain(t, b)
		checkInvariants(t, b)
	})
}

// What changes is decided in Go, from the row as it was: neither engine's count of affected rows tells an insert from an
// upsert that changed nothing.
func TestF30NothingMovesWhereNothingChanges(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, clock *stoppedClock) {
		ada, uma := person(t, b), person(t, b)
		edge := decideFollow(t, b, uma, ada, stateLive)
		block := decideBlock(t, b, ada, uma, stateLive)
		unblock := decideBlock(t, b, ada, uma, stateGone)
		for range 2 {
			if more := applied(t, b, slices.Concat(unblock, block)...); len(more) > 0 {
				t.Errorf("a block that is over owes %d effects", len(more))
			}
		}
		b.settle(t.Context(), edge...)
		state := func() [4]int64 {
			rows, err := b.profileRows(t.Context(), []UserID{ada.UserID, uma.UserID})
			if err != nil || len(rows) != 2 {
				t.Fatal(rows, err)
			}
			var counts [4]int64
			for _, p := range rows {
				if p.id == ada.UserID {
					counts[0], counts[2] = p.followers, clockOfAccount(t, b, ada)
				} else {
					counts[1], counts[3] = p.following, clockOfAccount(t, b, uma)
				}
			}
			return counts
		}
		before := state()
		if before[0] != 1 || before[1] != 1 {
			t.Fatalf("one follow is counted as %v", before)
		}
		for range 2 {
			if more := applied(t, b, slices.Concat(edge, edge)...); len(more) > 0 {
				t.Errorf("a follow applied again owes %d effects", len(more))
			}
			applied(t, b, slices.Concat(block, unblock)...)
			follow(t, b, uma, ada)
			if more := decideFollow(t, b, uma, ada, stateLive); len(more) > 0 {
				t.Errorf("a follow that is there already owes %d effects", len(more))
			}
		}
		if after := state(); after != before {
			t.Errorf("counters and clocks went from %v to %v", before, after)
		}
		unfollow(t, b, uma, ada)
		before = state()
		unfollow(t, b, uma, ada)
		if after := state(); after != before || after[0] != 0 {
			t.Errorf("a second unfollow moved %v to %v", before, after)
		}
		drain(t, b)
		checkInvariants(t, b)
	})
}

// There are no notifications yet. What they will hang on holds: an edge changes its state once for each thing that its
// decider does, however often that is repeated or its effect comes.
func TestF31AnEdgeChangesItsStateOnce(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ctx := t.Context()
		ada, vic := person(t, b), person(t, b)
		root := post(t, b, ada, "root", VisibilityPublic)
		passed, effs := storeRepost(t, b, vic, root, "")
		b.settle(ctx, effs...)
		for range 3 {
			again, created, err := b.Messages.Repost(ctx, vic, root.ID, "", KeyUse{})
			if err != nil || created || again.ID != passed {
				t.Fatalf("a second repost without words: %+v, %v, %v", again, created, err)
			}
			applied(t, b, effs...)
		}
		wantCounts(t, b, root, 0, 1)
		for range 2 {
			if _, err := b.Messages.Unrepost(ctx, vic, root.ID); err != nil {
				t.Fatal(err)
			}
		}
		applied(t, b, effs...) // the first one once more, after its end
		wantCounts(t, b, root, 0, 0)
		second, created, err := b.Messages.Repost(ctx, vic, root.ID, "", KeyUse{})
		if err != nil || !created || second.ID == passed {
			t.Fatalf("a repost after the end of the first: %+v, %v, %v", second, created, err)
		}
		wantCounts(t, b, root, 0, 1)
		if rows, err := b.storedRows(ctx, []MessageID{root.ID}); err != nil || rows[0].transferred != 2 {
			t.Errorf("ever: %+v, %v", rows, err)
		}
		drain(t, b)
		checkInvariants(t, b)
	})
}

// storeHeld runs the publishing transaction and returns what it owes to the shards of what the message refers to.
func storeHeld(t *testing.T, b *Backend, v Viewer, msg *stored, p publication) (MessageID, []*effect) {
	t.Helper()
	var effs []*effect
	err := b.Cluster.Write(t.Context(), int64(v.UserID), func(ctx context.Context, tx *sharding.Tx) error {
		var err error
		_, effs, err = b.storeTx(ctx, tx, v.UserID, msg, p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return msg.id, edgesAmong(effs)
}

func edgesAmong(effs []*effect) []*effect {
	return slices.DeleteFunc(effs, func(e *effect) bool { return e.kind != effReference })
}

func storeComment(t *testing.T, b *Backend, v Viewer, on *Message, content string) (MessageID, []*effect) {
	t.Helper()
	return storeHeld(t, b, v, referring(KindComment, on, content), publication{after: int64(on.CreatedAt)})
}

func storeRepost(t *testing.T, b *Backend, v Viewer, of *Message, content string) (MessageID, []*effect) {
	t.Helper()
	return storeHeld(t, b, v, referring(KindRepost, of, content), publication{after: int64(of.CreatedAt), once: content == ""})
}

// mustStore stores a comment whose edge is never applied by itself.
func mustStore(t *testing.T, b *Backend, v Viewer, on *Message) MessageID {
	t.Helper()
	id, effs := storeComment(t, b, v, on, "deleted at once")
	b.ack.done(effs...)
	return id
}

func referring(kind Kind, to *Message, content string) *stored {
	origin := to.ID
	if to.Kind == kind {
		origin = to.Origin.ID
	}
	return &stored{kind: kind, live: true, visibility: to.Visibility, rootVisibility: to.Visibility, content: content, parent: to.ID, origin: origin}
}

// deleteHeld runs the deleting transaction and returns the edges that it ends.
func deleteHeld(t *testing.T, b *Backend, id MessageID) []*effect {
	t.Helper()
	var effs []*effect
	err := b.Cluster.Write(t.Context(), int64(id.Author), func(ctx context.Context, tx *sharding.Tx) error {
		if _, err := lockAccount(ctx, tx, b.bucket(id.Author), id.Author); err != nil {
			return err
		}
		var err error
		effs, err = b.eraseTx(ctx, tx, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b.cache.Invalidate(t.Context(), messageKey(id), accountKey(id.Author), viewerKey(id.Author))
	return edgesAmong(effs)
}

func wantCounts(t *testing.T, b *Backend, m *Message, comments, reposts int64) {
	t.Helper()
	got, err := b.Messages.Get(t.Context(), Viewer{}, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.CommentCount != comments || got.RepostCount != reposts {
		t.Errorf("%s has %d comments and %d reposts, want %d and %d", m.ID, got.CommentCount, got.RepostCount, comments, reposts)
	}
}

// commentedOf is how many comments there ever were.
func commentedOf(t *testing.T, b *Backend, id MessageID) int64 {
	t.Helper()
	rows, err := b.storedRows(t.Context(), []MessageID{id})
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	return rows[0].commented
}

func pageOf(t *testing.T, b *Backend, v Viewer, on *Message, page int64) []*Message {
	t.Helper()
	got, err := b.Messages.CommentsPage(t.Context(), v, on.ID, page)
	if err != nil {
		t.Fatal(err)
	}
	return got.Items
}
