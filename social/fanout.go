package social

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"socialctl/sharding"
)

// deliveryPayload names the message that a fan-out or a removal is about, by the number that its author, the job's owner,
// gave it. More are further ones of the same author, from an import.
type deliveryPayload struct {
	N    int64   `json:"n"`
	More []int64 `json:"more,omitempty"`
}

// deliveryProgress is how far a fan-out or a removal has come through the author's fans, in the order of their ids.
type deliveryProgress struct {
	After  UserID            `json:"after,omitempty"`  // fans up to this one are done
	Until  UserID            `json:"until,omitempty"`  // a remainder ends here; 0 for the end
	Only   []sharding.Bucket `json:"only,omitempty"`   // a remainder: fans of these buckets alone
	Sweep  bool              `json:"sweep,omitempty"`  // a removal's second phase
	Copied int64             `json:"copied,omitempty"` // rows written so far
}

// How many fans are read at once, and how long a removal's tombstones stay.
const (
	fanPage    = 1000
	sweepAfter = 24 * 3600_000
)

// fan is a fan row as delivery needs it.
type fan struct {
	id  UserID
	row relation
}

// delivery is one page of fans with the messages that some of them are due.
type delivery struct {
	msgs  []*stored
	fans  []fan
	spans map[UserID]span
	last  UserID // the page ends here; 0 when there are no more fans
}

// fanoutPage carries the message to one page of fans: per shard one statement that selects from the readers' own follow
// rows, so that a reader's own row decides in the same transaction (REVIEW 1).
func (b *Backend) fanoutPage(ctx context.Context, e *effect) (bool, error) {
	var p deliveryPayload
	var at deliveryProgress
	if err := errors.Join(e.decode(&p), e.state(&at)); err != nil {
		return false, err
	}
	d, err := b.fansToReach(ctx, e.owner, p, at)
	if err != nil {
		return false, err
	}
	if len(d.msgs) == 0 { // deleted meanwhile: a removal is a job of its own
		return false, b.checkpoint(ctx, e, at, true, 0)
	}
	refused, n, err := b.deliver(ctx, d)
	if err != nil {
		return false, err
	}
	return b.advance(ctx, e, p, at, d.last, refused, n)
}

// advance is the checkpoint after a page: what a fenced or absent shard refused becomes a remainder, a job of its own, in
// the same transaction (REVIEW F13).
func (b *Backend) advance(ctx context.Context, e *effect, p deliveryPayload, at deliveryProgress, last UserID, refused []sharding.Bucket, n int64) (bool, error) {
	var more []*effect
	if len(refused) > 0 {
		rest := b.newEffect(e.owner, e.kind, e.owner, p)
		until := last
		if last == 0 {
			until = at.Until
		}
		slices.Sort(refused)
		rest.progress = mustJSON(deliveryProgress{After: at.After, Until: until, Only: slices.Compact(refused), Sweep: at.Sweep})
		rest.dueMS = b.now() + backoffFor(e.attempts+2).Milliseconds()
		more = append(more, rest)
	}
	at.After = last
	at.Copied += n
	finished := last == 0 || at.Until != 0 && last >= at.Until
	if finished && e.kind == effRemoval && !at.Sweep {
		at = deliveryProgress{Sweep: true, Only: at.Only, Until: at.Until}
		return false, b.checkpoint(ctx, e, at, false, b.now()+sweepAfter, more...)
	}
	return !finished, b.checkpoint(ctx, e, at, finished, 0, more...)
}

// fansToReach reads the live ones of the messages and, of the next page of fans, those to whom any of them is due.
func (b *Backend) fansToReach(ctx context.Context, author UserID, p deliveryPayload, at deliveryProgress) (*delivery, error) {
	var d *delivery
	err := b.Cluster.Read(ctx, int64(author), func(ctx context.Context, r *sharding.Reader) error {
		d = &delivery{spans: map[UserID]span{}}
		for _, n := range append([]int64{p.N}, p.More...) {
			msg, err := messageForDelivery(ctx, r, b.bucket(author), MessageID{author, n})
			if err != nil {
				return err
			}
			if msg != nil && msg.live {
				d.msgs = append(d.msgs, msg)
			}
		}
		if len(d.msgs) == 0 {
			return nil
		}
		page, err := readFans(ctx, r, b.bucket(author), author, at, true)
		if err != nil || len(page) == 0 {
			return err
		}
		if len(page) == fanPage {
			d.last = page[len(page)-1].id
		}
		spans, err := b.spansOf(ctx, r, author, page)
		if err != nil {
			return err
		}
		for i, f := range page {
			if at.wants(b.bucket(f.id)) && slices.ContainsFunc(d.msgs, spans[i].due) {
				d.fans = append(d.fans, f)
				d.spans[f.id] = spans[i]
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read fans of %d: %w", author, err)
	}
	return d, nil
}

func (p deliveryProgress) wants(bucket sharding.Bucket) bool {
	return len(p.Only) == 0 || slices.Contains(p.Only, bucket)
}

func messageForDelivery(ctx context.Context, q reader, bucket sharding.Bucket, id MessageID) (*stored, error) {
	rows, err := q.Query(ctx, `
		SELECT kind, state, visibility, root_visibility, clock, time_ms FROM msg_info
		WHERE bucket = ? AND user_id = ? AND msg_id = ?`, bucket, int64(id.Author), id.N)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, rows.Err()
	}
	m := stored{id: id}
	var state int
	err = rows.Scan(&m.kind, &state, &m.visibility, &m.rootVisibility, &m.clock, &m.timeMS)
	m.live = state == stateLive
	return &m, err
}

// readFans reads the next page of an author's fan rows; gone ones too unless live is set.
func readFans(ctx context.Context, q reader, bucket sharding.Bucket, author UserID, at deliveryProgress, live bool) ([]fan, error) {
	until := at.Until
	if until == 0 {
		until = 1<<63 - 1
	}
	least := stateGone
	if live {
		least = stateLive
	}
	rows, err := q.Query(ctx, `
		SELECT other_id, state, rev, since_clock, from_msg_id, until_msg_id FROM user_relation {primary}
		WHERE bucket = ? AND user_id = ? AND kind = ? AND other_id > ? AND other_id <= ? AND state >= ?
		ORDER BY other_id LIMIT ?`, bucket, int64(author), relFan, int64(at.After), int64(until), least, fanPage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []fan
	for rows.Next() {
		var f fan
		if err := rows.Scan(&f.id, &f.row.state, &f.row.rev, &f.row.sinceClock, &f.row.fromMsg, &f.row.untilMsg); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, rows.Err()
}

// spansOf completes a page of fans, in ascending order, to what decides what each is due.
func (b *Backend) spansOf(ctx context.Context, q reader, author UserID, page []fan) ([]span, error) {
	spans := make([]span, len(page))
	index := make(map[UserID]int, len(page))
	for i, f := range page {
		spans[i] = span{fan: f.row, keepGone: b.Config.Timeline.OnUnfollow == "keep"}
		index[f.id] = i
	}
	rows, err := q.Query(ctx, `
		SELECT other_id, kind, state, rev, since_clock FROM user_relation {primary}
		WHERE bucket = ? AND user_id = ? AND kind IN (?, ?, ?) AND other_id >= ? AND other_id <= ? AND state = ?`,
		b.bucket(author), int64(author), relFollow, relBlock, relBlockedBy, int64(page[0].id), int64(page[len(page)-1].id), stateLive)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var other UserID
		var kind int
		var rel relation
		if err := rows.Scan(&other, &kind, &rel.state, &rel.rev, &rel.sinceClock); err != nil {
			return nil, err
		}
		i, ok := index[other]
		switch {
		case !ok:
		case kind == relFollow:
			spans[i].follow = rel
		default:
			spans[i].vetoed = true
		}
	}
	return spans, rows.Err()
}

// deliver writes the messages into the timelines of the fans that are due them. It returns the buckets that could not be
// written now.
func (b *Backend) deliver(ctx context.Context, d *delivery) (refused []sharding.Bucket, n int64, err error) {
	return b.perShard(ctx, d.fans, max(1, fanPage/len(d.msgs)), func(ctx context.Context, shard *sharding.Shard, part []fan) (int64, error) {
		return b.Cluster.WriteStatements(ctx, shard, b.bucketsOf(part), b.statements(shard, d, part)...)
	})
}

// statements are what brings the messages to some of the page's fans, all of one shard: one for each message.
func (b *Backend) statements(shard *sharding.Shard, d *delivery, part []fan) []sharding.Statement {
	var out []sharding.Statement
	for _, msg := range d.msgs {
		due := part
		if len(d.msgs) > 1 {
			due = nil
			for _, f := range part {
				if d.spans[f.id].due(msg) {
					due = append(due, f)
				}
			}
		}
		if len(due) > 0 {
			out = append(out, b.deliveryTo(shard, msg, due))
		}
	}
	return out
}

// shardWrite writes for some fans of one shard, in one transaction or several that can each be done twice.
type shardWrite func(ctx context.Context, shard *sharding.Shard, part []fan) (int64, error)

// perShard runs write for the fans of each shard, at most chunk at a time. A moved bucket is followed; a fenced one, and a
// shard that is away, are returned as refused.
func (b *Backend) perShard(ctx context.Context, fans []fan, chunk int, write shardWrite) (refused []sharding.Bucket, n int64, err error) {
	todo := fans
	for round := 0; len(todo) > 0 && round < 5; round++ {
		byShard := map[*sharding.Shard][]fan{}
		for _, f := range todo {
			s := b.Cluster.For(int64(f.id))
			byShard[s] = append(byShard[s], f)
		}
		todo = nil
		for shard, mine := range byShard {
			for part := range slices.Chunk(mine, chunk) {
				written, err := write(ctx, shard, part)
				n += written
				if err == nil && b.forgetTimelines(ctx, part) != nil { // to be done again, and forgotten then
					refused = append(refused, b.bucketsOf(part)...)
				}
				again, no, err := b.refusal(ctx, part, err)
				if err != nil {
					return nil, n, err
				}
				todo, refused = append(todo, again...), append(refused, no...)
			}
		}
	}
	return append(refused, b.bucketsOf(todo)...), n, nil
}

// refusal sorts the fans of a part that could not be written: those to try again where their bucket is now, and the buckets
// that have to wait. Any other error is returned.
func (b *Backend) refusal(ctx context.Context, part []fan, err error) (again []fan, refused []sharding.Bucket, other error) {
	var notOpen *sharding.NotOpenError
	var away *sharding.UnavailableError
	var unknown *sharding.UnknownOutcomeError
	switch {
	case err == nil:
	case errors.As(err, &notOpen):
		b.Cluster.Follow(notOpen)
		for _, f := range part {
			if slices.Contains(notOpen.Fenced, b.bucket(f.id)) {
				refused = append(refused, b.bucket(f.id))
			} else {
				again = append(again, f)
			}
		}
	case (errors.As(err, &away) || errors.As(err, &unknown)) && ctx.Err() == nil:
		refused = b.bucketsOf(part)
	default:
		return nil, nil, err
	}
	return again, refused, nil
}

func (b *Backend) bucketsOf(fans []fan) []sharding.Bucket {
	out := make([]sharding.Bucket, len(fans))
	for i, f := range fans {
		out[i] = b.bucket(f.id)
	}
	return out
}

// deliveryTo is the one statement: rows are selected from the readers' own follow rows, locked in share mode, so that an
// unfollow either commits first (then nothing is selected) or sees the entry and removes it. The reader's rev must be the
// fan row's: a follow that the page of fans did not hold brings what it is due with its own backfill, and is due nothing
// older than that (REVIEW F8, F17).
func (b *Backend) deliveryTo(shard *sharding.Shard, msg *stored, fans []fan) sharding.Statement {
	limited := 0
	if msg.visibility.Limited() {
		limited = 1
	}
	args := make([]any, 0, 7+5*len(fans))
	args = append(args, msg.timeMS, int64(msg.id.Author), msg.id.N, stateLive, int(msg.kind), limited)
	for _, f := range fans {
		args = append(args, b.bucket(f.id), int64(f.id), relFollow, int64(msg.id.Author), f.row.rev)
	}
	args = append(args, stateLive)
	return sharding.Statement{Changed: entriesOf(b, msg, fans), Args: args, Query: `
		INSERT INTO msg_index (bucket, user_id, time_ms, author_id, msg_id, rev, state, kind, limited)
		SELECT r.bucket, r.user_id, ?, ?, ?, r.rev, ?, ?, ?
		FROM shard_state e {straight} user_relation r {primary}
		WHERE e.id = 1 AND e.epoch = {epoch} AND ` + shard.Dialect().In("r.bucket, r.user_id, r.kind, r.other_id, r.rev", len(fans)) + ` AND r.state = ?
		{share}
		{upsert bucket, user_id, time_ms, author_id, msg_id} rev = {greatest}(msg_index.rev, {new rev})`}
}

func entriesOf(b *Backend, msg *stored, fans []fan) sharding.Changed {
	return sharding.Keys("msg_index", func(yield func([]any) bool) {
		for _, f := range fans {
			if !yield([]any{b.bucket(f.id), int64(f.id), msg.timeMS, int64(msg.id.Author), msg.id.N}) {
				return
			}
		}
	})
}
