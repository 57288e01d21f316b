package social

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Position is an entry's place in the one order of all lists: by time (milliseconds since 1970), then author, then
// message number, newest first. Lists of people use (rev, account, 0). No part is ever negative.
type Position struct {
	TimeMS int64
	Author UserID
	N      int64
}

// OrderKey is a Position in the one encoding whose byte order is newest first: three big-endian integers, all inverted.
// It is the cursor's content, the Redis member, and the tail of the archive's row key (REVIEW F6).
type OrderKey [24]byte

// Key encodes the position.
func (p Position) Key() OrderKey {
	var k OrderKey
	binary.BigEndian.PutUint64(k[0:], ^uint64(p.TimeMS))
	binary.BigEndian.PutUint64(k[8:], ^uint64(p.Author))
	binary.BigEndian.PutUint64(k[16:], ^uint64(p.N))
	return k
}

// Position decodes what Key encoded.
func (k OrderKey) Position() Position {
	return Position{
		TimeMS: int64(^binary.BigEndian.Uint64(k[0:])),
		Author: UserID(^binary.BigEndian.Uint64(k[8:])),
		N:      int64(^binary.BigEndian.Uint64(k[16:])),
	}
}

// Compare is negative where p comes before q, newest first.
func (p Position) Compare(q Position) int {
	if c := cmp.Compare(q.TimeMS, p.TimeMS); c != 0 {
		return c
	}
	if c := cmp.Compare(q.Author, p.Author); c != 0 {
		return c
	}
	return cmp.Compare(q.N, p.N)
}

// The two ends of the order: no entry lies beyond them.
var (
	newestEnd = boundary{at: Position{math.MaxInt64, math.MaxInt64, math.MaxInt64}}
	oldestEnd = boundary{older: true}
)

// boundary is the gap beside an entry, on its older or its newer side. It stays where it is when entries come and go.
type boundary struct {
	at    Position
	older bool
}

// mark is what a cursor says: go on from a boundary, towards older entries or towards newer ones.
type mark struct {
	boundary
	newer bool
}

// A cursor is a version byte, flags, the 24 bytes, and 16 bytes of HMAC-SHA256 over all that and the list's binding.
const (
	cursorVersion = 1
	cursorNewer   = 1 << 0
	cursorOlder   = 1 << 1
	cursorPayload = 2 + len(OrderKey{})
	cursorMAC     = 16
)

var cursorText = base64.RawURLEncoding.Strict()

// cursors writes and reads the cursors of one list, seen by one account, under one set of filters.
type cursors struct {
	secret  []byte
	binding string
}

func (c cursors) write(m mark) string {
	raw := make([]byte, cursorPayload, cursorPayload+sha256.Size)
	raw[0] = cursorVersion
	if m.newer {
		raw[1] |= cursorNewer
	}
	if m.older {
		raw[1] |= cursorOlder
	}
	key := m.at.Key()
	copy(raw[2:], key[:])
	return cursorText.EncodeToString(c.sign(raw)[:cursorPayload+cursorMAC])
}

func (c cursors) sign(payload []byte) []byte {
	mac := hmac.New(sha256.New, c.secret)
	mac.Write(payload)
	mac.Write([]byte(c.binding))
	return mac.Sum(payload)
}

// read returns what the cursor says; the error for anything that write has not written for this list is cursor_invalid.
func (c cursors) read(text string) (mark, error) {
	invalid := errorf(CodeCursorInvalid, "/cursor", "this cursor does not belong to this list, account and filters")
	if len(text) != cursorText.EncodedLen(cursorPayload+cursorMAC) { // the decoder passes over line breaks
		return mark{}, invalid
	}
	raw, err := cursorText.DecodeString(text)
	if err != nil || len(raw) != cursorPayload+cursorMAC || raw[0] != cursorVersion {
		return mark{}, invalid
	}
	signed := c.sign(slices.Clone(raw[:cursorPayload]))
	if !hmac.Equal(signed[:cursorPayload+cursorMAC], raw) {
		return mark{}, invalid
	}
	return mark{boundary{OrderKey(raw[2:cursorPayload]).Position(), raw[1]&cursorOlder != 0}, raw[1]&cursorNewer != 0}, nil
}

// seek is where a list's rows are wanted from: those beyond a boundary, the nearest first.
type seek struct {
	boundary
	newer bool // towards newer rows
}

// where writes the keyset condition on columns that are the order, newest first; the arguments are args. The condition on
// the first column alone gives MariaDB its range: with the row value alone it scans (REVIEW F42).
func (s seek) where(columns string) string {
	first, _, many := strings.Cut(columns, ",")
	beyond := "<"
	if s.newer {
		beyond = ">"
	}
	exact := beyond
	if s.older == s.newer { // the entry beside the boundary lies beyond it
		exact += "="
	}
	if !many {
		return first + " " + exact + " ?"
	}
	marks := "(?" + strings.Repeat(", ?", strings.Count(columns, ",")) + ")"
	return first + " " + beyond + "= ? AND (" + columns + ") " + exact + " " + marks
}

// order writes the ORDER BY that belongs to where.
func (s seek) order(columns string) string {
	if s.newer {
		return " ORDER BY " + columns
	}
	return " ORDER BY " + strings.ReplaceAll(columns, ",", " DESC,") + " DESC"
}

// placeIn finds where the seek begins among rows that are in order, newest first: those before it are newer.
func placeIn[R any](s seek, rows []R, at func(*R) Position) int {
	return sort.Search(len(rows), func(i int) bool {
		c := at(&rows[i]).Compare(s.at)
		return c > 0 || c == 0 && !s.older
	})
}

// among is the reading of at most n rows of a list that is in memory as a whole, newest first.
func among[R any](s seek, rows []R, at func(*R) Position, n int) []R {
	begin := placeIn(s, rows, at)
	if !s.newer {
		return slices.Clip(rows[begin:min(begin+n, len(rows))])
	}
	rows = slices.Clone(rows[max(0, begin-n):begin])
	slices.Reverse(rows)
	return rows
}

// list is one list as the paging below sees it. Work per call is bounded: a page that finds too little in the rows that
// it may look at is short, or empty, and has a cursor nevertheless.
type list[R, T any] struct {
	secret  []byte
	binding string   // the list's name, what it hangs on, the asker, the filters
	oldest  bool     // shown oldest first
	start   boundary // the first page's, where it is not the list's top

	// read returns at most n rows from the seek on; fewer than n mean that there are no more. Colder sources go behind
	// the hot one in here.
	read func(ctx context.Context, from seek, n int) ([]R, error)
	at   func(*R) Position
	// keep says, by what is in memory, whether a row is worth a closer look; show looks closer and emits what is seen.
	keep func(*R) bool
	show func(ctx context.Context, rows []R, emit func(row int, item T)) error
}

// maxPassed bounds the rows that a page may pass over by their keys and states alone, which is cheap: gone ones, other
// kinds. Those that have to be loaded to be judged are bounded by scanFactor and maxScan.
const maxPassed = 2000

// binding joins what a cursor is bound to.
func binding(name, object string, v Viewer, filters string) string {
	return name + "|" + object + "|" + strconv.FormatInt(int64(v.UserID), 10) + "|" + filters
}

// walk is a page in the making.
type walk[T any] struct {
	items       []T
	first, last Position // of the items
	reached     boundary // beyond the last row that was looked at
	end         bool     // no rows are left beyond reached
}

// page answers one request for a part of the list. Errors: cursor_invalid.
func (l list[R, T]) page(ctx context.Context, p PageRequest) (Page[T], error) {
	c := cursors{l.secret, l.binding}
	from := mark{l.top(), l.oldest}
	if l.start != (boundary{}) {
		from.boundary = l.start
	}
	if p.Cursor != "" {
		var err error
		if from, err = c.read(p.Cursor); err != nil {
			return Page[T]{}, err
		}
	}
	w, err := l.walk(ctx, seek(from), p.limit())
	if err != nil {
		return Page[T]{}, err
	}
	out := Page[T]{Items: w.items}
	if from.newer == l.oldest { // downwards
		if !w.end {
			out.NextCursor = c.write(mark{w.reached, l.oldest})
		}
		above := l.bottom()
		switch {
		case len(w.items) > 0:
			above = l.above(w.first)
		case !w.end:
			above = w.reached
		}
		out.PrevCursor = c.write(mark{above, !l.oldest})
		return out, nil
	}
	slices.Reverse(out.Items)
	if from.boundary != l.bottom() {
		out.NextCursor = c.write(mark{from.boundary, l.oldest})
	}
	switch {
	case !w.end:
		out.PrevCursor = c.write(mark{w.reached, from.newer})
	case len(w.items) > 0:
		out.PrevCursor = c.write(mark{l.above(w.last), from.newer})
	default:
		out.PrevCursor = p.Cursor
	}
	return out, nil
}

func (l list[R, T]) top() boundary {
	if l.oldest {
		return oldestEnd
	}
	return newestEnd
}

func (l list[R, T]) bottom() boundary {
	if l.oldest {
		return newestEnd
	}
	return oldestEnd
}

func (l list[R, T]) above(p Position) boundary { return boundary{p, l.oldest} }

// walk gathers up to limit items from the seek on. It asks for one row more than it needs, to know whether there are
// more, and for more and more rows at a time where it finds little.
func (l list[R, T]) walk(ctx context.Context, from seek, limit int) (walk[T], error) {
	w := walk[T]{items: make([]T, 0, limit), reached: from.boundary}
	looked, passed := 0, 0
	most := max(limit, min(max(limit, DefaultPage)*scanFactor, maxScan))
	chunk := make([]R, 0, limit)
	for n := limit + 1; n > 0 && !w.end && len(w.items) < limit && looked < most; n = min(4*n, maxPassed-passed) {
		rows, err := l.read(ctx, seek{w.reached, from.newer}, n)
		if err != nil {
			return w, err
		}
		w.end = len(rows) < n
		passed += len(rows)
		for len(rows) > 0 && len(w.items) < limit && looked < most {
			chunk = chunk[:0]
			used := 0
			for room := min(limit-len(w.items), most-looked); used < len(rows) && len(chunk) < room; used++ {
				if l.keep == nil || l.keep(&rows[used]) {
					chunk = append(chunk, rows[used])
				}
			}
			if err := l.take(ctx, &w, chunk); err != nil {
				return w, err
			}
			looked += len(chunk)
			w.reached = boundary{l.at(&rows[used-1]), !from.newer}
			rows = rows[used:]
		}
		w.end = w.end && len(rows) == 0
	}
	return w, nil
}

func (l list[R, T]) take(ctx context.Context, w *walk[T], chunk []R) error {
	if len(chunk) == 0 {
		return nil
	}
	return l.show(ctx, chunk, func(row int, item T) {
		w.last = l.at(&chunk[row])
		if len(w.items) == 0 {
			w.first = w.last
		}
		w.items = append(w.items, item)
	})
}
