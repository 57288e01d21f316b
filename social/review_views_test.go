package social

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"socialctl/configs"
)

func carryComments(cfg *configs.Config) { cfg.Timeline.Comments = true }

// With timeline.comments a comment goes to the commenter's fans. Below a limited root it goes to nobody: who may see it is
// known in the shard of the root's author, and not in the commenter's.
func TestF23CommentsOnLimitedRootsAreNeverFannedOut(t *testing.T) {
	staged(t, carryComments, func(t *testing.T, b *Backend, clock *stoppedClock) {
		ctx := t.Context()
		ada, cem, dan, eva := person(t, b), person(t, b), person(t, b), person(t, b)
		follow(t, b, cem, ada)
		follow(t, b, ada, cem)
		follow(t, b, dan, cem)
		follow(t, b, eva, cem)
		follow(t, b, eva, ada)
		open := post(t, b, ada, "root", VisibilityPublic)
		followers := post(t, b, ada, "root for followers", VisibilityFollowers)
		mutuals := post(t, b, ada, "root for mutuals", VisibilityMutuals)
		clock.move(time.Second)
		below := map[*Message]*Message{}
		for _, root := range []*Message{open, followers, mutuals} {
			c, err := b.Messages.Comment(ctx, cem, root.ID, "on "+root.Content, KeyUse{})
			if err != nil {
				t.Fatal(err)
			}
			if c.Visibility != root.Visibility {
				t.Errorf("the comment on a %s root is %s", root.Visibility, c.Visibility)
			}
			below[root] = c
		}
		drain(t, b)
		for v, want := range map[Viewer][]string{
			dan: {"on root"},
			eva: {"on root", "root for followers", "root"},
			cem: {"on root", "root for mutuals", "root for followers", "root"},
		} {
			if got := contents(home(t, b, v, 20)); !slices.Equal(got, want) {
				t.Errorf("home of %d has %q, want %q", v.UserID, got, want)
			}
		}
		// A reply from within the audience goes no further either.
		reply, err := b.Messages.Comment(ctx, ada, below[followers].ID, "a reply", KeyUse{})
		if err != nil || reply.Visibility != VisibilityFollowers {
			t.Fatalf("%+v, %v", reply, err)
		}
		drain(t, b)
		for v, hidden := range map[Viewer][]*Message{
			dan: {below[followers], below[mutuals], reply},
			eva: {below[mutuals]},
			{}:  {below[followers], below[mutuals], reply},
		} {
			for _, m := range hidden {
				unseen(t, b, v, m.ID)
				if list, err := b.Messages.GetMany(ctx, v, []MessageID{m.ID}); err != nil || len(list) > 0 {
					t.Errorf("%d reads %s among many: %v, %v", v.UserID, m.ID, contents(list), err)
				}
				if _, err := b.Messages.Context(ctx, v, m.ID); CodeOf(err) != CodeNotFound {
					t.Errorf("%d reads the context of %s: %v", v.UserID, m.ID, err)
				}
				if _, err := b.Messages.Comment(ctx, v, m.ID, "from outside", KeyUse{}); v.Known() && CodeOf(err) != CodeNotFound {
					t.Errorf("%d answers %s: %v", v.UserID, m.ID, err)
				}
			}
		}
		for v, want := range map[Viewer][]string{dan: {"on root"}, eva: {"on root for followers", "on root"}, {}: {"on root"}} {
			page, err := b.Messages.ByAccount(ctx, v, cem.UserID, ListQuery{})
			if err != nil || !slices.Equal(contents(page.Items), want) {
				t.Errorf("for %d the commenter's page has %q, want %q, %v", v.UserID, contents(page.Items), want, err)
			}
		}
		if _, err := b.Messages.Comments(ctx, dan, followers.ID, CommentQuery{}); CodeOf(err) != CodeNotFound {
			t.Errorf("the comments on a root that one may not see: %v", err)
		}
		if e := entryIn(t, b, dan, below[followers]); e != nil {
			t.Errorf("a comment on a limited root was delivered: %+v", e)
		}
		checkInvariants(t, b)
	})
}

// The audience of a comment is that of the root when that was published, and the commenter's veto besides.
func TestF23ACommentIsForTheAudienceThatItsRootHad(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ctx := t.Context()
		ada, cem, eva, late := person(t, b), person(t, b), person(t, b), person(t, b)
		follow(t, b, cem, ada)
		follow(t, b, eva, ada)
		root := post(t, b, ada, "root", VisibilityFollowers)
		follow(t, b, late, ada) // before the comment, and after the root
		c, err := b.Messages.Comment(ctx, cem, root.ID, "comment", KeyUse{})
		if err != nil {
			t.Fatal(err)
		}
		drain(t, b)
		seen := func(v Viewer, want bool, when string) {
			t.Helper()
			if _, err := b.Messages.Get(ctx, v, c.ID); (err == nil) != want {
				t.Errorf("%s: %d gets %v", when, v.UserID, err)
			}
		}
		for v, want := range map[Viewer]bool{ada: true, cem: true, eva: true, late: false} {
			seen(v, want, "at first")
		}
		if _, err := b.Relations.Block(ctx, cem, eva.UserID); err != nil {
			t.Fatal(err)
		}
		seen(eva, false, "behind the commenter's block")
		if _, err := b.Relations.Unblock(ctx, cem, eva.UserID); err != nil {
			t.Fatal(err)
		}
		seen(eva, true, "after it")
		unfollow(t, b, eva, ada)
		follow(t, b, eva, ada)
		seen(eva, false, "under another follow than the root's")
		unfollow(t, b, cem, ada)
		seen(ada, true, "the root's author")
		own, err := b.Messages.Get(ctx, cem, c.ID)
		if err != nil || !own.Parent.Unavailable || !own.Origin.Unavailable || own.Parent.Message != nil {
			t.Errorf("one's own comment below a root that one may not see any more: %+v, %v", own, err)
		}
		if err := b.Messages.Delete(ctx, ada, root.ID); err != nil {
			t.Fatal(err)
		}
		if own, err = b.Messages.Get(ctx, cem, c.ID); err != nil || own.Parent.Deleted || !own.Parent.Unavailable {
			t.Errorf("that the root is deleted is told to who may not see it: %+v, %v", own, err)
		}
		if got, err := b.Messages.Get(ctx, ada, c.ID); err != nil || !got.Parent.Deleted {
			t.Errorf("that the root is deleted is not told to its author: %+v, %v", got, err)
		}
		drain(t, b)
		checkInvariants(t, b)
	})
}

// Everything that a repost or a comment carries along is checked for its reader: whatever way leads to it, the words of
// somebody behind a block do not appear.
func TestF24NoWayLeadsToTheWordsBehindABlock(t *testing.T) {
	const words = "the words behind the block"
	for name, block := range map[string]func(t *testing.T, b *Backend, ada, uma Viewer) error{
		"the author blocks": func(t *testing.T, b *Backend, ada, uma Viewer) error {
			_, err := b.Relations.Block(t.Context(), ada, uma.UserID)
			return err
		},
		"the reader blocks": func(t *testing.T, b *Backend, ada, uma Viewer) error {
			_, err := b.Relations.Block(t.Context(), uma, ada.UserID)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			staged(t, carryComments, func(t *testing.T, b *Backend, _ *stoppedClock) {
				ctx := t.Context()
				ada, rob, sam, uma := person(t, b), person(t, b), person(t, b), person(t, b)
				follow(t, b, uma, rob)
				follow(t, b, uma, sam)
				original := post(t, b, ada, words, VisibilityPublic)
				plain, quote := repost(t, b, rob, original, ""), repost(t, b, rob, original, "a quote")
				second := repost(t, b, sam, quote, "a quote of a quote")
				onOriginal, err := b.Messages.Comment(ctx, rob, original.ID, "on the original", KeyUse{})
				if err != nil {
					t.Fatal(err)
				}
				onQuote, err := b.Messages.Comment(ctx, ada, quote.ID, words+", below a quote", KeyUse{})
				if err != nil {
					t.Fatal(err)
				}
				below, err := b.Messages.Comment(ctx, sam, onQuote.ID, "a reply to who is behind the block", KeyUse{})
				if err != nil {
					t.Fatal(err)
				}
				drain(t, b)
				if got := len(home(t, b, uma, 20)); got != 5 {
					t.Fatalf("before the block home has %d messages", got)
				}
				if err := block(t, b, ada, uma); err != nil {
					t.Fatal(err)
				}
				if got := contents(home(t, b, uma, 2)); !slices.Equal(got, []string{"a reply to who is behind the block"}) {
					t.Errorf("home has %q", got)
				}
				unseen(t, b, uma, original.ID)
				unseen(t, b, uma, onOriginal.ID)
				unseen(t, b, uma, onQuote.ID)
				var found []any
				for _, id := range []MessageID{plain.ID, quote.ID, second.ID, below.ID} {
					m, err := b.Messages.Get(ctx, uma, id)
					if err != nil {
						t.Errorf("%s: %v", id, err)
						continue
					}
					context, err := b.Messages.Context(ctx, uma, id)
					if err != nil {
						t.Errorf("the context of %s: %v", id, err)
					}
					found = append(found, m, context)
				}
				for _, who := range []Viewer{ada, rob, sam} {
					page, err := b.Messages.ByAccount(ctx, uma, who.UserID, ListQuery{})
					if err != nil || who == ada && len(page.Items) > 0 {
						t.Errorf("the page of %d: %q, %v", who.UserID, contents(page.Items), err)
					}
					found = append(found, page)
				}
				comments, err := b.Messages.Comments(ctx, uma, quote.ID, CommentQuery{})
				if err != nil || !slices.Equal(contents(comments.Items), []string{"a reply to who is behind the block"}) {
					t.Errorf("the comments on the quote: %q, %v", contents(comments.Items), err)
				}
				fixed := pageOf(t, b, uma, quote, 0)
				reposts, err := b.Messages.Reposts(ctx, uma, quote.ID, PageRequest{})
				if err != nil {
					t.Error(err)
				}
				raw, err := json.Marshal(append(found, comments, fixed, reposts, home(t, b, uma, 20)))
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(raw), words) {
					t.Errorf("the words appear in %s", raw)
				}
				if strings.Contains(string(raw), `"deleted"`) {
					t.Errorf("what is behind the block is called deleted: %s", raw)
				}
				drain(t, b)
				checkInvariants(t, b)
			})
		})
	}
}

// A mute keeps the muted, and what passes them on, out of home and out of nothing else.
func TestF24AMuteReachesWhatPassesTheMutedOn(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, _ *stoppedClock) {
		ctx := t.Context()
		ada, rob, uma := person(t, b), person(t, b), person(t, b)
		follow(t, b, uma, rob)
		follow(t, b, uma, ada)
		original := post(t, b, ada, "original", VisibilityPublic)
		quote := repost(t, b, rob, original, "a quote")
		post(t, b, rob, "rob's own", VisibilityPublic)
		second := repost(t, b, uma, quote, "one's own quote of the quote")
		drain(t, b)
		if _, err := b.Relations.Mute(ctx, uma, ada.UserID); err != nil {
			t.Fatal(err)
		}
		if got := contents(home(t, b, uma, 20)); !slices.Equal(got, []string{"rob's own"}) {
			t.Errorf("home has %q", got)
		}
		for _, id := range []MessageID{quote.ID, second.ID} {
			if m, err := b.Messages.Get(ctx, uma, id); err != nil || m.Origin.Message == nil {
				t.Errorf("%s at its own address: %+v, %v", id, m, err)
			}
		}
		if _, err := b.Relations.Unmute(ctx, uma, ada.UserID); err != nil {
			t.Fatal(err)
		}
		if got := home(t, b, uma, 20); len(got) != 4 {
			t.Errorf("after the unmute home has %q", contents(got))
		}
		checkInvariants(t, b)
	})
}

func repost(t *testing.T, b *Backend, v Viewer, of *Message, content string) *Message {
	t.Helper()
	m, created, err := b.Messages.Repost(t.Context(), v, of.ID, content, KeyUse{})
	if err != nil || !created {
		t.Fatal(m, created, err)
	}
	return m
}
