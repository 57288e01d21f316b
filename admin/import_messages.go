package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"socialctl/social"
)

// MessagesImport reads JSON lines of messages: {"id", "author", "content", "created_at", "visibility", "parent", "kind"}.
// author is a name; parent is the id of an earlier line, for comments (kind comment, the default then) and reposts (kind
// repost). id and Source name the message for ever: a line that was imported before is left alone. Lines come in the order
// of time, for each author at least; comments on a message are numbered in the order of the lines.
type MessagesImport struct {
	ImportOptions
	File   string
	Source string // where the ids come from; lines of another source may use the same ids
}

// messageLine is one line of the file.
type messageLine struct {
	ID         string             `json:"id"`
	Author     string             `json:"author"`
	Content    string             `json:"content"`
	CreatedAt  *social.Millis     `json:"created_at"`
	Visibility *social.Visibility `json:"visibility"`
	Kind       *social.Kind       `json:"kind"`
	Parent     string             `json:"parent"`
	ParentBy   string             `json:"parent_author"`
	at         inputLine
}

// messagesRun is one run of the import.
type messagesRun struct {
	MessagesImport
	store *messageStore
	names map[string]social.UserID // 0 for nobody
}

// Run imports the file. It can be killed and run again. Errors: ErrStopped, *RefusedError, *UsageError,
// sharding.ErrJobHeld, sharding.UnavailableError.
func (m MessagesImport) Run(ctx context.Context, b *social.Backend) (ImportReport, error) {
	if m.Source == "" {
		m.Source = "import"
	}
	return m.importing(ctx, b, jobName("messages", m.File), []string{m.File}, func(ctx context.Context, r *run, t *tally) error {
		in, err := openLines(m.File)
		if err != nil {
			return err
		}
		defer in.close()
		work := &messagesRun{MessagesImport: m, store: newMessageStore(b, r, t), names: map[string]social.UserID{}}
		for {
			lines, n, unread := work.read(in)
			if errors.Is(unread, io.EOF) {
				unread = nil
				if n == 0 {
					return nil
				}
			}
			if err := errors.Join(work.batch(ctx, lines), t.flush()); err != nil {
				return errors.Join(unread, err)
			}
			if unread != nil { // what came before it is imported
				return unread
			}
			if err := r.step(n); err != nil {
				return err
			}
		}
	})
}

// read takes some lines in; n counts also those that are refused.
func (m *messagesRun) read(in *lineReader) (lines []messageLine, n int, err error) {
	for most := m.store.r.batch(importBatch); n < most; n++ {
		raw, err := in.next()
		if err != nil {
			return lines, n, err
		}
		m.store.t.Messages++
		line, err := parseMessageLine(raw)
		if err != nil {
			m.store.t.reject(raw, err)
			continue
		}
		lines = append(lines, line)
	}
	return lines, n, nil
}

// batch imports lines that have been read.
func (m *messagesRun) batch(ctx context.Context, lines []messageLine) error {
	if err := m.find(ctx, lines); err != nil {
		return err
	}
	for _, line := range lines {
		msg, err := m.message(line)
		if err != nil {
			m.store.t.reject(line.at, err)
			continue
		}
		m.store.add(msg)
	}
	return m.store.flush(ctx)
}

func parseMessageLine(raw inputLine) (messageLine, error) {
	line := messageLine{at: raw}
	if !utf8.ValidString(raw.text) {
		return line, &refusal{reason: reasonNotUTF8}
	}
	decoder := json.NewDecoder(strings.NewReader(raw.text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&line)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax), errors.Is(err, io.ErrUnexpectedEOF):
		return line, refuse("not valid JSON", "%v", err)
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field "):
		return line, refuse("unknown field", "%s", strings.TrimPrefix(err.Error(), "json: unknown field "))
	case err != nil:
		return line, refuse("a field of the wrong kind", "%s", strings.TrimPrefix(err.Error(), "json: "))
	case decoder.InputOffset() < int64(len(strings.TrimRight(raw.text, " \t\r"))):
		return line, &refusal{reason: "more on the line than one JSON object"}
	case line.ID == "" || line.Author == "":
		return line, &refusal{reason: "a line needs an id and an author"}
	}
	return line, nil
}

// find looks up the accounts that lines name for the first time.
func (m *messagesRun) find(ctx context.Context, lines []messageLine) error {
	var list []social.NewAccount
	for _, line := range lines {
		for _, name := range []string{line.Author, line.ParentBy} {
			if _, known := m.names[name]; known || name == "" {
				continue
			}
			m.names[name] = 0
			if a := (social.NewAccount{Name: name}); a.Check() == nil {
				list = append(list, a)
			}
		}
	}
	ids, err := m.store.b.Accounts.Holders(ctx, list)
	for i := range ids {
		m.names[list[i].Name] = ids[i]
	}
	return err
}

// message turns a line into what the domain imports: names become accounts.
func (m *messagesRun) message(line messageLine) (importedMessage, error) {
	msg := importedMessage{line: line.at, key: line.ID, answers: line.Parent, ImportedMessage: social.ImportedMessage{
		Author: m.names[line.Author], Source: m.Source, External: line.ID, Kind: social.KindOriginal, Content: line.Content}}
	if msg.Author == 0 {
		return msg, refuse(reasonNoAccount, "%.40q", line.Author)
	}
	if line.CreatedAt != nil {
		msg.At = *line.CreatedAt
	}
	if line.Visibility != nil {
		msg.Visibility = *line.Visibility
	}
	if line.Parent != "" {
		msg.Kind = social.KindComment
		if line.ParentBy != "" {
			if msg.ParentBy = m.names[line.ParentBy]; msg.ParentBy == 0 {
				return msg, refuse(reasonNoAccount, "%.40q", line.ParentBy)
			}
			msg.ParentExternal = line.Parent
		}
	}
	if line.Kind != nil {
		msg.Kind = *line.Kind
	}
	return msg, nil
}
