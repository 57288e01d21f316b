package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"socialctl/admin"
	"socialctl/social"
)

func (a *app) inspectCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "inspect",
		Short: "Look at anything where it lies, and change nothing.",
		Long: `Look at anything where it lies, and change nothing: rows as they are stored, with
the shard and the bucket. The exit code is 3 when something is wrong that does
not mend itself.`,
		Example: "  socialctl inspect timeline --user ada --limit 5",
	},
		a.inspectUserCommand(),
		a.inspectMessageCommand(),
		a.inspectRelationCommand(),
		a.inspectTimelineCommand(),
		a.inspectShardCommand(),
		a.inspectJobsCommand(),
	)
}

// printRows writes rows of tables: a line for each field, or in JSON an object for each row.
func (a *app) printRows(rows []admin.Row) error {
	if a.format == formatJSON {
		if rows == nil {
			rows = []admin.Row{}
		}
		return a.printer().Object(rows)
	}
	var lines [][]any
	for _, row := range rows {
		for _, f := range row.Fields {
			lines = append(lines, []any{row.Table, int(row.Shard), int(row.Bucket), f.Name, f.Value, f.Means})
		}
	}
	return a.printer().Table([]string{"table", "shard", "bucket", "field", "value", "means"}, lines)
}

func (a *app) inspectUserCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "user USER",
		Short: "Show an account's rows: its own, its name's, its sessions, and what it owes.",
		Example: `  socialctl inspect user ada
  socialctl inspect user 17 --output json`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.look(cmd.Context(), func(b *social.Backend) error {
				rows, err := admin.InspectUser(cmd.Context(), b, args[0])
				if err != nil {
					return err
				}
				return a.printRows(rows)
			})
		},
	}
}

func (a *app) inspectMessageCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "message ID",
		Short: "Show a message's rows: its own, its edges, and the jobs about it.",
		Long: `Show a message's rows: its own, its author's entry of it, its edges in the shards
of what it refers to, and the author's jobs about it. An ID is written 17-4.`,
		Example: `  socialctl inspect message 17-4
  socialctl inspect message 17-4 --output json`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := messageID(args[0])
			if err != nil {
				return err
			}
			return a.look(cmd.Context(), func(b *social.Backend) error {
				rows, err := admin.InspectMessage(cmd.Context(), b, id)
				if err != nil {
					return err
				}
				return a.printRows(rows)
			})
		},
	}
}

func messageID(text string) (social.MessageID, error) {
	id, err := social.ParseMessageID(text)
	if err != nil {
		return id, usageError("%q is not the id of a message, such as 17-4", text)
	}
	return id, nil
}

func (a *app) inspectRelationCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "relation USER OTHER",
		Short: "Show what two accounts are to each other, as each one's shard has it.",
		Long: `Show what two accounts are to each other, as each one's shard has it: follow and
fan, block and blocked-by, mute, and what is owed from one to the other. Where
the two sides disagree and nothing is owed that would mend it, the exit code is 3.`,
		Example: `  socialctl inspect relation ada bob
  socialctl inspect relation 17 18 --output json`,
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.look(cmd.Context(), func(b *social.Backend) error {
				found, err := admin.InspectRelation(cmd.Context(), b, args[0], args[1])
				if err != nil {
					return err
				}
				if err := a.printRows(found.Rows); err != nil {
					return err
				}
				if len(found.Problems) > 0 {
					return problemsFound("the two sides disagree: %s", strings.Join(found.Problems, "; "))
				}
				return nil
			})
		},
	}
}

func (a *app) inspectShardCommand() *cobra.Command {
	var buckets bool
	cmd := &cobra.Command{
		Use:   "shard NUMBER",
		Short: "Show what one shard says of itself.",
		Example: `  socialctl inspect shard 0
  socialctl inspect shard 0 --buckets --output csv`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.Atoi(args[0])
			if err != nil {
				return usageError("%q is not the number of a shard", args[0])
			}
			loaded, err := a.config()
			if err != nil {
				return err
			}
			detail, err := admin.InspectShard(cmd.Context(), loaded.Config, a.logger(), number)
			if err != nil {
				return err
			}
			if buckets {
				return a.printBuckets(detail)
			}
			return a.printShard(detail)
		},
	}
	cmd.Flags().BoolVar(&buckets, "buckets", false, "List its buckets instead.")
	return cmd
}

func (a *app) printBuckets(d admin.ShardDetail) error {
	var rows [][]any
	for _, b := range d.Rows {
		successor := any(nil)
		if b.Successor >= 0 {
			successor = int(b.Successor)
		}
		rows = append(rows, []any{int(b.Bucket), b.State.String(), b.Journal, b.MoveID, b.Token, successor, b.ArchiveBound, b.ArchiveGeneration})
	}
	return a.printer().Table([]string{"bucket", "state", "journal", "move_id", "token", "successor", "archive_bound_ms", "archive_generation"}, rows)
}

// printShard writes one thing a line, since a shard's parts have nothing in common.
func (a *app) printShard(d admin.ShardDetail) error {
	rows := [][]any{
		{"shard", "number", int(d.Shard.ID())},
		{"shard", "where", whereOf(d.Shard)},
		{"shard", "engine", d.Shard.Dialect().String()},
		{"shard", "epoch", d.Epoch},
		{"shard", "epoch_seen", d.Seen},
		{"shard", "cache_epoch", d.CacheEpoch},
		{"shard", "bytes_estimate", d.Bytes},
		{"buckets", "mapped", d.Mapped},
	}
	add := func(what string, numbers counts) {
		for _, name := range sortedNames(numbers) {
			rows = append(rows, []any{what, name, numbers[name]})
		}
	}
	add("buckets", bucketCounts(d.Buckets))
	add("people", d.People)
	for _, t := range d.Tables {
		rows = append(rows, []any{"rows_estimate", t.Name, t.Rows}, []any{"bytes_estimate", t.Name, t.Bytes})
	}
	if err := a.printer().Table([]string{"what", "name", "value"}, rows); err != nil {
		return err
	}
	if d.Problem != "" {
		return problemsFound("shard %d %s", d.Shard.ID(), d.Problem)
	}
	return nil
}

func (a *app) inspectJobsCommand() *cobra.Command {
	q := admin.OwedQuery{}
	var list bool
	var owner string
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "Show what is owed and which jobs run, by shard and kind.",
		Long: `Show what is owed and which jobs run, by shard and kind: how many, how many of
them are due and held by nobody, since when. Kind sweep are removals that wait
for a day before they clear what they left. Jobs of operators, such as imports,
stand under meta, with who runs them.`,
		Example: `  socialctl inspect jobs
  socialctl inspect jobs --list --limit 10
  socialctl inspect jobs --list --owner ada --output json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Limit < 1 || q.Limit > 10_000 {
				return usageError("--limit is 1 to 10000")
			}
			return a.look(cmd.Context(), func(b *social.Backend) error {
				if !list {
					return a.printJobs(cmd, b)
				}
				if owner != "" {
					account, err := b.Accounts.Find(cmd.Context(), owner)
					if err != nil {
						return err
					}
					q.Owner = account.ID
				}
				rows, err := admin.InspectOwed(cmd.Context(), b, q)
				if err != nil {
					return err
				}
				return a.printRows(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "List the rows themselves, those due the longest first.")
	cmd.Flags().IntVar(&q.Limit, "limit", 50, "List so many `ROWS` at most.")
	cmd.Flags().IntVar(&q.Shard, "shard", -1, "List what this shard owes. (-1 for all)")
	cmd.Flags().StringVar(&owner, "owner", "", "List what this `USER` owes.")
	return cmd
}

func (a *app) printJobs(cmd *cobra.Command, b *social.Backend) error {
	outbox, failed := b.OutboxStatus(cmd.Context())
	jobs, err := b.Cluster.Jobs(cmd.Context())
	if err != nil {
		return err
	}
	var rows [][]any
	for _, s := range outbox {
		rows = append(rows, []any{strconv.Itoa(int(s.Shard)), s.Kind, s.Count, s.Due, instant(s.Oldest), instant(s.DueSince), s.Attempts, ""})
	}
	for _, j := range jobs {
		rows = append(rows, []any{"meta", j.Name, 1, 0, instant(social.Millis(j.UpdatedMS)), "", 0, j.Holder})
	}
	err = a.printer().Table([]string{"shard", "kind", "count", "due", "oldest", "due_since", "attempts", "holder"}, rows)
	return errors.Join(err, failed)
}

// instant writes a time, and nothing for none.
func instant(at social.Millis) string {
	if at == 0 {
		return ""
	}
	return at.String()
}
