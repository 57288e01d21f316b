package social

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"socialctl/sharding"
	"socialctl/sharding/shardingtest"
	"socialctl/social/schema"
)

// The invariants of DESIGN 9 over the raw rows of all shards, once nothing is owed any more: placement, edges, counters,
// delivery, no-orphans. They know the tables and span.due, and none of the code that writes.

// rawRows is everything that lies in the shards, by its key; two rows of one key are an error of their own.
type rawRows struct {
	b         *Backend
	broken    []string
	people    map[UserID]rawPerson
	names     map[string]UserID // folded
	relations map[relationKey]relation
	messages  map[MessageID]stored
	entries   map[UserID]map[Position]rawEntry
	edges     map[rawEdgeKey]rawEdge
	reposts   map[rawRepostKey]rawRepost
}

type rawPerson struct {
	name                                                 string
	state                                                int
	msgCount, messages, follows, fans, clock, last, made int64
}

type rawEntry struct {
	rev         int64
	live        bool
	kind        Kind
	limitedFlag int
}

type rawEdgeKey struct {
	on   MessageID
	kind Kind
	by   MessageID
}

type rawEdge struct {
	live             bool
	rev, seq, timeMS int64
}

type rawRepostKey struct {
	who UserID
	of  MessageID
}

type rawRepost struct {
	n    int64
	live bool
}

// checkInvariants fails the test with all that is wrong.
func checkInvariants(t rapid.TB, b *Backend) {
	t.Helper()
	broken, err := brokenInvariants(context.Background(), b)
	if err != nil {
		t.Fatalf("read the rows: %v", err)
	}
	if len(broken) > 0 {
		t.Fatalf("%d invariants are broken:\n%s", len(broken), strings.Join(broken, "\n"))
	}
}

// brokenInvariants returns a line for each thing that is wrong.
func brokenInvariants(ctx context.Context, b *Backend) ([]string, error) {
	r := &rawRows{b: b, people: map[UserID]rawPerson{}, names: map[string]UserID{}, relations: map[relationKey]relation{},
		messages: map[MessageID]stored{}, entries: map[UserID]map[Position]rawEntry{}, edges: map[rawEdgeKey]rawEdge{},
		reposts: map[rawRepostKey]rawRepost{}}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	r.checkAccounts()
	r.checkRelations()
	r.checkMessages()
	r.checkEdges()
	r.checkReposts()
	r.checkEntries()
	slices.Sort(r.broken)
	return r.broken, nil
}

func (r *rawRows) complain(format string, args ...any) {
	r.broken = append(r.broken, fmt.Sprintf(format, args...))
}

// load reads all tables of all shards and checks placement on the way: every row lies in the shard that has its bucket,
// and its bucket is its person's.
func (r *rawRows) load(ctx context.Context) error {
	for _, shard := range r.b.Cluster.Shards() {
		db := r.b.Cluster.RawForTest(shard)
		for _, table := range schema.Tables {
			if err := r.checkPlacement(ctx, db, shard, table); err != nil {
				return fmt.Errorf("%s: %w", table.Name, err)
			}
		}
		for _, read := range []func(context.Context, *sql.DB) error{r.loadPeople, r.loadNames, r.loadRelations, r.loadMessages,
			r.loadEntries, r.loadEdges, r.loadReposts} {
			if err := read(ctx, db); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *rawRows) checkPlacement(ctx context.Context, db *sql.DB, shard *sharding.Shard, table schema.Table) error {
	return eachRow(ctx, db, `SELECT DISTINCT bucket, `+table.Key[1]+` FROM `+table.Name, func(scan func(...any) error) error {
		var bucket sharding.Bucket
		var id int64
		var text []byte
		want := sharding.Bucket(0)
		if table.Name == "user_name" {
			if err := scan(&bucket, &text); err != nil {
				return err
			}
			want = r.b.Cluster.BucketOfText(string(text))
		} else {
			if err := scan(&bucket, &id); err != nil {
				return err
			}
			want = r.b.bucket(UserID(id))
		}
		if bucket != want || r.b.Cluster.ForBucket(bucket) != shard {
			r.complain("placement: a row of %s for %d%s lies in %s under bucket %d", table.Name, id, text, shard, bucket)
		}
		return nil
	})
}

func eachRow(ctx context.Context, db *sql.DB, query string, row func(scan func(...any) error) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// put stores a row under its key and complains of a second one.
func put[K comparable, V any](r *rawRows, into map[K]V, table string, key K, row V) {
	if _, twice := into[key]; twice {
		r.complain("%s has %v twice", table, key)
	}
	into[key] = row
}

func (r *rawRows) loadPeople(ctx context.Context, db *sql.DB) error {
	return eachRow(ctx, db, `
		SELECT user_id, name, state, msg_count, message_count, follow_count, fans_count, clock, last_time_ms, created_ms
		FROM user_info`, func(scan func(...any) error) error {
		var id UserID
		var p rawPerson
		err := scan(&id, &p.name, &p.state, &p.msgCount, &p.messages, &p.follows, &p.fans, &p.clock, &p.last, &p.made)
		put(r, r.people, "user_info", id, p)
		return err
	})
}

func (r *rawRows) loadNames(ctx context.Context, db *sql.DB) error {
	return eachRow(ctx, db, `SELECT name, user_id FROM user_name`, func(scan func(...any) error) error {
		var name []byte
		var id UserID
		err := scan(&name, &id)
		put(r, r.names, "user_name", string(name), id)
		return err
	})
}

func (r *rawRows) loadRelations(ctx context.Context, db *sql.DB) error {
	return eachRow(ctx, db, `
		SELECT user_id, kind, other_id, state, rev, since_clock, from_msg_id, until_msg_id
		FROM user_relation`, func(scan func(...any) error) error {
		var k relationKey
		var row relation
		err := scan(&k.owner, &k.kind, &k.other, &row.state, &row.rev, &row.sinceClock, &row.fromMsg, &row.untilMsg)
		put(r, r.relations, "user_relation", k, row)
		return err
	})
}

func (r *rawRows) loadMessages(ctx context.Context, db *sql.DB) error {
	return eachRow(ctx, db, `
		SELECT user_id, msg_id, kind, state, visibility, root_visibility, clock, time_ms, parent_id, parent_msg_id,
			origin_id, origin_msg_id, content, comment_count, transfer_count, like_count, commented_count, transferred_count
		FROM msg_info`, func(scan func(...any) error) error {
		var m stored
		var state int
		err := scan(&m.id.Author, &m.id.N, &m.kind, &state, &m.visibility, &m.rootVisibility, &m.clock, &m.timeMS,
			&m.parent.Author, &m.parent.N, &m.origin.Author, &m.origin.N, &m.content,
			&m.comments, &m.reposts, &m.likes, &m.commented, &m.transferred)
		m.live = state == stateLive
		put(r, r.messages, "msg_info", m.id, m)
		return err
	})
}

func (r *rawRows) loadEntries(ctx context.Context, db *sql.DB) error {
	return eachRow(ctx, db, `
		SELECT user_id, time_ms, author_id, msg_id, rev, state, kind, limited
		FROM msg_index`, func(scan func(...any) error) error {
		var reader UserID
		var at Position
		var e rawEntry
		var state int
		err := scan(&reader, &at.TimeMS, &at.Author, &at.N, &e.rev, &state, &e.kind, &e.limitedFlag)
		e.live = state == stateLive
		if r.entries[reader] == nil {
			r.entries[reader] = map[Position]rawEntry{}
		}
		put(r, r.entries[reader], "msg_index", at, e)
		return err
	})
}

func (r *rawRows) loadEdges(ctx context.Context, db *sql.DB) error {
	return eachRow(ctx, db, `
		SELECT referenced_id, referenced_msg_id, kind, reference_id, reference_msg_id, state, rev, seq, time_ms
		FROM msg_msg_relation`, func(scan func(...any) error) error {
		var k rawEdgeKey
		var e rawEdge
		var state int
		err := scan(&k.on.Author, &k.on.N, &k.kind, &k.by.Author, &k.by.N, &state, &e.rev, &e.seq, &e.timeMS)
		e.live = state == stateLive
		put(r, r.edges, "msg_msg_relation", k, e)
		return err
	})
}

func (r *rawRows) loadReposts(ctx context.Context, db *sql.DB) error {
	return eachRow(ctx, db, `SELECT user_id, referenced_id, referenced_msg_id, msg_id, state FROM user_repost`, func(scan func(...any) error) error {
		var k rawRepostKey
		var p rawRepost
		var state int
		err := scan(&k.who, &k.of.Author, &k.of.N, &p.n, &state)
		p.live = state == stateLive
		put(r, r.reposts, "user_repost", k, p)
		return err
	})
}

// checkAccounts: each account has its name, and nobody else; message_count counts the live messages and msg_count all.
func (r *rawRows) checkAccounts() {
	var ever, live, newest = map[UserID]int64{}, map[UserID]int64{}, map[UserID]int64{}
	for id, m := range r.messages {
		ever[id.Author]++
		newest[id.Author] = max(newest[id.Author], m.timeMS)
		if m.live {
			live[id.Author]++
		}
		if r.people[id.Author].state == 0 {
			r.complain("messages: %s has an author who does not exist", id)
		}
	}
	held := map[UserID]string{}
	for name, id := range r.names {
		if r.people[id].state == 0 || held[id] != "" || foldName(r.people[id].name) != name {
			r.complain("names: %q belongs to %d, who is %+v and has %q", name, id, r.people[id], held[id])
		}
		held[id] = name
	}
	for id, p := range r.people {
		if p.state == accountPending {
			r.complain("names: %d is still pending", id)
		}
		if (held[id] != "") != (p.state != accountVoid) {
			r.complain("names: %d in state %d holds %q", id, p.state, held[id])
		}
		if p.messages != live[id] || p.msgCount != ever[id] || p.last != newest[id] {
			r.complain("counters: %d has %+v, and %d messages, %d live, the newest of %d", id, p, ever[id], live[id], newest[id])
		}
		if p.state == accountDeleted && live[id] > 0 {
			r.complain("messages: %d is deleted and has %d messages", id, live[id])
		}
	}
}

// checkRelations: the two rows of a follow or a block agree, and the counters are the live rows.
func (r *rawRows) checkRelations() {
	mirror := map[int]int{relFollow: relFan, relFan: relFollow, relBlock: relBlockedBy, relBlockedBy: relBlock}
	follows, fans := map[UserID]int64{}, map[UserID]int64{}
	for k, row := range r.relations {
		if row.live() && k.kind == relFollow {
			follows[k.owner]++
			for _, block := range []int{relBlock, relBlockedBy} {
				if r.relations[relationKey{k.owner, block, k.other}].live() {
					r.complain("edges: %d follows %d through a block", k.owner, k.other)
				}
			}
			if r.people[k.other].state == accountDeleted || r.people[k.owner].state == accountDeleted {
				r.complain("edges: %d follows %d, and one of them is deleted", k.owner, k.other)
			}
		}
		if row.live() && k.kind == relFan {
			fans[k.owner]++
		}
		if row.sinceClock > r.people[k.owner].clock {
			r.complain("edges: %+v holds since %d, and the clock is at %d", k, row.sinceClock, r.people[k.owner].clock)
		}
		other, both := mirror[k.kind]
		if !both {
			continue
		}
		back, there := r.relations[relationKey{k.other, other, k.owner}]
		if !there || back.state != row.state || back.rev != row.rev {
			r.complain("edges: %+v is %+v here and %+v there (%t)", k, row, back, there)
		}
	}
	for id, p := range r.people {
		if p.follows != follows[id] || p.fans != fans[id] {
			r.complain("counters: %d counts %d follows and %d fans, and has %d and %d", id, p.follows, p.fans, follows[id], fans[id])
		}
	}
}

// checkMessages: an author's messages are numbered from 1, at strictly rising times and clocks; each is later than what it
// refers to, and a comment's audience is its root's.
func (r *rawRows) checkMessages() {
	for id, m := range r.messages {
		if before, ok := r.messages[MessageID{id.Author, id.N - 1}]; ok != (id.N > 1) || ok && (before.timeMS >= m.timeMS || before.clock >= m.clock) {
			r.complain("messages: %s at %d, clock %d, follows %+v (%t)", id, m.timeMS, m.clock, before, ok)
		}
		if m.kind == KindOriginal {
			if !m.parent.IsZero() || !m.origin.IsZero() {
				r.complain("messages: the original %s refers to %s and %s", id, m.parent, m.origin)
			}
			continue
		}
		for _, on := range []MessageID{m.parent, m.origin} {
			if to, ok := r.messages[on]; !ok || to.timeMS >= m.timeMS {
				r.complain("messages: %s at %d refers to %s at %d (%t)", id, m.timeMS, on, to.timeMS, ok)
			}
		}
		if want := r.messages[m.origin].visibility; m.kind == KindComment && (m.visibility != want || m.rootVisibility != want) {
			r.complain("audience: the comment %s is for %s and %s, its root for %s", id, m.visibility, m.rootVisibility, want)
		}
		if m.kind == KindRepost && (m.visibility != VisibilityPublic || r.messages[m.parent].visibility != VisibilityPublic) {
			r.complain("audience: %s is a repost of a limited message", id)
		}
	}
}

// checkEdges: every comment and repost has its edges and no others, in its own state; numbers are 1 to n without a gap,
// and the counters are what they count.
func (r *rawRows) checkEdges() {
	type side struct {
		on   MessageID
		kind Kind
	}
	seqs, live := map[side][]int64{}, map[side]int64{}
	for k, e := range r.edges {
		m, ok := r.messages[k.by]
		if !ok || m.kind != k.kind || k.on != m.parent && k.on != m.origin || e.timeMS != m.timeMS {
			r.complain("edges: %+v is %+v, and the message %+v (%t)", k, e, m, ok)
		}
		if e.live != m.live {
			r.complain("edges: %+v is live %t, its message %t", k, e.live, m.live)
		}
		at := side{k.on, k.kind}
		seqs[at] = append(seqs[at], e.seq)
		if e.live {
			live[at]++
		}
	}
	for id, m := range r.messages {
		if m.kind != KindOriginal {
			for _, on := range []MessageID{m.parent, m.origin} {
				if _, ok := r.edges[rawEdgeKey{on, m.kind, id}]; !ok {
					r.complain("edges: %s has none to %s", id, on)
				}
			}
		}
		for _, kind := range []Kind{KindComment, KindRepost} {
			at := side{id, kind}
			ever, now := m.commented, m.comments
			if kind == KindRepost {
				ever, now = m.transferred, m.reposts
			}
			slices.Sort(seqs[at])
			for i, seq := range seqs[at] {
				if seq != int64(i)+1 {
					r.complain("counters: the %ss on %s are numbered %d", kind, id, seqs[at])
					break
				}
			}
			if ever != int64(len(seqs[at])) || now != live[at] {
				r.complain("counters: %s counts %d %ss ever and %d live, and has %d and %d", id, ever, kind, now, len(seqs[at]), live[at])
			}
		}
	}
}

// checkReposts: the row of a repost without words is live exactly while that repost is, and there is one for each message.
func (r *rawRows) checkReposts() {
	live := map[rawRepostKey]int64{}
	for id, m := range r.messages {
		if m.kind == KindRepost && m.content == "" && m.live {
			key := rawRepostKey{id.Author, m.parent}
			if live[key] != 0 {
				r.complain("reposts: %d has two of %s", id.Author, m.parent)
			}
			live[key] = id.N
		}
	}
	for k, row := range r.reposts {
		if row.live != (live[k] == row.n) {
			r.complain("reposts: %+v is %+v, and live is number %d", k, row, live[k])
		}
		delete(live, k)
	}
	for k, n := range live {
		r.complain("reposts: %+v has no row for number %d", k, n)
	}
}

// spanOf is all that an author's rows say of a reader.
func (r *rawRows) spanOf(author, reader UserID) span {
	return span{
		fan:      r.relations[relationKey{author, relFan, reader}],
		follow:   r.relations[relationKey{author, relFollow, reader}],
		vetoed:   r.relations[relationKey{author, relBlock, reader}].live() || r.relations[relationKey{author, relBlockedBy, reader}].live(),
		keepGone: r.b.Config.Timeline.OnUnfollow == "keep",
	}
}

// checkEntries: exactly one live entry for everything that a reader is due, and for their own; none for anything else. What
// was kept when a follow ended stays stored, unseen, behind a block: it is due again when the block ends.
func (r *rawRows) checkEntries() {
	for reader := range r.people {
		want := map[Position]MessageID{}
		for id, m := range r.messages {
			s := r.spanOf(id.Author, reader)
			own := id.Author == reader
			if !r.b.inTimelines(&m) || own && !m.live || !own && !s.due(&m) {
				continue
			}
			at := Position{m.timeMS, id.Author, id.N}
			want[at] = id
			e, ok := r.entries[reader][at]
			if !ok || !e.live {
				r.complain("delivery: %d is due %s (%s, %s) and has %+v (%t)", reader, id, m.kind, m.visibility, e, ok)
				continue
			}
			limited := 0
			if m.visibility.Limited() {
				limited = 1
			}
			if e.kind != m.kind || e.limitedFlag != limited || own && e.rev != 0 || !own && s.fan.live() && e.rev != s.fan.rev {
				r.complain("delivery: the entry of %s for %d is %+v, under the follow %+v", id, reader, e, s.fan)
			}
		}
		for at, e := range r.entries[reader] {
			if _, ok := want[at]; ok || !e.live {
				continue
			}
			m := r.messages[MessageID{at.Author, at.N}]
			s := r.spanOf(at.Author, reader)
			if s.vetoed = false; s.keepGone && !s.fan.live() && m.timeMS == at.TimeMS && s.due(&m) {
				continue
			}
			r.complain("no-orphans: %d has an entry of %+v: %+v, message %+v, span %+v", reader, at, e, m, s)
		}
	}
}

// The checker must see what it is for: each of these breaks one row, and it says so.
func TestInvariantsAreSeenToBeBroken(t *testing.T) {
	b := openTest(t, shardingtest.Embedded().Config(t))
	author, reader, other := person(t, b), person(t, b), person(t, b)
	follow(t, b, reader, author)
	follow(t, b, other, author)
	m := post(t, b, author, "hello", VisibilityPublic)
	if _, err := b.Messages.Comment(t.Context(), reader, m.ID, "first", KeyUse{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Messages.Repost(t.Context(), reader, m.ID, "", KeyUse{}); err != nil {
		t.Fatal(err)
	}
	drain(t, b)
	checkInvariants(t, b)
	for _, breaks := range []struct{ do, undo string }{
		{`UPDATE user_info SET fans_count = fans_count + 1`, `UPDATE user_info SET fans_count = fans_count - 1`},
		{`UPDATE user_info SET message_count = message_count + 1`, `UPDATE user_info SET message_count = message_count - 1`},
		{`UPDATE user_relation SET rev = rev + 1 WHERE kind = 2`, `UPDATE user_relation SET rev = rev - 1 WHERE kind = 2`},
		{`UPDATE user_relation SET state = 0 WHERE kind = 2`, `UPDATE user_relation SET state = 1 WHERE kind = 2`},
		{`UPDATE msg_index SET state = 0 WHERE author_id <> user_id`, `UPDATE msg_index SET state = 1`},
		{`UPDATE msg_index SET state = 0 WHERE author_id = user_id`, `UPDATE msg_index SET state = 1`},
		{`UPDATE msg_index SET time_ms = time_ms + 1`, `UPDATE msg_index SET time_ms = time_ms - 1`},
		{`UPDATE msg_index SET user_id = user_id + 64000 WHERE author_id = user_id`, `UPDATE msg_index SET user_id = user_id - 64000 WHERE user_id > 64000`},
		{`UPDATE msg_msg_relation SET seq = seq + 1`, `UPDATE msg_msg_relation SET seq = seq - 1`},
		{`UPDATE msg_msg_relation SET state = 0`, `UPDATE msg_msg_relation SET state = 1`},
		{`UPDATE msg_info SET comment_count = comment_count + 1`, `UPDATE msg_info SET comment_count = comment_count - 1`},
		{`UPDATE msg_info SET transferred_count = transferred_count + 1`, `UPDATE msg_info SET transferred_count = transferred_count - 1`},
		{`UPDATE user_repost SET state = 0`, `UPDATE user_repost SET state = 1`},
		{`UPDATE user_name SET user_id = user_id + 64`, `UPDATE user_name SET user_id = user_id - 64`},
		{`UPDATE user_info SET bucket = bucket + 1`, `UPDATE user_info SET bucket = bucket - 1`},
	} {
		everywhere(t, b, breaks.do)
		if broken, err := brokenInvariants(t.Context(), b); err != nil || len(broken) == 0 {
			t.Errorf("%s: nobody noticed (%v)", breaks.do, err)
		}
		everywhere(t, b, breaks.undo)
		checkInvariants(t, b)
	}
}

func everywhere(t *testing.T, b *Backend, statement string) {
	t.Helper()
	for _, shard := range b.Cluster.Shards() {
		if _, err := b.Cluster.RawForTest(shard).ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
