package admin

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"socialctl/social"
)

// ImportOptions are what every import takes.
type ImportOptions struct {
	JobOptions
	Rejects   string // a file for the lines that are refused; "" for none
	Overwrite bool   // also where that file is there and not empty
}

// Validate names the flag at fault.
func (o ImportOptions) Validate() error {
	if o.Rejects == "-" {
		return errors.New("--rejects: - is no file: standard output has the result")
	}
	return o.JobOptions.Validate()
}

// ImportReport is what an import did. A second run of the same import reports the same things as known.
type ImportReport struct {
	Complete      bool           `json:"complete"`               // all lines were read and are imported, known or rejected
	People        int            `json:"people"`                 // that the files name
	PeopleMade    int            `json:"people_made"`            // new accounts
	Follows       int            `json:"follows"`                // that the files name, each direction one
	FollowsMade   int            `json:"follows_made"`           // new ones
	Messages      int            `json:"messages"`               // that the files name
	MessagesMade  int            `json:"messages_made"`          // new ones
	Rejected      int            `json:"rejected"`               // lines that could not be imported
	Reasons       map[string]int `json:"reasons"`                // of these, by why
	RejectsFile   string         `json:"rejects_file,omitempty"` // where they are
	NotTaken      []string       `json:"not_taken,omitempty"`    // what the files hold and an import leaves out
	Seconds       float64        `json:"seconds"`                //
	FollowsPerSec float64        `json:"follows_per_s"`          // new ones while follows were made
	MessagesPerS  float64        `json:"messages_per_s"`         // new ones while messages were stored
	DryRun        bool           `json:"dry_run"`
	First         []string       `json:"-"` // the first few rejected lines: file, number and reason
}

// Handled reports whether anything that the files name was looked at: before that there is no result to show.
func (r ImportReport) Handled() bool { return r.People+r.Follows+r.Messages > 0 }

// RefusedError says that an import is done and that some lines could not be imported.
type RefusedError struct{ Lines int }

func (e *RefusedError) Error() string {
	if e.Lines == 1 {
		return "1 line could not be imported"
	}
	return fmt.Sprintf("%d lines could not be imported", e.Lines)
}

// importing runs an import as a job, with its report and its file of rejects. inputs are the files that it reads.
func (o ImportOptions) importing(ctx context.Context, b *social.Backend, job string, inputs []string,
	body func(ctx context.Context, r *run, t *tally) error) (ImportReport, error) {
	began := time.Now()
	t := &tally{ImportReport: ImportReport{Reasons: map[string]int{}, DryRun: o.DryRun, RejectsFile: o.Rejects}}
	if err := o.Validate(); err != nil {
		return t.ImportReport, &UsageError{err}
	}
	if o.Rejects != "" {
		var err error
		if t.rejects, err = openRejects(o.Rejects, o.Overwrite, inputs); err != nil {
			return t.ImportReport, err
		}
	}
	err := start(ctx, b, job, o.JobOptions, func(ctx context.Context, r *run) error {
		return errors.Join(body(ctx, r, t), t.flush())
	})
	t.Seconds = time.Since(began).Seconds()
	if t.rejects != nil {
		err = errors.Join(err, t.rejects.close(err == nil || t.Handled()))
	}
	t.Complete = err == nil
	if err == nil && t.Rejected > 0 {
		err = &RefusedError{t.Rejected}
	}
	return t.ImportReport, err
}

// jobName names the lock of an import: one run at a time for each input.
func jobName(kind, input string) string {
	if abs, err := filepath.Abs(input); err == nil {
		input = abs
	}
	if len(input) > 150 {
		input = input[len(input)-150:]
	}
	return "import-" + kind + ":" + input
}

// importFollows makes follows in chunks that keep a few transactions busy, and counts them.
func importFollows(ctx context.Context, b *social.Backend, r *run, follows []social.ImportedFollow, t *tally) error {
	t.Follows = len(follows)
	if r.options.DryRun {
		return nil
	}
	began := time.Now()
	for len(follows) > 0 {
		n := min(r.batch(8000), len(follows))
		made, err := b.Relations.Import(ctx, follows[:n])
		t.FollowsMade += made
		if err != nil {
			return err
		}
		follows = follows[n:]
		if err := r.step(n); err != nil {
			return err
		}
	}
	if t.FollowsMade > 0 {
		t.FollowsPerSec = float64(t.FollowsMade) / time.Since(began).Seconds()
	}
	return nil
}

// makePeople makes the accounts that are missing and returns who has each name.
func makePeople(ctx context.Context, b *social.Backend, r *run, people []social.NewAccount, t *tally) ([]social.UserID, error) {
	t.People = len(people)
	var ids []social.UserID
	for len(people) > 0 {
		n := min(r.batch(500), len(people))
		part, made, err := b.Accounts.CreateMany(ctx, people[:n])
		t.PeopleMade += made
		if err != nil {
			return nil, err
		}
		ids = append(ids, part...)
		people = people[n:]
		if err := r.step(n); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// batch is how many items are handed over at once: fewer where a second has fewer.
func (r *run) batch(most int) int {
	if r.limiter == nil {
		return most
	}
	return min(most, r.limiter.Burst())
}
