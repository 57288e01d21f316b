package social

import (
	"context"
	"fmt"

	"socialctl/sharding"
)

// Explanation says why a message is in a reader's home timeline, or why it is not.
type Explanation struct {
	Reader  UserID    `json:"reader"`
	Message MessageID `json:"message"`
	Answer  string    `json:"answer"`  // in one sentence
	Shown   bool      `json:"shown"`   // whether reading the timeline would show it now
	Due     bool      `json:"due"`     // whether the rule of what a reader is due gives it to this one
	Rule    string    `json:"rule"`    // the clause of that rule which decides
	Entry   string    `json:"entry"`   // live, gone or none
	Pending bool      `json:"pending"` // whether something is owed that will change this
	Problem string    `json:"problem"` // what is wrong, and not by itself on the way to be right; "" for nothing
	Facts   []Fact    `json:"facts"`
}

// Fact is one thing that was looked at, where it lies.
type Fact struct {
	What   string           `json:"what"`
	Shard  sharding.ShardID `json:"shard"`
	Bucket sharding.Bucket  `json:"bucket"`
	Found  string           `json:"found"`
	Says   string           `json:"says"` // for or against its being shown; "" where it decides nothing by itself
}

// explaining is what one explanation has gathered.
type explaining struct {
	b       *Backend
	reader  UserID
	id      MessageID
	msg     *stored
	author  *accountRow
	span    span
	own     bool // the reader's own message
	readers *accountRow
	follow  relation
	state   *viewerState
	entry   *entry
	owed    []owedWork
	out     *Explanation
}

// Explain reads what decides whether a message stands in a reader's timeline, from both shards as they are now, and says
// which rule put it there or kept it out. It changes nothing. The errors for a reader or a message that never was are
// not_found.
func (t *Timelines) Explain(ctx context.Context, reader UserID, id MessageID) (Explanation, error) {
	x := &explaining{b: t.b, reader: reader, id: id, own: reader == id.Author,
		out: &Explanation{Reader: reader, Message: id, Entry: "none"}}
	if err := x.askAuthor(ctx); err != nil {
		return Explanation{}, fmt.Errorf("look at the author's side: %w", err)
	}
	if x.msg == nil {
		return Explanation{}, notFound("message")
	}
	if err := x.askReader(ctx); err != nil {
		return Explanation{}, fmt.Errorf("look at the reader's side: %w", err)
	}
	if x.readers == nil {
		return Explanation{}, notFound("account")
	}
	if x.entry != nil && x.entry.live {
		err := t.show(ctx, Viewer{UserID: reader}, nil, []entry{*x.entry}, func(int, *Message) { x.out.Shown = true })
		if err != nil {
			return Explanation{}, fmt.Errorf("read the timeline: %w", err)
		}
		x.out.Shown = x.out.Shown && x.b.inTimelines(x.msg)
	}
	x.judge()
	x.answer()
	return *x.out, nil
}

// askAuthor reads, at one moment of the author's shard, all that the rule is about.
func (x *explaining) askAuthor(ctx context.Context) error {
	author, bucket := x.id.Author, x.b.bucket(x.id.Author)
	return x.b.Cluster.Read(ctx, int64(author), func(ctx context.Context, r *sharding.Reader) error {
		x.out.Facts, x.owed = nil, nil
		found, err := x.b.readStored(ctx, r, []MessageID{x.id}, nil)
		if err != nil || len(found) == 0 {
			return err
		}
		x.msg = found[0]
		if x.author, err = accountOf(ctx, r, bucket, author, ""); err != nil {
			return err
		}
		x.span = span{keepGone: x.b.Config.Timeline.OnUnfollow == "keep"}
		for kind, into := range map[int]*relation{relFan: &x.span.fan, relFollow: &x.span.follow} {
			if *into, err = relationOf(ctx, r, bucket, author, kind, x.reader); err != nil {
				return err
			}
		}
		for _, kind := range []int{relBlock, relBlockedBy} {
			veto, err := relationOf(ctx, r, bucket, author, kind, x.reader)
			if err != nil {
				return err
			}
			x.span.vetoed = x.span.vetoed || veto.live()
		}
		if err := x.owedBy(ctx, r, author); err != nil {
			return err
		}
		x.describeAuthor(r.Shard().ID(), bucket)
		return nil
	})
}

// askReader reads, at one moment of the reader's shard, the entry and what the reader has decided about the author.
func (x *explaining) askReader(ctx context.Context) error {
	bucket := x.b.bucket(x.reader)
	before, owed := len(x.out.Facts), len(x.owed)
	err := x.b.Cluster.Read(ctx, int64(x.reader), func(ctx context.Context, r *sharding.Reader) error {
		x.out.Facts, x.owed = x.out.Facts[:before], x.owed[:owed]
		var err error
		if x.readers, err = accountOf(ctx, r, bucket, x.reader, ""); err != nil || x.readers == nil {
			return err
		}
		if x.follow, err = relationOf(ctx, r, bucket, x.reader, relFollow, x.id.Author); err != nil {
			return err
		}
		if x.entry, err = entryOf(ctx, r, bucket, x.reader, x.msg); err != nil {
			return err
		}
		if !x.own {
			if err := x.owedBy(ctx, r, x.reader); err != nil {
				return err
			}
			if err := x.owedByImports(ctx, r); err != nil {
				return err
			}
		}
		x.describeReader(r.Shard().ID(), bucket)
		return nil
	})
	if err != nil || x.readers == nil {
		return err
	}
	x.state, err = x.b.viewerRow(ctx, x.reader)
	if err != nil {
		return err
	}
	x.describeVetoes(x.b.Cluster.For(int64(x.reader)).ID(), bucket)
	return nil
}

// entryOf reads the row of a message in a timeline; nil where there is none.
func entryOf(ctx context.Context, r *sharding.Reader, bucket sharding.Bucket, reader UserID, m *stored) (*entry, error) {
	rows, err := r.Query(ctx, `
		SELECT rev, state, kind, limited FROM msg_index
		WHERE bucket = ? AND user_id = ? AND time_ms = ? AND author_id = ? AND msg_id = ?`,
		bucket, int64(reader), m.timeMS, int64(m.id.Author), m.id.N)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, rows.Err()
	}
	e := &entry{id: m.id, timeMS: m.timeMS}
	var state, limited int
	if err := rows.Scan(&e.rev, &state, &e.kind, &limited); err != nil {
		return nil, err
	}
	e.live, e.limited = state == stateLive, limited != 0
	return e, rows.Err()
}

// why is due, with the clause that decides. A test holds the two together.
func (s span) why(m *stored) (due bool, clause string) {
	switch {
	case s.vetoed && (s.fan.live() || m.visibility.Limited() || !s.keepGone):
		return false, "a block lies between reader and author"
	case !m.live:
		return false, "the message is deleted"
	case m.kind == KindComment && m.rootVisibility.Limited():
		return false, "comments on limited messages are not delivered"
	case m.visibility.Limited():
		return s.whyLimited(m)
	case s.fan.live() && m.id.N >= s.fan.fromMsg:
		return true, fmt.Sprintf("public, and the reader follows the author from message %d on", s.fan.fromMsg)
	case s.fan.live():
		return false, fmt.Sprintf("public, and older than message %d, with which the backfill of the follow begins", s.fan.fromMsg)
	case s.fan.rev == 0:
		return false, "the reader has never followed the author"
	case !s.keepGone:
		return false, "the reader does not follow the author any more"
	case m.id.N >= s.fan.fromMsg && m.id.N <= s.fan.untilMsg:
		return true, fmt.Sprintf("public, and kept from a follow that has ended, of messages %d to %d", s.fan.fromMsg, s.fan.untilMsg)
	}
	return false, fmt.Sprintf("public, and outside messages %d to %d, which are kept from a follow that has ended", s.fan.fromMsg, s.fan.untilMsg)
}

func (s span) whyLimited(m *stored) (due bool, clause string) {
	broken := func(who string, r relation) string {
		if !r.live() {
			return who + " does not hold now"
		}
		return fmt.Sprintf("%s holds since the author's clock %d, and the message is of %d", who, r.sinceClock, m.clock)
	}
	switch {
	case m.visibility == VisibilityPrivate:
		return false, "private: only the author sees it"
	case m.visibility != VisibilityFollowers && m.visibility != VisibilityMutuals:
		return false, "nobody is in this audience"
	case !s.holds(s.fan, m.clock):
		return false, fmt.Sprintf("%s only: %s", m.visibility, broken("the reader's follow", s.fan))
	case m.visibility == VisibilityMutuals && !s.holds(s.follow, m.clock):
		return false, fmt.Sprintf("%s only: %s", m.visibility, broken("the author's follow of the reader", s.follow))
	}
	return true, fmt.Sprintf("%s only, and what that rests on has held without a break since before the message", m.visibility)
}
