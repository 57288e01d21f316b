package social

import (
	"context"
	"fmt"

	"socialctl/sharding"
)

// Get returns a message that the viewer may see; the error otherwise is not_found.
func (m *Messages) Get(ctx context.Context, v Viewer, id MessageID) (*Message, error) {
	seen, err := m.b.render(ctx, v, []MessageID{id}, renderOptions{})
	if err != nil {
		return nil, err
	}
	if seen[0] == nil {
		return nil, notFound("message")
	}
	return seen[0], nil
}

// GetMany returns up to 100 messages in the order asked; those that the viewer may not see are left out. The error for
// more is invalid.
func (m *Messages) GetMany(ctx context.Context, v Viewer, ids []MessageID) ([]*Message, error) {
	if err := checkMany(len(ids)); err != nil {
		return nil, err
	}
	seen, err := m.b.render(ctx, v, ids, renderOptions{})
	if err != nil {
		return nil, err
	}
	out := make([]*Message, 0, len(seen))
	for _, msg := range seen {
		if msg != nil {
			out = append(out, msg)
		}
	}
	return out, nil
}

// line is a message as a list has it before it is loaded.
type line struct {
	id         MessageID
	timeMS     int64
	kind       Kind
	visibility Visibility
	live       bool
}

func (l *line) position() Position { return Position{l.timeMS, l.id.Author, l.id.N} }

// messageList fills in what all lists of messages have in common.
func (b *Backend) messageList(v Viewer, l list[line, *Message]) list[line, *Message] {
	l.secret = b.Cluster.Secret()
	l.at = func(l *line) Position { return l.position() }
	l.show = func(ctx context.Context, rows []line, emit func(int, *Message)) error {
		ids := make([]MessageID, len(rows))
		for i := range rows {
			ids[i] = rows[i].id
		}
		seen, err := b.render(ctx, v, ids, renderOptions{})
		for i, msg := range seen {
			if msg != nil {
				emit(i, msg)
			}
		}
		return err
	}
	return l
}

// ByAccount is what an account has written, newest first, as far as the viewer may see it; the other side of a block sees
// an empty list. Errors: not_found for an account that is not in use, cursor_invalid, invalid.
func (m *Messages) ByAccount(ctx context.Context, v Viewer, account UserID, q ListQuery) (Page[*Message], error) {
	kinds, err := kindsOf(q.Kinds)
	if err != nil {
		return Page[*Message]{}, err
	}
	if q.Before != 0 {
		return Page[*Message]{}, errorf(CodeInvalid, "/before", "before is for the home timeline")
	}
	s := m.b.look(v)
	if err := s.meet(ctx, []UserID{account}); err != nil {
		return Page[*Message]{}, err
	}
	if !s.authors[account].live() {
		return Page[*Message]{}, notFound("account")
	}
	apart := s.state.apart(account)
	return m.b.messageList(v, list[line, *Message]{
		binding: binding("account", account.String(), v, kinds.String()),
		read: func(ctx context.Context, from seek, n int) ([]line, error) {
			if apart {
				return nil, nil
			}
			return m.b.written(ctx, account, from, n)
		},
		keep: func(l *line) bool {
			return l.live && kinds.has(l.kind) &&
				(l.visibility == VisibilityPublic || v.UserID == account || v.Known() && (l.kind == KindComment || l.visibility != VisibilityPrivate))
		},
	}).page(ctx, q.PageRequest)
}

// written reads what an account has written, deleted messages too. An author's times rise strictly with the numbers, so
// the number alone is the place.
func (b *Backend) written(ctx context.Context, author UserID, from seek, n int) ([]line, error) {
	return b.lines(ctx, author, `
		SELECT user_id, msg_id, time_ms, kind, visibility, state,
			(SELECT epoch FROM shard_state WHERE id = 1)
		FROM msg_info
		WHERE bucket = ? AND user_id = ? AND `+from.where("msg_id")+from.order("msg_id")+` LIMIT ?`,
		b.bucket(author), int64(author), from.at.N, n)
}

func (b *Backend) lines(ctx context.Context, owner UserID, query string, args ...any) ([]line, error) {
	var out []line
	err := b.Cluster.Read(ctx, int64(owner), func(ctx context.Context, r *sharding.Reader) error {
		out = nil
		rows, err := r.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var epoch int64
		for rows.Next() {
			var l line
			var state int
			if err := rows.Scan(&l.id.Author, &l.id.N, &l.timeMS, &l.kind, &l.visibility, &state, &epoch); err != nil {
				return err
			}
			l.live = state == stateLive
			out = append(out, l)
		}
		r.SawEpoch(epoch)
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read a list of messages: %w", err)
	}
	return out, nil
}

// Comments are the live comments on a message, newest first or oldest first; those of a deleted message stay listable for
// its former audience. Errors: not_found, cursor_invalid.
func (m *Messages) Comments(ctx context.Context, v Viewer, on MessageID, q CommentQuery) (Page[*Message], error) {
	if err := m.b.listable(ctx, v, on); err != nil {
		return Page[*Message]{}, err
	}
	order := "newest"
	if q.Oldest {
		order = "oldest"
	}
	l := m.b.referring(v, "comments", on, KindComment, order)
	l.oldest = q.Oldest
	return l.page(ctx, q.PageRequest)
}

// Reposts are the live reposts of a message, newest first. Errors: not_found, cursor_invalid.
func (m *Messages) Reposts(ctx context.Context, v Viewer, of MessageID, p PageRequest) (Page[*Message], error) {
	if _, err := m.Get(ctx, v, of); err != nil {
		return Page[*Message]{}, err
	}
	return m.b.referring(v, "reposts", of, KindRepost, "").page(ctx, p)
}

func (b *Backend) listable(ctx context.Context, v Viewer, id MessageID) error {
	ok, err := b.formerAudience(ctx, v, id)
	if err == nil && !ok {
		err = notFound("message")
	}
	return err
}

// referring lists the messages of one kind that refer to a message.
func (b *Backend) referring(v Viewer, name string, to MessageID, kind Kind, filters string) list[line, *Message] {
	return b.messageList(v, list[line, *Message]{
		binding: binding(name, to.String(), v, filters),
		read: func(ctx context.Context, from seek, n int) ([]line, error) {
			return b.edges(ctx, to, kind, from, n)
		},
		keep: func(l *line) bool { return l.live },
	})
}

const edgeOrder = "time_ms, reference_id, reference_msg_id"

func (b *Backend) edges(ctx context.Context, to MessageID, kind Kind, from seek, n int) ([]line, error) {
	return b.lines(ctx, to.Author, `
		SELECT reference_id, reference_msg_id, time_ms, kind, 0, state,
			(SELECT epoch FROM shard_state WHERE id = 1)
		FROM msg_msg_relation
		WHERE bucket = ? AND referenced_id = ? AND referenced_msg_id = ? AND kind = ? AND `+
		from.where(edgeOrder)+from.order(edgeOrder)+` LIMIT ?`,
		b.bucket(to.Author), int64(to.Author), to.N, int(kind),
		from.at.TimeMS, from.at.TimeMS, int64(from.at.Author), from.at.N, n)
}

// CommentsPage is a fixed page of the comments on a message, as they were written: page N holds the numbers from 20N + 1
// to 20N + 20, for ever; deleted ones leave it short. Past the end it is empty. Errors: not_found, invalid.
func (m *Messages) CommentsPage(ctx context.Context, v Viewer, on MessageID, page int64) (CommentPage, error) {
	if page < 0 {
		return CommentPage{}, errorf(CodeInvalid, "/page", "pages are numbered from 0")
	}
	if err := m.b.listable(ctx, v, on); err != nil {
		return CommentPage{}, err
	}
	root, err := m.b.loadMessage(ctx, on)
	if err != nil {
		return CommentPage{}, err
	}
	out := CommentPage{Items: []*Message{}, Page: page, PageSize: CommentPageSize}
	out.PageCount = (root.commented + CommentPageSize - 1) / CommentPageSize
	if page > maxCommentPage {
		return out, nil
	}
	rows, err := m.b.lines(ctx, on.Author, `
		SELECT reference_id, reference_msg_id, time_ms, kind, 0, state,
			(SELECT epoch FROM shard_state WHERE id = 1)
		FROM msg_msg_relation
		WHERE bucket = ? AND referenced_id = ? AND referenced_msg_id = ? AND kind = ? AND seq > ? AND seq <= ?
		ORDER BY seq LIMIT ?`,
		m.b.bucket(on.Author), int64(on.Author), on.N, int(KindComment), page*CommentPageSize, (page+1)*CommentPageSize, CommentPageSize)
	if err != nil {
		return CommentPage{}, err
	}
	ids := make([]MessageID, 0, len(rows))
	for i := range rows {
		if rows[i].live {
			ids = append(ids, rows[i].id)
		}
	}
	out.Items, err = m.GetMany(ctx, v, ids)
	return out, err
}

// maxCommentPage is beyond any page that there will be, and far from the end of the integers.
const maxCommentPage = 1 << 50
