package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// newBlockedInput returns input that nobody answers until the test is over.
func newBlockedInput() (io.Reader, func()) {
	r, w := io.Pipe()
	return r, func() { _ = w.Close() }
}

var (
	testColumns = []string{"id", "display_name", "since", "note"}
	testRows    = [][]any{
		{int64(7), "Ada <3", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), nil},
		{int64(1234), "a\x1b[2J\nb", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "x, \"y\""},
	}
)

func printed(t *testing.T, f format, print func(*printer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := print(&printer{w: &b, format: f}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTableAndStream(t *testing.T) {
	const wantTable = `  ID  DISPLAY NAME       SINCE                 NOTE
   7  Ada <3             2026-01-02T03:04:05Z
1234  a\u001b[2J\u000ab  2026-01-02T03:04:05Z  x, "y"
`
	const wantCSV = "id,display_name,since,note\n" +
		"7,Ada <3,2026-01-02T03:04:05Z,\n" +
		"1234,\"a\x1b[2J\nb\",2026-01-02T03:04:05Z,\"x, \"\"y\"\"\"\n"
	const wantLines = `{"id":7,"display_name":"Ada <3","since":"2026-01-02T03:04:05Z","note":null}
{"id":1234,"display_name":"a\u001b[2J\nb","since":"2026-01-02T03:04:05Z","note":"x, \"y\""}
`
	table := func(p *printer) error { return p.Table(testColumns, testRows) }
	stream := func(p *printer) error {
		s := p.Stream(testColumns...)
		for _, row := range testRows {
			if err := s.Row(row...); err != nil {
				return err
			}
		}
		return s.Close()
	}
	for _, test := range []struct {
		name  string
		print func(*printer) error
		form  format
		want  string
	}{
		{"table", table, formatTable, wantTable},
		{"csv", table, formatCSV, wantCSV},
		{"stream of table", stream, formatTable, wantTable},
		{"stream of csv", stream, formatCSV, wantCSV},
		{"stream of json", stream, formatJSON, wantLines},
	} {
		if got := printed(t, test.form, test.print); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
	var items []map[string]any
	if err := json.Unmarshal([]byte(printed(t, formatJSON, table)), &items); err != nil || len(items) != 2 || items[0]["id"] != 7.0 {
		t.Errorf("json: %v, %v", items, err)
	}
}

func TestNoRows(t *testing.T) {
	table := func(p *printer) error { return p.Table([]string{"id", "name"}, nil) }
	stream := func(p *printer) error { return p.Stream("id", "name").Close() }
	for _, test := range []struct {
		print func(*printer) error
		form  format
		want  string
	}{
		{table, formatJSON, "[]\n"},
		{table, formatCSV, "id,name\n"},
		{table, formatTable, "ID  NAME\n"},
		{stream, formatJSON, ""},
		{stream, formatCSV, "id,name\n"},
		{stream, formatTable, "ID  NAME\n"},
	} {
		if got := printed(t, test.form, test.print); got != test.want {
			t.Errorf("%s: %q, want %q", test.form, got, test.want)
		}
	}
}

func TestLongStreamKeepsEveryRow(t *testing.T) {
	got := printed(t, formatTable, func(p *printer) error {
		s := p.Stream("n")
		for i := range 2*tablePiece + 1 {
			if err := s.Row(i); err != nil {
				return err
			}
		}
		return s.Close()
	})
	if lines := strings.Count(got, "\n"); lines != 2*tablePiece+1+3 {
		t.Errorf("%d lines", lines)
	}
}

func TestObject(t *testing.T) {
	v := struct {
		Name  string   `json:"name"`
		Count int      `json:"count"`
		Tags  []string `json:"tags"`
		Gone  *int     `json:"gone"`
	}{"A & B", 2, []string{"x", "y"}, nil}
	object := func(p *printer) error { return p.Object(v) }
	for f, want := range map[format]string{
		formatTable: "name   A & B\ncount  2\ntags   [\"x\",\"y\"]\ngone\n",
		formatCSV:   "name,count,tags,gone\nA & B,2,\"[\"\"x\"\",\"\"y\"\"]\",\n",
		formatJSON:  "{\n  \"name\": \"A & B\",\n  \"count\": 2,\n  \"tags\": [\n    \"x\",\n    \"y\"\n  ],\n  \"gone\": null\n}\n",
	} {
		if got := printed(t, f, object); got != want {
			t.Errorf("%s: %q, want %q", f, got, want)
		}
	}
}

func TestLongValuesAreNotCut(t *testing.T) {
	long := strings.Repeat("long words ", 100) + "end"
	got := printed(t, formatTable, func(p *printer) error { return p.Table([]string{"text"}, [][]any{{long}}) })
	if got != "TEXT\n"+long+"\n" {
		t.Errorf("got %q", got)
	}
}

func TestHeadingsInColour(t *testing.T) {
	var b bytes.Buffer
	p := &printer{w: &b, format: formatTable, color: true}
	if err := p.Table([]string{"id", "name"}, [][]any{{"x", "y"}}); err != nil {
		t.Fatal(err)
	}
	if want := "\x1b[1mID  NAME\x1b[0m\nx   y\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestWriteErrorsAreReturned(t *testing.T) {
	for _, f := range []format{formatTable, formatJSON, formatCSV} {
		p := &printer{w: fullDisk{}, format: f}
		if err := p.Table(testColumns, testRows); err == nil {
			t.Errorf("%s: an error of the output is lost", f)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, fmt.Errorf("no space left on device") }
