package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"socialctl/admin"
	"socialctl/social"
)

func (a *app) importCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "import",
		Short: "Bring in people, follows and messages from files.",
		Long: `Bring in people, follows and messages from files, into a running or resting
system. An import can be stopped or killed and run again: what is there is left
alone, and nothing comes twice.

Files are UTF-8, with or without a byte order mark, plain or gzip; lines that
begin with # are comments. A line that cannot be imported is refused, and the
others are imported: the exit code is 3 then, the first few reasons are shown,
and --rejects FILE gets every refused line, below a comment with its number and
the reason, so that it can be mended and imported itself. A file that cannot be
read to its end is exit code 1; where something was imported before that, the
result so far is printed, with complete false.`,
		Example: "  socialctl import graph friends.edges --undirected --create-users",
	}, a.importGraphCommand(), a.importLDBCCommand(), a.importMessagesCommand())
}

// jobFlags adds the flags of every long job.
func (a *app) jobFlags(flags *pflag.FlagSet, o *admin.JobOptions) {
	flags.BoolVar(&o.DryRun, "dry-run", false, "Say what would be done, and change nothing.")
	flags.DurationVar(&o.MaxDuration, "max-duration", 0, "Stop after this `TIME` at a checkpoint, with exit code 4. (0 for never)")
	flags.Float64Var(&o.Rate, "rate", 0, "At most so many `ITEMS` a second. (0 for no bound)")
}

func (a *app) importFlags(flags *pflag.FlagSet, o *admin.ImportOptions) {
	flags.StringVar(&o.Rejects, "rejects", "", "`FILE` for the lines that are refused, also in a dry run. One that is there must be empty, or --yes overwrites it.")
	a.jobFlags(flags, &o.JobOptions)
}

func (a *app) importGraphCommand() *cobra.Command {
	var g admin.GraphImport
	cmd := &cobra.Command{
		Use:   "graph FILE",
		Short: "Import follows from an edge list.",
		Long: `Import follows from an edge list, plain or gzip: two numbers a line, the first
follows the second; - is standard input. Number N is the account named uN.
Further columns, and lines that begin with # or %, are passed over; a pair that
comes twice counts once, and nobody follows themselves. The list is read whole
before anything is imported.`,
		Example: `  socialctl import graph friends.edges --undirected --create-users
  socialctl import graph friends.edges --rejects refused.edges
  zcat follows.gz | socialctl import graph - --dry-run`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g.File = args[0]
			return a.runImport(cmd.Context(), &g.ImportOptions, "import graph", func(ctx context.Context, b *social.Backend) (admin.ImportReport, error) {
				return g.Run(ctx, b)
			})
		},
	}
	cmd.Flags().BoolVar(&g.Undirected, "undirected", false, "Each line is a follow in both directions.")
	cmd.Flags().BoolVar(&g.CreateUsers, "create-users", false, "Make the accounts that are missing, named u<number>.")
	a.importFlags(cmd.Flags(), &g.ImportOptions)
	return cmd
}

func (a *app) importLDBCCommand() *cobra.Command {
	var l admin.LDBCImport
	cmd := &cobra.Command{
		Use:   "ldbc DIR [MENDED]",
		Short: "Import the files of the LDBC social network benchmark.",
		Long: `Import the files of the LDBC social network benchmark with their dates: people,
friendships as follows in both directions, posts and comments. Person N becomes
the account named uN, which is there since the person's creation date; comments
are numbered in the order of their dates. What the files hold and is not taken
(gender, birthday, places, likes …) is listed with the result. The files are
read whole before anything is imported.

A file that --rejects has made holds lines of several tables. Mended, it is read
as MENDED, with the folder that its lines belong to.`,
		Example: `  socialctl import ldbc testdata/ldbc-snb
  socialctl import ldbc testdata/ldbc-snb --dry-run -o json`,
		Args: takes(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l.Dir = args[0]
			if len(args) > 1 {
				l.Mended = args[1]
			}
			return a.runImport(cmd.Context(), &l.ImportOptions, "import ldbc", func(ctx context.Context, b *social.Backend) (admin.ImportReport, error) {
				return l.Run(ctx, b)
			})
		},
	}
	a.importFlags(cmd.Flags(), &l.ImportOptions)
	return cmd
}

func (a *app) importMessagesCommand() *cobra.Command {
	var m admin.MessagesImport
	cmd := &cobra.Command{
		Use:   "messages FILE",
		Short: "Import messages from JSON lines.",
		Long: `Import messages from JSON lines, plain or gzip; - is standard input. A line is
{"id", "author", "content"} and, where wanted, "created_at", "visibility",
"parent" (the id of an earlier line; "parent_author" when that was another
run's), and "kind" (comment, repost). author is an account's name.

The lines of an author come in the order of time: one that is older than the
newest message of its author is refused. Comments on a message are numbered in
the order of the lines, also where a run is killed and run again within a day.`,
		Example: `  socialctl import messages messages.jsonl --source old-forum
  socialctl import messages messages.jsonl --rejects refused.jsonl
  socialctl import messages - --dry-run < messages.jsonl`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m.File = args[0]
			return a.runImport(cmd.Context(), &m.ImportOptions, "import messages", func(ctx context.Context, b *social.Backend) (admin.ImportReport, error) {
				return m.Run(ctx, b)
			})
		},
	}
	cmd.Flags().StringVar(&m.Source, "source", "import", "Where the ids come from: with the id it names a message for ever.")
	a.importFlags(cmd.Flags(), &m.ImportOptions)
	return cmd
}

// shownProgress lets a job of package admin move this command's progress.
type shownProgress struct{ *progress }

func (p shownProgress) Advance(n int) { p.advance(int64(n)) }

func (a *app) runImport(ctx context.Context, o *admin.ImportOptions, what string,
	run func(context.Context, *social.Backend) (admin.ImportReport, error)) error {
	if err := o.Validate(); err != nil {
		return usageError("%w", err)
	}
	if is, err := os.Stat(o.Rejects); err == nil && is.Mode().IsRegular() && is.Size() > 0 {
		if err := a.confirm(ctx, fmt.Sprintf("--rejects: %s is there and is not empty. Overwrite it?", o.Rejects)); err != nil {
			return err
		}
		o.Overwrite = true
	}
	b, err := a.open(ctx, social.RoleTool)
	if err != nil {
		return err
	}
	shown := a.progress(what, -1)
	o.Progress = shownProgress{shown}
	report, err := run(ctx, b)
	shown.finish()
	err = errors.Join(err, b.Close())
	if err != nil && !report.Handled() && !errors.Is(err, admin.ErrStopped) {
		return err // nothing was done: there is no result
	}
	if printed := a.printImport(report); printed != nil {
		return printed
	}
	a.showRejects(report)
	return err
}

// importTable is the report as a table and as CSV: what is a list or a map in JSON is one line of text.
type importTable struct {
	admin.ImportReport
	Reasons  string `json:"reasons"`
	NotTaken string `json:"not_taken,omitempty"`
}

func (a *app) printImport(report admin.ImportReport) error {
	if a.format == formatJSON {
		return a.printer().Object(report)
	}
	var reasons []string
	for _, reason := range byCount(report.Reasons) {
		reasons = append(reasons, fmt.Sprintf("%d %s", report.Reasons[reason], reason))
	}
	return a.printer().Object(importTable{report, strings.Join(reasons, "; "), strings.Join(report.NotTaken, ", ")})
}

// byCount lists reasons, the most frequent first.
func byCount(reasons map[string]int) []string {
	return slices.SortedFunc(maps.Keys(reasons), func(x, y string) int {
		return cmp.Or(cmp.Compare(reasons[y], reasons[x]), cmp.Compare(x, y))
	})
}

// showRejects tells why lines were refused, also with --quiet: the first few, and where all of them are.
func (a *app) showRejects(report admin.ImportReport) {
	for _, line := range report.First {
		fmt.Fprintln(a.stderr, line)
	}
	more := report.Rejected - len(report.First)
	switch {
	case report.Rejected == 0:
	case report.RejectsFile != "":
		fmt.Fprintf(a.stderr, "All of them are in %s, with their reasons.\n", report.RejectsFile)
	case more > 0:
		fmt.Fprintf(a.stderr, "And %d more: --rejects FILE would have them all, with their reasons.\n", more)
	default:
		fmt.Fprintln(a.stderr, "--rejects FILE would have them, with their reasons.")
	}
}
