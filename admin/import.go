package admin

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"socialctl/social"
)

// ImportReport is what an import did. A second run of the same import reports the same things as known.
type ImportReport struct {
	People        int     `json:"people"`         // that the files name
	PeopleMade    int     `json:"people_made"`    // new accounts
	Follows       int     `json:"follows"`        // that the files name, each direction one
	FollowsMade   int     `json:"follows_made"`   // new ones
	Messages      int     `json:"messages"`       // that the files name
	MessagesMade  int     `json:"messages_made"`  // new ones
	Refused       int     `json:"refused"`        // lines that could not be imported
	Seconds       float64 `json:"seconds"`        //
	FollowsPerSec float64 `json:"follows_per_s"`  // new ones while follows were made
	MessagesPerS  float64 `json:"messages_per_s"` // new ones while messages were stored
	DryRun        bool    `json:"dry_run"`
	FirstRefused  string  `json:"first_refused,omitempty"` // why the first one was refused
}

func (r *ImportReport) refuse(err error) {
	r.Refused++
	if r.FirstRefused == "" {
		r.FirstRefused = err.Error()
	}
}

// ErrRefused says that an import is done and that some lines could not be imported.
var ErrRefused = errors.New("some lines could not be imported")

// openInput opens a file, unpacked where it is gzip by its first bytes; "-" is standard input.
func openInput(name string) (io.ReadCloser, error) {
	file := os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		file = f
	}
	buffered := bufio.NewReaderSize(file, 1<<16)
	magic, err := buffered.Peek(2)
	if err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return joinedCloser{unpacked, file}, nil
	}
	return joinedCloser{buffered, file}, nil
}

type joinedCloser struct {
	io.Reader
	io.Closer
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
func importFollows(ctx context.Context, b *social.Backend, r *run, follows []social.ImportedFollow, report *ImportReport) error {
	report.Follows = len(follows)
	if r.options.DryRun {
		return nil
	}
	const chunk = 8000
	began := time.Now()
	for len(follows) > 0 {
		n := min(chunk, len(follows))
		made, err := b.Relations.Import(ctx, follows[:n])
		report.FollowsMade += made
		if err != nil {
			return err
		}
		follows = follows[n:]
		if err := r.step(n); err != nil {
			return err
		}
	}
	if report.FollowsMade > 0 {
		report.FollowsPerSec = float64(report.FollowsMade) / time.Since(began).Seconds()
	}
	return nil
}

// makePeople makes the accounts that are missing and returns who has each name.
func makePeople(ctx context.Context, b *social.Backend, r *run, people []social.NewAccount, report *ImportReport) ([]social.UserID, error) {
	report.People = len(people)
	var ids []social.UserID
	for len(people) > 0 {
		n := min(500, len(people))
		part, made, err := b.Accounts.CreateMany(ctx, people[:n])
		report.PeopleMade += made
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
