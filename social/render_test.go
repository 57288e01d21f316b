package social

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// crowd is a model of some people and of everything that they did: a naive reading of the contract, by which every path to
// every message is checked for every reader.
type crowd struct {
	s       *stage
	people  []UserID
	step    int
	follows map[[2]UserID]int // since which step
	blocks  map[[2]UserID]bool
	mutes   map[[2]UserID]bool
	said    []*said
	by      map[MessageID]*said
}

type said struct {
	id             MessageID
	kind           Kind
	visibility     Visibility // of the root, for a comment
	step           int
	parent, origin MessageID
	wordless       bool
	deleted        bool
	at             Millis
}

func newCrowd(s *stage, n int) *crowd {
	return &crowd{s: s, people: s.people(n), follows: map[[2]UserID]int{}, blocks: map[[2]UserID]bool{},
		mutes: map[[2]UserID]bool{}, by: map[MessageID]*said{}}
}

func (c *crowd) apart(a, b UserID) bool {
	return c.blocks[[2]UserID{a, b}] || c.blocks[[2]UserID{b, a}]
}

// since is the step since which a follows b without a break; far away where a does not.
func (c *crowd) since(a, b UserID) int {
	if step, ok := c.follows[[2]UserID{a, b}]; ok {
		return step
	}
	return 1 << 30
}

// mayRead is the contract's "who sees what", for a message as if it were not deleted.
func (c *crowd) mayRead(who UserID, m *said) bool {
	author := m.id.Author
	if who == author {
		return true
	}
	if c.apart(who, author) {
		return false
	}
	root := m
	if m.kind == KindComment {
		root = c.by[m.origin]
		if who == root.id.Author {
			return true
		}
		if c.apart(who, root.id.Author) {
			return false
		}
	}
	switch writer := root.id.Author; root.visibility {
	case VisibilityPublic:
		return true
	case VisibilityFollowers:
		return c.since(who, writer) < root.step
	case VisibilityMutuals:
		return c.since(who, writer) < root.step && c.since(writer, who) < root.step
	}
	return false
}

func (c *crowd) shows(who UserID, m *said) bool { return !m.deleted && c.mayRead(who, m) }

// mayAnswer says whether a comment or a repost of the message is accepted.
func (c *crowd) mayAnswer(who UserID, m *said) bool {
	return c.shows(who, m) && (m.kind != KindComment || c.mayRead(who, c.by[m.origin]))
}

func (c *crowd) mayRepost(who UserID, m *said) bool {
	return c.mayAnswer(who, m) && m.kind != KindComment && !m.visibility.Limited() &&
		(m.kind != KindRepost || c.mayRead(who, c.by[m.parent]) && c.mayRead(who, c.by[m.origin]))
}

func (c *crowd) say(m *Message, parent *said, wordless bool) {
	entry := &said{id: m.ID, kind: m.Kind, visibility: m.Visibility, step: c.step, wordless: wordless, at: m.CreatedAt}
	if parent != nil {
		entry.parent, entry.origin = parent.id, parent.id
		if parent.kind == m.Kind {
			entry.origin = parent.origin
		}
	}
	c.said = append(c.said, entry)
	c.by[m.ID] = entry
}

func (c *crowd) newest(wanted func(*said) bool) []MessageID {
	var found []*said
	for _, m := range c.said {
		if wanted(m) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(x, y *said) int {
		return Position{int64(x.at), x.id.Author, x.id.N}.Compare(Position{int64(y.at), y.id.Author, y.id.N})
	})
	ids := make([]MessageID, len(found))
	for i, m := range found {
		ids[i] = m.id
	}
	return ids
}

// act does one thing, in the system and in the model.
func (c *crowd) act(t *rapid.T) {
	ctx := context.Background()
	b := c.s.b
	c.step++
	me := rapid.SampledFrom(c.people).Draw(t, "who")
	other := rapid.SampledFrom(c.people).Filter(func(id UserID) bool { return id != me }).Draw(t, "whom")
	verb := rapid.SampledFrom([]string{"follow", "follow", "follow", "unfollow", "block", "unblock", "mute", "unmute",
		"publish", "publish", "publish", "comment", "comment", "comment", "repost", "repost", "quote", "delete"}).Draw(t, "verb")
	pair, back := [2]UserID{me, other}, [2]UserID{other, me}
	check := func(err error, allowed bool) bool {
		if allowed != (err == nil) {
			t.Fatalf("%d %s: allowed %v, got %v", me, verb, allowed, err)
		}
		return err == nil
	}
	switch verb {
	case "follow":
		_, err := b.Relations.Follow(ctx, as(me), other)
		if _, already := c.follows[pair]; check(err, !c.apart(me, other)) && !already {
			c.follows[pair] = c.step
		}
	case "unfollow":
		_, err := b.Relations.Unfollow(ctx, as(me), other)
		check(err, true)
		delete(c.follows, pair)
	case "block":
		_, err := b.Relations.Block(ctx, as(me), other)
		check(err, true)
		c.blocks[pair] = true
		delete(c.follows, pair)
		delete(c.follows, back)
	case "unblock":
		_, err := b.Relations.Unblock(ctx, as(me), other)
		check(err, true)
		delete(c.blocks, pair)
	case "mute", "unmute":
		turn := b.Relations.Mute
		if verb == "unmute" {
			turn = b.Relations.Unmute
		}
		_, err := turn(ctx, as(me), other)
		check(err, true)
		c.mutes[pair] = verb == "mute"
	case "publish":
		visibility := rapid.SampledFrom([]Visibility{VisibilityPublic, VisibilityPublic, VisibilityFollowers, VisibilityMutuals, VisibilityPrivate}).Draw(t, "visibility")
		m, err := b.Messages.Publish(ctx, as(me), Draft{Content: "words", Visibility: visibility}, KeyUse{})
		check(err, true)
		c.say(m, nil, false)
	default:
		if len(c.said) > 0 {
			c.refer(t, verb, me, rapid.SampledFrom(c.said).Draw(t, "which"), check)
		}
	}
}

func (c *crowd) refer(t *rapid.T, verb string, me UserID, m *said, check func(error, bool) bool) {
	ctx := context.Background()
	switch b := c.s.b; verb {
	case "comment":
		got, err := b.Messages.Comment(ctx, as(me), m.id, "an answer", KeyUse{})
		if check(err, c.mayAnswer(me, m)) {
			c.say(got, m, false)
		}
	case "repost":
		got, created, err := b.Messages.Repost(ctx, as(me), m.id, "", KeyUse{})
		if check(err, c.mayRepost(me, m)) && created {
			c.say(got, m, true)
		}
	case "quote":
		got, _, err := b.Messages.Repost(ctx, as(me), m.id, "with words", KeyUse{})
		if check(err, c.mayRepost(me, m)) {
			c.say(got, m, false)
		}
	case "delete":
		c.s.remove(m.id)
		m.deleted = true
	}
}

// look compares all that one reader is shown, on every path, with the model.
func (c *crowd) look(t *rapid.T, who UserID) {
	ctx := context.Background()
	b, v := c.s.b, as(who)
	same := func(what string, got, want []MessageID) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Fatalf("%s as %d sees it:\n got %v\nwant %v", what, who, got, want)
		}
	}
	all := make([]MessageID, len(c.said))
	for i, m := range c.said {
		all[i] = m.id
	}
	for ids := range slices.Chunk(all, MaxPage) {
		many, err := b.Messages.GetMany(ctx, v, ids)
		c.s.ok(err)
		want := slices.DeleteFunc(slices.Clone(ids), func(id MessageID) bool { return !c.shows(who, c.by[id]) })
		same("many", idsOf(many), want)
		for _, m := range many {
			c.inside(t, who, m)
		}
	}
	for _, author := range c.people {
		got := c.s.walk(func(p PageRequest) (Page[*Message], error) {
			return b.Messages.ByAccount(ctx, v, author, ListQuery{PageRequest: p})
		})
		same(fmt.Sprintf("the page of %d", author), got, c.newest(func(m *said) bool {
			return m.id.Author == author && c.shows(who, m) && !c.apart(who, author)
		}))
	}
	for _, m := range c.said {
		c.around(t, who, m, same)
	}
	if who == 0 {
		return
	}
	same("home", c.s.home(who), c.newest(func(m *said) bool { return c.inHome(who, m) }))
}

func (c *crowd) inHome(who UserID, m *said) bool {
	author := m.id.Author
	if m.kind == KindComment || !c.shows(who, m) || c.mutes[[2]UserID{who, author}] {
		return false
	}
	if _, follows := c.follows[[2]UserID{who, author}]; !follows && author != who {
		return false
	}
	for _, behind := range []MessageID{m.parent, m.origin} {
		if c.apart(who, behind.Author) || c.mutes[[2]UserID{who, behind.Author}] {
			return false
		}
	}
	return true
}

// inside checks what a message shows of others, and its counts.
func (c *crowd) inside(t *rapid.T, who UserID, m *Message) {
	was := c.by[m.ID]
	c.embedded(t, who, m.ID, "parent", m.Parent, was.parent)
	c.embedded(t, who, m.ID, "origin", m.Origin, was.origin)
	var comments, reposts int64
	reposted := false
	for _, other := range c.said {
		if other.deleted || other.parent != m.ID && other.origin != m.ID {
			continue
		}
		switch {
		case other.kind == KindComment:
			comments++
		case other.kind == KindRepost:
			reposts++
			reposted = reposted || other.wordless && other.id.Author == who && other.parent == m.ID
		}
	}
	if m.CommentCount != comments || m.RepostCount != reposts || m.Reposted != reposted {
		t.Fatalf("%s as %d sees it: %d comments, %d reposts, reposted %v; want %d, %d, %v", m.ID, who,
			m.CommentCount, m.RepostCount, m.Reposted, comments, reposts, reposted)
	}
	if m.Kind != was.kind || m.Visibility != was.visibility || m.CreatedAt != was.at || m.Author.ID != m.ID.Author {
		t.Fatalf("%+v was %+v", m, was)
	}
}

func (c *crowd) embedded(t *rapid.T, who UserID, in MessageID, what string, e *Embed, id MessageID) {
	if id.IsZero() {
		if e != nil {
			t.Fatalf("%s has the %s %s", in, what, e.ID)
		}
		return
	}
	m := c.by[id]
	switch {
	case e == nil || e.ID != id:
		t.Fatalf("the %s of %s is %+v, not %s", what, in, e, id)
	case !c.mayRead(who, m):
		if !e.Unavailable || e.Deleted || e.Message != nil {
			t.Fatalf("the %s of %s is not for %d: %+v", what, in, who, e)
		}
	case m.deleted:
		if !e.Deleted || e.Unavailable || e.Message != nil {
			t.Fatalf("the %s of %s is deleted, %d sees %+v", what, in, who, e)
		}
	default:
		if e.Message == nil || e.Message.ID != id || e.Deleted || e.Unavailable {
			t.Fatalf("the %s of %s is there, %d sees %+v", what, in, who, e)
		}
	}
}

// around checks the lists below a message, and the chain above it.
func (c *crowd) around(t *rapid.T, who UserID, m *said, same func(string, []MessageID, []MessageID)) {
	ctx := context.Background()
	b, v := c.s.b, as(who)
	_, err := b.Messages.Comments(ctx, v, m.id, CommentQuery{})
	if (err == nil) != c.mayRead(who, m) {
		t.Fatalf("the comments on %s, as %d: %v", m.id, who, err)
	}
	if err == nil {
		want := c.newest(func(o *said) bool {
			return o.kind == KindComment && (o.parent == m.id || o.origin == m.id) && c.shows(who, o)
		})
		for _, oldest := range []bool{false, true} {
			same(fmt.Sprintf("the comments on %s", m.id), c.s.walk(func(p PageRequest) (Page[*Message], error) {
				return b.Messages.Comments(ctx, v, m.id, CommentQuery{PageRequest: p, Oldest: oldest})
			}), want)
			slices.Reverse(want)
		}
		page, err := b.Messages.CommentsPage(ctx, v, m.id, 0)
		c.s.ok(err)
		c.fixed(t, who, m, page)
	}
	_, err = b.Messages.Reposts(ctx, v, m.id, PageRequest{})
	if (err == nil) != c.shows(who, m) {
		t.Fatalf("the reposts of %s, as %d: %v", m.id, who, err)
	}
	if err != nil {
		return
	}
	same(fmt.Sprintf("the reposts of %s", m.id), c.s.walk(func(p PageRequest) (Page[*Message], error) {
		return b.Messages.Reposts(ctx, v, m.id, p)
	}), c.newest(func(o *said) bool {
		return o.kind == KindRepost && (o.parent == m.id || o.origin == m.id) && c.shows(who, o)
	}))
	chain, err := b.Messages.Context(ctx, v, m.id)
	c.s.ok(err)
	var above []MessageID
	for o := m; o.kind == KindComment; o = c.by[o.parent] {
		above = append([]MessageID{o.parent}, above...)
	}
	if chain.Message.ID != m.id || len(chain.Ancestors) != len(above) {
		t.Fatalf("the context of %s: %d above, want %v", m.id, len(chain.Ancestors), above)
	}
	for i, e := range chain.Ancestors {
		c.embedded(t, who, m.id, "ancestor", e, above[i])
	}
}

// fixed checks the first fixed page of comments: the first twenty ever written.
func (c *crowd) fixed(t *rapid.T, who UserID, m *said, got CommentPage) {
	var want []MessageID
	ever := 0
	for _, o := range c.said {
		if o.kind != KindComment || o.parent != m.id && o.origin != m.id {
			continue
		}
		if ever++; ever <= CommentPageSize && c.shows(who, o) {
			want = append(want, o.id)
		}
	}
	if !slices.Equal(idsOf(got.Items), want) || got.PageCount != int64((ever+CommentPageSize-1)/CommentPageSize) {
		t.Fatalf("page 0 below %s, as %d: %v of %d pages; want %v of %d comments", m.id, who, idsOf(got.Items), got.PageCount, want, ever)
	}
	for _, o := range got.Items {
		if c.by[o.ID].origin == m.id && (o.CommentPage == nil || *o.CommentPage != 0) {
			t.Fatalf("%s does not know that it is on page 0 of %s", o.ID, m.id)
		}
	}
}

// Nobody outside a message's audience reads it on any path, and everybody inside does: random lives of some people, every
// path for every reader against the contract's words.
func TestAudienceOnEveryPath(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		checks(t, 25)
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			c := newCrowd(&stage{t: rt, b: s.b, cluster: s.cluster}, 0)
			for i := range 4 {
				id, err := s.b.Accounts.Create(context.Background(), fmt.Sprintf("r%d_%d", run, i), "", "")
				c.s.ok(err)
				c.people = append(c.people, id)
			}
			for range rapid.IntRange(1, 3).Draw(rt, "rounds") {
				for range rapid.IntRange(5, 25).Draw(rt, "acts") {
					c.act(rt)
				}
				c.s.deliver()
				for _, who := range append([]UserID{0}, c.people...) {
					c.look(rt, who)
				}
			}
		})
	})
}
