package server_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"socialctl/admin"
	"socialctl/server"
	"socialctl/sharding/shardingtest"
	"socialctl/social"
)

// site is a served backend of a test's own.
type site struct {
	t    *testing.T
	b    *social.Backend
	http *httptest.Server
}

func serve(t *testing.T, p shardingtest.Profile) *site {
	t.Helper()
	cfg := p.Config(t)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b, err := social.Open(t.Context(), cfg, social.OpenOptions{Role: social.RoleServer, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(b, cfg, log, server.Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		web.Close()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{t, b, web}
}

// drain works until nothing is owed, what is not due yet included: an import that took too long on a busy machine leaves
// some of it to the workers.
func (s *site) drain() {
	s.t.Helper()
	for limit := time.Now().Add(2 * time.Minute); ; {
		if _, err := s.b.Pass(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		owed, err := s.b.OutboxStatus(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		if len(owed) == 0 {
			return
		}
		if time.Now().After(limit) {
			s.t.Fatalf("still owed: %+v", owed)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *site) id(name string) social.UserID {
	s.t.Helper()
	id, err := s.b.Accounts.Resolve(s.t.Context(), social.Viewer{}, "@"+name)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// home reads a timeline over HTTP to its end; an entry is its time, its author and its words.
func (s *site) home(id social.UserID, limit int) []string {
	s.t.Helper()
	granted, err := s.b.Sessions.Grant(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	got := []string{}
	for cursor := ""; ; {
		r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, fmt.Sprintf("%s/v1/timelines/home?limit=%d&cursor=%s", s.http.URL, limit, url.QueryEscape(cursor)), nil)
		if err != nil {
			s.t.Fatal(err)
		}
		if cursor == "" {
			r.URL.RawQuery = fmt.Sprintf("limit=%d", limit)
		}
		r.Header.Set("Authorization", "Bearer "+granted.Token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			s.t.Fatal(err)
		}
		var page struct {
			Items []struct {
				CreatedAt string `json:"created_at"`
				Content   string `json:"content"`
				Author    struct {
					ID string `json:"id"`
				} `json:"author"`
			} `json:"items"`
			Next string `json:"next_cursor"`
		}
		err = json.NewDecoder(answer.Body).Decode(&page)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			s.t.Fatalf("status %d, %v", answer.StatusCode, err)
		}
		for _, m := range page.Items {
			got = append(got, m.CreatedAt+" "+m.Author.ID+" "+m.Content)
		}
		if cursor = page.Next; cursor == "" {
			return got
		}
	}
}

// item is a message of the plain model.
type item struct {
	author  string
	at      int64
	content string
}

// plainHome is the plain model: what one and one's friends posted, newest first, and of the same instant the higher id.
func plainHome(friends []string, posts map[string][]item, idOf map[string]social.UserID) []string {
	var all []item
	for _, f := range friends {
		all = append(all, posts[f]...)
	}
	slices.SortFunc(all, func(x, y item) int {
		return cmp.Or(cmp.Compare(y.at, x.at), cmp.Compare(idOf[y.author], idOf[x.author]))
	})
	out := []string{}
	for _, i := range all {
		out = append(out, fmt.Sprintf("%s %s %s", social.Millis(i.at), idOf[i.author], i.content))
	}
	return out
}

func rowsOf(t *testing.T, file, separator string) [][]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var rows [][]string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rows = append(rows, strings.Split(lines.Text(), separator))
	}
	return rows
}

func TestLDBCTimelinesEqualThePlainModel(t *testing.T) {
	dir := filepath.Join(shardingtest.Root(t), "testdata", "ldbc-snb")
	friends, posts := map[string][]string{}, map[string][]item{}
	for _, row := range rowsOf(t, filepath.Join(dir, "person_0_0.csv"), "|")[1:] {
		friends[row[0]] = []string{row[0]}
	}
	for _, row := range rowsOf(t, filepath.Join(dir, "person_knows_person_0_0.csv"), "|")[1:] {
		friends[row[0]] = append(friends[row[0]], row[1])
		friends[row[1]] = append(friends[row[1]], row[0])
	}
	for _, row := range rowsOf(t, filepath.Join(dir, "post_0_0.csv"), "|")[1:] {
		at, err := time.Parse("2006-01-02T15:04:05.000-0700", row[2])
		if err != nil {
			t.Fatal(err)
		}
		posts[row[8]] = append(posts[row[8]], item{row[8], at.UnixMilli(), cmp.Or(row[6], row[1])})
	}
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			s := serve(t, p)
			report, err := admin.LDBCImport{Dir: dir}.Run(t.Context(), s.b)
			if err != nil || report.PeopleMade != 222 || report.FollowsMade != 2*825 || report.MessagesMade != 5924+2218 || report.Rejected != 0 {
				t.Fatalf("%v: %+v", err, report)
			}
			again, err := admin.LDBCImport{Dir: dir}.Run(t.Context(), s.b)
			if err != nil || again.PeopleMade != 0 || again.FollowsMade != 0 || again.MessagesMade != 0 {
				t.Fatalf("the second run: %v, %+v", err, again)
			}
			s.drain()
			ids := map[string]social.UserID{}
			for person := range friends {
				ids[person] = s.id("u" + person)
			}
			for person, list := range friends {
				if got, want := s.home(ids[person], 100), plainHome(list, posts, ids); !slices.Equal(got, want) {
					t.Fatalf("home of %s has %d entries, the model %d", person, len(got), len(want))
				}
			}
			s.commentsOf(dir)
		})
	}
}

// commentsOf compares the number of comments of every post with the file: those on it, and those on comments below it.
func (s *site) commentsOf(dir string) {
	s.t.Helper()
	author, root, want := map[string]string{}, map[string]string{}, map[string]int64{}
	for _, row := range rowsOf(s.t, filepath.Join(dir, "post_0_0.csv"), "|")[1:] {
		author[row[0]] = row[8]
	}
	comments := rowsOf(s.t, filepath.Join(dir, "comment_0_0.csv"), "|")[1:]
	slices.SortFunc(comments, func(x, y []string) int { return cmp.Compare(x[1], y[1]) })
	for _, row := range comments {
		if root[row[0]] = row[8]; row[8] == "" {
			root[row[0]] = root[row[9]]
		}
		want[root[row[0]]]++
	}
	for post, n := range want {
		by := s.id("u" + author[post])
		id, err := s.b.Messages.Imported(s.t.Context(), by, "ldbc", "post:"+post)
		if err != nil {
			s.t.Fatal(err)
		}
		m, err := s.b.Messages.Get(s.t.Context(), social.Viewer{}, id)
		if err != nil || m.CommentCount != n {
			s.t.Fatalf("post %s: %v, has %d comments, the file %d", post, err, m.CommentCount, n)
		}
	}
}

// graphFile is the friendship graph of Reed College (Reed98 of networkrepository.com) where it lies beside the project, or
// a made one of the same size: the test is about the import and not about whose friends they are.
func graphFile(t *testing.T) (file string, real bool) {
	t.Helper()
	file = filepath.Join(shardingtest.Root(t), "..", "shared", "data", "socfb-Reed98.edges")
	if _, err := os.Stat(file); err == nil {
		return file, true
	}
	chance := rand.New(rand.NewPCG(1998, 962))
	var b strings.Builder
	seen := map[[2]int]bool{}
	for len(seen) < 18812 {
		e := [2]int{int(962 * chance.Float64() * chance.Float64()), chance.IntN(962)}
		if e[0] > e[1] {
			e[0], e[1] = e[1], e[0]
		}
		if e[0] != e[1] && !seen[e] {
			seen[e] = true
			fmt.Fprintln(&b, e[0], e[1])
		}
	}
	file = filepath.Join(t.TempDir(), "made.edges")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, false
}

func TestGraphTimelinesEqualThePlainModel(t *testing.T) {
	file, real := graphFile(t)
	friends := map[string][]string{}
	for _, row := range rowsOf(t, file, " ") {
		for i, person := range row[:2] {
			if friends[person] == nil {
				friends[person] = []string{person}
			}
			friends[person] = append(friends[person], row[1-i])
		}
	}
	people := slices.Sorted(func(yield func(string) bool) {
		for p := range friends {
			if !yield(p) {
				return
			}
		}
	})
	posts := map[string][]item{}
	var lines strings.Builder
	for i, person := range slices.Concat(people, people) { // each posts twice, some in the same millisecond
		at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() + int64(i/3)
		content := fmt.Sprintf("post %d of %s", i/len(people)+1, person)
		posts[person] = append(posts[person], item{person, at, content})
		fmt.Fprintf(&lines, `{"id": "%d", "author": "u%s", "content": %q, "created_at": %q}`+"\n", i, person, content, social.Millis(at))
	}
	messages := filepath.Join(t.TempDir(), "messages.jsonl")
	if err := os.WriteFile(messages, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			s := serve(t, p)
			for run := range 2 {
				report, err := admin.GraphImport{File: file, Undirected: true, CreateUsers: true}.Run(t.Context(), s.b)
				if err != nil || report.Follows != 37624 || run == 0 && (report.FollowsMade != 37624 || real && report.PeopleMade != 962) ||
					run == 1 && (report.FollowsMade != 0 || report.PeopleMade != 0) {
					t.Fatalf("run %d: %v: %+v", run, err, report)
				}
				report, err = admin.MessagesImport{File: messages, Source: "test"}.Run(t.Context(), s.b)
				if err != nil || run == 0 && report.MessagesMade != 2*len(people) || run == 1 && report.MessagesMade != 0 {
					t.Fatalf("run %d: %v: %+v", run, err, report)
				}
			}
			s.drain()
			ids := map[string]social.UserID{}
			for _, person := range people {
				ids[person] = s.id("u" + person)
			}
			for _, person := range people {
				if got, want := s.home(ids[person], 100), plainHome(friends[person], posts, ids); !slices.Equal(got, want) {
					t.Fatalf("home of %s has %d entries, the model %d", person, len(got), len(want))
				}
				profile, err := s.b.Accounts.Get(t.Context(), social.Viewer{}, ids[person])
				if n := int64(len(friends[person]) - 1); err != nil || profile.FollowersCount != n || profile.FollowingCount != n {
					t.Fatalf("%s: %v: %+v, the file has %d", person, err, profile, n)
				}
			}
		})
	}
}
