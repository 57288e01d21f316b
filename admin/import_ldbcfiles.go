package admin

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"socialctl/social"
)

// ldbcTable is one of the tables that are read, with its columns of which something is made.
type ldbcTable struct {
	name    string
	columns []string
	add     func(set *ldbcSet, row ldbcRow) error
}

// ldbcTables lists them in the order in which they are read. A column that comes twice is NAME and NAME#2.
var ldbcTables = []ldbcTable{
	{"person", []string{"id", "firstName", "lastName", "creationDate"}, (*ldbcSet).addPerson},
	{"person_knows_person", []string{"Person.id", "Person.id#2", "creationDate"}, (*ldbcSet).addKnows},
	{"post", []string{"id", "imageFile", "creationDate", "content", "creator"}, (*ldbcSet).addPost},
	{"comment", []string{"id", "creationDate", "content", "creator", "replyOfPost", "replyOfComment"}, (*ldbcSet).addComment},
}

// ldbcPart is the name of a part of a table: person_0_0.csv, person_1_0.csv …
var ldbcPart = regexp.MustCompile(`^([a-z_]+?)_[0-9]+_[0-9]+\.csv(\.gz)?$`)

const ldbcTime = "2006-01-02T15:04:05.000-0700"

// ldbcRow is one row of a table.
type ldbcRow struct {
	line    inputLine
	columns []string
	fields  []string
	at      social.Millis
}

func (r ldbcRow) get(column string) string {
	return r.fields[slices.Index(r.columns, column)]
}

// ldbcFiles are the files of a folder, by table.
type ldbcFiles struct {
	parts  map[string][]string
	others []string // tables that are not read
	mended string
	unread map[string][]string // columns that are not read, by table
}

func (l LDBCImport) files() (*ldbcFiles, error) {
	entries, err := os.ReadDir(l.Dir)
	if err != nil {
		return nil, err
	}
	f := &ldbcFiles{parts: map[string][]string{}, mended: l.Mended, unread: map[string][]string{}}
	for _, e := range entries {
		found := ldbcPart.FindStringSubmatch(e.Name())
		if found == nil {
			continue
		}
		if table := found[1]; tableOf(table) != nil {
			f.parts[table] = append(f.parts[table], filepath.Join(l.Dir, e.Name()))
		} else if !slices.Contains(f.others, table) {
			f.others = append(f.others, table)
		}
	}
	for _, t := range ldbcTables {
		if len(f.parts[t.name]) == 0 {
			return nil, fmt.Errorf("%s: no file %s_0_0.csv: is this a folder of LDBC social network files?", l.Dir, t.name)
		}
	}
	return f, nil
}

func tableOf(name string) *ldbcTable {
	for i := range ldbcTables {
		if ldbcTables[i].name == name {
			return &ldbcTables[i]
		}
	}
	return nil
}

// names lists the files that are read.
func (f *ldbcFiles) names() []string {
	var all []string
	for _, t := range ldbcTables {
		all = append(all, f.parts[t.name]...)
	}
	if f.mended != "" {
		all = append(all, f.mended)
	}
	return all
}

// notTaken lists what the files hold and an import leaves out: columns as TABLE.COLUMN, and tables.
func (f *ldbcFiles) notTaken() []string {
	var all []string
	for _, t := range ldbcTables {
		for _, c := range f.unread[t.name] {
			all = append(all, t.name+"."+c)
		}
	}
	return append(all, f.others...)
}

func (f *ldbcFiles) read(set *ldbcSet) error {
	for _, t := range ldbcTables {
		for _, part := range f.parts[t.name] {
			if err := f.readFile(part, &ldbcReader{files: f, set: set, table: &t}); err != nil {
				return err
			}
		}
	}
	if f.mended == "" {
		return nil
	}
	return f.readFile(f.mended, &ldbcReader{files: f, set: set, sections: true})
}

// ldbcReader reads one file: rows of a table, or sections that each name theirs in a comment.
type ldbcReader struct {
	files    *ldbcFiles
	set      *ldbcSet
	sections bool
	table    *ldbcTable
	from     *inputFile // the part of a table that lines are of
	columns  []string   // nil before the row that names them
}

func (f *ldbcFiles) readFile(name string, r *ldbcReader) error {
	in, err := openLines(name)
	if err != nil {
		return err
	}
	defer in.close()
	r.from = in.file
	r.from.table = filepath.Base(name)
	if r.sections {
		in.comment = r.section
	}
	for {
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.table == nil {
			return fmt.Errorf("%s:%d: no comment says of which table the line is: it must begin as a file of rejects does, with %sTABLE_0_0.csv", name, line.number, rejectsOf)
		}
		line.from = r.from
		if r.columns == nil {
			if err := r.header(line); err != nil {
				return err
			}
			continue
		}
		if err := r.row(line); err != nil {
			r.set.t.reject(line, err)
		}
	}
}

// section begins another table where a comment names one.
func (r *ldbcReader) section(comment string) {
	name, ok := strings.CutPrefix(comment, rejectsOf)
	if found := ldbcPart.FindStringSubmatch(strings.TrimSpace(name)); ok && found != nil {
		r.table, r.columns = tableOf(found[1]), nil
		r.from = &inputFile{name: r.from.name, table: found[0]}
	}
}

// header takes the row that names the columns.
func (r *ldbcReader) header(line inputLine) error {
	for _, c := range strings.Split(line.text, "|") {
		if slices.Contains(r.columns, c) {
			c += "#2"
		}
		r.columns = append(r.columns, c)
		if unread := r.files.unread[r.table.name]; !slices.Contains(r.table.columns, c) && !slices.Contains(unread, c) {
			r.files.unread[r.table.name] = append(unread, c)
		}
	}
	for _, c := range r.table.columns {
		if !slices.Contains(r.columns, c) {
			return fmt.Errorf("%s:%d: there is no column %s; a %s has the columns %s", line.from.name, line.number, c, r.table.name,
				strings.Join(r.table.columns, ", "))
		}
	}
	r.from.header = line.text
	return nil
}

func (r *ldbcReader) row(line inputLine) error {
	if !utf8.ValidString(line.text) {
		return &refusal{reason: reasonNotUTF8}
	}
	row := ldbcRow{line: line, columns: r.columns, fields: strings.Split(line.text, "|")}
	if len(row.fields) != len(r.columns) {
		return refuse("not as many columns as the first line has", "%d instead of %d", len(row.fields), len(r.columns))
	}
	when, err := time.Parse(ldbcTime, row.get("creationDate"))
	if err != nil {
		return refuse("creationDate is not a time", "%.40q", row.get("creationDate"))
	}
	row.at = social.Millis(when.UnixMilli())
	return r.table.add(r.set, row)
}
