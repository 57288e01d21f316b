package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"socialctl/social"
)

// LDBCImport reads the files of the LDBC social network benchmark (CSV with |, as its generator writes them): people with
// the dates of their accounts, who knows whom (a follow in both directions), posts and comments with their original dates.
// Person N becomes the account named uN. A photo's post has no words: its content is the picture's file name, as the
// benchmark's own queries take it. What is left out is in the report.
type LDBCImport struct {
	ImportOptions
	Dir    string
	Mended string // a file of rejected lines that have been mended, which are read as if they were in the folder; "" for none
}

// ldbcSource is under which messages of this kind of files are remembered.
const ldbcSource = "ldbc"

// Run imports the folder: people, then follows, then messages in the order of time. It can be killed and run again.
// Errors: ErrStopped, *RefusedError, *UsageError, sharding.ErrJobHeld, sharding.UnavailableError.
func (l LDBCImport) Run(ctx context.Context, b *social.Backend) (ImportReport, error) {
	files, err := l.files()
	if err != nil {
		return ImportReport{}, err
	}
	return l.importing(ctx, b, jobName("ldbc", l.Dir), files.names(), func(ctx context.Context, r *run, t *tally) error {
		set := &ldbcSet{t: t, known: map[string]bool{}}
		if err := files.read(set); err != nil {
			return err
		}
		t.NotTaken = files.notTaken()
		set.check()
		t.People, t.Follows, t.Messages = len(set.people), 2*len(set.knows), len(set.messages)
		if err := t.flush(); err != nil || l.DryRun {
			return err
		}
		accounts := make([]social.NewAccount, len(set.people))
		for i, p := range set.people {
			accounts[i] = p.account()
		}
		ids, err := makePeople(ctx, b, r, accounts, t)
		if err != nil {
			return err
		}
		who := map[string]social.UserID{}
		for i, p := range set.people {
			who[p.id] = ids[i]
		}
		var follows []social.ImportedFollow
		for _, k := range set.knows {
			one, other := who[k.one], who[k.other]
			follows = append(follows, social.ImportedFollow{Follower: one, Followed: other, At: k.at},
				social.ImportedFollow{Follower: other, Followed: one, At: k.at})
		}
		if err := importFollows(ctx, b, r, follows, t); err != nil {
			return err
		}
		return l.messages(ctx, newMessageStore(b, r, t), set.messages, who)
	})
}

type ldbcPerson struct {
	line     inputLine
	id, name string
	at       social.Millis
}

func (p ldbcPerson) account() social.NewAccount {
	return social.NewAccount{Name: "u" + p.id, DisplayName: p.name, At: p.at}
}

type ldbcKnows struct {
	line       inputLine
	one, other string
	at         social.Millis
}

type ldbcMessage struct {
	line                          inputLine
	key, author, content, answers string // keys are post:N and comment:N
	at                            social.Millis
}

// ldbcSet is what the files hold.
type ldbcSet struct {
	t        *tally
	known    map[string]bool // people
	people   []ldbcPerson
	knows    []ldbcKnows
	messages []ldbcMessage
}

// check refuses what names people who are in no file, and brings messages into the order of time.
func (s *ldbcSet) check() {
	s.knows = slices.DeleteFunc(s.knows, func(k ldbcKnows) bool {
		ok := s.known[k.one] && s.known[k.other]
		if !ok {
			s.t.reject(k.line, refuse("not both are in the file of people", "%.40q and %.40q", k.one, k.other))
		}
		return !ok
	})
	s.messages = slices.DeleteFunc(s.messages, func(m ldbcMessage) bool {
		if !s.known[m.author] {
			s.t.reject(m.line, refuse("its creator is not in the file of people", "%.40q", m.author))
		}
		return !s.known[m.author]
	})
	slices.SortStableFunc(s.messages, func(x, y ldbcMessage) int { return cmp.Compare(x.at, y.at) })
}

func (s *ldbcSet) addPerson(row ldbcRow) error {
	p := ldbcPerson{row.line, row.get("id"), row.get("firstName") + " " + row.get("lastName"), row.at}
	if err := p.account().Check(); err != nil {
		return err
	}
	s.known[p.id] = true
	s.people = append(s.people, p)
	return nil
}

func (s *ldbcSet) addKnows(row ldbcRow) error {
	s.knows = append(s.knows, ldbcKnows{row.line, row.get("Person.id"), row.get("Person.id#2"), row.at})
	return nil
}

func (s *ldbcSet) addPost(row ldbcRow) error {
	s.messages = append(s.messages, ldbcMessage{row.line, "post:" + row.get("id"), row.get("creator"),
		cmp.Or(row.get("content"), row.get("imageFile")), "", row.at})
	return nil
}

func (s *ldbcSet) addComment(row ldbcRow) error {
	answers := "post:" + row.get("replyOfPost")
	if reply := row.get("replyOfComment"); reply != "" {
		answers = "comment:" + reply
	}
	s.messages = append(s.messages, ldbcMessage{row.line, "comment:" + row.get("id"), row.get("creator"), row.get("content"), answers, row.at})
	return nil
}

// messages imports in the order of time.
func (l LDBCImport) messages(ctx context.Context, store *messageStore, list []ldbcMessage, who map[string]social.UserID) error {
	for len(list) > 0 {
		n := min(len(list), store.r.batch(importBatch))
		for _, m := range list[:n] {
			in := social.ImportedMessage{Author: who[m.author], Source: ldbcSource, External: m.key, At: m.at, Kind: social.KindOriginal, Content: m.content}
			if m.answers != "" {
				in.Kind = social.KindComment
			}
			store.add(importedMessage{m.line, m.key, m.answers, in})
		}
		if err := store.flush(ctx); err != nil {
			return fmt.Errorf("store messages: %w", err)
		}
		if err := store.r.step(n); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}
