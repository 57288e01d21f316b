package social

import (
	"context"

	"golang.org/x/sync/errgroup"

	"socialctl/social/copies"
)

// sight is what one call has gathered on behalf of one reader. Messages, profiles and the reader's state are shared with
// other calls and never changed.
type sight struct {
	b        *Backend
	viewer   UserID       // 0: nobody in particular
	state    *viewerState // nil until the first step has begun
	taken    *copies.Prefetched
	messages map[MessageID]*stored
	authors  map[UserID]*profile
	spans    map[UserID]span // by the author of what is limited
	embeds   map[MessageID]*Embed
}

func (b *Backend) look(v Viewer) *sight {
	s := &sight{b: b, viewer: v.UserID, messages: map[MessageID]*stored{}, authors: map[UserID]*profile{}}
	if !v.Known() {
		s.state = stranger
	}
	return s
}

// step is one step of loading: the tags of all that it needs are taken in one exchange, before anything is loaded.
type step struct {
	messages []MessageID
	authors  []UserID
	keys     []copies.Key // of the messages, then of the authors
	tags     []copies.Tag
}

// begin takes the tags of the messages that are not in sight yet, of their authors, and of the reader's state, which it
// loads. What a message answers or passes on never changes: any copy of it says what else will be needed, so that a page
// that was read before takes one exchange.
func (s *sight) begin(ctx context.Context, ids []MessageID) (*step, error) {
	st := s.step(ids)
	return st, s.tag(ctx, st)
}

// step names what a step about these messages needs, before anything is asked.
func (s *sight) step(ids []MessageID) *step {
	st := &step{messages: make([]MessageID, 0, 2*len(ids)), keys: make([]copies.Key, 0, 3*len(ids)+1)}
	for _, id := range ids {
		st.want(s, id)
	}
	for _, key := range st.keys {
		if m, ok := s.b.messages.Peek(key); ok && !m.parent.IsZero() {
			st.want(s, m.parent)
			st.want(s, m.origin)
		}
	}
	for _, id := range st.messages {
		st.meet(s, id.Author)
	}
	return st
}

func (st *step) want(s *sight, id MessageID) {
	if _, known := s.messages[id]; known || id.IsZero() {
		return
	}
	s.messages[id] = nil
	st.messages = append(st.messages, id)
	st.keys = append(st.keys, messageKey(id))
}

func (st *step) meet(s *sight, id UserID) {
	if _, known := s.authors[id]; known {
		return
	}
	s.authors[id] = nil
	st.authors = append(st.authors, id)
	st.keys = append(st.keys, accountKey(id))
}

func (s *sight) tag(ctx context.Context, st *step) (err error) {
	if s.state != nil {
		st.tags = s.taken.Take(ctx, s.b.cache, st.keys)
		return nil
	}
	tags := s.taken.Take(ctx, s.b.cache, append(st.keys, viewerKey(s.viewer)))
	st.tags = tags[:len(st.keys)]
	s.state, err = s.b.viewerUnder(ctx, s.viewer, tags[len(st.keys)])
	return err
}

// drop takes a message out of the step before it is loaded.
func (s *sight) drop(st *step, id MessageID) {
	for i := range st.messages {
		if st.messages[i] == id {
			st.messages[i] = MessageID{}
			delete(s.messages, id)
		}
	}
}

// finish brings what the step is about into sight: local copies where they are current, rows otherwise. What does not
// exist stays nil, and is never kept: nothing would tell of its coming into being.
func (s *sight) finish(ctx context.Context, st *step) error {
	var ids []MessageID
	var people []UserID
	for i, id := range st.messages {
		if id.IsZero() {
			continue
		}
		if m, ok := s.b.messages.Get(st.keys[i], st.tags[i]); ok {
			s.messages[id] = m
		} else {
			ids = append(ids, id)
		}
	}
	for i, id := range st.authors {
		at := len(st.messages) + i
		if p, ok := s.b.authors.Get(st.keys[at], st.tags[at]); ok {
			s.authors[id] = p
		} else {
			people = append(people, id)
		}
	}
	if len(ids)+len(people) == 0 {
		return nil
	}
	return s.loadRows(ctx, st, ids, people)
}

// loadRows loads messages and profiles side by side and keeps them under the tags that were taken before.
func (s *sight) loadRows(ctx context.Context, st *step, ids []MessageID, people []UserID) error {
	var messages []*stored
	var profiles []*profile
	group, within := errgroup.WithContext(ctx)
	if len(ids) > 0 {
		group.Go(func() (err error) {
			messages, err = s.b.storedRows(within, ids)
			return err
		})
	}
	if len(people) > 0 {
		group.Go(func() (err error) {
			profiles, err = s.b.profileRows(within, people)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	at := make(map[copies.Key]copies.Tag, len(st.keys))
	for i, key := range st.keys {
		at[key] = st.tags[i]
	}
	for _, m := range messages {
		s.messages[m.id] = m
		key := messageKey(m.id)
		s.b.messages.Put(key, at[key], m)
	}
	for _, p := range profiles {
		s.authors[p.id] = p
		key := accountKey(p.id)
		s.b.authors.Put(key, at[key], p)
	}
	return nil
}

// load is a step as a whole.
func (s *sight) load(ctx context.Context, ids ...MessageID) error {
	st, err := s.begin(ctx, ids)
	if err != nil || len(st.messages) == 0 {
		return err
	}
	return s.finish(ctx, st)
}

// meet brings people into sight, and the reader's state.
func (s *sight) meet(ctx context.Context, ids []UserID) error {
	st := &step{}
	for _, id := range ids {
		st.meet(s, id)
	}
	if err := s.tag(ctx, st); err != nil {
		return err
	}
	return s.finish(ctx, st)
}

// viewerUnder returns a reader's state, as current as the tag.
func (b *Backend) viewerUnder(ctx context.Context, id UserID, t copies.Tag) (*viewerState, error) {
	key := viewerKey(id)
	if v, ok := b.viewers.Get(key, t); ok {
		return v, nil
	}
	v, err := b.viewerRow(ctx, id)
	if err != nil {
		return nil, err
	}
	b.viewers.Put(key, t, v)
	return v, nil
}

// asked returns the author whose shard has to be asked before the message can be shown, or 0.
func (s *sight) asked(m *stored) UserID {
	author, visibility := m.id.Author, m.visibility
	if m.kind == KindComment {
		author, visibility = m.origin.Author, m.rootVisibility
	}
	if s.viewer == 0 || s.viewer == m.id.Author || s.viewer == author || !visibility.Limited() || visibility == VisibilityPrivate {
		return 0
	}
	return author
}

// ask asks the authors of the limited messages in sight what they know of the reader, in one batch a shard.
func (s *sight) ask(ctx context.Context) error {
	var keys []relationKey
	for _, m := range s.messages {
		if m == nil {
			continue
		}
		author := s.asked(m)
		if _, known := s.spans[author]; known || author == 0 {
			continue
		}
		if s.spans == nil {
			s.spans = map[UserID]span{}
		}
		s.spans[author] = span{keepGone: s.b.Config.Timeline.OnUnfollow == "keep"}
		for _, kind := range []int{relFan, relFollow, relBlock, relBlockedBy} {
			keys = append(keys, relationKey{author, kind, s.viewer})
		}
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := s.b.relations(ctx, keys)
	if err != nil {
		return err
	}
	for _, row := range rows {
		sp := s.spans[row.key.owner]
		switch row.key.kind {
		case relFan:
			sp.fan = row.relation
		case relFollow:
			sp.follow = row.relation
		case relBlock, relBlockedBy:
			sp.vetoed = sp.vetoed || row.live()
		}
		s.spans[row.key.owner] = sp
	}
	return nil
}

// sees says whether the reader is in the audience of a message in sight, be it deleted or not: the one rule for every
// path. A comment's audience is its root's, and its author's; ask must have been called since it came into sight.
func (s *sight) sees(m *stored) bool {
	if s.viewer != 0 && m.id.Author == s.viewer {
		return true
	}
	if s.state.apart(m.id.Author) {
		return false
	}
	root, visibility := m, m.visibility
	if m.kind == KindComment {
		if s.viewer != 0 && m.origin.Author == s.viewer {
			return true
		}
		if s.state.apart(m.origin.Author) {
			return false
		}
		root, visibility = s.messages[m.origin], m.rootVisibility
	}
	if !visibility.Limited() {
		return true
	}
	return root != nil && s.spans[root.id.Author].mayRead(root)
}

// shows reports whether the message stands in a list or at its own address.
func (s *sight) shows(m *stored) bool {
	return m != nil && m.live && s.authors[m.id.Author].live() && s.sees(m)
}
