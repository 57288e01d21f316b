package social

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// Messages are what people publish: originals, comments, reposts.
type Messages struct{ b *Backend }

// Draft is a message before it has an id. Visibility 0 means public.
type Draft struct {
	Content    string
	Visibility Visibility
}

// CommentQuery asks for comments by cursor; Oldest turns the order round.
type CommentQuery struct {
	PageRequest
	Oldest bool
}

// ListQuery asks for messages: no Kinds means all that the list holds; Before 0 means now; Prefetched is for home.
type ListQuery struct {
	PageRequest
	Kinds      []Kind
	Before     Millis
	Prefetched *copies.Prefetched
}

// checkContent measures as a person counts: extended grapheme clusters, with 16 bytes for each at most.
func (b *Backend) checkContent(content string) error {
	most := b.Config.Message.MaxLength
	if !utf8.ValidString(content) {
		return errorf(CodeMalformed, "/content", "the content is not valid UTF-8")
	}
	if strings.TrimSpace(content) == "" {
		return errorf(CodeEmpty, "/content", "the content is empty")
	}
	if len(content) > most*BytesPerGrapheme || len(content) > most && uniseg.GraphemeClusterCount(content) > most {
		return errorf(CodeTooLong, "/content", "a message has at most %d characters", most)
	}
	return nil
}

// Publish stores an original message, its entry in the author's own timeline, and the job that carries it to the fans.
// Errors: empty, too_long, invalid, and a *Replay where the key was used meanwhile.
func (m *Messages) Publish(ctx context.Context, v Viewer, d Draft, k KeyUse) (*Message, error) {
	if err := m.b.checkContent(d.Content); err != nil {
		return nil, err
	}
	if d.Visibility == 0 {
		d.Visibility = VisibilityPublic
	}
	if d.Visibility == VisibilityLabels || d.Visibility.String() == "" {
		return nil, errorf(CodeInvalid, "/visibility", "visibility is public, followers, mutuals or private")
	}
	msg := &stored{kind: KindOriginal, live: true, visibility: d.Visibility, rootVisibility: d.Visibility, content: d.Content}
	if _, err := m.b.store(ctx, v.UserID, msg, publication{key: k}); err != nil {
		return nil, err
	}
	return m.b.show(ctx, v, msg)
}

// Comment answers a message that the viewer sees: a live one, or a live comment below a deleted root. Errors: not_found,
// empty, too_long, *Replay.
func (m *Messages) Comment(ctx context.Context, v Viewer, on MessageID, content string, k KeyUse) (*Message, error) {
	if err := m.b.checkContent(content); err != nil {
		return nil, err
	}
	parent, err := m.b.answerable(ctx, v, on)
	if err != nil {
		return nil, err
	}
	origin, visibility := parent.id, parent.visibility
	if parent.kind == KindComment {
		origin, visibility = parent.origin, parent.rootVisibility
	}
	msg := &stored{kind: KindComment, live: true, visibility: visibility, rootVisibility: visibility, content: content,
		parent: parent.id, origin: origin}
	if _, err := m.b.store(ctx, v.UserID, msg, publication{key: k, after: parent.timeMS}); err != nil {
		return nil, err
	}
	return m.b.show(ctx, v, msg)
}

// Repost passes a public message on, with words of one's own or without; without, there is one live repost a person for
// each message, and a repeat answers with it (created false). Errors: not_found, limited_audience, too_long, *Replay.
func (m *Messages) Repost(ctx context.Context, v Viewer, of MessageID, content string, k KeyUse) (msg *Message, created bool, err error) {
	wordless := strings.TrimSpace(content) == ""
	if !wordless {
		if err := m.b.checkContent(content); err != nil {
			return nil, false, err
		}
	} else {
		content = ""
	}
	parent, err := m.b.repostable(ctx, v, of)
	if err != nil {
		return nil, false, err
	}
	origin := parent.id
	if parent.kind == KindRepost {
		origin = parent.origin
	}
	row := &stored{kind: KindRepost, live: true, visibility: VisibilityPublic, rootVisibility: VisibilityPublic, content: content,
		parent: parent.id, origin: origin}
	created, err = m.b.store(ctx, v.UserID, row, publication{key: k, after: parent.timeMS, once: wordless})
	if err != nil {
		return nil, false, err
	}
	if created {
		msg, err = m.b.show(ctx, v, row)
	} else {
		msg, err = m.Get(ctx, v, row.id)
	}
	return msg, created, err
}

// answerable loads a message that the viewer may answer.
func (b *Backend) answerable(ctx context.Context, v Viewer, id MessageID) (*stored, error) {
	seen, err := b.render(ctx, v, []MessageID{id}, renderOptions{})
	if err != nil {
		return nil, err
	}
	if seen[0] == nil {
		return nil, notFound("message")
	}
	row, err := b.loadMessage(ctx, id)
	if err != nil {
		return nil, err
	}
	if row == nil || !row.live {
		return nil, notFound("message")
	}
	// One's own comment stays visible below a root that one no longer sees; answering it does not go on there.
	if row.kind == KindComment && row.id.Author == v.UserID {
		ok, err := b.formerAudience(ctx, v, row.origin)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, notFound("message")
		}
	}
	return row, nil
}

func (b *Backend) repostable(ctx context.Context, v Viewer, id MessageID) (*stored, error) {
	row, err := b.answerable(ctx, v, id)
	if err != nil {
		return nil, err
	}
	if row.visibility.Limited() || row.kind == KindComment {
		return nil, errorf(CodeLimitedAudience, "", "only public messages that are not comments can be reposted")
	}
	if row.kind == KindRepost {
		for _, behind := range []MessageID{row.parent, row.origin} {
			ok, err := b.formerAudience(ctx, v, behind)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, notFound("message")
			}
		}
	}
	return row, nil
}

// publication is how a message is to be stored.
type publication struct {
	key   KeyUse
	after int64 // the time of what it refers to: the message is later
	once  bool  // a repost without words: one live one for each message named
}

// store is the publishing transaction: key, number, message, own entry, job and edges, all in the author's shard, under
// the author's row lock. It fills msg in and reports whether it is new; a wordless repost may be the one already there.
func (b *Backend) store(ctx context.Context, author UserID, msg *stored, p publication) (created bool, err error) {
	var effs []*effect
	err = b.Cluster.Write(ctx, int64(author), func(ctx context.Context, tx *sharding.Tx) error {
		var err error
		created, effs, err = b.storeTx(ctx, tx, author, msg, p)
		return err
	})
	var stale []copies.Key
	if p.once {
		stale = append(stale, viewerKey(author))
	}
	if b.inTimelines(msg) {
		stale = append(stale, timelineKey(author))
	}
	told := b.cache.InvalidateAfter(ctx, err, stale...)
	if err != nil {
		return false, fmt.Errorf("publish: %w", err)
	}
	if !created {
		return false, nil
	}
	b.watchAhead(msg)
	b.settleTold(ctx, told, effs...)
	return true, nil
}

func (b *Backend) storeTx(ctx context.Context, tx *sharding.Tx, author UserID, msg *stored, p publication) (bool, []*effect, error) {
	bucket := b.bucket(author)
	acc, err := b.lockLive(ctx, tx, author)
	if err != nil {
		return false, nil, err
	}
	if p.key.Key != "" {
		if err := b.Keys.claim(ctx, tx, author, p.key, acc.msgCount+1); err != nil {
			return false, nil, err
		}
	}
	if p.once {
		if have, err := b.liveRepost(ctx, tx, author, msg.parent); err != nil || have != 0 {
			msg.id = MessageID{author, have}
			if err == nil && p.key.Key != "" { // the key's answer is the repost that there is
				err = b.Keys.put(ctx, tx, author, p.key, 0, answerRepeated, have)
			}
			return false, nil, err
		}
	}
	msg.id = MessageID{author, acc.msgCount + 1}
	msg.clock = acc.clock + 1
	msg.timeMS = max(b.now(), acc.lastTimeMS+1, p.after+1)
	if err := b.insertMessages(ctx, tx, msg); err != nil {
		return false, nil, err
	}
	if p.once {
		if err := putRepost(ctx, tx, bucket, author, msg.parent, msg.id.N, stateLive); err != nil {
			return false, nil, err
		}
	}
	effs, err := b.distribute(ctx, tx, acc, msg)
	if err != nil {
		return false, nil, err
	}
	_, err = tx.Exec(ctx, sharding.Key("user_info", bucket, int64(author)), `
		UPDATE user_info SET msg_count = msg_count + 1, message_count = message_count + 1, clock = clock + 1, last_time_ms = ?
		WHERE bucket = ? AND user_id = ?`, msg.timeMS, bucket, int64(author))
	return true, effs, err
}

// inTimelines reports whether messages like this one are carried into timelines at all.
func (b *Backend) inTimelines(msg *stored) bool {
	if msg.kind == KindComment {
		return b.Config.Timeline.Comments && !msg.rootVisibility.Limited()
	}
	return true
}

// distribute writes the author's own entry and what is owed elsewhere. Without fans there is no job: a fan row that comes
// later fixes its backfill under the author's row lock, which this transaction holds.
func (b *Backend) distribute(ctx context.Context, tx *sharding.Tx, acc *accountRow, msg *stored) ([]*effect, error) {
	var effs []*effect
	if b.inTimelines(msg) {
		if err := b.putOwnEntries(ctx, tx, msg); err != nil {
			return nil, err
		}
		if acc.fansCount > 0 && msg.visibility != VisibilityPrivate {
			effs = append(effs, b.newEffect(acc.id, effFanout, acc.id, deliveryPayload{N: msg.id.N}))
		}
	}
	effs = append(effs, b.references(msg, stateLive)...)
	if len(effs) == 0 && b.inTimelines(msg) {
		effs = append(effs, b.forgetting(acc.id, timelineKey(acc.id)))
	}
	return effs, b.emit(ctx, tx, effs...)
}

// insertBytes bounds the words of one statement: well below what MySQL and MariaDB take by default (16 MiB).
const insertBytes = 4 << 20

// insertMessages stores messages of one shard, maxTxRows at most.
func (b *Backend) insertMessages(ctx context.Context, tx *sharding.Tx, list ...*stored) error {
	for len(list) > 0 {
		n, size := 0, 0
		args := make([]any, 0, 14*len(list))
		for ; n < len(list) && (n == 0 || size+len(list[n].content) <= insertBytes); n++ {
			msg := list[n]
			size += len(msg.content)
			args = append(args, b.bucket(msg.id.Author), int64(msg.id.Author), msg.id.N, int(msg.kind), stateLive, int(msg.visibility),
				int(msg.rootVisibility), msg.clock, msg.timeMS, int64(msg.parent.Author), msg.parent.N, int64(msg.origin.Author), msg.origin.N, msg.content)
		}
		const row = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0)`
		_, err := tx.Exec(ctx, sharding.KeysIn("msg_info", args, 14, 3), `
			INSERT INTO msg_info (bucket, user_id, msg_id, kind, state, visibility, root_visibility, clock, time_ms,
				parent_id, parent_msg_id, origin_id, origin_msg_id, content,
				commented_count, transferred_count, comment_count, transfer_count, like_count)
			VALUES `+row+strings.Repeat(", "+row, n-1), args...)
		if err != nil {
			return fmt.Errorf("store messages: %w", err)
		}
		list = list[n:]
	}
	return nil
}

// putOwnEntries puts messages of one shard, maxTxRows at most, into their authors' own timelines.
func (b *Backend) putOwnEntries(ctx context.Context, tx *sharding.Tx, list ...*stored) error {
	if len(list) == 0 {
		return nil
	}
	args := make([]any, 0, 9*len(list))
	for _, msg := range list {
		limited := 0
		if msg.visibility.Limited() {
			limited = 1
		}
		author := int64(msg.id.Author)
		args = append(args, b.bucket(msg.id.Author), author, msg.timeMS, author, msg.id.N, 0, stateLive, int(msg.kind), limited)
	}
	_, err := tx.Exec(ctx, sharding.KeysIn("msg_index", args, 9, 5), `
		INSERT INTO msg_index (bucket, user_id, time_ms, author_id, msg_id, rev, state, kind, limited)
		VALUES `+sharding.Values(9, len(list)), args...)
	if err != nil {
		return fmt.Errorf("store own entries: %w", err)
	}
	return nil
}

// show renders the author's own fresh message, from what was stored: it is not kept as a copy, since no tag was taken
// before.
func (b *Backend) show(ctx context.Context, v Viewer, msg *stored) (*Message, error) {
	s := b.look(v)
	if msg.kind == KindOriginal {
		s.state = stranger // nobody has reposted it, and nothing lies behind it
	}
	s.messages[msg.id] = msg
	if err := s.meet(ctx, []UserID{msg.id.Author}); err != nil {
		return nil, err
	}
	if msg.kind != KindOriginal {
		if err := s.prepare(ctx, msg.parent, msg.origin); err != nil {
			return nil, err
		}
	}
	return s.view(msg, true), nil
}
