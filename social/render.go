package social

import (
	"context"
	"sync/atomic"
	"time"

	"socialctl/sharding"
	"socialctl/social/copies"
)

// renderOptions hide what the reader may see, but not here.
type renderOptions struct {
	entry   func(v *viewerState, i int) bool     // whether to look at ids[i] at all
	message func(v *viewerState, m *stored) bool // whether to show a message, once it is known

	taken *copies.Prefetched
}

// render is the one path by which any message becomes visible. It answers in the order asked, with nil where the reader
// may not see the message, or there is none, or none any more.
func (b *Backend) render(ctx context.Context, v Viewer, ids []MessageID, o renderOptions) ([]*Message, error) {
	out := make([]*Message, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	s := b.look(v)
	s.taken = o.taken
	st, err := s.begin(ctx, ids)
	if err != nil {
		return nil, err
	}
	if o.entry != nil {
		for i, id := range ids {
			if !o.entry(s.state, i) {
				s.drop(st, id)
			}
		}
	}
	if err := s.finish(ctx, st); err != nil {
		return nil, err
	}
	shown := make([]*stored, len(ids))
	behind := make([]MessageID, 0, 2*len(ids))
	for i, id := range ids {
		m := s.messages[id]
		if m == nil || !m.live || o.message != nil && !o.message(s.state, m) {
			continue
		}
		shown[i] = m
		behind = append(behind, m.parent, m.origin)
	}
	if err := s.prepare(ctx, behind...); err != nil {
		return nil, err
	}
	for i, m := range shown {
		if m != nil && s.shows(m) {
			out[i] = s.view(m, true)
		}
	}
	return out, nil
}

// prepare brings the last messages into sight and asks what decides on all of them.
func (s *sight) prepare(ctx context.Context, behind ...MessageID) error {
	if err := s.load(ctx, behind...); err != nil {
		return err
	}
	if err := s.ask(ctx); err != nil {
		return err
	}
	s.number(ctx)
	return nil
}

// view writes a message as its reader sees it; deep brings what it answers or passes on along, one level.
func (s *sight) view(m *stored, deep bool) *Message {
	out := &Message{
		ID: m.id, Kind: m.kind, Author: s.authors[m.id.Author].card(), Content: m.content, Visibility: m.visibility,
		Media: noMedia, Mentions: noMentions,
		CommentCount: m.comments, RepostCount: m.reposts, LikeCount: m.likes, CreatedAt: Millis(m.timeMS),
	}
	_, out.Reposted = s.state.reposts[m.id]
	if seq := atomic.LoadInt64(&m.seq); seq > 0 {
		page := (seq - 1) / CommentPageSize
		out.CommentPage = &page
	}
	if deep && !m.parent.IsZero() {
		out.Parent = s.embed(m.parent)
		out.Origin = s.embed(m.origin)
	}
	return out
}

// Lists that are always empty yet are still lists, and not null, in JSON.
var (
	noMedia    = []Media{}
	noMentions = []Mention{}
)

// embed writes a message inside another. That it is deleted is told only to those who might have read it.
func (s *sight) embed(id MessageID) *Embed {
	if e, ok := s.embeds[id]; ok {
		return e
	}
	e := &Embed{ID: id}
	switch m := s.messages[id]; {
	case m == nil || !s.sees(m):
		e.Unavailable = true
	case !m.live || s.authors[id.Author] != nil && s.authors[id.Author].state == accountDeleted:
		e.Deleted = true
	case !s.authors[id.Author].live():
		e.Unavailable = true
	default:
		e.Message = s.view(m, false)
	}
	if s.embeds == nil {
		s.embeds = map[MessageID]*Embed{}
	}
	s.embeds[id] = e
	return e
}

// numberPatience is how long a page waits for the shard that numbers a comment before it leaves comment_page out.
const numberPatience = time.Second

// number finds the comments' numbers under their roots. They never change, and stay with the copies. A shard that does
// not answer costs its comments their comment_page, and no more.
func (s *sight) number(ctx context.Context) {
	var comments []*stored
	for _, m := range s.messages {
		if m != nil && m.kind == KindComment && atomic.LoadInt64(&m.seq) == 0 && s.shows(m) {
			comments = append(comments, m)
		}
	}
	if len(comments) == 0 {
		return
	}
	within, cancel := context.WithTimeout(ctx, numberPatience)
	defer cancel()
	numbers, err := gather(within, s.b.Cluster, comments, func(m *stored) UserID { return m.origin.Author }, s.b.readNumbers)
	if err != nil {
		s.b.log.Warn("comments shown without their page", "comments", len(comments), "error", err)
		return
	}
	for _, n := range numbers {
		if m := s.messages[n.by]; m != nil && m.origin == n.on {
			atomic.StoreInt64(&m.seq, n.seq)
		}
	}
}

// numberRow is a comment's number under what it refers to.
type numberRow struct {
	on, by MessageID
	seq    int64
}

func (b *Backend) readNumbers(ctx context.Context, r *sharding.Reader, comments []*stored, out []numberRow) ([]numberRow, error) {
	args := make([]any, 0, 6*len(comments))
	for _, m := range comments {
		args = append(args, b.bucket(m.origin.Author), int64(m.origin.Author), m.origin.N, int(KindComment), int64(m.id.Author), m.id.N)
	}
	rows, err := r.Query(ctx, `
		SELECT referenced_id, referenced_msg_id, reference_id, reference_msg_id, seq
		FROM msg_msg_relation {primary}
		WHERE `+r.Dialect().In("bucket, referenced_id, referenced_msg_id, kind, reference_id, reference_msg_id", len(comments)), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n numberRow
		if err := rows.Scan(&n.on.Author, &n.on.N, &n.by.Author, &n.by.N, &n.seq); err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, rows.Err()
}

// loadMessage returns a message whoever asks, deleted ones too; nil where there never was one.
func (b *Backend) loadMessage(ctx context.Context, id MessageID) (*stored, error) {
	s := b.look(Viewer{})
	if err := s.load(ctx, id); err != nil {
		return nil, err
	}
	return s.messages[id], nil
}

// formerAudience reports whether the reader may see the message, or might if it were not deleted.
func (b *Backend) formerAudience(ctx context.Context, v Viewer, id MessageID) (bool, error) {
	s := b.look(v)
	if err := s.load(ctx, id); err != nil {
		return false, err
	}
	m := s.messages[id]
	if m == nil {
		return false, nil
	}
	if err := s.load(ctx, m.origin); err != nil {
		return false, err
	}
	if err := s.ask(ctx); err != nil {
		return false, err
	}
	return s.sees(m), nil
}
