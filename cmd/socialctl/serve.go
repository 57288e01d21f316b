package main

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/spf13/cobra"

	"socialctl/admin"
	"socialctl/server"
	"socialctl/social"
)

func (a *app) serveCommand() *cobra.Command {
	var noWorkers bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the HTTP API, and work off what is owed.",
		Long: `Serve the HTTP API, and work off what is owed: deliveries to timelines, and
effects that cross shards. An embedded data folder is made and brought up to
date first; a cluster needs shard init and migrate.

The line "listening" with the address comes once connections are accepted. At
Ctrl-C or SIGTERM no more are accepted, requests in progress are finished,
workers stop at their next checkpoint, and the exit code is 0. A second signal
ends the process at once, which loses nothing that was acknowledged.`,
		Example: `  socialctl serve
  socialctl serve --addr :8080 --metrics-addr "" --workers 8
  socialctl serve --config socialctl.yaml --log-format json --no-workers`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd.Context(), noWorkers)
		},
	}
	a.addSettingFlag(cmd.Flags(), "http.addr")
	a.addSettingFlag(cmd.Flags(), "http.metrics_addr")
	a.addSettingFlag(cmd.Flags(), "fanout.workers")
	cmd.Flags().BoolVar(&noWorkers, "no-workers", false, "Leave all jobs to other processes: to worker, or to another serve.")
	return cmd
}

// serveMemory is what the garbage collector is told to stay under, in bytes: the process as a whole then stays below
// 200 MiB.
const serveMemory = 160 << 20

// serve stops in the order in which nothing is lost: requests first, then workers, then the parts that both use.
func (a *app) serve(ctx context.Context, noWorkers bool) (err error) {
	if a.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(serveMemory)
	}
	b, err := a.open(ctx, social.RoleServer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	log := a.logger()
	s, err := server.New(b, b.Config, log, server.Options{Version: readBuild().Version, Collectors: admin.Collectors(b)})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { log.Info("stopping; a second signal ends at once") })
	serving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if !noWorkers {
		finish := startWorkers(ctx, b, stop)
		defer func() { err = errors.Join(err, finish()) }()
	}
	return s.Run(serving)
}

// startWorkers starts the workers, which go on through a signal until finish is called: finish waits until they have
// stopped at a checkpoint. Workers that end by themselves call failed.
func startWorkers(ctx context.Context, b *social.Backend, failed context.CancelCauseFunc) (finish func() error) {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		err := b.Run(working)
		if err != nil {
			failed(err)
		}
		ended <- err
	}()
	return func() error {
		stop()
		return <-ended
	}
}
