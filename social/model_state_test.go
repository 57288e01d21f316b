package social

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// model is what everybody sees, by API.md ("Who sees what", "What an answer promises") and DESIGN.md 5 and 9 alone: no
// shards, no effects, no entries. Every verb is one step; what a step decides holds for all who ask afterwards.
type model struct {
	keep     bool // timeline.on_unfollow
	comments bool // timeline.comments
	backfill int  // timeline.backfill

	step     int
	people   map[UserID]*modelPerson
	messages map[MessageID]*modelMessage
	written  []MessageID // in the order of writing
	joined   []UserID    // in the order of sign-up
	names    map[string]bool
	follows  map[modelPair]modelSpan
	blocks   map[modelPair]modelMark
	mutes    map[modelPair]modelMark
}

type modelPerson struct {
	id    UserID
	name  string
	gone  bool
	count int64  // messages ever
	last  Millis // the time of the newest
}

type modelMessage struct {
	id             MessageID
	kind           Kind
	visibility     Visibility // a comment's is its root's
	content        string
	at             Millis
	step           int
	parent, origin MessageID
	gone           bool
	numbered       []MessageID // all comments there ever were on it, as written
	passedOn       []MessageID // all reposts there ever were of it
}

// modelPair is somebody with somebody else in mind.
type modelPair struct{ who, whom UserID }

// modelMark is a block or a mute. rev is its place in lists of people.
type modelMark struct {
	live bool
	rev  int64
}

// modelSpan is a follow: the current or the last one of this pair.
type modelSpan struct {
	live  bool
	rev   int64 // max(old + 1, now), given where the follow is decided
	since int   // the step at which it began: limited messages from before are not for this follower
	from  int64 // the oldest public message that it brings
	until int64 // keep: the newest message that it brought before it ended
}

func newModel(keep, comments bool, backfill int) *model {
	return &model{keep: keep, comments: comments, backfill: backfill,
		people: map[UserID]*modelPerson{}, messages: map[MessageID]*modelMessage{}, names: map[string]bool{},
		follows: map[modelPair]modelSpan{}, blocks: map[modelPair]modelMark{}, mutes: map[modelPair]modelMark{}}
}

// The verbs.

func (m *model) signUp(id UserID, name, folded string) {
	m.step++
	m.people[id] = &modelPerson{id: id, name: name}
	m.joined = append(m.joined, id)
	m.names[folded] = true
}

func (m *model) follow(who, whom UserID, now int64) {
	m.step++
	pair := modelPair{who, whom}
	if span := m.follows[pair]; !span.live {
		m.follows[pair] = modelSpan{live: true, rev: max(span.rev+1, now), since: m.step, from: m.backfillFrom(whom)}
	}
}

func (m *model) unfollow(who, whom UserID, now int64) {
	m.step++
	pair := modelPair{who, whom}
	if span := m.follows[pair]; span.live {
		span.live, span.rev, span.until = false, max(span.rev+1, now), m.people[whom].count
		m.follows[pair] = span
	}
}

func (m *model) block(who, whom UserID, now int64) {
	m.unfollow(who, whom, now)
	m.unfollow(whom, who, now)
	setMark(m.blocks, modelPair{who, whom}, true, now)
}

func setMark(marks map[modelPair]modelMark, pair modelPair, live bool, now int64) {
	if old := marks[pair]; old.live != live {
		marks[pair] = modelMark{live: live, rev: max(old.rev+1, now)}
	}
}

// nextTime is max(now, the author's last + 1, that of what is answered or passed on + 1).
func (m *model) nextTime(author UserID, parent MessageID, now int64) Millis {
	at := max(Millis(now), m.people[author].last+1)
	if on := m.messages[parent]; on != nil {
		at = max(at, on.at+1)
	}
	return at
}

// publish adds a message with the id and the time that it was given.
func (m *model) publish(x *modelMessage) {
	m.step++
	x.step = m.step
	m.messages[x.id] = x
	m.written = append(m.written, x.id)
	author := m.people[x.id.Author]
	author.count, author.last = x.id.N, x.at
	for _, id := range x.refersTo() {
		on := m.messages[id]
		if x.kind == KindComment {
			on.numbered = append(on.numbered, x.id)
		} else {
			on.passedOn = append(on.passedOn, x.id)
		}
	}
}

// refersTo is the parent and the origin, once where they are the same.
func (x *modelMessage) refersTo() []MessageID {
	if x.kind == KindOriginal {
		return nil
	}
	return slices.Compact([]MessageID{x.parent, x.origin})
}

func (m *model) erase(id MessageID) {
	m.step++
	m.messages[id].gone = true
}

// eraseAccount ends everything of the account but what it blocked, and its name.
func (m *model) eraseAccount(id UserID, now int64) {
	m.people[id].gone = true
	for _, other := range m.joined {
		m.unfollow(id, other, now)
		m.unfollow(other, id, now)
	}
	for _, x := range m.messages {
		if x.id.Author == id {
			m.erase(x.id)
		}
	}
}

// What holds.

func (m *model) apart(a, b UserID) bool {
	return m.blocks[modelPair{a, b}].live || m.blocks[modelPair{b, a}].live
}

func (m *model) held(who, whom UserID, step int) bool {
	span := m.follows[modelPair{who, whom}]
	return span.live && span.since < step
}

// audience says whether the reader (0: nobody in particular) may read the message, or might, were it not deleted.
func (m *model) audience(reader UserID, x *modelMessage) bool {
	author := x.id.Author
	switch {
	case reader == author:
		return true
	case m.apart(reader, author):
		return false
	case x.kind == KindComment:
		return m.audience(reader, m.messages[x.origin])
	}
	switch x.visibility {
	case VisibilityPublic:
		return true
	case VisibilityFollowers:
		return m.held(reader, author, x.step)
	case VisibilityMutuals:
		return m.held(reader, author, x.step) && m.held(author, reader, x.step)
	}
	return false
}

func (m *model) live(x *modelMessage) bool { return x != nil && !x.gone }

func (m *model) sees(reader UserID, x *modelMessage) bool { return m.live(x) && m.audience(reader, x) }

// carried says whether such messages go into timelines at all.
func (m *model) carried(x *modelMessage) bool {
	return x.kind != KindComment || m.comments && x.visibility == VisibilityPublic
}

// due says whether the message belongs into the reader's timeline, by where it comes from.
func (m *model) due(reader UserID, x *modelMessage) bool {
	author := x.id.Author
	switch {
	case !m.carried(x) || !m.live(x):
		return false
	case reader == author:
		return true
	case x.visibility != VisibilityPublic:
		return m.audience(reader, x)
	}
	span := m.follows[modelPair{reader, author}]
	if span.live {
		return x.id.N >= span.from
	}
	return m.keep && span.rev > 0 && x.id.N >= span.from && x.id.N <= span.until
}

// bearable says whether a message that is due is shown: not that of the muted or blocked, nor reposts of them.
func (m *model) bearable(reader UserID, x *modelMessage) bool {
	if !m.sees(reader, x) || m.mutes[modelPair{reader, x.id.Author}].live {
		return false
	}
	if x.kind != KindRepost {
		return true
	}
	for _, behind := range x.refersTo() {
		if m.mutes[modelPair{reader, behind.Author}].live || m.apart(reader, behind.Author) {
			return false
		}
	}
	return true
}

func (m *model) backfillFrom(author UserID) int64 {
	left, from := m.backfill, m.people[author].count+1
	for n := from - 1; n > 0 && left > 0; n-- {
		if x := m.messages[MessageID{author, n}]; m.live(x) && m.carried(x) && x.visibility == VisibilityPublic {
			left--
			from = n
		}
	}
	return from
}

func (m *model) repostWithoutWords(who UserID, of MessageID) *modelMessage {
	for _, id := range m.messages[of].passedOn {
		if x := m.messages[id]; id.Author == who && x.parent == of && x.content == "" && m.live(x) {
			return x
		}
	}
	return nil
}

// What lists show, in their order.

func (m *model) collect(which func(*modelMessage) bool) []*modelMessage {
	var out []*modelMessage
	for _, x := range m.messages {
		if which(x) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, newestFirst)
	return out
}

func newestFirst(x, y *modelMessage) int {
	return cmp.Or(cmp.Compare(y.at, x.at), cmp.Compare(y.id.Author, x.id.Author), cmp.Compare(y.id.N, x.id.N))
}

func ofKinds(x *modelMessage, kinds []Kind) bool {
	return len(kinds) == 0 || slices.Contains(kinds, x.kind)
}

func (m *model) home(reader UserID, kinds []Kind) []*modelMessage {
	return m.collect(func(x *modelMessage) bool {
		return m.due(reader, x) && m.bearable(reader, x) && ofKinds(x, kinds)
	})
}

func (m *model) byAccount(reader, account UserID, kinds []Kind) []*modelMessage {
	return m.collect(func(x *modelMessage) bool {
		return x.id.Author == account && m.sees(reader, x) && ofKinds(x, kinds)
	})
}

func (m *model) refersTo(reader UserID, kind Kind, on MessageID) []*modelMessage {
	return m.collect(func(x *modelMessage) bool {
		return x.kind == kind && slices.Contains(x.refersTo(), on) && m.sees(reader, x)
	})
}

// related lists people by the rev of what relates them, newest first.
func (m *model) related(rev func(other UserID) (int64, bool)) []UserID {
	revs := map[UserID]int64{}
	var out []UserID
	for _, other := range m.joined {
		if at, ok := rev(other); ok && !m.people[other].gone {
			revs[other] = at
			out = append(out, other)
		}
	}
	slices.SortFunc(out, func(x, y UserID) int { return cmp.Or(cmp.Compare(revs[y], revs[x]), cmp.Compare(y, x)) })
	return out
}

func (m *model) followers(of UserID) []UserID {
	return m.related(func(other UserID) (int64, bool) {
		span := m.follows[modelPair{other, of}]
		return span.rev, span.live
	})
}

func (m *model) following(of UserID) []UserID {
	return m.related(func(other UserID) (int64, bool) {
		span := m.follows[modelPair{of, other}]
		return span.rev, span.live
	})
}

func (m *model) marked(marks map[modelPair]modelMark, by UserID) []UserID {
	return m.related(func(other UserID) (int64, bool) {
		mark := marks[modelPair{by, other}]
		return mark.rev, mark.live
	})
}

func (m *model) liveOf(ids []MessageID) int64 {
	n := int64(0)
	for _, id := range ids {
		if !m.messages[id].gone {
			n++
		}
	}
	return n
}

// What a message looks like, as one line of text.

func (m *model) describe(reader UserID, x *modelMessage, counts bool) string {
	out := m.describeShallow(reader, x, counts)
	if x.kind != KindOriginal {
		out += " parent(" + m.describeEmbed(reader, x.parent, counts) + ") origin(" + m.describeEmbed(reader, x.origin, counts) + ")"
	}
	return out
}

func (m *model) describeEmbed(reader UserID, id MessageID, counts bool) string {
	switch x := m.messages[id]; {
	case !m.audience(reader, x):
		return id.String() + " unavailable"
	case !m.live(x):
		return id.String() + " deleted"
	default:
		return m.describeShallow(reader, x, counts)
	}
}

func (m *model) describeShallow(reader UserID, x *modelMessage, counts bool) string {
	page := "-"
	if x.kind == KindComment {
		page = fmt.Sprint(slices.Index(m.messages[x.origin].numbered, x.id) / 20)
	}
	reposted := m.repostWithoutWords(reader, x.id) != nil
	out := fmt.Sprintf("%s %s by %s %s %q at %s page %s reposted %t", x.id, x.kind, m.people[x.id.Author].name, x.visibility,
		x.content, x.at, page, reposted)
	if counts {
		out += fmt.Sprintf(" comments %d reposts %d", m.liveOf(x.numbered), m.liveOf(x.passedOn))
	}
	return out
}

// describe writes what the system shows as the model does.
func lineOf(x *Message, counts bool) string {
	out := lineOfShallow(x, counts)
	if x.Parent != nil || x.Origin != nil {
		out += " parent(" + lineOfEmbed(x.Parent, counts) + ") origin(" + lineOfEmbed(x.Origin, counts) + ")"
	}
	return out
}

func lineOfEmbed(e *Embed, counts bool) string {
	var is []string
	if e == nil {
		return "none"
	}
	if e.Unavailable {
		is = append(is, e.ID.String()+" unavailable")
	}
	if e.Deleted {
		is = append(is, e.ID.String()+" deleted")
	}
	if e.Message != nil {
		is = append(is, lineOfShallow(e.Message, counts))
		if e.ID != e.Message.ID || e.Message.Parent != nil || e.Message.Origin != nil {
			is = append(is, "embedded wrongly")
		}
	}
	return strings.Join(is, " and ")
}

func lineOfShallow(x *Message, counts bool) string {
	page := "-"
	if x.CommentPage != nil {
		page = fmt.Sprint(*x.CommentPage)
	}
	out := fmt.Sprintf("%s %s by %s %s %q at %s page %s reposted %t", x.ID, x.Kind, x.Author.Name, x.Visibility,
		x.Content, x.CreatedAt, page, x.Reposted)
	if counts {
		out += fmt.Sprintf(" comments %d reposts %d", x.CommentCount, x.RepostCount)
	}
	return out
}
