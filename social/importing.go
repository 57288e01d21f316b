package social

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// ImportedMessage is one message of an import. Source and External name it where it came from, for ever: a message that
// was imported before is not imported again. At is its original time, later than that of every message its author has;
// Parent is what a comment or repost answers, already imported. Visibility 0 means public; a comment has its root's.
type ImportedMessage struct {
	Author           UserID
	Source, External string
	At               Millis
	Kind             Kind
	Content          string
	Visibility       Visibility
	Parent           MessageID
}

// ImportOutcome is what became of one message: its id, and whether it is new; or why it was refused.
type ImportOutcome struct {
	ID  MessageID
	New bool
	Err error
}

// importMessages bounds the messages of one transaction of an import: about 20 ms.
const importMessages = 40

// importAhead is how far ahead of this machine's clock an original time may be: 5 s.
const importAhead = 5_000

// importing is one message on its way.
type importing struct {
	in  ImportedMessage
	row *stored
	out *ImportOutcome
	pub publication
}

// Import stores messages with their original times, in batches: in the order given for each author, one transaction for
// many messages of a shard, one fan-out job for each author and batch. The whole call fails only when a shard is away;
// what was stored until then is found again by its key when the import is run again.
func (m *Messages) Import(ctx context.Context, list []ImportedMessage) ([]ImportOutcome, error) {
	b := m.b
	out := make([]ImportOutcome, len(list))
	parents, err := b.importParents(ctx, list)
	if err != nil {
		return nil, err
	}
	known, err := b.importedAlready(ctx, list)
	if err != nil {
		return nil, err
	}
	var todo []*importing
	for i, in := range list {
		if id, ok := known[importName{in.Author, in.Source, in.External}]; ok {
			out[i].ID = id
			continue
		}
		row, pub, err := b.importRow(in, parents)
		if err != nil {
			out[i].Err = err
			continue
		}
		todo = append(todo, &importing{in, row, &out[i], pub})
	}
	byAuthor := func(i *importing) sharding.Bucket { return b.bucket(i.in.Author) }
	var owed []*effect
	err = writeByShard(ctx, b.Cluster, todo, byAuthor, importMessages, func(ctx context.Context, tx *sharding.Tx, part []*importing) (func(), error) {
		effs, err := b.importBatch(ctx, tx, part)
		return func() { owed = append(owed, effs...) }, err
	})
	if err != nil {
		return nil, fmt.Errorf("import messages: %w", err)
	}
	seen := map[UserID]bool{}
	var touched []copies.Key
	for _, in := range list {
		if !seen[in.Author] {
			seen[in.Author] = true
			touched = append(touched, viewerKey(in.Author), timelineKey(in.Author))
		}
	}
	b.settleTold(ctx, b.cache.Invalidate(ctx, touched...), inOrderOfTime(owed)...)
	return out, nil
}

// inOrderOfTime sorts effects so that comments are numbered as they were written, and not by their authors' shards.
func inOrderOfTime(effs []*effect) []*effect {
	at := make(map[*effect]int64, len(effs))
	for _, e := range effs {
		var p referencePayload
		if e.kind == effReference && e.decode(&p) == nil {
			at[e] = p.Time
		}
	}
	slices.SortStableFunc(effs, func(x, y *effect) int { return cmp.Compare(at[x], at[y]) })
	return effs
}

// importName names an imported message as its author's shard remembers it.
type importName struct {
	author           UserID
	source, external string
}

// importedAlready finds in one batch what an earlier run has stored. It saves a resumed import the transactions; the
// transaction that stores a message looks again.
func (b *Backend) importedAlready(ctx context.Context, list []ImportedMessage) (map[importName]MessageID, error) {
	type found struct {
		name importName
		n    int64
	}
	names := make([]importName, len(list))
	for i, in := range list {
		names[i] = importName{in.Author, in.Source, in.External}
	}
	rows, err := gather(ctx, b.Cluster, names, func(n importName) UserID { return n.author },
		func(ctx context.Context, r *sharding.Reader, part []importName, out []found) ([]found, error) {
			args := make([]any, 0, 4*len(part))
			for _, n := range part {
				args = append(args, b.bucket(n.author), int64(n.author), []byte(n.source), []byte(n.external))
			}
			rows, err := r.Query(ctx, `
				SELECT user_id, source, external_id, msg_id FROM import_key {primary}
				WHERE `+r.Dialect().In("bucket, user_id, source, external_id", len(part)), args...)
			if err != nil {
				return nil, err
			}
			defer rows.Close()
			for rows.Next() {
				var f found
				if err := rows.Scan(&f.name.author, &f.name.source, &f.name.external, &f.n); err != nil {
					return nil, err
				}
				out = append(out, f)
			}
			return out, rows.Err()
		})
	if err != nil {
		return nil, fmt.Errorf("look up what was imported before: %w", err)
	}
	known := make(map[importName]MessageID, len(rows))
	for _, f := range rows {
		known[f.name] = MessageID{f.name.author, f.n}
	}
	return known, nil
}

func (b *Backend) importParents(ctx context.Context, list []ImportedMessage) (map[MessageID]*stored, error) {
	var ids []MessageID
	parents := map[MessageID]*stored{}
	for _, in := range list {
		if !in.Parent.IsZero() && parents[in.Parent] == nil {
			parents[in.Parent] = &stored{}
			ids = append(ids, in.Parent)
		}
	}
	rows, err := b.storedRows(ctx, ids)
	if err != nil {
		return nil, err
	}
	clear(parents)
	for _, row := range rows {
		parents[row.id] = row
	}
	return parents, nil
}

// importRow checks a message as the verbs would, but for who may see what: an import speaks for everybody.
func (b *Backend) importRow(in ImportedMessage, parents map[MessageID]*stored) (*stored, publication, error) {
	p := publication{at: int64(in.At), from: &origin{in.Source, in.External}}
	if len(in.Source) == 0 || len(in.Source) > 100 || len(in.External) == 0 || len(in.External) > 100 {
		return nil, p, errorf(CodeInvalid, "/id", "a source and an id of 1 to 100 bytes each name an imported message")
	}
	if in.Visibility == 0 {
		in.Visibility = VisibilityPublic
	}
	row := &stored{kind: in.Kind, live: true, visibility: in.Visibility, rootVisibility: in.Visibility, content: in.Content}
	if in.Kind != KindRepost || in.Content != "" {
		if err := b.checkContent(in.Content); err != nil {
			return nil, p, err
		}
	}
	if p.at > b.now()+importAhead {
		return nil, p, errorf(CodeInvalid, "/created_at", "%s has not come yet", in.At)
	}
	if in.Kind == KindOriginal {
		return row, p, nil
	}
	parent := parents[in.Parent]
	if parent == nil {
		return nil, p, errorf(CodeInvalid, "/parent", "what this message answers has not been imported")
	}
	row.parent, row.origin, p.after = parent.id, parent.id, parent.timeMS
	if p.at <= parent.timeMS && p.at != 0 {
		return nil, p, errorf(CodeInvalid, "/created_at", "older than what it answers")
	}
	if parent.kind == in.Kind {
		row.origin = parent.origin
	}
	if in.Kind == KindComment {
		row.visibility, row.rootVisibility = parent.rootVisibility, parent.rootVisibility
		return row, p, nil
	}
	if parent.visibility.Limited() || parent.kind == KindComment {
		return nil, p, errorf(CodeLimitedAudience, "/parent", "only public messages that are not comments can be reposted")
	}
	row.visibility, row.rootVisibility = VisibilityPublic, VisibilityPublic
	p.once = in.Content == ""
	return row, p, nil
}

// importBatch stores messages of several authors of one shard, each author's in the order given.
func (b *Backend) importBatch(ctx context.Context, tx *sharding.Tx, part []*importing) ([]*effect, error) {
	var effs []*effect
	jobs := map[UserID]*[]int64{}
	var order []UserID
	for _, i := range part {
		if jobs[i.in.Author] == nil {
			jobs[i.in.Author] = new([]int64)
			order = append(order, i.in.Author)
		}
		pub := i.pub
		pub.jobs = jobs[i.in.Author]
		row := *i.row
		created, more, err := b.storeTx(ctx, tx, i.in.Author, &row, pub)
		var refused *Error
		if errors.Is(err, errOutOfOrder) || errors.As(err, &refused) {
			i.out.Err = err
			continue
		}
		if err != nil {
			return nil, err
		}
		*i.out = ImportOutcome{ID: row.id, New: created}
		effs = append(effs, more...)
	}
	var bulk []*effect
	for _, author := range order {
		if ns := *jobs[author]; len(ns) > 0 {
			bulk = append(bulk, b.newEffect(author, effFanout, author, deliveryPayload{N: ns[0], More: ns[1:]}))
		}
	}
	return append(effs, bulk...), b.emit(ctx, tx, bulk...)
}

// Imported looks up what an external message became; zero where it was not imported.
func (m *Messages) Imported(ctx context.Context, author UserID, source, external string) (MessageID, error) {
	var n int64
	err := m.b.Cluster.Read(ctx, int64(author), func(ctx context.Context, r *sharding.Reader) error {
		var err error
		n, err = m.b.importedBefore(ctx, r, author, origin{source, external})
		return err
	})
	if err != nil || n == 0 {
		return MessageID{}, err
	}
	return MessageID{author, n}, nil
}
