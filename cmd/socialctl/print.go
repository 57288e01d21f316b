package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// format is the form in which results are written.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatCSV   format = "csv"
)

func (f *format) String() string { return string(*f) }

func (f *format) Type() string { return "table|json|csv" }

func (f *format) Set(text string) error {
	switch v := format(text); v {
	case formatTable, formatJSON, formatCSV:
		*f = v
		return nil
	}
	return errors.New("want table, json or csv")
}

// printer writes the results of every command, so that all of them have the
// same three forms. Column names are the keys of the JSON form.
type printer struct {
	w      io.Writer
	format format
	color  bool
}

func (a *app) printer() *printer {
	return &printer{w: a.stdout, format: a.format, color: a.colors(a.stdout)}
}

// Table writes rows that are all known: a table, one JSON array, or CSV.
func (p *printer) Table(columns []string, rows [][]any) error {
	switch p.format {
	case formatJSON:
		items := make([]json.RawMessage, 0, len(rows))
		for _, row := range rows {
			item, err := jsonObject(columns, row)
			if err != nil {
				return err
			}
			items = append(items, item)
		}
		return p.document(items)
	case formatCSV:
		return p.csv(append([][]string{columns}, cellsOf(rows)...))
	}
	return p.table(columns, rows)
}

// Object writes one thing, given as a struct with json tags: its fields below
// each other, one JSON object, or CSV with one row.
func (p *printer) Object(v any) error {
	if p.format == formatJSON {
		return p.document(v)
	}
	names, values, err := fieldsOf(v)
	if err != nil {
		return err
	}
	if p.format == formatCSV {
		return p.csv([][]string{names, values})
	}
	rows := make([][]any, len(names))
	for i, name := range names {
		rows[i] = []any{name, values[i]}
	}
	return p.table(nil, rows)
}

func (p *printer) document(v any) error {
	encoder := json.NewEncoder(p.w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func (p *printer) csv(records [][]string) error {
	w := csv.NewWriter(p.w)
	if err := w.WriteAll(records); err != nil {
		return err
	}
	return w.Error()
}

// table leaves out lines and borders, so that awk and grep can read it.
func (p *printer) table(columns []string, rows [][]any) error {
	alignment := alignmentOf(columns, rows)
	var b bytes.Buffer
	t := tablewriter.NewTable(&b,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone},
		})),
		tablewriter.WithPadding(tw.Padding{Right: "  ", Overwrite: true}),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithHeaderAlignmentConfig(alignment),
		tablewriter.WithRowAlignmentConfig(alignment),
		tablewriter.WithTrimSpace(tw.Off),
	)
	if len(columns) > 0 {
		t.Header(headings(columns))
	}
	for _, cells := range cellsOf(rows) {
		for i := range cells {
			cells[i] = visible(cells[i])
		}
		if err := t.Append(cells); err != nil {
			return err
		}
	}
	if err := t.Render(); err != nil {
		return err
	}
	bold := p.color && len(columns) > 0
	for line := range strings.Lines(b.String()) {
		line = strings.TrimRight(line, " \n")
		if bold {
			line, bold = "\x1b[1m"+line+"\x1b[0m", false
		}
		if _, err := io.WriteString(p.w, line+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func headings(columns []string) []string {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = strings.ToUpper(strings.ReplaceAll(c, "_", " "))
	}
	return texts
}

// alignmentOf puts columns of numbers to the right.
func alignmentOf(columns []string, rows [][]any) tw.CellAlignment {
	width := len(columns)
	if len(rows) > 0 {
		width = max(width, len(rows[0]))
	}
	align := make([]tw.Align, width)
	for i := range align {
		align[i] = tw.AlignLeft
		if len(rows) > 0 && i < len(rows[0]) && isNumber(rows[0][i]) {
			align[i] = tw.AlignRight
		}
	}
	return tw.CellAlignment{Global: tw.AlignLeft, PerColumn: align}
}

func isNumber(v any) bool {
	switch v.(type) {
	case int, int32, int64, uint, uint32, uint64, float32, float64:
		return true
	}
	return false
}

func cellsOf(rows [][]any) [][]string {
	all := make([][]string, len(rows))
	for i, row := range rows {
		all[i] = make([]string, len(row))
		for j, v := range row {
			all[i][j] = cell(v)
		}
	}
	return all
}

// cell writes a value as text, as the JSON form has it.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case []string:
		return strings.Join(v, ",")
	}
	return fmt.Sprint(v)
}

// visible escapes what controls a terminal or the direction of text: a display
// name must not be able to move an operator's cursor or break a row in two.
func visible(text string) string {
	if !strings.ContainsFunc(text, isUnprintable) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if isUnprintable(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isUnprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// jsonObject writes one row as an object with the columns in their order.
func jsonObject(columns []string, row []any) (json.RawMessage, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, column := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		var value any
		if i < len(row) {
			value = row[i]
		}
		switch v := value.(type) {
		case time.Time:
			value = v.UTC()
		case time.Duration:
			value = v.String()
		}
		if err := encoder.Encode(column); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := encoder.Encode(value); err != nil {
			return nil, fmt.Errorf("write %s as JSON: %w", column, err)
		}
	}
	b.WriteByte('}')
	var compact bytes.Buffer
	err := json.Compact(&compact, b.Bytes())
	return compact.Bytes(), err
}

// fieldsOf takes a struct apart in the order and with the names of its JSON
// form. A field that holds more than one value is left as JSON.
func fieldsOf(v any) (names, values []string, err error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return nil, nil, fmt.Errorf("print %T: not an object", v)
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, nil, err
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, nil, err
		}
		value := string(raw)
		if value == "null" {
			value = ""
		}
		if raw[0] == '"' {
			if err := json.Unmarshal(raw, &value); err != nil {
				return nil, nil, err
			}
		}
		names, values = append(names, fmt.Sprint(name)), append(values, value)
	}
	return names, values, nil
}
