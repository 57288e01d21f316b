package social

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"socialctl/sharding"
	"socialctl/social/copies"
)

const (
	importMessages = maxTxRows // messages of one transaction of an import: about 20 ms
	importJob      = 40        // messages of one fan-out job: a page of it has up to a thousand readers

	// importHold keeps the workers from applying an import's edges: they would come to them in any order, and a run that
	// takes up a killed one has to find those of the last batch still owed. Who never runs it again has them after a day.
	importHold = 24 * time.Hour
)

// importBatch is one transaction of an import: messages of several authors of one shard, each author's in the order given.
type importBatch struct {
	b       *Backend
	part    []*importing
	now     int64
	authors []UserID // in the order of their keys
	people  map[UserID]*accountRow
	known   map[importName]int64
	reposts map[repostName]int64 // live ones without words

	placed  []placed // what becomes of each of part
	gained  map[UserID]int64
	entries []*stored // of timelines, the authors' own
	carry   map[UserID][]int64
	forget  map[UserID][]copies.Key
	owed    []*effect
}

// placed is what becomes of one message when the transaction commits.
type placed struct {
	id   MessageID
	row  *stored // nil where it is there already, or refused
	refs []*effect
	err  error
}

// repostName names somebody's repost without words.
type repostName struct {
	author UserID
	of     MessageID
}

// importBatch stores messages as storeTx stores one, with as many statements as tables. What it returns is true once the
// transaction is committed; it may run more often.
func (b *Backend) importBatch(ctx context.Context, tx *sharding.Tx, part []*importing) (*importBatch, error) {
	m := &importBatch{b: b, part: part, now: b.now(), people: map[UserID]*accountRow{}, known: map[importName]int64{},
		reposts: map[repostName]int64{}, gained: map[UserID]int64{}, carry: map[UserID][]int64{}, forget: map[UserID][]copies.Key{}}
	if err := m.read(ctx, tx); err != nil {
		return nil, err
	}
	for _, i := range part {
		m.placed = append(m.placed, m.place(i))
	}
	return m, m.write(ctx, tx)
}

// read takes the authors' row locks, and looks up what is there.
func (m *importBatch) read(ctx context.Context, tx *sharding.Tx) error {
	names := make([]importName, len(m.part))
	var once []repostName
	for n, i := range m.part {
		names[n] = i.name
		if m.people[i.in.Author] == nil {
			m.people[i.in.Author] = &accountRow{}
			m.authors = append(m.authors, i.in.Author)
		}
		if i.once() {
			once = append(once, repostName{i.in.Author, i.row.parent})
		}
	}
	if err := m.b.lockAccounts(ctx, tx, m.authors, m.people); err != nil {
		return err
	}
	found, err := m.b.importedAmong(ctx, tx, names)
	if err != nil {
		return fmt.Errorf("look up what was imported before: %w", err)
	}
	for _, f := range found {
		m.known[f.name] = f.n
	}
	return m.readReposts(ctx, tx, once)
}

func (m *importBatch) readReposts(ctx context.Context, tx *sharding.Tx, names []repostName) error {
	if len(names) == 0 {
		return nil
	}
	args := make([]any, 0, 4*len(names)+1)
	for _, r := range names {
		args = append(args, m.b.bucket(r.author), int64(r.author), int64(r.of.Author), r.of.N)
	}
	rows, err := tx.Query(ctx, `
		SELECT user_id, referenced_id, referenced_msg_id, msg_id FROM user_repost {primary}
		WHERE `+tx.Dialect().In("bucket, user_id, referenced_id, referenced_msg_id", len(names))+` AND state = ?`, append(args, stateLive)...)
	if err != nil {
		return fmt.Errorf("read reposts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r repostName
		var n int64
		if err := rows.Scan(&r.author, &r.of.Author, &r.of.N, &n); err != nil {
			return err
		}
		m.reposts[r] = n
	}
	return rows.Err()
}

// place gives a message its number, clock and time under its author's row lock.
func (m *importBatch) place(i *importing) placed {
	author := i.in.Author
	acc := m.people[author]
	if acc.state != accountLive {
		return placed{err: errImportNobody}
	}
	if n := m.known[i.name]; n != 0 {
		return placed{id: MessageID{author, n}}
	}
	repost := repostName{author, i.row.parent}
	if n := m.reposts[repost]; n != 0 && i.once() {
		return placed{id: MessageID{author, n}}
	}
	at := int64(i.in.At)
	switch {
	case at == 0:
		at = max(m.now, acc.lastTimeMS+1, i.after+1)
	case at <= acc.lastTimeMS:
		return placed{err: errOutOfOrder}
	}
	acc.msgCount++
	acc.clock++
	acc.lastTimeMS = at
	m.gained[author]++
	row := *i.row
	row.id, row.clock, row.timeMS = MessageID{author, acc.msgCount}, acc.clock, at
	if i.once() {
		m.reposts[repost] = row.id.N
		m.stale(author, viewerKey(author))
	}
	m.known[i.name] = row.id.N
	if m.b.inTimelines(&row) {
		m.enter(acc, &row)
	}
	p := placed{id: row.id, row: &row, refs: m.b.references(&row, stateLive)}
	for _, e := range p.refs {
		e.dueMS = m.now + importHold.Milliseconds()
	}
	return p
}

// enter puts a message into its author's timeline, and into the job that carries it to the fans. Without fans there is no
// job, as in distribute, and what has to be forgotten is owed by itself.
func (m *importBatch) enter(acc *accountRow, row *stored) {
	m.entries = append(m.entries, row)
	if acc.fansCount > 0 && row.visibility != VisibilityPrivate {
		m.carry[acc.id] = append(m.carry[acc.id], row.id.N)
		return
	}
	m.stale(acc.id, timelineKey(acc.id))
}

func (m *importBatch) stale(author UserID, key copies.Key) {
	if !slices.Contains(m.forget[author], key) {
		m.forget[author] = append(m.forget[author], key)
	}
}

func (m *importBatch) write(ctx context.Context, tx *sharding.Tx) error {
	var rows []*stored
	var names []namedMessage
	var refs []*effect
	for n, p := range m.placed {
		if p.row == nil {
			continue
		}
		rows = append(rows, p.row)
		names = append(names, namedMessage{m.part[n].name, p.id.N})
		refs = append(refs, p.refs...)
		if m.part[n].once() {
			if err := putRepost(ctx, tx, m.b.bucket(p.id.Author), p.id.Author, p.row.parent, p.id.N, stateLive); err != nil {
				return err
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	for _, author := range m.authors {
		for ns := range slices.Chunk(m.carry[author], importJob) {
			m.owed = append(m.owed, m.b.newEffect(author, effFanout, author, deliveryPayload{N: ns[0], More: ns[1:]}))
		}
		if keys := m.forget[author]; len(keys) > 0 {
			m.owed = append(m.owed, m.b.forgetting(author, keys...))
		}
	}
	if err := m.b.insertMessages(ctx, tx, rows...); err != nil {
		return err
	}
	if err := m.b.putOwnEntries(ctx, tx, m.entries...); err != nil {
		return err
	}
	if err := m.b.rememberImports(ctx, tx, names); err != nil {
		return err
	}
	if err := m.b.emit(ctx, tx, append(refs, m.owed...)...); err != nil {
		return err
	}
	return m.count(ctx, tx)
}

// count moves the authors' counters and clocks, with one statement. Their rows are there and locked: it never inserts one,
// and what it would give a new row is never read.
func (m *importBatch) count(ctx context.Context, tx *sharding.Tx) error {
	args := make([]any, 0, 6*len(m.authors))
	for _, author := range m.authors {
		if acc := m.people[author]; m.gained[author] > 0 {
			args = append(args, m.b.bucket(author), int64(author), acc.msgCount, m.gained[author], acc.clock, acc.lastTimeMS)
		}
	}
	const row = `(?, ?, '', '', '', '', 0, ?, ?, 0, 0, ?, ?, 0)`
	_, err := tx.Exec(ctx, sharding.KeysIn("user_info", args, 6, 2), `
		INSERT INTO user_info (bucket, user_id, name, display_name, bio, password_hash, state, msg_count, message_count,
			follow_count, fans_count, clock, last_time_ms, created_ms)
		VALUES `+row+strings.Repeat(", "+row, len(args)/6-1)+`
		{upsert bucket, user_id} msg_count = {new msg_count}, message_count = user_info.message_count + {new message_count},
			clock = {new clock}, last_time_ms = {new last_time_ms}`, args...)
	if err != nil {
		return fmt.Errorf("count imported messages: %w", err)
	}
	return nil
}

// committed tells the messages what became of them.
func (m *importBatch) committed() {
	for n, p := range m.placed {
		i := m.part[n]
		*i.out = ImportOutcome{ID: p.id, New: p.row != nil, Err: p.err}
		i.row, i.refs, i.done = p.row, p.refs, true
	}
}
