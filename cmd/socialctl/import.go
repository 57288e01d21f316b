package main

import (
	"context"
	"errors"

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
alone, and nothing comes twice.`,
		Example: "  socialctl import graph friends.edges --undirected --create-users",
	}, a.importGraphCommand(), a.importLDBCCommand(), a.importMessagesCommand())
}

// jobFlags adds the flags of every long job.
func (a *app) jobFlags(flags *pflag.FlagSet, o *admin.JobOptions) {
	flags.BoolVar(&o.DryRun, "dry-run", false, "Say what would be done, and change nothing.")
	flags.DurationVar(&o.MaxDuration, "max-duration", 0, "Stop after this `TIME` at a checkpoint, with exit code 4. (0 for never)")
	flags.Float64Var(&o.Rate, "rate", 0, "At most so many `ITEMS` a second. (0 for no bound)")
}

func (a *app) importGraphCommand() *cobra.Command {
	var g admin.GraphImport
	cmd := &cobra.Command{
		Use:   "graph FILE",
		Short: "Import follows from an edge list.",
		Long: `Import follows from an edge list, plain or gzip: two numbers a line, the first
follows the second; - is standard input. Number N is the account named uN.`,
		Example: `  socialctl import graph friends.edges --undirected --create-users
  zcat follows.gz | socialctl import graph - --dry-run`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g.File = args[0]
			return a.runImport(cmd.Context(), &g.JobOptions, "import graph", g.Run)
		},
	}
	cmd.Flags().BoolVar(&g.Undirected, "undirected", false, "Each line is a follow in both directions.")
	cmd.Flags().BoolVar(&g.CreateUsers, "create-users", false, "Make the accounts that are missing, named u<number>.")
	a.jobFlags(cmd.Flags(), &g.JobOptions)
	return cmd
}

func (a *app) importLDBCCommand() *cobra.Command {
	var l admin.LDBCImport
	cmd := &cobra.Command{
		Use:   "ldbc DIR",
		Short: "Import the files of the LDBC social network benchmark.",
		Long: `Import the files of the LDBC social network benchmark with their dates: people,
friendships as follows in both directions, posts and comments. Person N becomes
the account named uN.`,
		Example: `  socialctl import ldbc testdata/ldbc-snb
  socialctl import ldbc testdata/ldbc-snb --dry-run -o json`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l.Dir = args[0]
			return a.runImport(cmd.Context(), &l.JobOptions, "import ldbc", l.Run)
		},
	}
	a.jobFlags(cmd.Flags(), &l.JobOptions)
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
run's), and "kind" (comment, repost). author is an account's name. The lines of
an author come in the order of time.`,
		Example: `  socialctl import messages messages.jsonl --source old-forum
  socialctl import messages - --dry-run < messages.jsonl`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m.File = args[0]
			return a.runImport(cmd.Context(), &m.JobOptions, "import messages", m.Run)
		},
	}
	cmd.Flags().StringVar(&m.Source, "source", "import", "Where the ids come from: with the id it names a message for ever.")
	a.jobFlags(cmd.Flags(), &m.JobOptions)
	return cmd
}

// shownProgress lets a job of package admin move this command's progress.
type shownProgress struct{ *progress }

func (p shownProgress) Advance(n int) { p.advance(int64(n)) }

func (a *app) runImport(ctx context.Context, o *admin.JobOptions, what string,
	run func(context.Context, *social.Backend) (admin.ImportReport, error)) error {
	if err := o.Validate(); err != nil {
		return usageError("%w", err)
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
	if printed := a.printer().Object(report); printed != nil {
		return printed
	}
	return err
}
