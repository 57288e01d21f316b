package social

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"socialctl/configs"
	"socialctl/sharding/shardingtest"
)

// The model test: random verbs, reads, worker passes and restarts on one or two servers of one store, against the plain
// model of model_state_test.go. What an answer promises must hold after every step; after the outbox is drained
// everything must, and the invariants of DESIGN 9 hold over the raw rows.
//
// SOCIALCTL_TEST_MODEL_CHECKS is how many stories are told on the embedded profile (the cluster has a sixth of them).

const (
	modelChecks = 30
	modelSteps  = 90 // on the average, in each
)

func TestModel(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		modelFlags(t, modelCheckCount(t))
		rapid.Check(t, func(rt *rapid.T) {
			cfg := shardingtest.Embedded().Config(t)
			cfg.Timeline.Backfill = rapid.SampledFrom([]int{3, 3, 3, 1, 0, 200}).Draw(rt, "backfill")
			cfg.Timeline.Comments = rapid.Bool().Draw(rt, "timeline.comments")
			if rapid.Bool().Draw(rt, "keep") {
				cfg.Timeline.OnUnfollow = "keep"
			}
			store := newModelStore(t, cfg)
			defer store.close()
			newModelRun(rt, store).tell(rt)
		})
	})
	if testing.Short() {
		return
	}
	for _, policy := range []string{"remove", "keep"} {
		t.Run("cluster-"+policy, func(t *testing.T) {
			cfg := shardingtest.Cluster().Config(t)
			cfg.Timeline.Backfill = 3
			cfg.Timeline.OnUnfollow = policy
			cfg.Timeline.Comments = policy == "keep"
			store := newModelStore(t, cfg)
			defer store.close()
			modelFlags(t, max(1, modelCheckCount(t)/12))
			rapid.Check(t, func(rt *rapid.T) { newModelRun(rt, store).tell(rt) })
		})
	}
}

func modelCheckCount(t *testing.T) int {
	text := os.Getenv("SOCIALCTL_TEST_MODEL_CHECKS")
	if text == "" {
		return modelChecks
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SOCIALCTL_TEST_MODEL_CHECKS is %q, not a positive number", text)
	}
	return n
}

// modelFlags sets what was not set by hand, for the length of the test, and says how to run a failure again.
func modelFlags(t *testing.T, checks int) {
	steps := modelSteps
	if testing.Short() { // rapid divides
		checks, steps = 5*checks, 2*steps
	}
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range map[string]string{"rapid.checks": strconv.Itoa(checks), "rapid.steps": strconv.Itoa(steps),
		"rapid.nofailfile": "true", "rapid.shrinktime": "60s"} {
		if given[name] {
			continue
		}
		was := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set(name, was) })
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("run it again with: go test ./social -run '^%s$' -rapid.seed=SEED (the seed is above)",
				strings.ReplaceAll(t.Name(), "/", "$/^"))
		}
	})
}

// modelStore is one store with the servers that are open on it, and the clock that they share, each a little off.
type modelStore struct {
	ctx     context.Context
	test    *testing.T
	cfg     configs.Config
	clock   atomic.Int64
	servers []*modelServer
	stories int
}

type modelServer struct {
	*Backend
	name string
	skew int64 // milliseconds before or behind the clock
	now  func() int64
}

func newModelStore(t *testing.T, cfg configs.Config) *modelStore {
	s := &modelStore{ctx: t.Context(), test: t, cfg: cfg}
	s.clock.Store(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	if err := s.open(0); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *modelStore) open(skew int64) error {
	now := func() int64 { return s.clock.Load() + skew }
	b, err := Open(s.ctx, s.cfg, OpenOptions{Role: RoleServer, Log: testLog(), Now: func() time.Time { return time.UnixMilli(now()) }})
	if err != nil {
		return err
	}
	s.servers = append(s.servers, &modelServer{Backend: b, name: fmt.Sprintf("server%+d", skew), skew: skew, now: now})
	return nil
}

func (s *modelStore) shut(i int) error {
	err := s.servers[i].Close()
	s.servers = slices.Delete(s.servers, i, i+1)
	return err
}

func (s *modelStore) close() {
	for len(s.servers) > 0 {
		if err := s.shut(0); err != nil {
			s.test.Error(err)
		}
	}
}

// modelRun is one story: what was done, by the model, and the store that it was done to.
type modelRun struct {
	*modelStore
	m       *model
	prefix  string // of all names in this story
	settled bool   // nothing is owed: other people's timelines and all counters must be right
	arrived map[UserID]map[MessageID]bool
	keys    map[modelKey]*modelKeyUse
	saved   []*savedCursor
}

func newModelRun(rt *rapid.T, s *modelStore) *modelRun {
	s.stories++
	return &modelRun{modelStore: s, prefix: fmt.Sprintf("s%d_", s.stories),
		m:       newModel(s.cfg.Timeline.OnUnfollow == "keep", s.cfg.Timeline.Comments, s.cfg.Timeline.Backfill),
		arrived: map[UserID]map[MessageID]bool{}, keys: map[modelKey]*modelKeyUse{}}
}

func (r *modelRun) tell(rt *rapid.T) {
	for range 4 {
		r.createPerson(rt)
	}
	for range 3 {
		r.Follow(rt)
	}
	actions := map[string]func(*rapid.T){"": r.Check}
	for name, action := range map[string]struct {
		weight int
		do     func(*rapid.T)
	}{
		"sign up": {2, r.SignUp}, "follow": {5, r.Follow}, "unfollow": {2, r.Unfollow}, "block": {2, r.Block}, "unblock": {2, r.Unblock},
		"mute": {1, r.Mute}, "unmute": {1, r.Unmute}, "remove follower": {1, r.RemoveFollower},
		"post": {6, r.Post}, "post with a key": {2, r.PostWithKey}, "comment": {5, r.Comment}, "many comments": {1, r.ManyComments},
		"repost": {5, r.Repost}, "unrepost": {2, r.Unrepost}, "delete": {4, r.Delete}, "delete the account": {1, r.DeleteAccount},
		"read home": {2, r.ReadHome}, "read an account": {2, r.ReadAccount}, "read comments": {2, r.ReadComments},
		"read a page of comments": {1, r.ReadCommentsPage}, "read reposts": {1, r.ReadReposts}, "read people": {1, r.ReadPeople},
		"read messages": {2, r.ReadMessages}, "read a chain": {1, r.ReadContext}, "go on from an old cursor": {3, r.ReadOn},
		"pass": {3, r.Pass}, "drain": {1, r.Drain}, "restart": {1, r.Restart}, "second server": {1, r.SecondServer},
		"a day goes by": {1, r.Day},
	} {
		for i := range action.weight {
			actions[fmt.Sprintf("%s %d", name, i)] = action.do
		}
	}
	rt.Repeat(actions)
	r.Drain(rt)
	checkInvariants(rt, r.servers[0].Backend)
}

// Chance.

func (r *modelRun) server(rt *rapid.T) *modelServer {
	if len(r.servers) == 1 {
		return r.servers[0]
	}
	return r.servers[rapid.IntRange(0, len(r.servers)-1).Draw(rt, "server")]
}

// tick lets time pass, often none: equal milliseconds are part of the contract.
func (r *modelRun) tick(rt *rapid.T) {
	r.clock.Add(rapid.SampledFrom([]int64{0, 0, 0, 0, 1, 1, 2, 7, 30, 700}).Draw(rt, "ms"))
}

// step is the beginning of every verb: time passes, and counters and timelines may be behind again.
func (r *modelRun) act(rt *rapid.T) *modelServer {
	r.tick(rt)
	r.settled = false
	return r.server(rt)
}

func (r *modelRun) living() []UserID {
	var out []UserID
	for _, id := range r.m.joined {
		if !r.m.people[id].gone {
			out = append(out, id)
		}
	}
	return out
}

// actor is somebody who can act.
func (r *modelRun) actor(rt *rapid.T, label string) UserID {
	return rapid.SampledFrom(r.living()).Draw(rt, label)
}

// noSuchUser is an id that nobody has.
const noSuchUser = UserID(1 << 40)

// anybody may be gone, and is now and then nobody at all.
func (r *modelRun) anybody(rt *rapid.T, label string) UserID {
	if rapid.IntRange(0, 30).Draw(rt, label+" exists") == 30 {
		return noSuchUser
	}
	return rapid.SampledFrom(r.m.joined).Draw(rt, label)
}

// reader may be a stranger.
func (r *modelRun) reader(rt *rapid.T) Viewer {
	return Viewer{UserID: rapid.SampledFrom(append(r.living(), 0)).Draw(rt, "reader")}
}

// message is any message that there ever was, rather a new one.
func (r *modelRun) message(rt *rapid.T) *modelMessage {
	if len(r.m.written) == 0 {
		rt.Skip("no messages yet")
	}
	back := rapid.IntRange(0, len(r.m.written)-1).Draw(rt, "message, counted back")
	return r.m.messages[r.m.written[len(r.m.written)-1-back]]
}

func (r *modelRun) must(rt *rapid.T, what string, err error) {
	if err != nil {
		rt.Fatalf("%s: %v", what, err)
	}
}

// answered compares a verb's error with the code that it should have.
func (r *modelRun) answered(rt *rapid.T, what string, err error, want Code) bool {
	if got := CodeOf(err); got != want || want == "" && err != nil {
		rt.Fatalf("%s answered %v (code %q), the model says %q", what, err, got, want)
	}
	return err == nil
}

// After every step.

// Check looks through the eyes of one person at what the last step must have settled.
func (r *modelRun) Check(rt *rapid.T) {
	s, me := r.server(rt), r.actor(rt, "me")
	r.checkHome(rt, s, me)
	r.checkRelationship(rt, s, me, rapid.SampledFrom(r.m.joined).Draw(rt, "other"))
	if len(r.m.written) > 0 {
		r.checkMessage(rt, s, Viewer{UserID: me}, r.message(rt))
	}
	got, err := s.Accounts.Get(r.ctx, Viewer{UserID: me}, me)
	r.must(rt, "read one's own account", err)
	if live := r.liveMessages(me); got.MessageCount != live {
		rt.Fatalf("%s shows %s that they have %d messages, not %d", s.name, r.m.people[me].name, got.MessageCount, live)
	}
}

func (r *modelRun) liveMessages(of UserID) int64 {
	return int64(len(r.m.collect(func(x *modelMessage) bool { return x.id.Author == of && !x.gone })))
}

func (r *modelRun) checkMessage(rt *rapid.T, s *modelServer, v Viewer, x *modelMessage) {
	got, err := s.Messages.Get(r.ctx, v, x.id)
	if !r.m.sees(v.UserID, x) {
		r.answered(rt, fmt.Sprintf("%d reads %s", v.UserID, x.id), err, CodeNotFound)
		return
	}
	r.must(rt, fmt.Sprintf("%d reads %s", v.UserID, x.id), err)
	r.same(rt, s, v.UserID, got, x)
}

func (r *modelRun) same(rt *rapid.T, s *modelServer, reader UserID, got *Message, x *modelMessage) {
	if have, want := lineOf(got, r.settled), r.m.describe(reader, x, r.settled); have != want {
		rt.Fatalf("%s shows %d\n%s\nand not\n%s", s.name, reader, have, want)
	}
}

// checkRelationship compares a relationship and the five lists that hold it.
func (r *modelRun) checkRelationship(rt *rapid.T, s *modelServer, me, other UserID) {
	got, err := s.Relations.Between(r.ctx, Viewer{UserID: me}, []UserID{other})
	r.must(rt, "read a relationship", err)
	var want []Relationship
	if !r.m.people[other].gone {
		want = []Relationship{r.relationship(me, other)}
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("%s says of %d and %d\n%+v\nand not\n%+v", s.name, me, other, got, want)
	}
}

func (r *modelRun) relationship(me, other UserID) Relationship {
	there, back := modelPair{me, other}, modelPair{other, me}
	return Relationship{ID: other, Following: r.m.follows[there].live, FollowedBy: r.m.follows[back].live,
		Blocking: r.m.blocks[there].live, BlockedBy: r.m.blocks[back].live, Muting: r.m.mutes[there].live}
}

// checkHome reads a whole timeline. While something is owed to it, it may lack what has not come yet and show what has
// not been taken out yet, but never what the reader may not see, nor lose what had come.
func (r *modelRun) checkHome(rt *rapid.T, s *modelServer, me UserID) {
	var got []*Message
	for q := (PageRequest{Limit: 100}); ; {
		page, err := s.Timelines.Home(r.ctx, Viewer{UserID: me}, ListQuery{PageRequest: q})
		r.must(rt, "read home", err)
		got = append(got, page.Items...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	shown := make([]*modelMessage, len(got))
	there := map[MessageID]bool{}
	for i, g := range got {
		shown[i], there[g.ID] = r.m.messages[g.ID], true
		if shown[i] == nil || i > 0 && newestFirst(shown[i-1], shown[i]) >= 0 {
			rt.Fatalf("%s shows %d %s out of order or from nowhere", s.name, me, g.ID)
		}
		if !r.mayStand(me, shown[i]) {
			rt.Fatalf("%s shows %d in home what must not be there: %s", s.name, me, r.m.describe(me, shown[i], false))
		}
		r.same(rt, s, me, g, shown[i])
	}
	want := r.m.home(me, nil)
	for _, x := range want {
		if !there[x.id] && (r.settled || x.id.Author == me || r.arrived[me][x.id]) {
			rt.Fatalf("%s does not show %d in home: %s", s.name, me, r.m.describe(me, x, false))
		}
	}
	if r.settled && len(got) != len(want) {
		rt.Fatalf("%s shows %d in home %d messages, not %d:\n%s", s.name, me, len(got), len(want), idTexts(shown))
	}
}

func (r *modelRun) mayStand(me UserID, x *modelMessage) bool {
	span := r.m.follows[modelPair{me, x.id.Author}]
	return r.m.carried(x) && r.m.bearable(me, x) &&
		(x.id.Author == me || span.live || r.m.keep && span.rev > 0 && x.visibility == VisibilityPublic)
}

func idTexts(list []*modelMessage) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = x.id.String()
	}
	return out
}

// After a drain.

// Drain works off all that is owed, and then everything must be right, for everybody.
func (r *modelRun) Drain(rt *rapid.T) {
	r.drain(rt)
	r.settled = true
	for _, me := range r.living() {
		r.arrived[me] = map[MessageID]bool{}
		for _, x := range r.m.messages {
			if r.m.due(me, x) {
				r.arrived[me][x.id] = true
			}
		}
		s := r.server(rt)
		r.checkHome(rt, s, me)
		r.checkAccount(rt, s, me)
	}
	r.checkMessages(rt, r.server(rt), r.reader(rt))
}

func (r *modelRun) drain(rt *rapid.T) {
	for range 100 {
		for _, s := range r.servers {
			if _, err := s.Pass(r.ctx); err != nil {
				rt.Fatalf("pass: %v", err)
			}
		}
		left := 0
		b := r.servers[0].Backend
		for _, shard := range b.Cluster.Shards() {
			var n int
			row := b.Cluster.RawForTest(shard).QueryRowContext(r.ctx, `SELECT COUNT(*) FROM outbox WHERE due_ms < ?`, r.clock.Load()+time.Hour.Milliseconds())
			r.must(rt, "count what is owed", row.Scan(&n))
			left += n
		}
		if left == 0 {
			return
		}
		r.clock.Add(3000) // effects rest 2 s before a worker takes them, leases last 5
	}
	rt.Fatalf("the outbox does not drain")
}

func (r *modelRun) checkAccount(rt *rapid.T, s *modelServer, id UserID) {
	got, err := s.Accounts.Get(r.ctx, Viewer{}, id)
	r.must(rt, "read an account", err)
	have := [3]int64{got.MessageCount, got.FollowersCount, got.FollowingCount}
	if want := [3]int64{r.liveMessages(id), int64(len(r.m.followers(id))), int64(len(r.m.following(id)))}; have != want {
		rt.Fatalf("%s says that %d has %d messages, followers, followees, and not %d", s.name, id, have, want)
	}
}

// checkMessages reads all messages, many at a time.
func (r *modelRun) checkMessages(rt *rapid.T, s *modelServer, v Viewer) {
	for part := range slices.Chunk(r.m.written, 100) {
		var want []*modelMessage
		for _, id := range part {
			if x := r.m.messages[id]; r.m.sees(v.UserID, x) {
				want = append(want, x)
			}
		}
		got, err := s.Messages.GetMany(r.ctx, v, part)
		r.must(rt, "read many messages", err)
		if len(got) != len(want) {
			rt.Fatalf("%s shows %d of %d messages %d, not %d", s.name, v.UserID, len(part), len(got), len(want))
		}
		for i := range got {
			r.same(rt, s, v.UserID, got[i], want[i])
		}
	}
}
