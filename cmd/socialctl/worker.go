package main

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"socialctl/social"
)

func (a *app) workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Work off what is owed, on a machine that serves nothing.",
		Long: `Work off what is owed, deliveries to timelines and effects that cross shards, on
a machine that serves nothing. Any number of workers and servers may run; each
job is one process's at a time. At Ctrl-C or SIGTERM it stops at the next
checkpoint, with exit code 0.`,
		Example: `  socialctl worker --workers 8
  socialctl worker --config socialctl.yaml --log-format json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.work(cmd.Context())
		},
	}
	a.addSettingFlag(cmd.Flags(), "fanout.workers")
	return cmd
}

func (a *app) work(ctx context.Context) error {
	b, err := a.open(ctx, social.RoleServer)
	if err != nil {
		return err
	}
	log := a.logger()
	log.Info("working", "workers", b.Config.Fanout.Workers)
	err = b.Run(ctx)
	done := b.Work()
	for _, kind := range slices.Sorted(maps.Keys(done)) {
		log.Info("done", "kind", kind, "pages", done[kind].Pages, "failed", done[kind].Failed)
	}
	return errors.Join(err, b.Close())
}
