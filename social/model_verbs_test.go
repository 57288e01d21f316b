package social

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// The verbs of the model test: each is done to the system and to the model, and the answers are compared.

// modelNames are names in several spellings; a row is one name once folded.
var modelNames = [][]string{
	{"Ada", "ADA", "ada", "Ａｄａ"},
	{"Straße", "STRASSE", "strasse"},
	{"Ωmega", "ωMEGA", "\u2126mega"},
	{"ﬁnn", "FINN", "finn"},
	{"Ünal", "U\u0308nal", "ünal"},
	{"李四"}, {"bob_1", "BOB_1"}, {"σας", "ΣΑΣ"}, {"मीना"}, {"x", "X"}, {"Zoë", "ZOË"}, {"42", "４２"},
}

var modelBadNames = []string{"", "a b", "a-b", "😀", strings.Repeat("n", 31), "a\u200bb", "a\nb"}

func (r *modelRun) createPerson(rt *rapid.T) {
	s := r.act(rt)
	class := pick(rt, "name", len(modelNames))
	name := r.prefix + oneOf(rt, "spelling", modelNames[class])
	folded := fmt.Sprint(class)
	id, err := s.Accounts.Create(r.ctx, name, "", "")
	if r.m.names[folded] {
		r.answered(rt, "create "+name, err, CodeNameTaken)
		return
	}
	r.must(rt, "create "+name, err)
	r.joins(rt, id, name, folded)
}

func (r *modelRun) joins(rt *rapid.T, id UserID, name, folded string) {
	if r.m.people[id] != nil || id <= 0 {
		rt.Fatalf("%s got the id %d, which is taken", name, id)
	}
	r.m.signUp(id, name, folded)
	got, err := r.server(rt).Accounts.Resolve(r.ctx, Viewer{}, "@"+name)
	if err != nil || got != id {
		rt.Fatalf("@%s is %d (%v), not %d", name, got, err, id)
	}
}

// SignUp makes an account, sometimes with a password and a session, sometimes under a name that is none.
func (r *modelRun) SignUp(rt *rapid.T) {
	switch chance := pick(rt, "how", 10); {
	case chance < 7:
		r.createPerson(rt)
	case chance < 9:
		_, err := r.act(rt).Accounts.Create(r.ctx, oneOf(rt, "bad name", modelBadNames), "", "")
		r.answered(rt, "create with a bad name", err, CodeNameInvalid)
	default:
		r.signUpWithPassword(rt)
	}
}

func (r *modelRun) signUpWithPassword(rt *rapid.T) {
	s := r.act(rt)
	class := pick(rt, "name", len(modelNames))
	name := r.prefix + oneOf(rt, "spelling", modelNames[class])
	granted, err := s.Accounts.SignUp(r.ctx, SignUp{Name: name, Password: "correct horse"})
	if r.m.names[fmt.Sprint(class)] {
		r.answered(rt, "sign up "+name, err, CodeNameTaken)
		return
	}
	r.must(rt, "sign up "+name, err)
	r.joins(rt, granted.Account.ID, name, fmt.Sprint(class))
	v, err := r.server(rt).Sessions.Authenticate(r.ctx, granted.Token)
	if err != nil || v.UserID != granted.Account.ID {
		rt.Fatalf("the token of %d is that of %d: %v", granted.Account.ID, v.UserID, err)
	}
	r.must(rt, "log out", r.server(rt).Sessions.End(r.ctx, v, "current"))
	_, err = r.server(rt).Sessions.Authenticate(r.ctx, granted.Token)
	r.answered(rt, "use a token after the log-out", err, CodeTokenInvalid)
}

// relate does one of the verbs between two people.
func (r *modelRun) relate(rt *rapid.T, name string, verb func(*Relations, context.Context, Viewer, UserID) (Relationship, error),
	refused func(me, other UserID) Code, done func(me, other UserID, now int64)) {
	s, me, other := r.act(rt), r.actor(rt, "me"), r.anybody(rt, "other")
	want := refused(me, other)
	switch {
	case me == other:
		want = CodeSelf
	case r.m.people[other] == nil || r.m.people[other].gone:
		want = CodeNotFound
	}
	got, err := verb(s.Relations, r.ctx, Viewer{UserID: me}, other)
	what := fmt.Sprintf("on %s %d does %s to %d", s.name, me, name, other)
	if !r.answered(rt, what, err, want) {
		return
	}
	done(me, other, s.now())
	r.rememberEdge(me, other)
	r.rememberEdge(other, me)
	r.rememberBlock(me, other)
	if got != r.relationship(me, other) {
		rt.Fatalf("%s answered %+v and not %+v", what, got, r.relationship(me, other))
	}
}

func never(UserID, UserID) Code { return "" }

func (r *modelRun) Follow(rt *rapid.T) {
	r.relate(rt, "follow", (*Relations).Follow, func(me, other UserID) Code {
		if r.m.apart(me, other) {
			return CodeBlocked
		}
		return ""
	}, func(me, other UserID, now int64) {
		if r.m.follow(me, other, now); r.m.follows[modelPair{me, other}].since == r.m.step {
			r.backfilled(me, other)
		}
	})
}

// backfilled notes what a new follow has brought when it is answered: one's own reads show it at once.
func (r *modelRun) backfilled(me, other UserID) {
	if r.arrived[me] == nil {
		r.arrived[me] = map[MessageID]bool{}
	}
	for _, x := range r.m.messages {
		if x.id.Author == other && x.visibility == VisibilityPublic && r.m.due(me, x) {
			r.arrived[me][x.id] = true
		}
	}
}

func (r *modelRun) Unfollow(rt *rapid.T) {
	r.relate(rt, "unfollow", (*Relations).Unfollow, never, r.m.unfollow)
}
func (r *modelRun) Block(rt *rapid.T) { r.relate(rt, "block", (*Relations).Block, never, r.m.block) }

func (r *modelRun) Unblock(rt *rapid.T) {
	r.relate(rt, "unblock", (*Relations).Unblock, never, func(me, other UserID, now int64) {
		setMark(r.m.blocks, modelPair{me, other}, false, now)
	})
}

func (r *modelRun) Mute(rt *rapid.T) {
	r.relate(rt, "mute", (*Relations).Mute, never, func(me, other UserID, now int64) {
		setMark(r.m.mutes, modelPair{me, other}, true, now)
	})
}

func (r *modelRun) Unmute(rt *rapid.T) {
	r.relate(rt, "unmute", (*Relations).Unmute, never, func(me, other UserID, now int64) {
		setMark(r.m.mutes, modelPair{me, other}, false, now)
	})
}

func (r *modelRun) RemoveFollower(rt *rapid.T) {
	r.relate(rt, "remove follower", (*Relations).RemoveFollower, never, func(me, other UserID, now int64) { r.m.unfollow(other, me, now) })
}

// published compares a fresh message with the rules and takes it into the model.
func (r *modelRun) published(rt *rapid.T, s *modelServer, me UserID, got *Message, x *modelMessage) {
	x.id = MessageID{me, r.m.people[me].count + 1}
	x.at = r.m.nextTime(me, x.parent, s.now())
	if got.ID != x.id || got.CreatedAt != x.at {
		rt.Fatalf("%s gave %s at %s, the rules say %s at %s", s.name, got.ID, got.CreatedAt, x.id, x.at)
	}
	r.m.publish(x)
	r.rememberReferences(x)
	rt.Logf("on %s %s", s.name, r.m.describe(me, x, false))
	r.same(rt, s, me, got, x)
	r.checkMessage(rt, r.server(rt), r.reader(rt), x)
}

var modelVisibilities = []Visibility{VisibilityPublic, VisibilityPublic, VisibilityPublic, VisibilityFollowers, VisibilityFollowers,
	VisibilityMutuals, VisibilityPrivate}

func (r *modelRun) content(rt *rapid.T) string {
	return oneOf(rt, "content", []string{"hello", "how are you?", "käse 🧀", " spaces ", "'; DROP TABLE msg_info; --", "line\nline"})
}

func (r *modelRun) Post(rt *rapid.T) {
	s, me := r.act(rt), r.actor(rt, "me")
	d := Draft{Content: r.content(rt), Visibility: oneOf(rt, "visibility", modelVisibilities)}
	got, err := s.Messages.Publish(r.ctx, Viewer{UserID: me}, d, KeyUse{})
	r.must(rt, "post", err)
	r.published(rt, s, me, got, &modelMessage{kind: KindOriginal, visibility: d.Visibility, content: d.Content})
}

func (r *modelRun) Comment(rt *rapid.T) {
	r.comment(rt, r.actor(rt, "me"), r.message(rt), r.content(rt))
}

// ManyComments fills a fixed page.
func (r *modelRun) ManyComments(rt *rapid.T) {
	me, on := r.actor(rt, "me"), r.message(rt)
	for range 2 + pick(rt, "comments", 8) {
		r.comment(rt, me, on, "again")
	}
}

func (r *modelRun) comment(rt *rapid.T, me UserID, on *modelMessage, content string) {
	s := r.act(rt)
	got, err := s.Messages.Comment(r.ctx, Viewer{UserID: me}, on.id, content, KeyUse{})
	what := fmt.Sprintf("on %s %d comments on %s", s.name, me, on.id)
	if !r.answered(rt, what, err, r.mayAnswer(me, on)) {
		return
	}
	x := &modelMessage{kind: KindComment, visibility: on.visibility, content: content, parent: on.id, origin: on.id}
	if on.kind == KindComment {
		x.origin = on.origin
	}
	r.published(rt, s, me, got, x)
}

func (r *modelRun) mayAnswer(me UserID, on *modelMessage) Code {
	if !r.m.sees(me, on) || on.kind == KindComment && !r.m.audience(me, r.m.messages[on.origin]) {
		return CodeNotFound
	}
	return ""
}

func (r *modelRun) Repost(rt *rapid.T) {
	s, me, of := r.act(rt), r.actor(rt, "me"), r.message(rt)
	content := oneOf(rt, "words", []string{"", "", "", " \n", "look at this"})
	got, created, err := s.Messages.Repost(r.ctx, Viewer{UserID: me}, of.id, content, KeyUse{})
	what := fmt.Sprintf("on %s %d reposts %s", s.name, me, of.id)
	if !r.answered(rt, what, err, r.mayRepost(me, of)) {
		return
	}
	content = map[bool]string{true: "", false: content}[strings.TrimSpace(content) == ""]
	if have := r.m.repostWithoutWords(me, of.id); have != nil && content == "" {
		if created || got.ID != have.id {
			rt.Fatalf("%s again answered %s (created %t), not %s", what, got.ID, created, have.id)
		}
		return
	}
	if !created {
		rt.Fatalf("%s made nothing, but answered %s", what, got.ID)
	}
	x := &modelMessage{kind: KindRepost, visibility: VisibilityPublic, content: content, parent: of.id, origin: of.id}
	if of.kind == KindRepost {
		x.origin = of.origin
	}
	r.published(rt, s, me, got, x)
}

func (r *modelRun) mayRepost(me UserID, of *modelMessage) Code {
	if refused := r.mayAnswer(me, of); refused != "" {
		return refused
	}
	if of.visibility != VisibilityPublic || of.kind == KindComment {
		return CodeLimitedAudience
	}
	for _, behind := range of.refersTo() {
		if !r.m.audience(me, r.m.messages[behind]) {
			return CodeNotFound
		}
	}
	return ""
}

func (r *modelRun) Unrepost(rt *rapid.T) {
	s, of := r.act(rt), r.message(rt)
	me := r.actor(rt, "me")
	if passed := of.passedOn; len(passed) > 0 && rapid.Bool().Draw(rt, "by one who did") {
		if who := oneOf(rt, "repost", passed).Author; !r.m.people[who].gone {
			me = who
		}
	}
	got, err := s.Messages.Unrepost(r.ctx, Viewer{UserID: me}, of.id)
	want := Code("")
	if !r.m.sees(me, of) {
		want = CodeNotFound
	}
	if !r.answered(rt, fmt.Sprintf("on %s %d unreposts %s", s.name, me, of.id), err, want) {
		return
	}
	if have := r.m.repostWithoutWords(me, of.id); have != nil {
		r.m.erase(have.id)
	}
	r.same(rt, s, me, got, of)
}

// Delete is tried on others' messages too, and on those that are gone.
func (r *modelRun) Delete(rt *rapid.T) {
	s, x := r.act(rt), r.message(rt)
	me := x.id.Author
	if r.m.people[me].gone || pick(rt, "by another", 5) == 4 {
		me = r.actor(rt, "me")
	}
	want := Code("")
	switch {
	case me != x.id.Author && r.m.sees(me, x):
		want = CodeNotAllowed
	case me != x.id.Author:
		want = CodeNotFound
	}
	if r.answered(rt, fmt.Sprintf("on %s %d deletes %s", s.name, me, x.id), s.Messages.Delete(r.ctx, Viewer{UserID: me}, x.id), want) {
		r.m.erase(x.id)
		r.rememberReferences(x)
	}
	r.checkMessage(rt, r.server(rt), r.reader(rt), x)
}

// DeleteAccount ends an account. What others see of it ends at once; what the job has to end, the follows, is drained
// before the story goes on.
func (r *modelRun) DeleteAccount(rt *rapid.T) {
	if len(r.living()) < 4 || pick(rt, "really", 3) < 2 {
		return
	}
	s, me := r.act(rt), r.actor(rt, "me")
	r.must(rt, "delete an account", s.Accounts.Erase(r.ctx, me))
	other := r.server(rt)
	_, err := other.Accounts.Get(r.ctx, Viewer{}, me)
	r.answered(rt, "read a deleted account", err, CodeNotFound)
	_, err = other.Messages.ByAccount(r.ctx, Viewer{}, me, ListQuery{})
	r.answered(rt, "list the messages of a deleted account", err, CodeNotFound)
	_, err = other.Messages.Publish(r.ctx, Viewer{UserID: me}, Draft{Content: "still here"}, KeyUse{})
	r.answered(rt, "post from a deleted account", err, CodeTokenInvalid)
	r.m.people[me].gone = true
	for _, x := range r.m.collect(func(x *modelMessage) bool { return x.id.Author == me }) {
		_, err := other.Messages.Get(r.ctx, r.reader(rt), x.id)
		r.answered(rt, "read the message "+x.id.String()+" of a deleted account", err, CodeNotFound)
	}
	r.m.eraseAccount(me, s.now())
	r.saved = slices.DeleteFunc(r.saved, func(c *savedCursor) bool { return slices.Contains(c.list.who, me) })
	r.Drain(rt)
}

// The Idempotency-Key, as the server uses it: begin, do, keep.

type modelKey struct {
	who UserID
	key string
}

type modelKeyUse struct {
	body   string
	at     int64 // when the message was stored, or the answer kept without one
	id     MessageID
	status int
	answer string
}

func (r *modelRun) PostWithKey(rt *rapid.T) {
	s, me := r.act(rt), r.actor(rt, "me")
	k := modelKey{me, oneOf(rt, "key", []string{"k1", "k2"})}
	body := oneOf(rt, "body", []string{"one", "one", "one", "two"})
	use := KeyUse{Key: k.key, Route: "POST /v1/messages", BodyHash: sha256.Sum256([]byte(body))}
	known := r.keys[k]
	if known != nil && s.now()-known.at > 24*3600_000 {
		known = nil
	}
	replay, err := s.Keys.Begin(r.ctx, Viewer{UserID: me}, use)
	r.replayed(rt, "begin", known, body, s.now(), replay, err)
	// Also where Begin was too early to see it, the key decides: in the message's own transaction.
	got, err := s.Messages.Publish(r.ctx, Viewer{UserID: me}, Draft{Content: body}, use)
	if known != nil {
		replay = nil
		if errors.As(err, &replay) {
			err = nil
		}
		r.replayed(rt, "publish", known, body, s.now(), replay, err)
		return
	}
	r.must(rt, "post with a key", err)
	r.published(rt, s, me, got, &modelMessage{kind: KindOriginal, visibility: VisibilityPublic, content: body})
	known = &modelKeyUse{body: body, at: s.now(), id: got.ID}
	r.keys[k] = known
	if pick(rt, "answer is kept", 4) > 0 {
		known.status, known.answer = 201, "the answer to "+got.ID.String()
		r.must(rt, "keep", s.Keys.Keep(r.ctx, Viewer{UserID: me}, use, known.status, []byte(known.answer)))
	}
}

func (r *modelRun) replayed(rt *rapid.T, what string, known *modelKeyUse, body string, now int64, replay *Replay, err error) {
	switch {
	case known == nil:
		if replay != nil || err != nil {
			rt.Fatalf("%s with a fresh key: %+v, %v", what, replay, err)
		}
	case known.body != body:
		r.answered(rt, what+" with the key of another body", err, CodeIdempotencyKeyReused)
	case known.status == 0 && now-known.at < 5000:
		r.answered(rt, what+" while the first is running", err, CodeIdempotencyInProgress)
	default:
		r.must(rt, what, err)
		if replay == nil || replay.Status != known.status || string(replay.Body) != known.answer || replay.Message != known.id {
			rt.Fatalf("%s again answered %+v and not %+v", what, replay, known)
		}
	}
}

// What time and machines do.

func (r *modelRun) Pass(rt *rapid.T) {
	r.tick(rt)
	if _, err := r.server(rt).Pass(r.ctx); err != nil {
		rt.Fatalf("pass: %v", err)
	}
}

// Restart closes a server, with what it has not told anybody of its jobs, and opens it again.
func (r *modelRun) Restart(rt *rapid.T) {
	i := slices.Index(r.servers, r.server(rt))
	skew := r.servers[i].skew
	r.must(rt, "close", r.shut(i))
	r.must(rt, "open again", r.open(skew))
}

// SecondServer opens another one on the same store, or closes it. Its clock is a little off.
func (r *modelRun) SecondServer(rt *rapid.T) {
	if len(r.servers) == 2 {
		r.must(rt, "close", r.shut(pick(rt, "which", 2)))
		return
	}
	r.must(rt, "open a second server", r.open(oneOf(rt, "skew", []int64{0, -25, 40, 3})))
}

// Day lets tombstones and keys run out.
func (r *modelRun) Day(rt *rapid.T) {
	if pick(rt, "really", 3) < 2 {
		return
	}
	r.clock.Add(25 * 3600_000)
	r.Pass(rt)
}

// ImportFollows makes follows in bulk: those that are there, of oneself and across a block are left out.
func (r *modelRun) ImportFollows(rt *rapid.T) {
	s := r.act(rt)
	var list []ImportedFollow
	made := 0
	for range 1 + pick(rt, "follows", 6) {
		me, other := r.actor(rt, "follower"), r.actor(rt, "followed")
		list = append(list, ImportedFollow{Follower: me, Followed: other})
		if me != other && !r.m.apart(me, other) && !r.m.follows[modelPair{me, other}].live {
			r.m.follow(me, other, s.now())
			r.rememberEdge(me, other)
			made++
		}
	}
	got, err := s.Relations.Import(r.ctx, list)
	rt.Logf("on %s %v are imported", s.name, list)
	r.must(rt, "import follows", err)
	if got != made {
		rt.Fatalf("an import of %v made %d follows, not %d", list, got, made)
	}
}

// ImportMessages stores messages of several people at times of their own, and again, which stores nothing.
func (r *modelRun) ImportMessages(rt *rapid.T) {
	r.message(rt) // there is one, at least
	s := r.act(rt)
	var list []ImportedMessage
	var want []*modelMessage
	last := Millis(s.now() - 2)
	count := map[UserID]int64{}
	for range 1 + pick(rt, "messages", 5) {
		me := r.actor(rt, "author")
		in := ImportedMessage{Author: me, Source: "model", External: fmt.Sprint(len(r.m.written) + len(list)), Kind: KindOriginal,
			Content: "imported", Visibility: oneOf(rt, "visibility", modelVisibilities)}
		x := &modelMessage{kind: KindOriginal, visibility: in.Visibility, content: in.Content}
		at := max(r.m.people[me].last, last)
		if on := r.message(rt); rapid.Bool().Draw(rt, "comment") {
			in.Kind, in.Parent = KindComment, on.id
			x.kind, x.visibility, x.parent, x.origin = KindComment, on.visibility, on.id, on.id
			if on.kind == KindComment {
				x.origin = on.origin
			}
			at = max(at, on.at)
		}
		in.At = at + 1
		x.at, last = in.At, in.At
		count[me]++
		x.id = MessageID{me, r.m.people[me].count + count[me]}
		list, want = append(list, in), append(want, x)
	}
	for again := range 2 {
		got, err := r.server(rt).Messages.Import(r.ctx, list)
		r.must(rt, "import messages", err)
		for i := range got {
			if got[i].Err != nil || got[i].New != (again == 0) || got[i].ID != want[i].id {
				rt.Fatalf("the import of %+v became %+v, not %s", list[i], got[i], want[i].id)
			}
		}
	}
	for _, x := range want {
		r.m.publish(x)
		r.rememberReferences(x)
		rt.Logf("on %s imported: %s", s.name, r.m.describe(x.id.Author, x, false))
	}
}
