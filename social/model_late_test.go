package social

import (
	"context"
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"socialctl/sharding"
)

// What machines do in the model test beside answering: they die between a commit and its effects, apply effects a second
// time long after, and wake up with a page of a job that others have long finished.

// lateEffect is an effect that was once decided, to be applied again at any later time.
type lateEffect struct {
	what   string
	owner  UserID
	kind   effectKind
	target UserID
	load   any
}

// lateDelivery is a page of a fan-out that somebody has read and not written yet.
type lateDelivery struct {
	of   MessageID
	page *delivery
	at   int64
}

func (r *modelRun) remember(what string, owner UserID, kind effectKind, target UserID, load any) {
	r.late = append(r.late, lateEffect{what, owner, kind, target, load})
}

// rememberEdge notes how a follow stands now.
func (r *modelRun) rememberEdge(who, whom UserID) {
	span := r.m.follows[modelPair{who, whom}]
	if span.rev == 0 {
		return
	}
	state := stateGone
	if span.live {
		state = stateLive
	}
	what := fmt.Sprintf("%d follows %d: %t at %d", who, whom, span.live, span.rev)
	r.remember(what, who, effEdge, whom, edgePayload{Follower: who, Rev: span.rev, State: state})
	r.remember("end what was: "+what, whom, effEndFollow, who, endFollowPayload{Of: whom, Rev: span.rev - 1})
}

func (r *modelRun) rememberBlock(who, whom UserID) {
	block := r.m.blocks[modelPair{who, whom}]
	if block.rev == 0 {
		return
	}
	state := stateGone
	if block.live {
		state = stateLive
	}
	r.remember(fmt.Sprintf("%d blocks %d: %t at %d", who, whom, block.live, block.rev), who, effBlocked, whom,
		blockedPayload{By: who, Rev: block.rev, State: state})
}

func (r *modelRun) rememberReferences(x *modelMessage) {
	state := stateLive
	if x.gone {
		state = stateGone
	}
	for _, on := range x.refersTo() {
		r.remember(fmt.Sprintf("%s refers to %s: %t", x.id, on, !x.gone), x.id.Author, effReference, on.Author,
			referencePayload{On: on.N, Kind: x.kind, By: x.id, State: state, Time: int64(x.at)})
	}
}

// Again applies an effect of earlier once more: nothing changes.
func (r *modelRun) Again(rt *rapid.T) {
	if len(r.late) == 0 {
		return
	}
	s, e := r.server(rt), oneOf(rt, "effect", r.late)
	rt.Logf("on %s again: %s", s.name, e.what)
	r.tally["again: "+e.kind.String()]++
	replies, err := s.apply(r.ctx, []*effect{s.newEffect(e.owner, e.kind, e.target, e.load)})
	r.must(rt, "apply again", err)
	for _, reply := range replies {
		rt.Fatalf("applied again it owes %s", reply.kind)
	}
}

// Sleeper reads a page of a fan-out and goes to sleep, or wakes up and writes what it read: nothing that was taken out
// comes back, and nobody gets what they are not due. A sleeper of more than a day is none: tombstones are swept.
func (r *modelRun) Sleeper(rt *rapid.T) {
	s := r.server(rt)
	if len(r.sleepers) == 0 || len(r.sleepers) < 4 && pick(rt, "falls asleep", 2) == 0 {
		x := r.message(rt)
		if !r.m.carried(x) || !r.m.live(x) || x.visibility == VisibilityPrivate {
			return
		}
		page, err := s.fansToReach(r.ctx, x.id.Author, deliveryPayload{N: x.id.N}, deliveryProgress{})
		r.must(rt, "read a page of fans", err)
		if len(page.fans) == 0 {
			return
		}
		rt.Logf("on %s the fan-out of %s to %d fans falls asleep", s.name, x.id, len(page.fans))
		r.sleepers = append(r.sleepers, lateDelivery{x.id, page, r.clock.Load()})
		r.clock.Add(100) // a follow of later has a later rev, whoever's clock gave it
		return
	}
	i := pick(rt, "sleeper", len(r.sleepers))
	d := r.sleepers[i]
	r.sleepers = append(r.sleepers[:i:i], r.sleepers[i+1:]...)
	if r.clock.Load()-d.at > 23*3600_000 {
		return
	}
	rt.Logf("on %s the fan-out of %s wakes up", s.name, d.of)
	r.tally["a sleeper wakes up"]++
	_, _, err := s.deliver(r.ctx, d.page)
	r.must(rt, "deliver late", err)
}

// dying is a verb as far as its commit, and what it means to the model.
type dying struct {
	what   string
	by     UserID
	commit func(ctx context.Context, tx *sharding.Tx) error
	done   func()
}

// Die commits a verb on a server that dies before it has applied any of its effects. Nobody was answered, so nothing is
// promised until the workers have found them.
func (r *modelRun) Die(rt *rapid.T) {
	s := r.act(rt)
	d := oneOf(rt, "verb", []func(*rapid.T, *modelServer) *dying{r.dieFollowing, r.diePublishing, r.dieDeleting})(rt, s)
	if d == nil {
		return
	}
	r.must(rt, d.what, s.Cluster.Write(r.ctx, int64(d.by), d.commit))
	rt.Logf("on %s %s, and it dies", s.name, d.what)
	r.tally["dies"]++
	d.done()
	r.must(rt, "close", r.shut(slices.Index(r.servers, s)))
	r.must(rt, "open again", r.open(s.skew))
	r.Drain(rt)
}

func (r *modelRun) dieFollowing(rt *rapid.T, s *modelServer) *dying {
	me, other := r.actor(rt, "me"), r.actor(rt, "other")
	state, turn, verb := stateLive, r.m.follow, "follows"
	if rapid.Bool().Draw(rt, "unfollow") {
		state, turn, verb = stateGone, r.m.unfollow, "unfollows"
	}
	if me == other || r.m.apart(me, other) {
		return nil
	}
	return &dying{fmt.Sprintf("%d %s %d", me, verb, other), me,
		func(ctx context.Context, tx *sharding.Tx) error {
			acc, err := s.lockLive(ctx, tx, me)
			if err != nil {
				return err
			}
			effs, err := s.turnFollow(ctx, tx, acc, other, state, 0)
			if err != nil {
				return err
			}
			return s.emit(ctx, tx, effs...)
		},
		func() {
			turn(me, other, s.now())
			r.rememberEdge(me, other)
		}}
}

func (r *modelRun) diePublishing(rt *rapid.T, s *modelServer) *dying {
	me := r.actor(rt, "me")
	x := &modelMessage{kind: KindOriginal, visibility: oneOf(rt, "visibility", modelVisibilities), content: "last words"}
	on := r.message(rt)
	if r.mayAnswer(me, on) == "" && rapid.Bool().Draw(rt, "comment") {
		x.kind, x.visibility, x.parent, x.origin = KindComment, on.visibility, on.id, on.id
		if on.kind == KindComment {
			x.origin = on.origin
		}
	}
	x.id, x.at = MessageID{me, r.m.people[me].count + 1}, r.m.nextTime(me, x.parent, s.now())
	return &dying{fmt.Sprintf("%d publishes %s", me, x.id), me,
		func(ctx context.Context, tx *sharding.Tx) error {
			row := &stored{kind: x.kind, live: true, visibility: x.visibility, rootVisibility: x.visibility, content: x.content,
				parent: x.parent, origin: x.origin}
			after := int64(0)
			if x.kind == KindComment {
				after = int64(on.at)
			}
			_, _, err := s.storeTx(ctx, tx, me, row, publication{after: after})
			return err
		},
		func() {
			r.m.publish(x)
			r.rememberReferences(x)
		}}
}

func (r *modelRun) dieDeleting(rt *rapid.T, s *modelServer) *dying {
	x := r.message(rt)
	me := x.id.Author
	if r.m.people[me].gone {
		return nil
	}
	return &dying{fmt.Sprintf("%d deletes %s", me, x.id), me,
		func(ctx context.Context, tx *sharding.Tx) error {
			if _, err := s.lockLive(ctx, tx, me); err != nil {
				return err
			}
			_, err := s.eraseTx(ctx, tx, x.id)
			return err
		},
		func() {
			r.m.erase(x.id)
			r.rememberReferences(x)
		}}
}
