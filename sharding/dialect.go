package sharding

import (
	"strings"
	"sync"
)

// Dialect is all that differs between the two engines. Statements are written once, for both, with these marks:
//
//	{for update}        FOR UPDATE                               (nothing on SQLite: its writer is alone)
//	{share}             LOCK IN SHARE MODE                       (nothing on SQLite)
//	{primary}           FORCE INDEX (PRIMARY)                    (nothing on SQLite)
//	{straight}          STRAIGHT_JOIN                            CROSS JOIN, which SQLite does not reorder
//	{upsert a, b}       ON DUPLICATE KEY UPDATE                  ON CONFLICT (a, b) DO UPDATE SET
//	{new c}             VALUES(c)                                excluded.c
//	{greatest}          GREATEST                                 MAX
//	{table}             the options after a CREATE TABLE's bracket
//
// VARBINARY(n) becomes BLOB on SQLite, whose NUMERIC affinity would otherwise turn digits into numbers.
type Dialect struct {
	sqlite  bool
	rewrite *sync.Map
}

// MySQL is the dialect that MySQL 8 and MariaDB share.
var MySQL = Dialect{rewrite: new(sync.Map)}

// SQLite is the dialect of the embedded default.
var SQLite = Dialect{sqlite: true, rewrite: new(sync.Map)}

// String names the dialect as goose and the logs do.
func (d Dialect) String() string {
	if d.sqlite {
		return "sqlite3"
	}
	return "mysql"
}

// SQL returns the statement with its marks replaced. The result is remembered for statements without generated lists.
func (d Dialect) SQL(query string) string {
	if !strings.Contains(query, "{") && !strings.Contains(query, "VARBINARY(") {
		return query
	}
	if got, ok := d.rewrite.Load(query); ok {
		return got.(string)
	}
	out := d.expand(query)
	if len(query) < 1500 {
		d.rewrite.Store(query, out)
	}
	return out
}

func (d Dialect) expand(query string) string {
	var b strings.Builder
	rest := query
	for {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			break
		}
		shut := strings.IndexByte(rest[open:], '}')
		if shut < 0 {
			break
		}
		b.WriteString(rest[:open])
		b.WriteString(d.mark(rest[open+1 : open+shut]))
		rest = rest[open+shut+1:]
	}
	b.WriteString(rest)
	if d.sqlite {
		return varbinary(b.String())
	}
	return b.String()
}

func (d Dialect) mark(m string) string {
	word, arg, _ := strings.Cut(m, " ")
	pick := func(mysql, sqlite string) string {
		if d.sqlite {
			return sqlite
		}
		return mysql
	}
	switch word {
	case "for":
		return pick("FOR UPDATE", "")
	case "share":
		return pick("LOCK IN SHARE MODE", "")
	case "primary":
		return pick("FORCE INDEX (PRIMARY)", "")
	case "straight":
		return pick("STRAIGHT_JOIN", "CROSS JOIN")
	case "upsert":
		return pick("ON DUPLICATE KEY UPDATE", "ON CONFLICT ("+arg+") DO UPDATE SET")
	case "new":
		return pick("VALUES("+arg+")", "excluded."+arg)
	case "greatest":
		return pick("GREATEST", "MAX")
	case "table":
		return pick("ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC", "WITHOUT ROWID")
	}
	return "{" + m + "}" // {epoch} is filled in by WriteStatements
}

func varbinary(q string) string {
	for {
		i := strings.Index(q, "VARBINARY(")
		if i < 0 {
			return q
		}
		j := strings.IndexByte(q[i:], ')')
		if j < 0 {
			return q
		}
		q = q[:i] + "BLOB" + q[i+j+1:]
	}
}

// In writes `(cols) IN ((?,?),…)` for n rows, by whose exact keys both engines look up the primary key: MariaDB only
// with in_predicate_conversion_threshold=0 (every session here sets it), SQLite only with VALUES. One key is written as
// plain equalities: MariaDB scans the whole table for a DELETE or UPDATE of a single row value.
func (d Dialect) In(cols string, n int) string {
	width := strings.Count(cols, ",") + 1
	if n == 1 {
		return "(" + strings.ReplaceAll(cols, ",", " = ? AND ") + " = ?)"
	}
	row := "(?" + strings.Repeat(",?", width-1) + ")"
	var b strings.Builder
	b.Grow(len(cols) + n*(len(row)+1) + 16)
	if width == 1 {
		b.WriteString(cols + " IN (?" + strings.Repeat(",?", n-1) + ")")
		return b.String()
	}
	b.WriteString("(" + cols + ") IN (")
	if d.sqlite {
		b.WriteString("VALUES ")
	}
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(row)
	}
	b.WriteByte(')')
	return b.String()
}

// Values writes `(?,?),(?,?)…`: n rows of width columns for a multi-row INSERT.
func Values(width, n int) string {
	row := "(?" + strings.Repeat(",?", width-1) + ")"
	return row + strings.Repeat(","+row, n-1)
}
