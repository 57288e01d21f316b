package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"socialctl/social"
)

// messageBatch gathers messages that can be stored together: none answers another one of the batch.
type messageBatch struct {
	b      *social.Backend
	report *ImportReport
	keys   []string
	list   []social.ImportedMessage
	inside map[string]bool
	done   func(key string, id social.MessageID)
}

func newMessageBatch(b *social.Backend, report *ImportReport, done func(key string, id social.MessageID)) *messageBatch {
	return &messageBatch{b: b, report: report, inside: map[string]bool{}, done: done}
}

func (m *messageBatch) size() int { return len(m.list) }

func (m *messageBatch) holds(key string) bool { return key != "" && m.inside[key] }

func (m *messageBatch) add(key string, in social.ImportedMessage) {
	m.keys, m.list = append(m.keys, key), append(m.list, in)
	m.inside[key] = true
}

func (m *messageBatch) flush(ctx context.Context) error {
	if len(m.list) == 0 {
		return nil
	}
	outcomes, err := m.b.Messages.Import(ctx, m.list)
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		switch {
		case o.Err != nil:
			m.report.refuse(fmt.Errorf("%s: %w", m.keys[i], o.Err))
			continue
		case o.New:
			m.report.MessagesMade++
		}
		m.done(m.keys[i], o.ID)
	}
	m.keys, m.list = nil, nil
	clear(m.inside)
	return nil
}

// MessagesImport reads JSON lines of messages: {"id", "author", "content", "created_at", "visibility", "parent", "kind"}.
// author is a name; parent is the id of an earlier line, for comments (kind comment, the default then) and reposts (kind
// repost). id and Source name the message for ever: a line that was imported before is left alone. Lines come in the order
// of time, for each author at least.
type MessagesImport struct {
	JobOptions
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
}

// Run imports the file. It can be killed and run again. Errors: ErrStopped, ErrRefused, sharding.ErrJobHeld,
// sharding.UnavailableError.
func (m MessagesImport) Run(ctx context.Context, b *social.Backend) (ImportReport, error) {
	began := time.Now()
	report := ImportReport{DryRun: m.DryRun}
	if m.Source == "" {
		m.Source = "import"
	}
	err := start(ctx, b, jobName("messages", m.File), m.JobOptions, func(ctx context.Context, r *run) error {
		return m.read(ctx, b, r, &report)
	})
	report.Seconds = time.Since(began).Seconds()
	if report.MessagesMade > 0 {
		report.MessagesPerS = float64(report.MessagesMade) / report.Seconds
	}
	if err == nil && report.Refused > 0 {
		err = ErrRefused
	}
	return report, err
}

func (m MessagesImport) read(ctx context.Context, b *social.Backend, r *run, report *ImportReport) error {
	in, err := openInput(m.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	who := map[string]social.UserID{}
	stored := map[string]social.MessageID{}
	batch := newMessageBatch(b, report, func(key string, id social.MessageID) { stored[key] = id })
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 1<<16), 1<<22)
	for at := 1; lines.Scan(); at++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		report.Messages++
		line, err := parseMessageLine(lines.Bytes())
		if err != nil {
			report.refuse(fmt.Errorf("%s:%d: %w", m.File, at, err))
			continue
		}
		if batch.holds(line.Parent) || batch.size() >= importBatch {
			n := batch.size()
			if err := errors.Join(batch.flush(ctx), r.step(n)); err != nil {
				return err
			}
		}
		msg, err := m.message(ctx, b, line, who, stored)
		var unknown *social.Error
		if errors.As(err, &unknown) {
			report.refuse(fmt.Errorf("%s:%d: %w", m.File, at, err))
			continue
		}
		if err != nil {
			return err
		}
		if !m.DryRun {
			batch.add(line.ID, msg)
		}
	}
	n := batch.size()
	return errors.Join(lines.Err(), batch.flush(ctx), r.step(n))
}

func parseMessageLine(raw []byte) (messageLine, error) {
	var line messageLine
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&line); err != nil {
		return line, err
	}
	if line.ID == "" || line.Author == "" {
		return line, errors.New("a line needs an id and an author")
	}
	return line, nil
}

// message turns a line into what the domain imports: names become accounts, the parent's id what it was imported as.
func (m MessagesImport) message(ctx context.Context, b *social.Backend, line messageLine, who map[string]social.UserID, stored map[string]social.MessageID) (social.ImportedMessage, error) {
	author, err := account(ctx, b, line.Author, who)
	if err != nil {
		return social.ImportedMessage{}, err
	}
	in := social.ImportedMessage{Author: author, Source: m.Source, External: line.ID, Kind: social.KindOriginal, Content: line.Content}
	if line.CreatedAt != nil {
		in.At = *line.CreatedAt
	}
	if line.Visibility != nil {
		in.Visibility = *line.Visibility
	}
	if line.Parent != "" {
		in.Kind = social.KindComment
		in.Parent = stored[line.Parent]
		if in.Parent.IsZero() && line.ParentBy != "" { // imported by another run
			by, err := account(ctx, b, line.ParentBy, who)
			if err != nil {
				return in, err
			}
			if in.Parent, err = b.Messages.Imported(ctx, by, m.Source, line.Parent); err != nil {
				return in, err
			}
		}
	}
	if line.Kind != nil {
		in.Kind = *line.Kind
	}
	return in, nil
}

func account(ctx context.Context, b *social.Backend, name string, who map[string]social.UserID) (social.UserID, error) {
	if id := who[name]; id != 0 {
		return id, nil
	}
	id, err := b.Accounts.Resolve(ctx, social.Viewer{}, "@"+name)
	if err != nil {
		return 0, err
	}
	who[name] = id
	return id, nil
}
