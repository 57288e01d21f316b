package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"socialctl/admin"
	"socialctl/server"
	"socialctl/social"
)

func (a *app) benchCommand() *cobra.Command {
	l := admin.Bench{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a load of a chosen mix, beside the raw limits of the same machine.",
		Long: `Measure a load of a chosen mix, in process or against a running server, and in
the same run the raw limit of the same machine: rates are printed with their
ratio to it, since machines differ.

It makes people named bench_… in the system that the configuration names, and
leaves them there: use it on a system that is for measuring. A server that is
measured must have its rate limits off (limits.enabled: false).`,
		Example: `  socialctl bench --mix timeline --data /tmp/bench -o json
  socialctl bench --mix post --connections 32 --duration 10s --rounds 5
  socialctl bench --mix mixed --url http://127.0.0.1:8080 --metrics-url http://127.0.0.1:8081`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.Validate(); err != nil {
				return usageError("%w", err)
			}
			return a.runBench(cmd, l)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&l.Mix, "mix", "timeline", "timeline, post, or mixed (60 % home, 30 % account pages, 10 % posts).")
	flags.IntVar(&l.Connections, "connections", 32, "Requests at once.")
	flags.DurationVar(&l.Duration, "duration", 5*time.Second, "Of each measurement, after a second of warming up.")
	flags.IntVar(&l.Rounds, "rounds", 3, "Measurements, each beside one of the limit; the median is shown.")
	flags.IntVar(&l.People, "people", 300, "People to make.")
	flags.IntVar(&l.Follows, "follows", 20, "Whom each of them follows.")
	flags.IntVar(&l.Posts, "posts", 5, "What each of them has posted before.")
	flags.StringVar(&l.URL, "url", "", "A running server to measure, on the same configuration, instead of one in this process.")
	flags.StringVar(&l.MetricsURL, "metrics-url", "", "That server's metrics, for its memory.")
	return cmd
}

func (a *app) runBench(cmd *cobra.Command, l admin.Bench) (err error) {
	loaded, err := a.config()
	if err != nil {
		return err
	}
	cfg := loaded.Config
	cfg.Limits.Enabled = false
	role := social.RoleServer
	if l.URL != "" {
		role = social.RoleTool
	}
	b, err := social.Open(cmd.Context(), cfg, social.OpenOptions{Log: a.logger(), Role: role})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	s, err := server.New(b, cfg, a.logger(), server.Options{Version: readBuild().Version})
	if err != nil {
		return err
	}
	l.API, l.Yardstick = s.Handler(), server.YardstickHandler
	if l.URL == "" {
		workers, stop := context.WithCancel(cmd.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(workers) }()
		defer func() {
			stop()
			err = errors.Join(err, <-done)
		}()
	}
	report, err := l.Run(cmd.Context(), b)
	return cmp.Or(a.printer().Object(report), err)
}
