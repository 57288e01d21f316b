package admin

import (
	"context"
	"time"

	"socialctl/social"
)

// importBatch is how many messages are handed over at once: many of each author then share a transaction and a job.
const importBatch = 10000

// importedMessage is a message of a file. key names it within the import, and answers names what it answers.
type importedMessage struct {
	line         inputLine
	key, answers string
	social.ImportedMessage
}

// messageStore stores messages in the order in which it is given them, many at once.
type messageStore struct {
	b      *social.Backend
	r      *run
	t      *tally
	began  time.Time
	list   []importedMessage
	places map[string]int // of keys in the list, from 1
	stored map[string]social.MessageID
}

func newMessageStore(b *social.Backend, r *run, t *tally) *messageStore {
	return &messageStore{b: b, r: r, t: t, began: time.Now(), places: map[string]int{}, stored: map[string]social.MessageID{}}
}

// add takes a message in. What it answers is in the list, or was stored by this run, or is named in the message itself.
func (s *messageStore) add(m importedMessage) {
	if m.answers != "" {
		if m.ParentAt = s.places[m.answers]; m.ParentAt == 0 {
			m.Parent = s.stored[m.answers]
		}
		if m.ParentAt != 0 || !m.Parent.IsZero() {
			m.ParentExternal = ""
		}
	}
	s.list = append(s.list, m)
	s.places[m.key] = len(s.list)
}

// flush stores what was taken in. What became of the messages is counted also where it fails midway.
func (s *messageStore) flush(ctx context.Context) error {
	defer func() {
		s.list = s.list[:0]
		clear(s.places)
	}()
	if s.r.options.DryRun {
		return nil
	}
	list := make([]social.ImportedMessage, len(s.list))
	for i, m := range s.list {
		list[i] = m.ImportedMessage
	}
	outcomes, failed := s.b.Messages.Import(ctx, list)
	for i, o := range outcomes {
		switch {
		case o.Err != nil:
			s.t.reject(s.list[i].line, o.Err)
			continue
		case o.New:
			s.t.MessagesMade++
		}
		s.stored[s.list[i].key] = o.ID
	}
	if s.t.MessagesMade > 0 {
		s.t.MessagesPerS = float64(s.t.MessagesMade) / time.Since(s.began).Seconds()
	}
	return failed
}
