package social

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// positions are drawn so that times, and times with authors, are often equal.
func positions() *rapid.Generator[Position] {
	small := rapid.Int64Range(0, 3)
	large := rapid.Int64Range(0, math.MaxInt64)
	part := rapid.OneOf(small, small, small, large)
	return rapid.Custom(func(t *rapid.T) Position {
		return Position{part.Draw(t, "time"), UserID(part.Draw(t, "author")), part.Draw(t, "n")}
	})
}

func TestOrderKeyComparesLikePositions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := positions().Draw(t, "p"), positions().Draw(t, "q")
		kp, kq := p.Key(), q.Key()
		if got, want := bytes.Compare(kp[:], kq[:]), p.Compare(q); got != want {
			t.Fatalf("keys of %v and %v compare as %d, positions as %d", p, q, got, want)
		}
		if kp.Position() != p {
			t.Fatalf("%v came back as %v", p, kp.Position())
		}
		newer := p.TimeMS > q.TimeMS || p.TimeMS == q.TimeMS && (p.Author > q.Author || p.Author == q.Author && p.N > q.N)
		if newer != (p.Compare(q) < 0) {
			t.Fatalf("%v and %v: newest is not first", p, q)
		}
	})
}

// The third comparison: what ORDER BY and each of the four keyset conditions of the real statement make of the same rows.
func TestF6OrderKeyIsTheOrderOfSQL(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		reader := UserID(0)
		rapid.Check(t, func(rt *rapid.T) {
			reader++
			all := rapid.SliceOfNDistinct(positions(), 1, 40, rapid.ID).Draw(rt, "rows")
			for _, p := range all {
				s.entry(reader, entry{id: MessageID{p.Author, p.N}, timeMS: p.TimeMS, kind: KindOriginal, live: true})
			}
			s.flush()
			slices.SortFunc(all, func(p, q Position) int {
				kp, kq := p.Key(), q.Key()
				return bytes.Compare(kp[:], kq[:])
			})
			edge := rapid.OneOf(rapid.SampledFrom(all), positions()).Draw(rt, "edge")
			from := seek{boundary{edge, rapid.Bool().Draw(rt, "older")}, rapid.Bool().Draw(rt, "newer")}
			got, err := s.b.entries(context.Background(), reader, from, 100)
			if err != nil {
				rt.Fatal(err)
			}
			want := beyond(all, from)
			if !slices.EqualFunc(got, want, func(e entry, p Position) bool { return e.position() == p }) {
				rt.Fatalf("from %+v\n got %v\nwant %v", from, got, want)
			}
		})
	})
}

// beyond is the naive reading of what a seek means, on positions newest first.
func beyond(all []Position, from seek) []Position {
	var out []Position
	for _, p := range all {
		c := p.Compare(from.at)
		older := c > 0 || c == 0 && !from.older
		if older != from.newer {
			out = append(out, p)
		}
	}
	if from.newer {
		slices.Reverse(out)
	}
	return out
}

func TestCursorsOfOthersForgedOrCutAreRefused(t *testing.T) {
	mine := cursors{[]byte("a secret of the cluster"), binding("home", "", Viewer{UserID: 7}, "14")}
	was := mark{boundary{Position{1_700_000_000_123, 42, 17}, true}, false}
	text := mine.write(was)
	if got, err := mine.read(text); err != nil || got != was {
		t.Fatalf("%+v came back as %+v, %v", was, got, err)
	}
	bad := map[string]string{"empty": "", "cut": text[:len(text)-1], "longer": text + "A", "line break": text[:20] + "\n" + text[20:],
		"line break in place of a character": text[:20] + "\n" + text[21:], "padded": text + "=", "words": strings.Repeat("?", len(text))}
	raw, _ := base64.RawURLEncoding.DecodeString(text)
	for i := range raw {
		for bit := range 8 {
			forged := slices.Clone(raw)
			forged[i] ^= 1 << bit
			bad[fmt.Sprintf("bit %d of byte %d", bit, i)] = base64.RawURLEncoding.EncodeToString(forged)
		}
	}
	for name, c := range bad {
		if _, err := mine.read(c); CodeOf(err) != CodeCursorInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, other := range map[string]cursors{
		"other list":    {mine.secret, binding("comments", "", Viewer{UserID: 7}, "14")},
		"other object":  {mine.secret, binding("home", "1-1", Viewer{UserID: 7}, "14")},
		"other viewer":  {mine.secret, binding("home", "", Viewer{UserID: 8}, "14")},
		"nobody":        {mine.secret, binding("home", "", Viewer{}, "14")},
		"other filters": {mine.secret, binding("home", "", Viewer{UserID: 7}, "2")},
		"other cluster": {[]byte("another secret of a cluster"), mine.binding},
	} {
		if _, err := other.read(text); CodeOf(err) != CodeCursorInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCursor(f *testing.F) {
	c := cursors{[]byte("secret"), "home||7|14"}
	f.Add(c.write(mark{newestEnd, false}))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := c.read(text)
		if err == nil && c.write(m) != text {
			t.Fatalf("%q was taken for %+v, which is written %q", text, m, c.write(m))
		}
	})
}

// item is an entry of the lists below: dull ones are passed over by their row alone, hidden ones once looked at.
type item struct {
	at           Position
	dull, hidden bool
}

// shelf is a list in memory, newest first.
type shelf struct {
	items  []item
	oldest bool
	reads  int // rows handed out
	shows  int // rows looked at
}

func (s *shelf) list() list[item, Position] {
	return list[item, Position]{
		secret: []byte("secret"), binding: "shelf", oldest: s.oldest,
		read: func(_ context.Context, from seek, n int) ([]item, error) {
			var out []item
			for i := 0; i < len(s.items) && len(out) < n; i++ {
				it := s.items[i]
				if from.newer {
					it = s.items[len(s.items)-1-i]
				}
				c := it.at.Compare(from.at)
				if older := c > 0 || c == 0 && !from.older; older != from.newer {
					out = append(out, it)
				}
			}
			s.reads += len(out)
			return out, nil
		},
		at:   func(it *item) Position { return it.at },
		keep: func(it *item) bool { return !it.dull },
		show: func(_ context.Context, rows []item, emit func(int, Position)) error {
			s.shows += len(rows)
			for i := range rows {
				if !rows[i].hidden {
					emit(i, rows[i].at)
				}
			}
			return nil
		},
	}
}

func (s *shelf) put(it item) {
	at, found := slices.BinarySearchFunc(s.items, it.at, func(have item, p Position) int { return have.at.Compare(p) })
	if !found {
		s.items = slices.Insert(s.items, at, it)
	}
}

// seen lists what the reader sees, in the list's own order.
func (s *shelf) seen() []Position {
	var out []Position
	for _, it := range s.items {
		if !it.dull && !it.hidden {
			out = append(out, it.at)
		}
	}
	if s.oldest {
		slices.Reverse(out)
	}
	return out
}

func (s *shelf) get(t rapid.TB, limit int, cursor string) Page[Position] {
	t.Helper()
	p, err := s.list().page(context.Background(), PageRequest{Limit: limit, Cursor: cursor})
	if err != nil {
		t.Fatal(err)
	}
	if p.PrevCursor == "" {
		t.Fatal("a page without prev_cursor")
	}
	if len(p.Items) > limit {
		t.Fatalf("%d items, limit %d", len(p.Items), limit)
	}
	return p
}

func items() *rapid.Generator[item] {
	return rapid.Custom(func(t *rapid.T) item {
		it := item{at: Position{rapid.Int64Range(1, 60).Draw(t, "time"), UserID(rapid.Int64Range(1, 3).Draw(t, "author")), rapid.Int64Range(1, 2).Draw(t, "n")}}
		switch rapid.IntRange(0, 5).Draw(t, "sort") {
		case 0:
			it.dull = true
		case 1:
			it.hidden = true
		}
		return it
	})
}

func drawShelf(t *rapid.T) *shelf {
	s := &shelf{oldest: rapid.Bool().Draw(t, "oldest")}
	for _, it := range rapid.SliceOfN(items(), 0, 120).Draw(t, "items") {
		s.put(it)
	}
	return s
}

// A walk down to the end is the whole list: no repeat, no gap, in order. Entries that come or go on the way, above or
// below, change nothing for the others. From every page prev leads to exactly what is next above, and next from there
// leads down again.
func TestCursorWalksTheWholeListWhileItChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawShelf(t)
		inOrder := func(p, q Position) int {
			if s.oldest {
				return q.Compare(p)
			}
			return p.Compare(q)
		}
		always := map[Position]bool{} // seen at every moment of the walk
		for _, p := range s.seen() {
			always[p] = true
		}
		var walked []Position
		cursor := ""
		for {
			p := s.get(t, rapid.IntRange(1, 12).Draw(t, "limit"), cursor)
			walked = append(walked, p.Items...)
			checkAbove(t, s, p, rapid.IntRange(1, 12).Draw(t, "up"))
			if p.NextCursor == "" {
				break
			}
			if p.NextCursor == cursor {
				t.Fatal("next_cursor leads nowhere")
			}
			cursor = p.NextCursor
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				if len(s.items) > 0 && rapid.Bool().Draw(t, "remove") {
					i := rapid.IntRange(0, len(s.items)-1).Draw(t, "which")
					delete(always, s.items[i].at)
					s.items = slices.Delete(s.items, i, i+1)
				} else {
					s.put(items().Draw(t, "new"))
				}
			}
		}
		if !slices.IsSortedFunc(walked, inOrder) {
			t.Fatalf("out of order: %v", walked)
		}
		for i := 1; i < len(walked); i++ {
			if walked[i] == walked[i-1] {
				t.Fatalf("%v came twice", walked[i])
			}
		}
		for p := range always {
			if !slices.Contains(walked, p) {
				t.Fatalf("%v was left out: %v", p, walked)
			}
		}
	})
}

// checkAbove goes up from a page and down again, on a list that rests meanwhile.
func checkAbove(t *rapid.T, s *shelf, p Page[Position], limit int) {
	seen := s.seen()
	above := seen
	var back Position
	if len(p.Items) > 0 {
		back = p.Items[0]
		above = seen[:slices.Index(seen, back)]
	} else if p.NextCursor != "" {
		return // an empty page in the middle: the walk itself is the test
	}
	up := s.get(t, limit, p.PrevCursor)
	want := above[max(0, len(above)-limit):]
	if !slices.Equal(up.Items, want) {
		t.Fatalf("above %v: got %v, want %v", p.Items, up.Items, want)
	}
	if len(want) == 0 && up.PrevCursor != p.PrevCursor {
		t.Fatal("nothing is above, and prev_cursor is another one")
	}
	if len(p.Items) == 0 {
		return
	}
	if up.NextCursor == "" {
		t.Fatal("the page above has no way down")
	}
	down := s.get(t, 1, up.NextCursor)
	if len(down.Items) == 0 && down.NextCursor != "" { // hidden ones lie between
		return
	}
	if len(down.Items) == 0 || down.Items[0] != back {
		t.Fatalf("down again from above %v: %v", back, down.Items)
	}
}

// A poller that goes up by prev_cursor alone sees every entry that arrives above, once.
func TestGoingUpMeetsEveryArrivalOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &shelf{}
		next := int64(0)
		arrive := func(n int) {
			for range n {
				next++
				s.put(item{at: Position{next / 2, UserID(next), 1}, hidden: rapid.IntRange(0, 9).Draw(t, "hidden") == 0})
			}
		}
		arrive(rapid.IntRange(0, 3).Draw(t, "before"))
		first := s.get(t, 3, "")
		got := slices.Clone(first.Items)
		slices.Reverse(got)
		cursor := first.PrevCursor
		for range rapid.IntRange(1, 8).Draw(t, "polls") {
			arrive(rapid.IntRange(0, 9).Draw(t, "arrivals"))
			for {
				up := s.get(t, rapid.IntRange(1, 5).Draw(t, "limit"), cursor)
				slices.Reverse(up.Items)
				got = append(got, up.Items...)
				if up.PrevCursor == cursor {
					if len(up.Items) > 0 {
						t.Fatal("the same prev_cursor although something was above")
					}
					break
				}
				cursor = up.PrevCursor
			}
		}
		want := s.seen()
		slices.Reverse(want)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
	})
}

func TestPrevCursorOfAnEmptyListIsAboveNothing(t *testing.T) {
	for _, oldest := range []bool{false, true} {
		s := &shelf{oldest: oldest}
		empty := s.get(t, 2, "")
		if len(empty.Items) != 0 || empty.NextCursor != "" {
			t.Fatalf("an empty list answers %+v", empty)
		}
		if again := s.get(t, 2, empty.PrevCursor); again.PrevCursor != empty.PrevCursor || again.NextCursor != "" || len(again.Items) != 0 {
			t.Fatalf("nothing is above yet: %+v", again)
		}
		for n := range int64(5) {
			s.put(item{at: Position{n, 1, n}})
		}
		all := s.seen()
		page := s.get(t, 2, empty.PrevCursor)
		if !slices.Equal(page.Items, all[3:]) || page.NextCursor != "" {
			t.Fatalf("oldest %v: above nothing are %v, got %+v", oldest, all[3:], page)
		}
		if page = s.get(t, 2, page.PrevCursor); !slices.Equal(page.Items, all[1:3]) {
			t.Fatalf("oldest %v: then %v, got %v", oldest, all[1:3], page.Items)
		}
		if page = s.get(t, 1, page.NextCursor); !slices.Equal(page.Items, all[3:4]) {
			t.Fatalf("oldest %v: and down again %v, got %v", oldest, all[3:4], page.Items)
		}
	}
}

// The common page reads one row more than it shows, and says exactly whether there are more.
func TestAPageReadsOneRowMore(t *testing.T) {
	s := &shelf{}
	for n := range int64(40) {
		s.put(item{at: Position{n, 1, n}})
	}
	first := s.get(t, 20, "")
	if s.reads != 21 || s.shows != 20 || first.NextCursor == "" {
		t.Fatalf("%d rows read, %d looked at for 20; next %q", s.reads, s.shows, first.NextCursor)
	}
	if second := s.get(t, 20, first.NextCursor); len(second.Items) != 20 || second.NextCursor != "" {
		t.Fatalf("the last page has %d items, next %q", len(second.Items), second.NextCursor)
	}
}

// Work per call is bounded, whatever hides the rows, and a client that goes on comes to the end.
func TestWorkPerPageIsBounded(t *testing.T) {
	for _, dull := range []bool{true, false} {
		s := &shelf{}
		for n := range int64(9000) {
			s.items = append(s.items, item{at: Position{9000 - n, 1, 1}, dull: dull, hidden: !dull})
		}
		s.items = append(s.items, item{at: Position{0, 1, 1}})
		for _, limit := range []int{1, 20, 100} {
			pages, cursor := 0, ""
			for {
				s.reads, s.shows = 0, 0
				p := s.get(t, limit, cursor)
				pages++
				if s.shows > maxScan || s.reads > 2*maxPassed || !dull && s.reads > 5*max(limit, min(scanFactor*max(limit, DefaultPage), maxScan)) {
					t.Fatalf("limit %d: one page read %d rows and looked at %d", limit, s.reads, s.shows)
				}
				if p.NextCursor == "" {
					if !slices.Equal(p.Items, []Position{{0, 1, 1}}) {
						t.Fatalf("limit %d: the last page has %v", limit, p.Items)
					}
					break
				}
				cursor = p.NextCursor
			}
			if pages < 3 {
				t.Fatalf("limit %d: %d pages over 9,000 hidden rows", limit, pages)
			}
			s.reads = 0
			if up := s.get(t, limit, s.get(t, limit, cursor).PrevCursor); up.PrevCursor == "" || s.reads > 4*maxPassed {
				t.Fatalf("limit %d: going up read %d rows", limit, s.reads)
			}
		}
	}
}

func TestAReadThatFailsFailsThePage(t *testing.T) {
	broken := errors.New("the shard is away")
	l := (&shelf{}).list()
	l.read = func(context.Context, seek, int) ([]item, error) { return nil, broken }
	if _, err := l.page(t.Context(), PageRequest{}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	full := &shelf{items: []item{{at: Position{1, 1, 1}}}}
	l = full.list()
	l.show = func(context.Context, []item, func(int, Position)) error { return broken }
	if _, err := l.page(t.Context(), PageRequest{}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

// Without a condition on the first column alone MariaDB reads the whole timeline for every page (REVIEW F42: 34 pages a
// second against 26,600).
func TestF42KeysetUsesRange(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		const reader = UserID(5)
		for n := range int64(3000) {
			s.entry(reader, entry{id: MessageID{UserID(1 + n%7), n}, timeMS: 1000 + n/3, kind: KindOriginal, live: true})
		}
		s.flush()
		for _, from := range []seek{{newestEnd, false}, {oldestEnd, true},
			{boundary{Position{1500, 3, 9}, true}, false}, {boundary{Position{1500, 3, 9}, false}, false},
			{boundary{Position{1500, 3, 9}, true}, true}, {boundary{Position{1500, 3, 9}, false}, true}} {
			plan := s.explain(reader, `SELECT time_ms, author_id, msg_id FROM msg_index
				WHERE bucket = ? AND user_id = ? AND `+from.where(entryOrder)+from.order(entryOrder)+` LIMIT ?`,
				s.b.bucket(reader), int64(reader), from.at.TimeMS, from.at.TimeMS, int64(from.at.Author), from.at.N, 21)
			s.wantRange(t, plan, "PRIMARY", fmt.Sprint(from))
		}
	})
}

// wantRange checks what an engine says of its plan: a range of the index on MariaDB, a search on SQLite, no sorting.
func (s *stage) wantRange(t *testing.T, plan, index, what string) {
	t.Helper()
	lower := strings.ToLower(plan)
	if s.cluster {
		if !strings.Contains(plan, "range "+index) || strings.Contains(lower, "filesort") || strings.Contains(lower, "temporary") {
			t.Errorf("%s: no range on %s: %s", what, index, plan)
		}
		return
	}
	if !strings.Contains(plan, "SEARCH") || strings.Contains(plan, "SCAN") || strings.Contains(plan, "TEMP B-TREE") {
		t.Errorf("%s: no search: %s", what, plan)
	}
}
