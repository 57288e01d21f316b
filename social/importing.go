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
// was imported before is not imported again. At is its original time, later than that of every message its author has; 0
// means now. Visibility 0 means public; a comment has its root's.
//
// What a comment or repost answers is named in one of three ways: by its id here (Parent), by its place in the same list,
// counted from 1, where it comes before (ParentAt), or by its author and its id under the same Source (ParentBy,
// ParentExternal), when it was imported before.
type ImportedMessage struct {
	Author           UserID
	Source, External string
	At               Millis
	Kind             Kind
	Content          string
	Visibility       Visibility

	Parent         MessageID
	ParentAt       int
	ParentBy       UserID
	ParentExternal string
}

// ImportOutcome is what became of one message: its id, and whether it is new; or why it was refused. Of a message that was
// not reached before Import failed it is the zero value.
type ImportOutcome struct {
	ID  MessageID
	New bool
	Err error
}

// importing is one message on its way.
type importing struct {
	in     ImportedMessage
	name   importName
	out    *ImportOutcome
	parent *importing // the one of the same list that it answers
	same   *importing // the one of the same list that it repeats
	row    *stored    // as it is to be stored, and then as it is stored
	after  int64      // the time of what it answers: the message is later
	refs   []*effect  // its edges, still owed
	done   bool       // stored, found or refused
}

// once reports whether it is a repost without words: of those there is one live one for each message named.
func (i *importing) once() bool { return i.in.Kind == KindRepost && i.in.Content == "" }

func (i *importing) refuse(err error) { i.out.Err, i.row, i.done = err, nil, true }

// messageImport is one call of Import.
type messageImport struct {
	b     *Backend
	items []*importing
	rows  map[MessageID]*stored // of what is answered
	owed  []*effect             // jobs, and what is to be forgotten
}

// Import stores messages with their original times, in batches: in the order given for each author, one transaction for
// many messages of a shard, and then the edges of comments and reposts in the order of the list, so that comments are
// numbered in that order, whatever the shards of their authors. When it returns, all edges are applied.
//
// The call fails only when a shard is away; what became of the messages until then is returned with the error. After a
// failure, or after a crash, the same messages are imported again: those that are stored are found by their names, and
// edges that they still owe are applied in their place of the order. Until then nobody else applies them, for a day.
func (m *Messages) Import(ctx context.Context, list []ImportedMessage) ([]ImportOutcome, error) {
	out := make([]ImportOutcome, len(list))
	im := &messageImport{b: m.b, items: make([]*importing, len(list)), rows: map[MessageID]*stored{}}
	for n, in := range list {
		im.items[n] = &importing{in: in, name: importName{in.Author, in.Source, in.External}, out: &out[n]}
	}
	if err := im.find(ctx); err != nil {
		return out, err
	}
	stored := im.store(ctx)
	told := m.b.cache.Invalidate(ctx, im.touched()...)
	if stored != nil {
		return out, fmt.Errorf("import messages: %w", stored)
	}
	m.b.settleTold(ctx, told, im.owed...)
	if err := im.settleReferences(ctx); err != nil {
		return out, fmt.Errorf("import messages: %w", err)
	}
	return out, nil
}

func (im *messageImport) touched() []copies.Key {
	seen := map[UserID]bool{}
	var keys []copies.Key
	for _, i := range im.items {
		if !seen[i.in.Author] {
			seen[i.in.Author] = true
			keys = append(keys, viewerKey(i.in.Author), timelineKey(i.in.Author))
		}
	}
	return keys
}

// find recognises what was imported before, and what stands in the list twice, and reads what is answered.
func (im *messageImport) find(ctx context.Context) error {
	var names []importName
	for _, i := range im.items {
		names = append(names, i.name)
		if i.in.ParentExternal != "" {
			names = append(names, importName{i.in.ParentBy, i.in.Source, i.in.ParentExternal})
		}
	}
	known, err := im.b.importedAlready(ctx, names)
	if err != nil {
		return err
	}
	first := make(map[importName]*importing, len(im.items))
	for n, i := range im.items {
		if i.same = first[i.name]; i.same != nil {
			i.done = true
			continue
		}
		first[i.name] = i
		i.out.ID, i.done = known[i.name], !known[i.name].IsZero()
		switch at := i.in.ParentAt; {
		case at > 0 && at <= n:
			i.parent = im.items[at-1]
			if i.parent.same != nil {
				i.parent = i.parent.same
			}
		case i.in.ParentExternal != "":
			i.in.Parent = known[importName{i.in.ParentBy, i.in.Source, i.in.ParentExternal}]
		}
	}
	var answered []MessageID
	for _, i := range im.items {
		switch {
		case i.done:
		case i.parent != nil && i.parent.done:
			answered = append(answered, i.parent.out.ID)
		default:
			answered = append(answered, i.in.Parent)
		}
	}
	return im.load(ctx, answered)
}

// load reads messages that are answered, those that are not read yet.
func (im *messageImport) load(ctx context.Context, ids []MessageID) error {
	ids = slices.DeleteFunc(ids, func(id MessageID) bool { return id.IsZero() || im.rows[id] != nil })
	slices.SortFunc(ids, func(x, y MessageID) int { return cmp.Or(cmp.Compare(x.Author, y.Author), cmp.Compare(x.N, y.N)) })
	rows, err := im.b.storedRows(ctx, slices.Compact(ids))
	for _, row := range rows {
		im.rows[row.id] = row
	}
	return err
}

// store works the list off in passes: each stores what answers nothing that is not stored yet, and comes behind nothing of
// its author's that is not.
func (im *messageImport) store(ctx context.Context) error {
	todo := slices.DeleteFunc(slices.Clone(im.items), func(i *importing) bool { return i.done })
	for len(todo) > 0 {
		var ready []*importing
		if ready, todo = im.ready(todo); len(ready) == 0 {
			continue // they were all refused
		}
		if err := im.write(ctx, ready); err != nil {
			return err
		}
		var found []MessageID // by the transaction: another run has stored it, or its author has reposted that before
		for _, i := range ready {
			if i.row == nil && i.out.Err == nil {
				found = append(found, i.out.ID)
			}
		}
		if err := im.load(ctx, found); err != nil {
			return err
		}
	}
	for _, i := range im.items {
		if i.same != nil {
			*i.out = ImportOutcome{ID: i.same.out.ID, Err: i.same.out.Err}
		}
	}
	return nil
}

// ready splits off what can be stored now, and refuses what never can. The first of the list always goes one of the ways.
func (im *messageImport) ready(todo []*importing) (ready, rest []*importing) {
	waits := map[UserID]bool{}
	for _, i := range todo {
		if waits[i.in.Author] || i.parent != nil && !i.parent.done {
			waits[i.in.Author] = true
			rest = append(rest, i)
			continue
		}
		parent := im.rows[i.in.Parent]
		if p := i.parent; p != nil {
			parent = cmp.Or(p.row, im.rows[p.out.ID])
		}
		if err := im.b.prepareImport(i, parent); err != nil {
			i.refuse(err)
			continue
		}
		ready = append(ready, i)
	}
	return ready, rest
}

// write stores messages, the shards side by side. Those of an author lie together: that is fewer rows of accounts and jobs.
func (im *messageImport) write(ctx context.Context, ready []*importing) error {
	byAuthor := func(i *importing) sharding.Bucket { return im.b.bucket(i.in.Author) }
	slices.SortStableFunc(ready, func(x, y *importing) int {
		return cmp.Or(cmp.Compare(byAuthor(x), byAuthor(y)), cmp.Compare(x.in.Author, y.in.Author))
	})
	return writeByShard(ctx, im.b.Cluster, ready, byAuthor, importMessages, func(ctx context.Context, tx *sharding.Tx, part []*importing) (func(), error) {
		batch, err := im.b.importBatch(ctx, tx, part)
		if err != nil {
			return nil, err
		}
		return func() {
			batch.committed()
			im.owed = append(im.owed, batch.owed...)
		}, nil
	})
}

// What an import refuses of a message, beside what Publish does.
var (
	errOutOfOrder     = errors.New("older than the author's newest message: import in the order of time")
	errImportName     = errorf(CodeInvalid, "/id", "a source and an id of 1 to 100 bytes each name an imported message")
	errImportAhead    = errorf(CodeInvalid, "/created_at", "its time has not come yet")
	errImportNoParent = errorf(CodeInvalid, "/parent", "what this message answers has not been imported")
	errImportOlder    = errorf(CodeInvalid, "/created_at", "older than what it answers")
	errImportLimited  = errorf(CodeLimitedAudience, "/parent", "only public messages that are not comments can be reposted")
	errImportNobody   = errorf(CodeTokenInvalid, "/author", "this account is not in use any more")
)

// importAhead is how far ahead of this machine's clock an original time may be: 5 s.
const importAhead = 5_000

// prepareImport checks a message as the verbs would, but for who may see what: an import speaks for everybody. It fills in
// what is to be stored.
func (b *Backend) prepareImport(i *importing, parent *stored) error {
	in := i.in
	if len(in.Source) == 0 || len(in.Source) > 100 || len(in.External) == 0 || len(in.External) > 100 {
		return errImportName
	}
	visibility := cmp.Or(in.Visibility, VisibilityPublic)
	i.row = &stored{kind: in.Kind, live: true, visibility: visibility, rootVisibility: visibility, content: in.Content}
	if !i.once() {
		if err := b.checkContent(in.Content); err != nil {
			return err
		}
	}
	if int64(in.At) > b.now()+importAhead {
		return errImportAhead
	}
	if in.Kind == KindOriginal {
		return nil
	}
	if parent == nil {
		return errImportNoParent
	}
	if int64(in.At) <= parent.timeMS && in.At != 0 {
		return errImportOlder
	}
	i.row.parent, i.row.origin, i.after = parent.id, parent.id, parent.timeMS
	if parent.kind == in.Kind {
		i.row.origin = parent.origin
	}
	if in.Kind == KindComment {
		i.row.visibility, i.row.rootVisibility = parent.rootVisibility, parent.rootVisibility
		return nil
	}
	if parent.visibility.Limited() || parent.kind == KindComment {
		return errImportLimited
	}
	i.row.visibility, i.row.rootVisibility = VisibilityPublic, VisibilityPublic
	return nil
}
