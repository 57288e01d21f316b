package social

// span is all that an author's shard knows about one reader: what decides which of the author's messages the reader is
// due. Every field is a row of the author's shard, so that no two copies can disagree.
type span struct {
	fan      relation // reader follows author
	follow   relation // author follows reader: mutuals
	vetoed   bool     // a block, in either direction
	keepGone bool     // timeline.on_unfollow is keep
}

// due is the one function of what a reader is due of an author: delivery, backfill, removal, rebuild, permalink and
// inspect all ask it (DESIGN 5). It speaks of others' messages only: an author is always due their own.
//
// A public message is due while the reader's fan row is live and the message is not older than the backfill fixed with
// it; under keep also the public messages of the span that has ended, which a block hides and does not take away. A
// limited one is due when every relation that its audience rests on has held without a break since before the message:
// the comparison of clocks is strict.
func (s span) due(m *stored) bool {
	switch {
	case !m.live, m.kind == KindComment && m.rootVisibility.Limited():
		return false
	case m.visibility.Limited():
		return s.mayRead(m)
	case s.fan.live():
		return !s.vetoed && m.id.N >= s.fan.fromMsg
	}
	return s.keepGone && s.fan.rev > 0 && m.id.N >= s.fan.fromMsg && m.id.N <= s.fan.untilMsg
}

// mayRead says whether the reader is in the audience of the author's message, wherever they meet it. For a public
// message that is everybody but the blocked; for a limited one it is those to whom it is due.
func (s span) mayRead(m *stored) bool {
	if s.vetoed {
		return false
	}
	switch m.visibility {
	case VisibilityPublic:
		return true
	case VisibilityFollowers:
		return s.holds(s.fan, m.clock)
	case VisibilityMutuals:
		return s.holds(s.fan, m.clock) && s.holds(s.follow, m.clock)
	}
	return false
}

func (s span) holds(r relation, clock int64) bool { return r.live() && r.sinceClock < clock }
