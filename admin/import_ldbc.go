package admin

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"socialctl/social"
)

// LDBCImport reads the files of the LDBC social network benchmark (CSV with |, as its generator writes them): people,
// who knows whom (a follow in both directions), posts and comments with their original dates. Person N becomes the
// account named uN. A photo's post has no words: its content is the picture's file name, as the benchmark's own queries
// take it. Likes are left out.
type LDBCImport struct {
	JobOptions
	Dir string
}

// ldbcSource is under which messages of this kind of files are remembered.
const ldbcSource = "ldbc"

// importBatch is how many messages are handed over at once.
const importBatch = 1000

// Run imports the folder: people, then follows, then messages in the order of time. It can be killed and run again.
// Errors: ErrStopped, ErrRefused, sharding.ErrJobHeld, sharding.UnavailableError.
func (l LDBCImport) Run(ctx context.Context, b *social.Backend) (ImportReport, error) {
	began := time.Now()
	report := ImportReport{DryRun: l.DryRun}
	err := start(ctx, b, jobName("ldbc", l.Dir), l.JobOptions, func(ctx context.Context, r *run) error {
		set, err := l.read(&report)
		if err != nil {
			return err
		}
		report.People, report.Follows, report.Messages = len(set.people), len(set.follows), len(set.messages)
		if l.DryRun {
			return nil
		}
		accounts := make([]social.NewAccount, len(set.people))
		for i, p := range set.people {
			accounts[i] = social.NewAccount{Name: "u" + p.id, DisplayName: p.name}
		}
		ids, err := makePeople(ctx, b, r, accounts, &report)
		if err != nil {
			return err
		}
		who := map[string]social.UserID{}
		for i, p := range set.people {
			who[p.id] = ids[i]
		}
		var follows []social.ImportedFollow
		for _, k := range set.follows {
			from, to := who[k.from], who[k.to]
			if from == 0 || to == 0 {
				report.refuse(fmt.Errorf("%s knows %s: not both in the file of people", k.from, k.to))
				continue
			}
			follows = append(follows, social.ImportedFollow{Follower: from, Followed: to, At: k.at})
		}
		if err := importFollows(ctx, b, r, follows, &report); err != nil {
			return err
		}
		return l.messages(ctx, b, r, set.messages, who, &report)
	})
	report.Seconds = time.Since(began).Seconds()
	if err == nil && report.Refused > 0 {
		err = ErrRefused
	}
	return report, err
}

type ldbcPerson struct{ id, name string }

type ldbcKnows struct {
	from, to string
	at       social.Millis
}

type ldbcMessage struct {
	key, author, content, answers string // keys are post:N and comment:N
	at                            social.Millis
}

type ldbcSet struct {
	people   []ldbcPerson
	follows  []ldbcKnows
	messages []ldbcMessage
}

func (l LDBCImport) read(report *ImportReport) (*ldbcSet, error) {
	set := &ldbcSet{}
	message := func(kind, content string, row map[string]string, at social.Millis, answers string) {
		set.messages = append(set.messages, ldbcMessage{key: kind + ":" + row["id"], author: row["creator"],
			content: content, answers: answers, at: at})
	}
	files := []struct {
		name string
		take func(row map[string]string, at social.Millis)
	}{
		{"person", func(row map[string]string, _ social.Millis) {
			set.people = append(set.people, ldbcPerson{row["id"], row["firstName"] + " " + row["lastName"]})
		}},
		{"person_knows_person", func(row map[string]string, at social.Millis) {
			a, b := row["Person.id"], row["Person.id#2"]
			set.follows = append(set.follows, ldbcKnows{a, b, at}, ldbcKnows{b, a, at})
		}},
		{"post", func(row map[string]string, at social.Millis) {
			message("post", cmp.Or(row["content"], row["imageFile"]), row, at, "")
		}},
		{"comment", func(row map[string]string, at social.Millis) {
			answers := "post:" + row["replyOfPost"]
			if row["replyOfComment"] != "" {
				answers = "comment:" + row["replyOfComment"]
			}
			message("comment", row["content"], row, at, answers)
		}},
	}
	for _, f := range files {
		if err := l.readFile(f.name, report, f.take); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(set.messages, func(x, y ldbcMessage) int { return cmp.Compare(x.at, y.at) })
	return set, nil
}

// readFile reads every part of one table: name_0_0.csv, name_1_0.csv … A column that comes twice is NAME and NAME#2.
func (l LDBCImport) readFile(name string, report *ImportReport, take func(row map[string]string, at social.Millis)) error {
	parts, err := filepath.Glob(filepath.Join(l.Dir, name+"_[0-9]*_[0-9]*.csv"))
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return fmt.Errorf("%s: no file %s_0_0.csv: is this a folder of LDBC social network files?", l.Dir, name)
	}
	for _, part := range parts {
		if err := l.readPart(part, report, take); err != nil {
			return err
		}
	}
	return nil
}

const ldbcTime = "2006-01-02T15:04:05.000-0700"

func (l LDBCImport) readPart(part string, report *ImportReport, take func(row map[string]string, at social.Millis)) error {
	in, err := openInput(part)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 1<<16), 1<<24)
	var columns []string
	for at := 1; lines.Scan(); at++ {
		fields := strings.Split(lines.Text(), "|")
		if columns == nil {
			for i, c := range fields {
				if slices.Contains(fields[:i], c) {
					c += "#2"
				}
				columns = append(columns, c)
			}
			continue
		}
		if len(fields) != len(columns) {
			report.refuse(fmt.Errorf("%s:%d: %d columns instead of %d", part, at, len(fields), len(columns)))
			continue
		}
		row := make(map[string]string, len(columns))
		for i, c := range columns {
			row[c] = fields[i]
		}
		when, err := time.Parse(ldbcTime, row["creationDate"])
		if err != nil {
			report.refuse(fmt.Errorf("%s:%d: creationDate %.40q is not a time", part, at, row["creationDate"]))
			continue
		}
		take(row, social.Millis(when.UnixMilli()))
	}
	return lines.Err()
}

// messages imports in the order of time, in batches of which none holds both a message and its answer.
func (l LDBCImport) messages(ctx context.Context, b *social.Backend, r *run, list []ldbcMessage, who map[string]social.UserID, report *ImportReport) error {
	began := time.Now()
	stored := map[string]social.MessageID{}
	batch := newMessageBatch(b, report, func(key string, id social.MessageID) { stored[key] = id })
	for _, m := range list {
		author := who[m.author]
		if author == 0 {
			report.refuse(fmt.Errorf("%s: its creator %s is not in the file of people", m.key, m.author))
			continue
		}
		if batch.holds(m.answers) || batch.size() >= importBatch {
			n := batch.size()
			if err := errors.Join(batch.flush(ctx), r.step(n)); err != nil {
				return err
			}
		}
		in := social.ImportedMessage{Author: author, Source: ldbcSource, External: m.key, At: m.at, Kind: social.KindOriginal, Content: m.content}
		if m.answers != "" {
			in.Kind, in.Parent = social.KindComment, stored[m.answers]
		}
		batch.add(m.key, in)
	}
	n := batch.size()
	if err := errors.Join(batch.flush(ctx), r.step(n)); err != nil {
		return err
	}
	if report.MessagesMade > 0 {
		report.MessagesPerS = float64(report.MessagesMade) / time.Since(began).Seconds()
	}
	return nil
}
