package admin

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"socialctl/sharding"
	"socialctl/social"
)

// Row is one row of a table as it lies in a shard.
type Row struct {
	Table  string           `json:"table"`
	Shard  sharding.ShardID `json:"shard"`
	Bucket sharding.Bucket  `json:"bucket"`
	Fields Fields           `json:"fields"`
}

// Field is a column with its value, and what a coded value means: "live", a time.
type Field struct {
	Name  string
	Value any // int64, string, or nil
	Means string
}

// Fields are a row's columns in the table's order. As JSON they are an object, in which the meaning of a column state is
// called state_means.
type Fields []Field

// MarshalJSON writes the object.
func (f Fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	pair := func(name string, value any) error {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%q:%s", name, raw)
		return nil
	}
	for _, field := range f {
		if err := pair(field.Name, field.Value); err != nil {
			return nil, err
		}
		if field.Means != "" {
			if err := pair(field.Name+"_means", field.Means); err != nil {
				return nil, err
			}
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Int returns a number among the fields; 0 where there is none of that name.
func (f Fields) Int(name string) int64 {
	for _, field := range f {
		if n, ok := field.Value.(int64); ok && field.Name == name {
			return n
		}
	}
	return 0
}

// Text returns a text among the fields; "" where there is none of that name.
func (f Fields) Text(name string) string {
	for _, field := range f {
		if text, ok := field.Value.(string); ok && field.Name == name {
			return text
		}
	}
	return ""
}

// secretColumns are never shown: their presence is.
var secretColumns = map[string]bool{"password_hash": true, "token_hash": true, "key_hash": true, "use_hash": true}

// hidden stands for a secret that is there.
const hidden = "(hidden)"

// readRows reads whole rows of one table with their bucket. All columns are wanted, also those of a newer schema.
func readRows(ctx context.Context, r *sharding.Reader, table, where string, args ...any) ([]Row, error) {
	rows, err := r.Query(ctx, `SELECT * FROM `+table+` `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", table, err)
	}
	columns, err := rows.ColumnTypes()
	if err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	var out []Row
	for rows.Next() {
		raw := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range raw {
			into[i] = &raw[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, rowOf(table, r.Shard().ID(), columns, raw))
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

func rowOf(table string, shard sharding.ShardID, columns []*sql.ColumnType, raw []any) Row {
	row := Row{Table: table, Shard: shard}
	for i, column := range columns {
		f := Field{Name: column.Name(), Value: plain(raw[i], column.DatabaseTypeName())}
		if secretColumns[f.Name] && f.Value != "" {
			f.Value = hidden
		}
		if n, ok := f.Value.(int64); ok {
			if f.Name == "bucket" {
				row.Bucket = sharding.Bucket(n)
				continue
			}
			f.Means = meaningOf(table, f.Name, n)
		}
		row.Fields = append(row.Fields, f)
	}
	return row
}

// plain brings the two drivers' values to one form: whole numbers, and texts, in hexadecimal where they are none.
func plain(v any, columnType string) any {
	text, ok := v.([]byte)
	if !ok {
		return v
	}
	if strings.Contains(columnType, "INT") {
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return n
		}
	}
	if !utf8.Valid(text) {
		return hex.EncodeToString(text)
	}
	return string(text)
}

func meaningOf(table, column string, n int64) string {
	if strings.HasSuffix(column, "_ms") && n > 0 {
		return social.Millis(n).String()
	}
	return social.Meaning(table, column, n)
}
