package social

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"
)

// The reads of the model test: every list is walked with random limits, from server to server, down, up and down again.

// listRead is one list as one reader asks for it.
type listRead struct {
	name string
	who  []UserID        // whose list it is, and who reads it
	want func() []string // by the model, now
	may  func() bool     // whether the list is there for the reader; nil where it always is
	skip int             // where the first page begins, where that is not the top
	late bool            // it is only right once nothing is owed
	get  func(s *modelServer, p PageRequest) (listPage, error)
}

type listPage struct {
	ids        []string
	next, prev string
}

// savedCursor is one that somebody kept: it must lead on from where it stood, whatever has happened meanwhile.
type savedCursor struct {
	list listRead
	text string
	last MessageID       // the cursor stands somewhere below it
	up   string          // prev_cursor of the same page
	top  MessageID       // it stands right above this one
	had  map[string]bool // what the list held then
}

func messagePage(p Page[*Message], err error) (listPage, error) {
	out := listPage{next: p.NextCursor, prev: p.PrevCursor}
	for _, x := range p.Items {
		out.ids = append(out.ids, x.ID.String())
	}
	return out, err
}

func accountPage(p Page[Account], err error) (listPage, error) {
	out := listPage{next: p.NextCursor, prev: p.PrevCursor}
	for _, x := range p.Items {
		out.ids = append(out.ids, x.ID.String())
	}
	return out, err
}

// walk reads the list to its end, goes up from somewhere on the way, and keeps a cursor for later where keep is set.
func (r *modelRun) walk(rt *rapid.T, l listRead, keep bool) {
	want := l.want()
	turn := pick(rt, "turn after", 2+len(want)/3)
	at, cursor := l.skip, ""
	for page := 0; ; page++ {
		s, n := r.server(rt), 1+pick(rt, "limit", 7)
		got := r.page(rt, l, s, PageRequest{Limit: n, Cursor: cursor})
		if end := at + len(got.ids); len(got.ids) > n || end > len(want) || !slices.Equal(got.ids, want[at:end]) ||
			got.next == "" && end != len(want) {
			rt.Fatalf("%s: page %d on %s with limit %d, from number %d of\n%s\nis %s, next %q", l.name, page, s.name, n, at, want, got.ids, got.next)
		}
		if page == turn {
			r.up(rt, l, got.prev, want, at)
		}
		if keep && got.next != "" && len(got.ids) > 0 && pick(rt, "keep the cursor", 4) == 0 {
			r.save(l, got, want)
		}
		if pick(rt, "forge", 8) == 7 {
			r.forge(rt, l, got)
		}
		if at += len(got.ids); got.next == "" {
			return
		}
		if cursor = got.next; page > 3*len(r.m.messages)+100 {
			rt.Fatalf("%s has no end", l.name)
		}
	}
}

func (r *modelRun) page(rt *rapid.T, l listRead, s *modelServer, p PageRequest) listPage {
	got, err := l.get(s, p)
	r.must(rt, l.name, err)
	if got.prev == "" {
		rt.Fatalf("%s has no prev_cursor", l.name)
	}
	return got
}

// forge tries a cursor that is cut, altered, or another list's.
func (r *modelRun) forge(rt *rapid.T, l listRead, p listPage) {
	s, cursor := r.server(rt), p.prev
	if p.next != "" && rapid.Bool().Draw(rt, "of next") {
		cursor = p.next
	}
	at := pick(rt, "letter", len(cursor))
	letter := "A"
	if cursor[at] == 'A' {
		letter = "B"
	}
	for _, forged := range []string{cursor[:at], cursor + "A", cursor[:at] + letter + cursor[at+1:], "x"} {
		if forged == "" {
			continue
		}
		_, err := l.get(s, PageRequest{Cursor: forged})
		r.answered(rt, "a forged cursor", err, CodeCursorInvalid)
	}
	foreign := r.homeList(r.actor(rt, "somebody"), []Kind{KindOriginal, KindComment}, 0) // nobody else asks for these kinds
	_, err := foreign.get(s, PageRequest{Cursor: cursor})
	r.answered(rt, "a cursor of another list", err, CodeCursorInvalid)
}

// up follows prev_cursor from above entry number at to the top; from the first page up it goes down again, too.
func (r *modelRun) up(rt *rapid.T, l listRead, cursor string, want []string, at int) {
	for first := true; ; first = false {
		s, n := r.server(rt), 1+pick(rt, "limit", 7)
		got := r.page(rt, l, s, PageRequest{Limit: n, Cursor: cursor})
		begin := at - len(got.ids)
		if len(got.ids) > n || begin < 0 || !slices.Equal(got.ids, want[begin:at]) {
			rt.Fatalf("%s: on %s above number %d with limit %d of\n%s\nthere is %s", l.name, s.name, at, n, want, got.ids)
		}
		if first {
			r.downAgain(rt, l, got.next, want, at)
		}
		if len(got.ids) == 0 && got.prev == cursor {
			if at != 0 {
				rt.Fatalf("%s: nothing is above number %d of %s", l.name, at, want)
			}
			return
		}
		at, cursor = begin, got.prev
	}
}

func (r *modelRun) downAgain(rt *rapid.T, l listRead, next string, want []string, at int) {
	if next == "" {
		if at < len(want) {
			rt.Fatalf("%s: no way down again to number %d of %s", l.name, at, want)
		}
		return
	}
	got := r.page(rt, l, r.server(rt), PageRequest{Limit: 100, Cursor: next})
	if !slices.Equal(got.ids, want[at:]) {
		rt.Fatalf("%s: down again from number %d of\n%s\nthere is %s", l.name, at, want, got.ids)
	}
}

func (r *modelRun) save(l listRead, p listPage, want []string) {
	last, err := ParseMessageID(p.ids[len(p.ids)-1])
	if err != nil {
		return
	}
	top, _ := ParseMessageID(p.ids[0])
	c := &savedCursor{list: l, text: p.next, last: last, up: p.prev, top: top, had: map[string]bool{}}
	for _, id := range want {
		c.had[id] = true
	}
	if r.saved = append(r.saved, c); len(r.saved) > 8 {
		r.saved = r.saved[1:]
	}
}

// ReadOn goes on from a cursor of earlier. What has come back between the last entry shown and where the cursor stands may
// be passed over, what was there may not.
func (r *modelRun) ReadOn(rt *rapid.T) {
	if len(r.saved) == 0 {
		return
	}
	c := oneOf(rt, "cursor", r.saved)
	if c.list.late && !r.settled {
		r.Drain(rt)
	}
	if c.list.may != nil && !c.list.may() {
		_, err := c.list.get(r.server(rt), PageRequest{Cursor: c.text})
		r.answered(rt, c.list.name+" from an old cursor", err, CodeNotFound)
		return
	}
	if rapid.Bool().Draw(rt, "up") {
		r.readUp(rt, c)
		return
	}
	s, n := r.server(rt), 1+pick(rt, "limit", 7)
	got := r.page(rt, c.list, s, PageRequest{Limit: n, Cursor: c.text})
	below := c.beyond(r.m, c.last, false)
	for len(below) > 0 && !c.had[below[0]] && (len(got.ids) == 0 || below[0] != got.ids[0]) {
		below = below[1:]
	}
	if len(got.ids) > n || len(got.ids) > len(below) || !slices.Equal(got.ids, below[:len(got.ids)]) || got.next == "" && len(got.ids) < len(below) {
		rt.Fatalf("%s: on %s from the old cursor below %s with limit %d there is %s of\n%s", c.list.name, s.name, c.last, n, got.ids, below)
	}
}

// readUp asks for what is now above a page of earlier.
func (r *modelRun) readUp(rt *rapid.T, c *savedCursor) {
	s, n := r.server(rt), 1+pick(rt, "limit", 7)
	got := r.page(rt, c.list, s, PageRequest{Limit: n, Cursor: c.up})
	above := c.beyond(r.m, c.top, true)
	if len(got.ids) > n || len(got.ids) > len(above) || !slices.Equal(got.ids, above[len(above)-len(got.ids):]) ||
		len(got.ids) == 0 && len(above) > 0 && got.prev == c.up {
		rt.Fatalf("%s: on %s from the old cursor above %s with limit %d there is %s of\n%s", c.list.name, s.name, c.top, n, got.ids, above)
	}
}

// beyond is the part of the list, as it is now, that comes after a message, or before it.
func (c *savedCursor) beyond(m *model, at MessageID, before bool) []string {
	var out []string
	for _, id := range c.list.want() {
		x, _ := ParseMessageID(id)
		order := newestFirst(m.messages[x], m.messages[at])
		if c.oldest() {
			order = -order
		}
		if before && order < 0 || !before && order > 0 {
			out = append(out, id)
		}
	}
	return out
}

func (c *savedCursor) oldest() bool { return len(c.list.name) > 6 && c.list.name[:6] == "oldest" }

// kinds is a filter, rather none.
func (r *modelRun) kinds(rt *rapid.T) []Kind {
	return oneOf(rt, "kinds", [][]Kind{nil, nil, {KindOriginal}, {KindComment}, {KindRepost}, {KindOriginal, KindRepost}})
}

// ReadHome walks a timeline that is up to date; Check looks at the others.
func (r *modelRun) ReadHome(rt *rapid.T) {
	if !r.settled {
		r.Drain(rt)
	}
	me, kinds := r.actor(rt, "me"), r.kinds(rt)
	var before Millis
	if len(r.m.written) > 0 && pick(rt, "before a time", 4) == 0 {
		before = r.message(rt).at + Millis(pick(rt, "ms", 3)-1)
	}
	r.walk(rt, r.homeList(me, kinds, before), before == 0)
	_, err := r.server(rt).Timelines.Home(r.ctx, Viewer{}, ListQuery{})
	r.answered(rt, "home of nobody", err, CodeTokenMissing)
	_, err = r.server(rt).Timelines.Home(r.ctx, Viewer{UserID: me}, ListQuery{Before: 1, PageRequest: PageRequest{Cursor: "x"}})
	r.answered(rt, "home before a time and from a cursor", err, CodeInvalid)
}

func (r *modelRun) homeList(me UserID, kinds []Kind, before Millis) listRead {
	skip := 0 // before is no filter: what is above it can be gone up to
	for _, x := range r.m.home(me, kinds) {
		if before != 0 && x.at >= before {
			skip++
		}
	}
	return listRead{
		name: fmt.Sprintf("home of %d, kinds %v, before %d", me, kinds, before),
		who:  []UserID{me},
		want: func() []string { return idTexts(r.m.home(me, kinds)) },
		skip: skip,
		late: true,
		get: func(s *modelServer, p PageRequest) (listPage, error) {
			q := ListQuery{PageRequest: p, Kinds: kinds}
			if p.Cursor == "" {
				q.Before = before
			}
			return messagePage(s.Timelines.Home(r.ctx, Viewer{UserID: me}, q))
		},
	}
}

func (r *modelRun) ReadAccount(rt *rapid.T) {
	v, of, kinds := r.reader(rt), r.anybody(rt, "account"), r.kinds(rt)
	l := listRead{
		name: fmt.Sprintf("messages of %d for %d, kinds %v", of, v.UserID, kinds),
		who:  []UserID{of, v.UserID},
		want: func() []string { return idTexts(r.m.byAccount(v.UserID, of, kinds)) },
		get: func(s *modelServer, p PageRequest) (listPage, error) {
			return messagePage(s.Messages.ByAccount(r.ctx, v, of, ListQuery{PageRequest: p, Kinds: kinds}))
		},
	}
	if r.missing(rt, l, of) {
		return
	}
	r.walk(rt, l, true)
}

// missing checks what a list says that hangs on an account that is not there.
func (r *modelRun) missing(rt *rapid.T, l listRead, of UserID) bool {
	if who := r.m.people[of]; who != nil && !who.gone {
		return false
	}
	_, err := l.get(r.server(rt), PageRequest{})
	r.answered(rt, l.name, err, CodeNotFound)
	return true
}

func (r *modelRun) ReadComments(rt *rapid.T) {
	v, on := r.reader(rt), r.message(rt)
	oldest := rapid.Bool().Draw(rt, "oldest first")
	l := listRead{
		name: fmt.Sprintf("newest comments on %s for %d", on.id, v.UserID),
		want: func() []string {
			list := idTexts(r.m.refersTo(v.UserID, KindComment, on.id))
			if oldest {
				slices.Reverse(list)
			}
			return list
		},
		may: func() bool { return r.m.audience(v.UserID, on) },
		get: func(s *modelServer, p PageRequest) (listPage, error) {
			return messagePage(s.Messages.Comments(r.ctx, v, on.id, CommentQuery{PageRequest: p, Oldest: oldest}))
		},
	}
	if oldest {
		l.name = "oldest" + l.name[len("newest"):]
	}
	if !r.m.audience(v.UserID, on) {
		_, err := l.get(r.server(rt), PageRequest{})
		r.answered(rt, l.name, err, CodeNotFound)
		return
	}
	l.who = []UserID{v.UserID}
	r.walk(rt, l, true)
}

func (r *modelRun) ReadReposts(rt *rapid.T) {
	v, of := r.reader(rt), r.message(rt)
	l := listRead{
		name: fmt.Sprintf("reposts of %s for %d", of.id, v.UserID),
		want: func() []string { return idTexts(r.m.refersTo(v.UserID, KindRepost, of.id)) },
		get: func(s *modelServer, p PageRequest) (listPage, error) {
			return messagePage(s.Messages.Reposts(r.ctx, v, of.id, p))
		},
	}
	if !r.m.sees(v.UserID, of) {
		_, err := l.get(r.server(rt), PageRequest{})
		r.answered(rt, l.name, err, CodeNotFound)
		return
	}
	r.walk(rt, l, false)
}

// ReadCommentsPage reads all the fixed pages: as written, deleted and unseen ones leave them short.
func (r *modelRun) ReadCommentsPage(rt *rapid.T) {
	v, on := r.reader(rt), r.message(rt)
	if r.m.audience(v.UserID, on) {
		_, err := r.server(rt).Messages.CommentsPage(r.ctx, v, on.id, -1)
		r.answered(rt, "page -1", err, CodeInvalid)
	}
	for n := 0; ; n++ {
		s := r.server(rt)
		got, err := s.Messages.CommentsPage(r.ctx, v, on.id, int64(n))
		what := fmt.Sprintf("page %d of the comments on %s for %d", n, on.id, v.UserID)
		if !r.m.audience(v.UserID, on) {
			r.answered(rt, what, err, CodeNotFound)
			return
		}
		r.must(rt, what, err)
		var want []*modelMessage
		for i, id := range on.numbered {
			if x := r.m.messages[id]; i/20 == n && r.m.sees(v.UserID, x) {
				want = append(want, x)
			}
		}
		pages := int64(len(on.numbered)+19) / 20
		if got.Page != int64(n) || got.PageSize != 20 || got.PageCount != pages || len(got.Items) != len(want) {
			rt.Fatalf("%s on %s is %+v, and not %d of %d with %s", what, s.name, got, n, pages, idTexts(want))
		}
		for i := range want {
			r.same(rt, s, v.UserID, got.Items[i], want[i])
		}
		if int64(n) >= pages {
			return
		}
	}
}

// ReadPeople walks one of the lists of people.
func (r *modelRun) ReadPeople(rt *rapid.T) {
	v, of := r.reader(rt), r.anybody(rt, "account")
	me := r.actor(rt, "me")
	toStrings := func(ids []UserID) []string {
		var out []string
		for _, id := range ids {
			out = append(out, id.String())
		}
		return out
	}
	public := map[string]func(*Relations, PageRequest) (Page[Account], error){
		"followers": func(s *Relations, p PageRequest) (Page[Account], error) { return s.Followers(r.ctx, v, of, p) },
		"following": func(s *Relations, p PageRequest) (Page[Account], error) { return s.Following(r.ctx, v, of, p) },
		"blocks": func(s *Relations, p PageRequest) (Page[Account], error) {
			return s.Blocks(r.ctx, Viewer{UserID: me}, p)
		},
		"mutes": func(s *Relations, p PageRequest) (Page[Account], error) { return s.Mutes(r.ctx, Viewer{UserID: me}, p) },
	}
	want := map[string]func() []UserID{
		"followers": func() []UserID { return r.m.followers(of) },
		"following": func() []UserID { return r.m.following(of) },
		"blocks":    func() []UserID { return r.m.marked(r.m.blocks, me) },
		"mutes":     func() []UserID { return r.m.marked(r.m.mutes, me) },
	}
	which := oneOf(rt, "list", []string{"followers", "following", "followers", "following", "blocks", "mutes"})
	l := listRead{
		name: fmt.Sprintf("%s of %d for %d, or of %d", which, of, v.UserID, me),
		want: func() []string { return toStrings(want[which]()) },
		get: func(s *modelServer, p PageRequest) (listPage, error) {
			return accountPage(public[which](s.Relations, p))
		},
	}
	if which[0] == 'f' && r.missing(rt, l, of) {
		return
	}
	r.walk(rt, l, false)
}

// ReadMessages reads some by their ids, those that never were among them, and everything by one reader's eyes.
func (r *modelRun) ReadMessages(rt *rapid.T) {
	s, v := r.server(rt), r.reader(rt)
	r.checkMessages(rt, s, v)
	_, err := s.Messages.Get(r.ctx, v, MessageID{r.actor(rt, "author"), 1 << 40})
	r.answered(rt, "a message that never was", err, CodeNotFound)
	_, err = s.Messages.Get(r.ctx, v, MessageID{noSuchUser, 1})
	r.answered(rt, "a message of nobody", err, CodeNotFound)
}

// ReadContext reads the chain of what a message answers, root first.
func (r *modelRun) ReadContext(rt *rapid.T) {
	s, v, x := r.server(rt), r.reader(rt), r.message(rt)
	got, err := s.Messages.Context(r.ctx, v, x.id)
	what := fmt.Sprintf("the chain of %s for %d", x.id, v.UserID)
	if !r.m.sees(v.UserID, x) {
		r.answered(rt, what, err, CodeNotFound)
		return
	}
	r.must(rt, what, err)
	r.same(rt, s, v.UserID, got.Message, x)
	var have, want []string
	for _, e := range got.Ancestors {
		have = append(have, lineOfEmbed(e, r.settled))
	}
	for x.kind == KindComment {
		want = append(want, r.m.describeEmbed(v.UserID, x.parent, r.settled))
		x = r.m.messages[x.parent]
	}
	slices.Reverse(want)
	if !slices.Equal(have, want) {
		rt.Fatalf("%s on %s is\n%q\nand not\n%q", what, s.name, have, want)
	}
}
