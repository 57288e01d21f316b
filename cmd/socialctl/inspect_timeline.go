package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"socialctl/social"
)

func (a *app) inspectTimelineCommand() *cobra.Command {
	var user, message string
	var explain bool
	var limit int
	cmd := &cobra.Command{
		Use:   "timeline --user USER",
		Short: "Show the entries of a timeline, or why a message is there or is not.",
		Long: `Show the entries of a timeline as they are stored, newest first, gone ones too,
and whether reading shows them now.

With --message and --explain it says which rule put that message there or kept
it out: the two people's rows, the message, blocks and mutes, the entry, and the
work that is still owed. The exit code is 3 when something is wrong that does not
mend itself, such as an entry that is due and missing.`,
		Example: `  socialctl inspect timeline --user ada --limit 20
  socialctl inspect timeline --user ada --message 17-4 --explain
  socialctl inspect timeline --user 18 --limit 0 --output json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case user == "":
				return usageError("--user is missing: whose timeline?")
			case explain != (message != ""):
				return usageError("--message ID and --explain belong together")
			case limit < 0:
				return usageError("--limit is not below 0")
			}
			return a.look(cmd.Context(), func(b *social.Backend) error {
				account, err := b.Accounts.Find(cmd.Context(), user)
				if err != nil {
					return err
				}
				if explain {
					return a.explain(cmd.Context(), b, account.ID, message)
				}
				return a.listEntries(cmd.Context(), b, account, limit)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&user, "user", "", "Whose timeline it is: an id or a name. (required)")
	flags.IntVar(&limit, "limit", 50, "Show so many `ENTRIES` at most; 0 for all.")
	flags.StringVar(&message, "message", "", "The message to explain, by its `ID`, such as 17-4.")
	flags.BoolVar(&explain, "explain", false, "Say why --message is in the timeline, or why it is not.")
	return cmd
}

func (a *app) listEntries(ctx context.Context, b *social.Backend, of social.AccountStatus, limit int) error {
	out := a.printer().Stream("time", "message", "kind", "state", "rev", "limited", "shown", "shard", "bucket")
	err := b.Timelines.Entries(ctx, of.ID, limit, func(e social.EntryStatus) error {
		return out.Row(e.Time, e.Message, e.Kind, e.State, e.Rev, e.Limited, e.Shown, int(of.Shard), int(of.Bucket))
	})
	return errors.Join(err, out.Close())
}

func (a *app) explain(ctx context.Context, b *social.Backend, reader social.UserID, message string) error {
	id, err := messageID(message)
	if err != nil {
		return err
	}
	x, err := b.Timelines.Explain(ctx, reader, id)
	if err != nil {
		return err
	}
	if err := a.printExplanation(x); err != nil {
		return err
	}
	if x.Problem != "" {
		return problemsFound("%s", x.Problem)
	}
	return nil
}

// printExplanation writes the answer above the facts, in CSV the facts alone.
func (a *app) printExplanation(x social.Explanation) error {
	p := a.printer()
	if a.format == formatJSON {
		return p.Object(x)
	}
	if a.format == formatTable {
		short := [][]any{{"answer", x.Answer}, {"shown", x.Shown}, {"due", x.Due}, {"rule", x.Rule}, {"entry", x.Entry}, {"pending", x.Pending}}
		if err := p.table(nil, short); err != nil {
			return err
		}
		if _, err := p.w.Write([]byte("\n")); err != nil {
			return err
		}
	}
	var rows [][]any
	for _, f := range x.Facts {
		rows = append(rows, []any{f.What, f.Says, f.Found, int(f.Shard), int(f.Bucket)})
	}
	return p.Table([]string{"fact", "says", "found", "shard", "bucket"}, rows)
}
