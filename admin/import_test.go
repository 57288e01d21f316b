package admin_test

import (
	"bufio"
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"socialctl/admin"
	"socialctl/sharding/shardingtest"
	"socialctl/social"
)

func open(t *testing.T, p shardingtest.Profile) *social.Backend {
	t.Helper()
	b, err := social.Open(t.Context(), p.Config(t), social.OpenOptions{Role: social.RoleServer,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// table reads a file of the benchmark as rows of its columns.
func table(t *testing.T, dir, name string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var rows [][]string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rows = append(rows, strings.Split(lines.Text(), "|"))
	}
	return rows[1:]
}

// plain is the plain model: each person's home is what they and their friends posted, newest first.
func plain(t *testing.T, dir string, idOf func(person string) social.UserID) map[string][]string {
	t.Helper()
	type item struct {
		author  string
		at      int64
		content string
	}
	friends := map[string][]string{}
	for _, row := range table(t, dir, "person_0_0.csv") {
		friends[row[0]] = []string{row[0]}
	}
	for _, row := range table(t, dir, "person_knows_person_0_0.csv") {
		friends[row[0]] = append(friends[row[0]], row[1])
		friends[row[1]] = append(friends[row[1]], row[0])
	}
	posts := map[string][]item{}
	for _, row := range table(t, dir, "post_0_0.csv") {
		at, err := time.Parse("2006-01-02T15:04:05.000-0700", row[2])
		if err != nil {
			t.Fatal(err)
		}
		posts[row[8]] = append(posts[row[8]], item{row[8], at.UnixMilli(), cmp.Or(row[6], row[1])})
	}
	homes := map[string][]string{}
	for person, list := range friends {
		var all []item
		for _, friend := range list {
			all = append(all, posts[friend]...)
		}
		slices.SortFunc(all, func(x, y item) int {
			return cmp.Or(cmp.Compare(y.at, x.at), cmp.Compare(idOf(y.author), idOf(x.author)))
		})
		homes[person] = []string{}
		for _, i := range all {
			homes[person] = append(homes[person], fmt.Sprintf("%s %s %s", social.Millis(i.at), idOf(i.author), i.content))
		}
	}
	return homes
}

func TestLDBCTimelinesEqualThePlainModel(t *testing.T) {
	dir := filepath.Join(shardingtest.Root(t), "testdata", "ldbc-snb")
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			b := open(t, p)
			report, err := admin.LDBCImport{Dir: dir}.Run(t.Context(), b)
			if err != nil {
				t.Fatalf("%v: %+v", err, report)
			}
			if report.PeopleMade != 222 || report.FollowsMade != 1650 || report.MessagesMade != 5924+2218 || report.Refused != 0 {
				t.Fatalf("%+v", report)
			}
			t.Logf("%+v", report)
			again, err := admin.LDBCImport{Dir: dir}.Run(t.Context(), b)
			if err != nil || again.PeopleMade != 0 || again.FollowsMade != 0 || again.MessagesMade != 0 {
				t.Fatalf("the second run: %v, %+v", err, again)
			}
			for n := 1; n > 0; {
				if n, err = b.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			ids := map[string]social.UserID{}
			for _, row := range table(t, dir, "person_0_0.csv") {
				if ids[row[0]], err = b.Accounts.Resolve(t.Context(), social.Viewer{}, "@u"+row[0]); err != nil {
					t.Fatal(err)
				}
			}
			for person, want := range plain(t, dir, func(p string) social.UserID { return ids[p] }) {
				got := []string{}
				for cursor := ""; ; {
					page, err := b.Timelines.Home(t.Context(), social.Viewer{UserID: ids[person]}, social.ListQuery{PageRequest: social.PageRequest{Limit: 100, Cursor: cursor}})
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range page.Items {
						got = append(got, fmt.Sprintf("%s %s %s", m.CreatedAt, m.Author.ID, m.Content))
					}
					if cursor = page.NextCursor; cursor == "" {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("home of %s has %d entries, the model %d", person, len(got), len(want))
				}
			}
		})
	}
}
