package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/pflag"

	"socialctl/admin"
	"socialctl/social"
)

// open opens everything that the configuration names; whoever opens closes.
func (a *app) open(ctx context.Context, role social.Role) (*social.Backend, error) {
	loaded, err := a.config()
	if err != nil {
		return nil, err
	}
	slog.SetDefault(a.logger()) // for what libraries have to say
	b, err := social.Open(ctx, loaded.Config, social.OpenOptions{Log: a.logger(), Role: role})
	if err != nil {
		return nil, fmt.Errorf("open the system: %w", err)
	}
	return b, nil
}

// use opens the system for one piece of work and closes it again.
func (a *app) use(ctx context.Context, work func(b *social.Backend) error) error {
	b, err := a.open(ctx, social.RoleTool)
	if err != nil {
		return err
	}
	return errors.Join(work(b), b.Close())
}

// look is use for work that only reads: where there is no data folder yet it makes none.
func (a *app) look(ctx context.Context, work func(b *social.Backend) error) error {
	loaded, err := a.config()
	if err != nil {
		return err
	}
	if err := admin.Made(loaded.Config); err != nil {
		return err
	}
	return a.use(ctx, work)
}

// note tells a person something beside the result, on standard error.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// dryRunFlag adds --dry-run to a command that changes data.
func dryRunFlag(flags *pflag.FlagSet) *bool {
	return flags.Bool("dry-run", false, "Say what would be done, and change nothing.")
}
