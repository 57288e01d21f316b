package admin

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"socialctl/social"
)

// GraphImport reads an edge list: two numbers a line, the first follows the second. Lines that begin with # or % are
// comments; further columns are passed over. Number N is the account named uN.
type GraphImport struct {
	JobOptions
	File        string // "-" is standard input; gzip is seen by itself
	Undirected  bool   // each line is a follow in both directions
	CreateUsers bool   // make the accounts that are missing; without it their lines are refused
}

// Run imports the file. It can be killed and run again: what is there is left alone. Errors: ErrStopped, ErrRefused,
// sharding.ErrJobHeld, sharding.UnavailableError.
func (g GraphImport) Run(ctx context.Context, b *social.Backend) (ImportReport, error) {
	began := time.Now()
	report := ImportReport{DryRun: g.DryRun}
	err := start(ctx, b, jobName("graph", g.File), g.JobOptions, func(ctx context.Context, r *run) error {
		edges, numbers, err := g.read(&report)
		if err != nil {
			return err
		}
		ids, err := g.people(ctx, b, r, numbers, &report)
		if err != nil {
			return err
		}
		var follows []social.ImportedFollow
		for _, e := range edges {
			from, to := ids[e[0]], ids[e[1]]
			if from == 0 || to == 0 {
				if !g.DryRun || !g.CreateUsers {
					report.refuse(fmt.Errorf("u%d and u%d are not both accounts: --create-users makes them", e[0], e[1]))
					continue
				}
			}
			follows = append(follows, social.ImportedFollow{Follower: from, Followed: to})
			if g.Undirected {
				follows = append(follows, social.ImportedFollow{Follower: to, Followed: from})
			}
		}
		return importFollows(ctx, b, r, follows, &report)
	})
	report.Seconds = time.Since(began).Seconds()
	if err == nil && report.Refused > 0 {
		err = ErrRefused
	}
	return report, err
}

// read takes the whole list in: 16 bytes an edge. Each pair counts once, and nobody follows themselves.
func (g GraphImport) read(report *ImportReport) (edges [][2]int64, numbers []int64, err error) {
	in, err := openInput(g.File)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = in.Close() }()
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 1<<16), 1<<20)
	seen, known := map[[2]int64]bool{}, map[int64]bool{}
	for at := 1; lines.Scan(); at++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' || text[0] == '%' {
			continue
		}
		edge, err := parseEdge(text)
		if err != nil {
			report.refuse(fmt.Errorf("%s:%d: %w", g.File, at, err))
			continue
		}
		for _, n := range edge {
			if !known[n] {
				known[n] = true
				numbers = append(numbers, n)
			}
		}
		if g.Undirected && edge[0] > edge[1] {
			edge[0], edge[1] = edge[1], edge[0]
		}
		if edge[0] != edge[1] && !seen[edge] {
			seen[edge] = true
			edges = append(edges, edge)
		}
	}
	return edges, numbers, lines.Err()
}

func parseEdge(text string) ([2]int64, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == ';' || r == '|' })
	var edge [2]int64
	if len(fields) < 2 {
		return edge, fmt.Errorf("%.40q is not two numbers", text)
	}
	for i := range edge {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil || n < 0 {
			return edge, fmt.Errorf("%.40q is not a number from 0", fields[i])
		}
		edge[i] = n
	}
	return edge, nil
}

func (g GraphImport) people(ctx context.Context, b *social.Backend, r *run, numbers []int64, report *ImportReport) (map[int64]social.UserID, error) {
	out := make(map[int64]social.UserID, len(numbers))
	list := make([]social.NewAccount, len(numbers))
	for i, n := range numbers {
		list[i] = social.NewAccount{Name: fmt.Sprintf("u%d", n)}
	}
	report.People = len(list)
	if g.DryRun || !g.CreateUsers {
		found, err := b.Accounts.Holders(ctx, list)
		for i, n := range numbers {
			if err == nil && found[i] != 0 {
				out[n] = found[i]
			}
		}
		return out, err
	}
	ids, err := makePeople(ctx, b, r, list, report)
	if err != nil {
		return nil, err
	}
	for i, n := range numbers {
		out[n] = ids[i]
	}
	return out, nil
}
