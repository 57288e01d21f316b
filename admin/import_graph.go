package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"socialctl/social"
)

// GraphImport reads an edge list: two numbers a line, the first follows the second. Lines that begin with # or % are
// comments; further columns are passed over. Number N is the account named uN.
type GraphImport struct {
	ImportOptions
	File        string // "-" is standard input; gzip is seen by itself
	Undirected  bool   // each line is a follow in both directions
	CreateUsers bool   // make the accounts that are missing; without it their lines are refused
}

// graph is an edge list that has been read.
type graph struct {
	edges   [][2]int64
	lines   []inputLine // of the edges, where they may yet be refused
	numbers []int64     // of people
}

// Run imports the file. It can be killed and run again: what is there is left alone. Errors: ErrStopped, *RefusedError,
// *UsageError, sharding.ErrJobHeld, sharding.UnavailableError.
func (g GraphImport) Run(ctx context.Context, b *social.Backend) (ImportReport, error) {
	return g.importing(ctx, b, jobName("graph", g.File), []string{g.File}, func(ctx context.Context, r *run, t *tally) error {
		list, err := g.read(t)
		if err != nil {
			return err
		}
		ids, err := g.people(ctx, b, r, list.numbers, t)
		if err != nil {
			return err
		}
		var follows []social.ImportedFollow
		for i, e := range list.edges {
			from, to := ids[e[0]], ids[e[1]]
			if !g.CreateUsers && (from == 0 || to == 0) {
				t.reject(list.lines[i], refuse("not both are accounts", "u%d and u%d; --create-users makes them", e[0], e[1]))
				continue
			}
			follows = append(follows, social.ImportedFollow{Follower: from, Followed: to})
			if g.Undirected {
				follows = append(follows, social.ImportedFollow{Follower: to, Followed: from})
			}
		}
		return importFollows(ctx, b, r, follows, t)
	})
}

// read takes the whole list in: 16 bytes an edge. Each pair counts once, and nobody follows themselves.
func (g GraphImport) read(t *tally) (*graph, error) {
	in, err := openLines(g.File)
	if err != nil {
		return nil, err
	}
	defer in.close()
	list := &graph{}
	seen, known := map[[2]int64]bool{}, map[int64]bool{}
	for {
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		text := strings.TrimSpace(line.text)
		if text[0] == '%' {
			continue
		}
		edge, err := parseEdge(text)
		if err != nil {
			t.reject(line, err)
			continue
		}
		for _, n := range edge {
			if !known[n] {
				known[n] = true
				list.numbers = append(list.numbers, n)
			}
		}
		if g.Undirected && edge[0] > edge[1] {
			edge[0], edge[1] = edge[1], edge[0]
		}
		if edge[0] != edge[1] && !seen[edge] {
			seen[edge] = true
			list.edges = append(list.edges, edge)
			if !g.CreateUsers {
				list.lines = append(list.lines, line)
			}
		}
	}
}

func parseEdge(text string) ([2]int64, error) {
	var edge [2]int64
	if !utf8.ValidString(text) {
		return edge, &refusal{reason: reasonNotUTF8}
	}
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == ';' || r == '|' })
	if len(fields) < 2 {
		return edge, refuse("not two numbers", "%.40q", text)
	}
	for i := range edge {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil || n < 0 {
			return edge, refuse("not a number from 0", "%.40q", fields[i])
		}
		edge[i] = n
	}
	return edge, nil
}

func (g GraphImport) people(ctx context.Context, b *social.Backend, r *run, numbers []int64, t *tally) (map[int64]social.UserID, error) {
	out := make(map[int64]social.UserID, len(numbers))
	list := make([]social.NewAccount, len(numbers))
	for i, n := range numbers {
		list[i] = social.NewAccount{Name: fmt.Sprintf("u%d", n)}
	}
	t.People = len(list)
	if g.DryRun || !g.CreateUsers {
		found, err := b.Accounts.Holders(ctx, list)
		for i, n := range numbers {
			if err == nil && found[i] != 0 {
				out[n] = found[i]
			}
		}
		return out, err
	}
	ids, err := makePeople(ctx, b, r, list, t)
	if err != nil {
		return nil, err
	}
	for i, n := range numbers {
		out[n] = ids[i]
	}
	return out, nil
}
