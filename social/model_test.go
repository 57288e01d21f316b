package social

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	modelChecks = 32
	modelSteps  = 90 // on the average, in each
)

func TestModel(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		modelFlags(t, modelCheckCount(t))
		tally := map[string]int{}
		defer logTally(t, tally)
		rapid.Check(t, func(rt *rapid.T) {
			cfg := shardingtest.Embedded().Config(t)
			cfg.Timeline.Backfill = oneOf(rt, "backfill", []int{3, 3, 3, 1, 0, 200})
			cfg.Timeline.Comments = rapid.Bool().Draw(rt, "timeline.comments")
			if rapid.Bool().Draw(rt, "keep") {
				cfg.Timeline.OnUnfollow = "keep"
			}
			store := newModelStore(t, cfg)
			store.tally = tally
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
			defer logTally(t, store.tally)
			rapid.Check(t, func(rt *rapid.T) { newModelRun(rt, store).tell(rt) })
		})
	}
}

// logTally says what the stories were made of.
func logTally(t *testing.T, tally map[string]int) {
	steps := 0
	for _, what := range slices.Sorted(maps.Keys(tally)) {
		if strings.HasPrefix(what, "step: ") {
			steps += tally[what]
		}
		t.Logf("%6d %s", tally[what], what)
	}
	t.Logf("%d steps", steps)
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

// givenFlags are the flags of the command line: asked for once, before the first is set here.
var givenFlags = sync.OnceValue(func() map[string]bool {
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	return given
})

// modelFlags sets what was not set by hand, for the length of the test, and says how to run a failure again.
func modelFlags(t *testing.T, checks int) {
	steps := modelSteps
	if testing.Short() { // rapid divides
		checks, steps = 5*checks, 2*steps
	}
	for name, value := range map[string]string{"rapid.checks": strconv.Itoa(checks), "rapid.steps": strconv.Itoa(steps),
		"rapid.nofailfile": "true", "rapid.shrinktime": "60s"} {
		if givenFlags()[name] {
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
	tally   map[string]int // what was done, and what was answered
}

type modelServer struct {
	*Backend
	name string
	skew int64 // milliseconds before or behind the clock
	now  func() int64
}

func newModelStore(t *testing.T, cfg configs.Config) *modelStore {
	s := &modelStore{ctx: t.Context(), test: t, cfg: cfg, tally: map[string]int{}}
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

	late     []lateEffect
	sleepers []lateDelivery
}

func newModelRun(rt *rapid.T, s *modelStore) *modelRun {
	s.stories++
	return &modelRun{modelStore: s, prefix: fmt.Sprintf("s%d_", s.stories),
		m:       newModel(s.cfg.Timeline.OnUnfollow == "keep", s.cfg.Timeline.Comments, s.cfg.Timeline.Backfill),
		arrived: map[UserID]map[MessageID]bool{}, keys: map[modelKey]*modelKeyUse{}}
}

// tell is a whole story.
func (r *modelRun) tell(rt *rapid.T) {
	r.begin(rt)
	rt.Repeat(map[string]func(*rapid.T){"": r.Check, "step": r.Step})
	r.Drain(rt)
	checkInvariants(rt, r.servers[0].Backend)
}

// begin makes people, some of whom follow some.
func (r *modelRun) begin(rt *rapid.T) {
	for range 4 + pick(rt, "people", 3) {
		r.createPerson(rt)
	}
	for _, me := range r.m.joined {
		for _, other := range r.m.joined {
			if me != other && rapid.Bool().Draw(rt, fmt.Sprintf("%d follows %d", me, other)) {
				s := r.act(rt)
				_, err := s.Relations.Follow(r.ctx, Viewer{UserID: me}, other)
				r.must(rt, "follow", err)
				r.m.follow(me, other, s.now())
				rt.Logf("%d follows %d", me, other)
			}
		}
	}
}

// modelActions are what a step may be, with their weights.
var modelActions = []struct {
	weight int
	name   string
	do     func(*modelRun, *rapid.T)
}{
	{2, "sign up", (*modelRun).SignUp}, {6, "follow", (*modelRun).Follow}, {3, "unfollow", (*modelRun).Unfollow},
	{2, "block", (*modelRun).Block}, {2, "unblock", (*modelRun).Unblock}, {1, "mute", (*modelRun).Mute}, {1, "unmute", (*modelRun).Unmute},
	{1, "remove follower", (*modelRun).RemoveFollower}, {7, "post", (*modelRun).Post}, {2, "post with a key", (*modelRun).PostWithKey},
	{5, "comment", (*modelRun).Comment}, {1, "many comments", (*modelRun).ManyComments}, {5, "repost", (*modelRun).Repost},
	{2, "unrepost", (*modelRun).Unrepost}, {4, "delete", (*modelRun).Delete}, {1, "delete the account", (*modelRun).DeleteAccount},
	{1, "import follows", (*modelRun).ImportFollows}, {1, "import messages", (*modelRun).ImportMessages},
	{2, "read home", (*modelRun).ReadHome}, {2, "read an account", (*modelRun).ReadAccount}, {2, "read comments", (*modelRun).ReadComments},
	{1, "read a page of comments", (*modelRun).ReadCommentsPage}, {1, "read reposts", (*modelRun).ReadReposts},
	{1, "read people", (*modelRun).ReadPeople}, {1, "read messages", (*modelRun).ReadMessages}, {1, "read a chain", (*modelRun).ReadContext},
	{2, "go on from an old cursor", (*modelRun).ReadOn}, {4, "pass", (*modelRun).Pass}, {1, "drain", (*modelRun).Drain},
	{3, "again", (*modelRun).Again}, {3, "sleeper", (*modelRun).Sleeper}, {2, "die", (*modelRun).Die},
	{1, "restart", (*modelRun).Restart}, {1, "second server", (*modelRun).SecondServer}, {1, "a day goes by", (*modelRun).Day},
}

// Step does one of the actions.
func (r *modelRun) Step(rt *rapid.T) {
	total := 0
	for _, a := range modelActions {
		total += a.weight
	}
	left := pick(rt, "action", total)
	for _, a := range modelActions {
		if left -= a.weight; left < 0 {
			rt.Logf("%s", a.name)
			a.do(r, rt)
			r.tally["step: "+a.name]++
			return
		}
	}
}

// Chance.

// pick is 0 to n-1, all alike: rapid's own integers are rather small ones.
func pick(rt *rapid.T, label string, n int) int {
	return rapid.Custom(func(t *rapid.T) int {
		x := 0
		for range bits.Len(uint(n)) + 3 {
			x *= 2
			if rapid.Bool().Draw(t, "bit") {
				x++
			}
		}
		return x % n
	}).Draw(rt, label)
}

func oneOf[T any](rt *rapid.T, label string, list []T) T { return list[pick(rt, label, len(list))] }

func (r *modelRun) server(rt *rapid.T) *modelServer {
	r.agree(rt)
	return r.servers[pick(rt, "server", len(r.servers))]
}

// agree waits until all servers know that a tag could not be deleted: the story goes on after that half second, which
// comes when the server is closed that owns the embedded Redis.
func (r *modelRun) agree(rt *rapid.T) {
	deadline := time.Now().Add(10 * time.Second)
	for _, s := range r.servers {
		for _, shard := range s.Cluster.Shards() {
			for {
				var is int64
				row := s.Cluster.RawForTest(shard).QueryRowContext(r.ctx, `SELECT cache_epoch + epoch FROM shard_state WHERE id = 1`)
				r.must(rt, "read the cache epoch", row.Scan(&is))
				if knows, ok := shard.CacheEpoch(); !ok || knows == is {
					break
				}
				if time.Now().After(deadline) {
					rt.Fatalf("%s does not hear of a new cache epoch", s.name)
				}
				select {
				case <-r.ctx.Done():
				case <-time.After(2 * time.Millisecond):
				}
			}
		}
	}
}

// tick lets time pass, often none: equal milliseconds are part of the contract.
func (r *modelRun) tick(rt *rapid.T) {
	r.clock.Add(oneOf(rt, "ms", []int64{0, 0, 0, 0, 1, 1, 2, 7, 30, 700}))
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
	return oneOf(rt, label, r.living())
}

// noSuchUser is an id that nobody has.
const noSuchUser = UserID(1 << 40)

// anybody may be gone, and is now and then nobody at all.
func (r *modelRun) anybody(rt *rapid.T, label string) UserID {
	if pick(rt, label+" exists", 31) == 30 {
		return noSuchUser
	}
	return oneOf(rt, label, r.m.joined)
}

// reader may be a stranger.
func (r *modelRun) reader(rt *rapid.T) Viewer {
	return Viewer{UserID: oneOf(rt, "reader", append(r.living(), 0))}
}

// message is any message that there ever was, rather a new one.
func (r *modelRun) message(rt *rapid.T) *modelMessage {
	if len(r.m.written) == 0 {
		r.Post(rt)
	}
	back := pick(rt, "message, counted back", len(r.m.written))
	if pick(rt, "a new one", 4) > 0 {
		back %= 12
	}
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
	rt.Logf("%s: %s", what, cmp.Or(want, "done"))
	r.tally[strings.Join(strings.FieldsFunc(what, func(c rune) bool { return strings.ContainsRune("0123456789-+", c) }), "#")+" "+string(want)]++
	return err == nil
}

// After every step.

// Check looks through the eyes of one person at what the last step must have settled.
func (r *modelRun) Check(rt *rapid.T) {
	s, me := r.server(rt), r.actor(rt, "me")
	r.checkHome(rt, s, me)
	r.checkRelationship(rt, s, me, oneOf(rt, "other", r.m.joined))
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
	if r.cfg.IsEmbedded() { // the rows of this story alone: they are few
		checkInvariants(rt, r.servers[0].Backend)
	}
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
