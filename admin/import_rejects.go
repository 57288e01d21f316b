package admin

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"socialctl/social"
)

// refusal is why a line cannot be imported: a reason of which there are few, and what it is about in this line.
type refusal struct{ reason, detail string }

func (r *refusal) Error() string {
	if r.detail == "" {
		return r.reason
	}
	return r.reason + ": " + r.detail
}

func refuse(reason, format string, args ...any) error {
	return &refusal{reason, fmt.Sprintf(format, args...)}
}

// Reasons that more than one kind of file has.
const (
	reasonNotUTF8   = "not valid UTF-8"
	reasonNoAccount = "no such account"
	reasonBadName   = "not a valid name"
)

// reasonOf is the part of an error that is the same for all lines that are refused for it.
func reasonOf(err error) string {
	var r *refusal
	var told *social.Error
	switch {
	case errors.As(err, &r):
		return r.reason
	case errors.As(err, &told) && told.Code == social.CodeNameInvalid:
		return reasonBadName
	}
	return err.Error()
}

// firstRejects is how many rejected lines are shown with the result.
const firstRejects = 5

// rejectsHeld is how many rejected lines are held back, to bring them into the order of the file.
const rejectsHeld = 10_000

type rejectedLine struct {
	inputLine
	err error
}

// tally is the report of an import under way, with the lines that it refuses.
type tally struct {
	ImportReport
	held    []rejectedLine
	rejects *rejectsFile // nil where nobody wants them
}

// reject counts a line that cannot be imported.
func (t *tally) reject(line inputLine, err error) {
	t.Rejected++
	t.Reasons[reasonOf(err)]++
	if t.held = append(t.held, rejectedLine{line, err}); len(t.held) >= rejectsHeld {
		_ = t.flush() // the file keeps its error
	}
}

// flush writes what is held back, in the order of the files' lines.
func (t *tally) flush() error {
	slices.SortStableFunc(t.held, func(x, y rejectedLine) int {
		return cmp.Or(cmp.Compare(x.from.name, y.from.name), cmp.Compare(x.number, y.number))
	})
	for _, l := range t.held {
		if len(t.First) < firstRejects {
			t.First = append(t.First, fmt.Sprintf("%s:%d: %v", l.from.name, l.number, l.err))
		}
		if t.rejects != nil {
			t.rejects.add(l)
		}
	}
	t.held = t.held[:0]
	if t.rejects != nil {
		return t.rejects.err
	}
	return nil
}

// rejectsFile gets every refused line below a comment with its number and the reason, so that it can be mended and
// imported itself. What was in it before goes when the import has something to say.
type rejectsFile struct {
	file  *os.File
	made  bool // there was none before
	out   *bufio.Writer
	from  *inputFile // of the line before
	begun bool
	err   error
}

// openRejects makes sure that the file can be written, before anything is imported.
func openRejects(name string, overwrite bool, inputs []string) (*rejectsFile, error) {
	was, err := os.Stat(name)
	made := errors.Is(err, fs.ErrNotExist)
	if err == nil {
		for _, input := range inputs {
			if is, err := os.Stat(input); err == nil && os.SameFile(is, was) {
				return nil, &UsageError{fmt.Errorf("--rejects: %s is what is to be imported", name)}
			}
		}
		if was.Mode().IsRegular() && was.Size() > 0 && !overwrite {
			return nil, &UsageError{fmt.Errorf("--rejects: %s is there and is not empty; --yes overwrites it", name)}
		}
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--rejects: %w", err)
	}
	return &rejectsFile{file: file, made: made, out: bufio.NewWriter(file)}, nil
}

// begin empties the file. A pipe or a terminal has nothing to empty.
func (f *rejectsFile) begin() {
	if f.begun {
		return
	}
	f.begun = true
	if is, err := f.file.Stat(); err == nil && is.Mode().IsRegular() {
		f.err = errors.Join(f.err, f.file.Truncate(0))
	}
}

func (f *rejectsFile) add(l rejectedLine) {
	f.begin()
	if f.from != l.from && l.from.header != "" {
		f.write(fmt.Sprintf("%s%s\n%s\n", rejectsOf, l.from.table, l.from.header))
	}
	f.from = l.from
	f.write(fmt.Sprintf("# line %d: %s\n%s\n", l.number, oneLine(l.err.Error()), l.text))
}

// rejectsOf is how a comment begins that names the table of which the lines that follow are: its columns come next.
const rejectsOf = "# file "

func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, text)
}

func (f *rejectsFile) write(text string) {
	if f.err == nil {
		_, f.err = f.out.WriteString(text)
	}
}

// close ends the file. What there was is left as it was where the import has nothing to say.
func (f *rejectsFile) close(handled bool) error {
	if handled {
		f.begin()
	}
	err := errors.Join(f.err, f.out.Flush(), f.file.Close())
	if !f.begun && f.made {
		err = errors.Join(err, os.Remove(f.file.Name()))
	}
	if err != nil {
		return fmt.Errorf("--rejects: %w", err)
	}
	return nil
}
