package social

import (
	"fmt"

	"socialctl/sharding"
)

func (x *explaining) fact(shard sharding.ShardID, bucket sharding.Bucket, says, what, format string, args ...any) {
	x.out.Facts = append(x.out.Facts, Fact{What: what, Shard: shard, Bucket: bucket, Found: fmt.Sprintf(format, args...), Says: says})
}

// says turns what a fact means into the word for it.
func says(good bool) string {
	if good {
		return "for"
	}
	return "against"
}

func (x *explaining) describeAuthor(shard sharding.ShardID, bucket sharding.Bucket) {
	m := x.msg
	x.fact(shard, bucket, says(m.live), "message", "%s %s, %s, of the author's clock %d, at %s",
		edgeStates[int64(boolState(m.live))], m.kind, m.visibility, m.clock, Millis(m.timeMS))
	if !x.b.inTimelines(m) {
		x.fact(shard, bucket, "against", "timelines", "this kind of message is not carried into timelines (timeline.comments, limited roots)")
	}
	if x.author != nil {
		state := Meaning("user_info", "state", int64(x.author.state))
		x.fact(shard, bucket, says(x.author.state == accountLive), "author", "account %d (%s) is %s", x.author.id, x.author.name, state)
	}
	if x.own {
		return
	}
	blocks := "none between author and reader"
	if x.span.vetoed {
		blocks = "one lies between author and reader"
	}
	x.fact(shard, bucket, says(!x.span.vetoed), "blocks", "%s", blocks)
	x.fact(shard, bucket, "", "fan row", "%s", describe(x.span.fan))
	if m.visibility == VisibilityMutuals {
		x.fact(shard, bucket, "", "author's follow", "%s", describe(x.span.follow))
	}
}

func boolState(live bool) int {
	if live {
		return stateLive
	}
	return stateGone
}

func describe(r relation) string {
	if r.rev == 0 {
		return "none"
	}
	text := fmt.Sprintf("%s, rev %d, since clock %d", edgeStates[int64(r.state)], r.rev, r.sinceClock)
	if r.fromMsg > 0 {
		text += fmt.Sprintf(", from message %d", r.fromMsg)
	}
	if r.untilMsg > 0 {
		text += fmt.Sprintf(", until message %d", r.untilMsg)
	}
	return text
}

func (x *explaining) describeReader(shard sharding.ShardID, bucket sharding.Bucket) {
	x.fact(shard, bucket, "", "reader", "account %d (%s) is %s", x.readers.id, x.readers.name,
		Meaning("user_info", "state", int64(x.readers.state)))
	if !x.own {
		x.fact(shard, bucket, "", "follow row", "%s", describe(x.follow))
	}
	if x.entry == nil {
		x.fact(shard, bucket, "against", "entry", "none")
		return
	}
	x.out.Entry = edgeStates[int64(boolState(x.entry.live))]
	limited := ""
	if x.entry.limited {
		limited = ", limited"
	}
	x.fact(shard, bucket, says(x.entry.live), "entry", "%s, rev %d%s", x.out.Entry, x.entry.rev, limited)
}

// describeVetoes tells what the reader has decided by themselves, of the author and of those behind a repost.
func (x *explaining) describeVetoes(shard sharding.ShardID, bucket sharding.Bucket) {
	people := []UserID{x.id.Author}
	if x.msg.kind == KindRepost {
		people = append(people, x.msg.parent.Author, x.msg.origin.Author)
	}
	seen := map[UserID]bool{x.reader: true}
	for _, id := range people {
		if seen[id] {
			continue
		}
		seen[id] = true
		if x.state.muted(id) {
			x.fact(shard, bucket, "against", "mute", "the reader has muted account %d", id)
		}
		if x.state.apart(id) {
			x.fact(shard, bucket, "against", "block", "between the reader and account %d", id)
		}
	}
}

// judge compares what should be with what is, and looks for owed work that would explain a difference.
func (x *explaining) judge() {
	o := x.out
	if x.own {
		o.Due, o.Rule = x.msg.live, "one's own messages are always in one's own timeline"
		if !x.msg.live {
			o.Rule = "the message is deleted"
		}
	} else {
		o.Due, o.Rule = x.span.why(x.msg)
	}
	if o.Due && !x.b.inTimelines(x.msg) {
		o.Due, o.Rule = false, "this kind of message is not carried into timelines"
	}
	live := x.entry != nil && x.entry.live
	for _, w := range x.owed {
		x.fact(w.shard, w.bucket, "", "owed", "%s", w.text)
		o.Pending = o.Pending || w.matters(o.Due, live)
	}
	switch {
	case o.Pending:
	case !x.own && !x.rowsAgree():
		o.Problem = "the reader's follow row and the author's fan row disagree, and nothing is owed that would mend it"
	case o.Due && !live && x.entry != nil:
		o.Problem = "the message is due, and its entry is gone"
	case o.Due && !live:
		o.Problem = "the message is due, its entry is missing, and nothing is owed that would bring it"
	case !o.Due && live:
		o.Problem = "the entry is live, the message is not due, and nothing is owed that would take it out"
	}
}

// rowsAgree compares the two rows of the follow. A follow that has never been is agreed on by two rows that are not there.
func (x *explaining) rowsAgree() bool {
	return x.follow.state == x.span.fan.state && x.follow.rev == x.span.fan.rev
}

// answer puts the result into one sentence: the first thing that decides.
func (x *explaining) answer() {
	o := x.out
	switch {
	case o.Shown && o.Problem != "":
		o.Answer = "It is shown, and something is wrong: " + o.Problem + "."
	case o.Shown && !o.Due:
		o.Answer = "It is still shown, and the work that takes it out is owed: " + o.Rule + "."
	case o.Shown:
		o.Answer = "It is shown: " + o.Rule + "."
	case o.Problem != "":
		o.Answer = "It is not shown, and something is wrong: " + o.Problem + "."
	case !o.Due:
		o.Answer = "It is not shown: " + o.Rule + "."
	case o.Entry != "live":
		o.Answer = "It is not there yet: it is due (" + o.Rule + "), and the work that brings it is owed."
	default:
		o.Answer = "It is not shown, though its entry is there: " + x.hidden() + "."
	}
}

// hidden says what keeps reading from showing a live entry of a message that is due.
func (x *explaining) hidden() string {
	author := x.id.Author
	rev, follows := x.state.follows[author]
	keep := x.span.keepGone && !x.entry.limited
	switch {
	case x.author != nil && x.author.state != accountLive:
		return "the author's account is " + Meaning("user_info", "state", int64(x.author.state))
	case x.state.apart(author):
		return "a block lies between reader and author"
	case x.state.muted(author):
		return "the reader has muted the author"
	case !x.own && !follows && !keep:
		return "the reader does not follow the author"
	case !x.own && x.entry.limited && rev != x.entry.rev:
		return fmt.Sprintf("it was written under follow %d, and the reader's follow is now %d", x.entry.rev, rev)
	case x.msg.kind == KindRepost && !x.state.passesOn(x.msg):
		return "what it passes on is by somebody whom the reader has muted, or who is behind a block"
	}
	return "reading leaves it out"
}
