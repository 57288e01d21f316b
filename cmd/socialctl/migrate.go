package main

import (
	"context"

	"github.com/spf13/cobra"

	"socialctl/admin"
	"socialctl/sharding"
	"socialctl/social"
)

func (a *app) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema of meta and of every shard up to date.",
		Long: `Bring the schema of meta and of every shard up to date. All databases are
checked before the first is touched: one that is newer than this program is
refused. Killed in the middle, it goes on when it is run again.`,
		Example: `  socialctl migrate --dry-run
  socialctl migrate --config socialctl.yaml`,
		Args: takes(0, 0),
	}
	dryRun := dryRunFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.migrate(cmd.Context(), *dryRun)
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "status",
		Short: "Show the schema versions of meta and of every shard.",
		Example: `  socialctl migrate status
  socialctl migrate status --output json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.migrate(cmd.Context(), true)
		},
	})
	return cmd
}

func (a *app) migrate(ctx context.Context, dryRun bool) error {
	loaded, err := a.config()
	if err != nil {
		return err
	}
	if err := admin.Made(loaded.Config); err != nil {
		return err
	}
	found, err := sharding.Migrate(ctx, social.ShardingOptions(loaded.Config, a.logger()), dryRun)
	if err != nil {
		return err
	}
	done := "applied"
	if dryRun {
		done = "pending"
	}
	var rows [][]any
	for _, v := range found {
		rows = append(rows, []any{v.Where, v.Current, v.Latest, v.Pending})
	}
	return a.printer().Table([]string{"where", "version", "latest", done}, rows)
}
