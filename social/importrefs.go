package social

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// importedEdge is the edge of an imported comment or repost on its way to what it refers to.
type importedEdge struct {
	on   MessageID
	edge referencePayload
	e    *effect
}

// settleReferences applies the edges that the list owes, in its order: those of new messages, and those that a run before
// left because it was killed.
func (im *messageImport) settleReferences(ctx context.Context) error {
	left, err := im.leftReferences(ctx)
	if err != nil {
		return err
	}
	var edges []importedEdge
	for _, i := range im.items {
		if i.same != nil {
			continue
		}
		for _, e := range append(i.refs, left[i.out.ID]...) {
			var edge referencePayload
			if err := e.decode(&edge); err != nil {
				return err
			}
			edges = append(edges, importedEdge{MessageID{e.target, edge.On}, edge, e})
		}
	}
	return im.b.applyImportedEdges(ctx, edges)
}

// leftReferences reads the edges that messages of the list, imported before, still owe.
func (im *messageImport) leftReferences(ctx context.Context) (map[MessageID][]*effect, error) {
	var owners []UserID
	seen := map[UserID]bool{}
	for _, i := range im.items {
		if i.in.Kind != KindOriginal && i.out.Err == nil && !i.out.New && !seen[i.in.Author] {
			seen[i.in.Author] = true
			owners = append(owners, i.in.Author)
		}
	}
	owed, err := gather(ctx, im.b.Cluster, owners, func(id UserID) UserID { return id }, im.b.owedReferences)
	if err != nil {
		return nil, fmt.Errorf("read what an earlier run owes: %w", err)
	}
	left := map[MessageID][]*effect{}
	for _, e := range owed {
		var edge referencePayload
		if err := e.decode(&edge); err != nil {
			return nil, err
		}
		if edge.State == stateLive {
			left[edge.By] = append(left[edge.By], e)
		}
	}
	for _, i := range im.items {
		if i.out.New { // these are the call's own
			delete(left, i.out.ID)
		}
	}
	return left, nil
}

// owedReferences reads the edges that people of one shard owe.
func (b *Backend) owedReferences(ctx context.Context, r *sharding.Reader, owners []UserID, out []*effect) ([]*effect, error) {
	args := make([]any, 0, 2*len(owners)+1)
	for _, id := range owners {
		args = append(args, b.bucket(id), int64(id))
	}
	err := b.eachOwed(ctx, r, r.Dialect().In("bucket, user_id", len(owners))+` AND kind = ?`, append(args, int(effReference)), func(page []*effect) error {
		out = append(out, page...)
		return nil
	})
	return out, err
}

// applyImportedEdges brings edges into the shards of what they refer to, many in a transaction, and takes them out of the
// outbox. Those on one message are numbered in the order given.
func (b *Backend) applyImportedEdges(ctx context.Context, edges []importedEdge) error {
	if len(edges) == 0 {
		return nil
	}
	byTarget := func(e importedEdge) sharding.Bucket { return b.bucket(e.on.Author) }
	slices.SortStableFunc(edges, func(x, y importedEdge) int {
		return cmp.Or(cmp.Compare(byTarget(x), byTarget(y)), cmp.Compare(x.on.Author, y.on.Author), cmp.Compare(x.on.N, y.on.N))
	})
	err := writeByShard(ctx, b.Cluster, edges, byTarget, importChunk, func(ctx context.Context, tx *sharding.Tx, part []importedEdge) (func(), error) {
		return nil, b.importEdges(ctx, tx, part)
	})
	if err != nil {
		return fmt.Errorf("apply imported references: %w", err)
	}
	effs := make([]*effect, len(edges))
	touched := make([]copies.Key, len(edges))
	for n, e := range edges {
		effs[n], touched[n] = e.e, messageKey(e.on)
	}
	if err := b.cache.Invalidate(ctx, slices.Compact(touched)...); err != nil {
		return err
	}
	b.ack.done(effs...)
	return nil
}

// referenceCounters are a message's counters of what refers to it: of comments and of reposts.
type referenceCounters struct{ ever, live [2]int64 }

// importEdges is applyReferencesTo for edges to many messages of one shard: of an import, all live.
func (b *Backend) importEdges(ctx context.Context, tx *sharding.Tx, part []importedEdge) error {
	targets, err := b.lockReferenced(ctx, tx, part)
	if err != nil {
		return err
	}
	have, err := b.referencesAmong(ctx, tx, part)
	if err != nil {
		return err
	}
	var rows, counts []any
	var changed []MessageID
	for _, e := range part {
		target, edge := targets[e.on], e.edge
		key := referenceName{e.on, edge.Kind, edge.By}
		if target == nil || have[key] { // nobody wrote that message, or the edge is there, in whatever state
			continue
		}
		have[key] = true
		which := 0
		if edge.Kind == KindRepost {
			which = 1
		}
		target.ever[which]++
		target.live[which]++
		rows = append(rows, b.bucket(e.on.Author), int64(e.on.Author), e.on.N, int(edge.Kind), int64(edge.By.Author), edge.By.N,
			stateLive, revCreated, target.ever[which], edge.Time)
		if len(changed) == 0 || changed[len(changed)-1] != e.on {
			changed = append(changed, e.on)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, sharding.KeysIn("msg_msg_relation", rows, 10, 6), `
		INSERT INTO msg_msg_relation (bucket, referenced_id, referenced_msg_id, kind, reference_id, reference_msg_id, state, rev, seq, time_ms)
		VALUES `+sharding.Values(10, len(rows)/10), rows...); err != nil {
		return fmt.Errorf("store references: %w", err)
	}
	for _, on := range changed {
		c := targets[on]
		counts = append(counts, b.bucket(on.Author), int64(on.Author), on.N, c.ever[0], c.ever[1], c.live[0], c.live[1])
	}
	return putReferenceCounters(ctx, tx, counts)
}

// putReferenceCounters stores counters of messages with one statement. The rows are there and locked: it never inserts
// one, and what it would give a new row is never read.
func putReferenceCounters(ctx context.Context, tx *sharding.Tx, args []any) error {
	const row = `(?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', ?, ?, ?, ?, 0)`
	_, err := tx.Exec(ctx, sharding.KeysIn("msg_info", args, 7, 3), `
		INSERT INTO msg_info (bucket, user_id, msg_id, kind, state, visibility, root_visibility, clock, time_ms,
			parent_id, parent_msg_id, origin_id, origin_msg_id, content,
			commented_count, transferred_count, comment_count, transfer_count, like_count)
		VALUES `+row+strings.Repeat(", "+row, len(args)/7-1)+`
		{upsert bucket, user_id, msg_id} commented_count = {new commented_count}, transferred_count = {new transferred_count},
			comment_count = {new comment_count}, transfer_count = {new transfer_count}`, args...)
	if err != nil {
		return fmt.Errorf("count references: %w", err)
	}
	return nil
}

// lockReferenced takes the row locks of messages in the order of the primary key, and reads their counters.
func (b *Backend) lockReferenced(ctx context.Context, tx *sharding.Tx, part []importedEdge) (map[MessageID]*referenceCounters, error) {
	var args []any
	for n, e := range part {
		if n == 0 || part[n-1].on != e.on {
			args = append(args, b.bucket(e.on.Author), int64(e.on.Author), e.on.N)
		}
	}
	rows, err := tx.Query(ctx, `
		SELECT user_id, msg_id, commented_count, transferred_count, comment_count, transfer_count FROM msg_info {primary}
		WHERE `+tx.Dialect().In("bucket, user_id, msg_id", len(args)/3)+` ORDER BY bucket, user_id, msg_id {for update}`, args...)
	if err != nil {
		return nil, fmt.Errorf("lock messages: %w", err)
	}
	defer rows.Close()
	targets := map[MessageID]*referenceCounters{}
	for rows.Next() {
		var id MessageID
		var c referenceCounters
		if err := rows.Scan(&id.Author, &id.N, &c.ever[0], &c.ever[1], &c.live[0], &c.live[1]); err != nil {
			return nil, err
		}
		targets[id] = &c
	}
	return targets, rows.Err()
}

// referenceName names a row of msg_msg_relation.
type referenceName struct {
	on   MessageID
	kind Kind
	by   MessageID
}

// referencesAmong reads which of these edges are there.
func (b *Backend) referencesAmong(ctx context.Context, tx *sharding.Tx, part []importedEdge) (map[referenceName]bool, error) {
	args := make([]any, 0, 6*len(part))
	for _, e := range part {
		args = append(args, b.bucket(e.on.Author), int64(e.on.Author), e.on.N, int(e.edge.Kind), int64(e.edge.By.Author), e.edge.By.N)
	}
	rows, err := tx.Query(ctx, `
		SELECT referenced_id, referenced_msg_id, kind, reference_id, reference_msg_id FROM msg_msg_relation {primary}
		WHERE `+tx.Dialect().In("bucket, referenced_id, referenced_msg_id, kind, reference_id, reference_msg_id", len(part)), args...)
	if err != nil {
		return nil, fmt.Errorf("read references: %w", err)
	}
	defer rows.Close()
	have := map[referenceName]bool{}
	for rows.Next() {
		var r referenceName
		if err := rows.Scan(&r.on.Author, &r.on.N, &r.kind, &r.by.Author, &r.by.N); err != nil {
			return nil, err
		}
		have[r] = true
	}
	return have, rows.Err()
}
