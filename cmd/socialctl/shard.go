package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"socialctl/admin"
	"socialctl/sharding"
)

func (a *app) shardCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "shard",
		Short:   "Make the shards, and see what they hold.",
		Example: "  socialctl shard status",
	}, a.shardInitCommand(), a.shardStatusCommand())
}

func (a *app) shardInitCommand() *cobra.Command {
	var plan admin.InitShards
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Create the meta schema and the shards, once.",
		Long: `Create the meta schema and the shards, once. The shards are put on the databases
in turn. The number of buckets is for ever; shards can be split and moved later.
A second run with the same plan changes nothing and exits with 0; killed in the
middle, it goes on when it is run again. An embedded data folder does this by
itself at first use.`,
		Example: `  socialctl shard init --shards 4 --buckets 1024 --databases a,b --dry-run
  socialctl shard init --databases a,b`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.initShards(cmd.Context(), plan)
		},
	}
	cmd.Flags().IntVar(&plan.Shards, "shards", 0, "How many shards there are. (default 4, or embedded.shards)")
	cmd.Flags().IntVar(&plan.Buckets, "buckets", 0, "How many buckets people are spread over, for ever. (default 1024, or embedded.buckets)")
	cmd.Flags().StringSliceVar(&plan.Databases, "databases", nil, "Which of the configured databases carry the shards, in turn. (none in an embedded folder)")
	cmd.Flags().BoolVar(&plan.DryRun, "dry-run", false, "Say what would be done, and change nothing.")
	return cmd
}

func (a *app) initShards(ctx context.Context, plan admin.InitShards) error {
	loaded, err := a.config()
	if err != nil {
		return err
	}
	report, err := plan.Run(ctx, loaded.Config, a.logger())
	if err != nil {
		return err
	}
	var rows [][]any
	for _, s := range report.Shards {
		rows = append(rows, []any{int(s.Shard), s.Database, s.Schema, s.Buckets, report.Made})
	}
	switch report.Made {
	case admin.OutcomeThere:
		a.note("the shards were there already, made by the same plan; nothing was changed")
	case admin.OutcomeMissing:
		a.note("%d shards would be made", len(rows))
	default:
		a.note("made %d shards", len(rows))
	}
	return a.printer().Table([]string{"shard", "database", "schema", "buckets", "state"}, rows)
}

func (a *app) shardStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what every shard holds, and how evenly.",
		Long: `Show what every shard holds: its epoch, its buckets by state, its people (exact:
accounts that are in use or disabled), rows and bytes over all tables
(estimates), and its skew: its people against the mean of all shards.

A shard that cannot be reached is shown with its problem, and the exit code is 3.`,
		Example: `  socialctl shard status
  socialctl shard status --output json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := a.config()
			if err != nil {
				return err
			}
			reports, err := admin.ShardStatus(cmd.Context(), loaded.Config, a.logger())
			if err != nil {
				return err
			}
			return a.printShards(reports)
		},
	}
}

func (a *app) printShards(reports []admin.ShardReport) error {
	var rows [][]any
	problems := 0
	for _, r := range reports {
		if r.Problem != "" {
			problems++
		}
		rows = append(rows, []any{int(r.Shard.ID()), whereOf(r.Shard), r.Epoch, bucketCounts(r.Buckets), r.Total, skew(r.Skew), r.Rows, r.Bytes, r.Problem})
	}
	columns := []string{"shard", "where", "epoch", "buckets", "people", "skew", "rows_estimate", "bytes_estimate", "problem"}
	if problems == 0 && a.format == formatTable {
		columns = columns[:len(columns)-1]
		for i := range rows {
			rows[i] = rows[i][:len(columns)]
		}
	}
	if err := a.printer().Table(columns, rows); err != nil {
		return err
	}
	if problems > 0 {
		return problemsFound("%d of %d shards have a problem", problems, len(reports))
	}
	return nil
}

func whereOf(s *sharding.Shard) string {
	if s.Database() == "" {
		return s.Schema()
	}
	return s.Database() + "/" + s.Schema()
}

// counts is numbers by name, as text "256 open, 1 fenced" and as JSON an object.
type counts map[string]int64

func (c counts) String() string {
	var parts []string
	for _, name := range sortedNames(c) {
		parts = append(parts, strconv.FormatInt(c[name], 10)+" "+name)
	}
	return strings.Join(parts, ", ")
}

func sortedNames(c counts) []string { return slices.Sorted(maps.Keys(c)) }

func bucketCounts(states map[sharding.State]int) counts {
	out := counts{}
	for state, n := range states {
		out[state.String()] = int64(n)
	}
	return out
}

// skew is a ratio with two digits; 0 where there is nobody to compare.
type skew float64

func (s skew) String() string {
	if s == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(s), 'f', 2, 64)
}
