package social

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"socialctl/sharding"
)

func TestGetAndGetMany(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(2)
		a, b := p[0], p[1]
		one, two := s.post(a, "one"), s.post(b, "two")
		private, gone := s.post(a, "private", VisibilityPrivate), s.post(a, "gone")
		s.remove(gone)
		never := MessageID{a, 4711}
		nobody := MessageID{4711, 1}
		for _, id := range []MessageID{private, gone, never, nobody} {
			if _, err := s.b.Messages.Get(ctx, as(b), id); CodeOf(err) != CodeNotFound {
				t.Errorf("%s: %v", id, err)
			}
		}
		if s.get(a, private) == nil || s.get(a, gone) != nil {
			t.Error("an author sees their private message, and not the deleted one")
		}
		got, err := s.b.Messages.GetMany(ctx, Viewer{}, []MessageID{two, private, nobody, one, gone, never, two})
		s.ok(err)
		if want := []MessageID{two, one, two}; !slices.Equal(idsOf(got), want) {
			t.Errorf("many: %v, want %v", idsOf(got), want)
		}
		if got, err := s.b.Messages.GetMany(ctx, Viewer{}, nil); err != nil || got == nil || len(got) != 0 {
			t.Errorf("none: %v, %v", got, err)
		}
		if _, err := s.b.Messages.GetMany(ctx, Viewer{}, make([]MessageID, 101)); CodeOf(err) != CodeInvalid {
			t.Errorf("101: %v", err)
		}
		// What did not exist when it was asked for is seen when it does.
		next := MessageID{b, two.N + 1}
		if s.get(a, next) != nil {
			t.Fatal("a message before its time")
		}
		if made := s.post(b, "three"); made != next || s.get(a, next) == nil {
			t.Error("a message that was asked for too early stays unseen")
		}
	})
}

func TestByAccount(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(3)
		a, b, c := p[0], p[1], p[2]
		s.follow(b, a)
		one := s.post(a, "one")
		limited := s.post(a, "limited", VisibilityFollowers)
		private := s.post(a, "private", VisibilityPrivate)
		answer := s.comment(a, private, "to myself")
		passed := s.repost(a, one, "")
		gone := s.post(a, "gone")
		s.remove(gone)
		for _, check := range []struct {
			who   Viewer
			kinds []Kind
			want  []MessageID
		}{
			{as(a), nil, []MessageID{passed, answer, private, limited, one}},
			{as(b), nil, []MessageID{passed, limited, one}},
			{as(c), nil, []MessageID{passed, one}},
			{Viewer{}, nil, []MessageID{passed, one}},
			{as(a), []Kind{KindComment}, []MessageID{answer}},
			{as(b), []Kind{KindRepost, KindComment}, []MessageID{passed}},
			{as(b), []Kind{KindOriginal}, []MessageID{limited, one}},
		} {
			got := s.walk(func(p PageRequest) (Page[*Message], error) {
				return s.b.Messages.ByAccount(ctx, check.who, a, ListQuery{PageRequest: p, Kinds: check.kinds})
			})
			if !slices.Equal(got, check.want) {
				t.Errorf("as %d, kinds %v: %v, want %v", check.who.UserID, check.kinds, got, check.want)
			}
		}
		s.relate(s.b.Relations.Block, a, c)
		for _, pair := range [][2]UserID{{c, a}, {a, c}} {
			empty, err := s.b.Messages.ByAccount(ctx, as(pair[0]), pair[1], ListQuery{})
			if err != nil || len(empty.Items) != 0 || empty.NextCursor != "" || empty.PrevCursor == "" {
				t.Errorf("the other side of a block: %+v, %v", empty, err)
			}
		}
		if _, err := s.b.Messages.ByAccount(ctx, as(b), 4711, ListQuery{}); CodeOf(err) != CodeNotFound {
			t.Errorf("nobody's messages: %v", err)
		}
		if _, err := s.b.Messages.ByAccount(ctx, as(b), a, ListQuery{Before: 5}); CodeOf(err) != CodeInvalid {
			t.Errorf("before: %v", err)
		}
		s.ok(s.b.Accounts.Erase(ctx, a))
		if _, err := s.b.Messages.ByAccount(ctx, as(b), a, ListQuery{}); CodeOf(err) != CodeNotFound {
			t.Errorf("a deleted account's messages: %v", err)
		}
	})
}

// A comment has its root's audience: whom the commenter reaches is of no account (REVIEW F23).
func TestF23CommentsHaveTheirRootsAudience(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(4)
		author, reader, commenter, friend := p[0], p[1], p[2], p[3]
		s.follow(reader, author)
		s.follow(commenter, author)
		s.follow(friend, commenter)
		root := s.post(author, "for followers", VisibilityFollowers)
		answer := s.comment(commenter, root, "indeed")
		s.deliver()
		if got := s.get(reader, answer); got == nil || got.Visibility != VisibilityFollowers || got.Origin.Message == nil {
			t.Errorf("a follower of the root's author: %+v", got)
		}
		if s.get(friend, answer) != nil {
			t.Error("a follower of the commenter reads the comment")
		}
		list, err := s.b.Messages.ByAccount(ctx, as(friend), commenter, ListQuery{})
		s.ok(err)
		if len(list.Items) != 0 {
			t.Errorf("on the commenter's page: %v", idsOf(list.Items))
		}
		s.remove(root)
		got := s.get(reader, answer)
		if got == nil || !got.Origin.Deleted || got.Parent != got.Origin && *got.Parent != *got.Origin {
			t.Errorf("below a deleted root: %+v", got)
		}
		s.relate(s.b.Relations.Unfollow, commenter, author)
		if got = s.get(commenter, answer); got == nil || !got.Origin.Unavailable || got.Origin.Deleted {
			t.Errorf("one's own comment below a root that one may not see any more: %+v", got)
		}
		if _, err := s.b.Messages.Comments(ctx, as(commenter), root, CommentQuery{}); CodeOf(err) != CodeNotFound {
			t.Errorf("the comments for who left: %v", err)
		}
		if page, err := s.b.Messages.Comments(ctx, as(reader), root, CommentQuery{}); err != nil || len(page.Items) != 1 {
			t.Errorf("the comments for the former audience: %+v, %v", page.Items, err)
		}
		if _, err := s.b.Messages.Reposts(ctx, as(reader), root, PageRequest{}); CodeOf(err) != CodeNotFound {
			t.Errorf("the reposts of a deleted message: %v", err)
		}
		s.relate(s.b.Relations.Block, author, reader)
		if s.get(reader, answer) != nil {
			t.Error("a third person's comment below a root whose author blocks the reader")
		}
	})
}

// Nested content is checked as well: a repost by a friend does not carry the words of who blocks (REVIEW F24).
func TestF24NestedContentIsChecked(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		p := s.people(3)
		a, me, friend := p[0], p[1], p[2]
		original := s.post(a, "words")
		passed := s.repost(friend, original, "look")
		again := s.repost(friend, passed, "look again")
		s.relate(s.b.Relations.Block, a, me)
		for _, id := range []MessageID{passed, again} {
			got := s.get(me, id)
			if got == nil || !got.Origin.Unavailable || got.Origin.Message != nil {
				t.Errorf("%s: %+v", id, got)
			}
		}
		if got := s.get(me, again); got.Parent.Message == nil || got.Parent.Message.Origin != nil || got.Parent.Message.Parent != nil {
			t.Errorf("an embed goes one level deep: %+v", got.Parent)
		}
	})
}

// Fixed pages are by number of writing, for ever: deleting leaves them short, and moves nothing.
func TestCommentsPage(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(2)
		a, b := p[0], p[1]
		root := s.post(a, "root")
		empty, err := s.b.Messages.CommentsPage(ctx, as(a), root, 0)
		if err != nil || empty.Items == nil || len(empty.Items) != 0 || empty.PageCount != 0 || empty.PageSize != 20 {
			t.Errorf("no comments: %+v, %v", empty, err)
		}
		var all []MessageID
		for i := range 45 {
			on := root
			if i%7 == 3 {
				on = all[i-1] // a reply to a comment is listed under the root too
			}
			all = append(all, s.comment(b, on, fmt.Sprint(i)))
		}
		gone := map[MessageID]bool{all[0]: true, all[19]: true, all[44]: true}
		for id := range gone {
			s.remove(id)
		}
		for page := range int64(4) {
			want := slices.DeleteFunc(slices.Clone(all[min(45, page*20):min(45, page*20+20)]), func(id MessageID) bool { return gone[id] })
			got, err := s.b.Messages.CommentsPage(ctx, as(a), root, page)
			s.ok(err)
			if !slices.Equal(idsOf(got.Items), want) || got.PageCount != 3 || got.Page != page || got.PageSize != 20 {
				t.Errorf("page %d of %d: %v, want %v", got.Page, got.PageCount, idsOf(got.Items), want)
			}
			for _, m := range got.Items {
				if m.CommentPage == nil || *m.CommentPage != page {
					t.Errorf("%s does not know its page %d", m.ID, page)
				}
			}
		}
		if got, err := s.b.Messages.CommentsPage(ctx, as(a), root, math.MaxInt64); err != nil || len(got.Items) != 0 || got.PageCount != 3 {
			t.Errorf("past the end: %+v, %v", got, err)
		}
		if _, err := s.b.Messages.CommentsPage(ctx, as(a), root, -1); CodeOf(err) != CodeInvalid {
			t.Errorf("page -1: %v", err)
		}
		if _, err := s.b.Messages.CommentsPage(ctx, as(a), MessageID{a, 4711}, 0); CodeOf(err) != CodeNotFound {
			t.Errorf("below nothing: %v", err)
		}
		below, err := s.b.Messages.CommentsPage(ctx, as(a), all[2], 0)
		s.ok(err)
		if !slices.Equal(idsOf(below.Items), []MessageID{all[3]}) || below.PageCount != 1 {
			t.Errorf("below a comment: %v", idsOf(below.Items))
		}
		walked := s.walk(func(p PageRequest) (Page[*Message], error) {
			return s.b.Messages.Comments(ctx, Viewer{}, root, CommentQuery{PageRequest: p, Oldest: true})
		})
		if want := slices.DeleteFunc(slices.Clone(all), func(id MessageID) bool { return gone[id] }); !slices.Equal(walked, want) {
			t.Errorf("oldest first: %v, want %v", walked, want)
		}
	})
}

// Oldest first is how a conversation is followed: no next_cursor means caught up for now, and going on from the last page
// brings what came since.
func TestCommentsOldestFirstGoOn(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx := t.Context()
		p := s.people(2)
		root := s.post(p[0], "root")
		get := func(limit int, cursor string) Page[*Message] {
			page, err := s.b.Messages.Comments(ctx, as(p[1]), root, CommentQuery{PageRequest: PageRequest{Limit: limit, Cursor: cursor}, Oldest: true})
			s.ok(err)
			return page
		}
		one, two := s.comment(p[1], root, "1"), s.comment(p[1], root, "2")
		first := get(1, "")
		if first.NextCursor == "" || !slices.Equal(idsOf(first.Items), []MessageID{one}) {
			t.Fatalf("first: %v", idsOf(first.Items))
		}
		last := get(1, first.NextCursor)
		if last.NextCursor != "" || !slices.Equal(idsOf(last.Items), []MessageID{two}) {
			t.Fatalf("last: %v, next %q", idsOf(last.Items), last.NextCursor)
		}
		three := s.comment(p[1], root, "3")
		if more := get(5, first.NextCursor); !slices.Equal(idsOf(more.Items), []MessageID{two, three}) {
			t.Errorf("further: %v", idsOf(more.Items))
		}
		if up := get(5, last.PrevCursor); !slices.Equal(idsOf(up.Items), []MessageID{one}) || up.NextCursor == "" {
			t.Errorf("above: %v", idsOf(up.Items))
		}
		newest, err := s.b.Messages.Comments(ctx, as(p[1]), root, CommentQuery{PageRequest: PageRequest{Cursor: first.NextCursor}})
		if CodeOf(err) != CodeCursorInvalid {
			t.Errorf("a cursor of the other order: %v, %v", idsOf(newest.Items), err)
		}
	})
}

// A comment whose edge has not arrived yet, or whose root's shard is away, has no page yet, and is there nevertheless.
func TestACommentWithoutItsNumber(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		p := s.people(2)
		root := s.post(p[0], "root")
		answer := s.comment(p[1], root, "answer")
		bucket := s.b.bucket(p[0])
		s.exec(p[0], `UPDATE msg_msg_relation SET referenced_msg_id = 4711 WHERE bucket = ? AND referenced_id = ?`, bucket, int64(p[0]))
		s.b.cache.Invalidate(t.Context(), messageKey(answer))
		if got := s.get(p[0], answer); got == nil || got.CommentPage != nil {
			t.Fatalf("without its edge: %+v", got)
		}
		// Its bucket is nowhere for the moment, as between gone and open; the copies of what is in it are still good.
		state := func(state sharding.State) {
			s.execBeside(p[0], `UPDATE bucket_state SET state = ? WHERE bucket = ?`, int(state), bucket)
			s.execBeside(p[0], `UPDATE shard_state SET epoch = epoch + 1 WHERE id = 1`)
		}
		state(sharding.StateGone)
		if got := s.get(p[1], answer); got == nil || got.CommentPage != nil || got.Origin.Message == nil {
			t.Errorf("its root's shard is away: %+v", got)
		}
		state(sharding.StateOpen)
		s.exec(p[0], `UPDATE msg_msg_relation SET referenced_msg_id = ? WHERE bucket = ? AND referenced_id = ?`, root.N, bucket, int64(p[0]))
		if got := s.get(p[0], answer); got.CommentPage == nil || *got.CommentPage != 0 {
			t.Errorf("once its edge is there: %+v", got)
		}
	})
}

// execBeside is exec in the name of another bucket of the same shard.
func (s *stage) execBeside(owner UserID, query string, args ...any) {
	s.t.Helper()
	shard := s.b.Cluster.For(int64(owner))
	for b := range s.b.Cluster.Buckets() {
		if mine := sharding.Bucket(b); mine != s.b.bucket(owner) && s.b.Cluster.ForBucket(mine) == shard {
			s.exec(UserID(b), query, args...)
			return
		}
	}
}
