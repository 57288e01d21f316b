package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"socialctl/admin"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Reach every part, and say what to do about what is wrong.",
		Long: `Reach every part that the configuration names, each for a bounded time, and say
what to do about each finding: versions, durability settings, clocks,
permissions, free space, Redis persistence, the map of buckets, schema versions,
the archive. The exit code is 3 when there is a problem; a warning is none.`,
		Example: `  socialctl doctor
  socialctl doctor --config socialctl.yaml --output json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := a.config()
			if err != nil {
				return err
			}
			log := a.logger()
			if !log.Enabled(cmd.Context(), slog.LevelDebug) {
				log = slog.New(slog.DiscardHandler) // what goes wrong is a finding, and said once
			}
			slog.SetDefault(log)
			findings, err := admin.Doctor(cmd.Context(), loaded.Config, log)
			if err != nil {
				return err
			}
			return a.printFindings(findings)
		},
	}
}

func (a *app) printFindings(findings []admin.Finding) error {
	var rows [][]any
	problems := 0
	for _, f := range findings {
		if f.Status == admin.StatusProblem {
			problems++
		}
		rows = append(rows, []any{f.Status, f.Part, f.Check, f.Found, f.Advice})
	}
	if err := a.printer().Table([]string{"status", "part", "check", "found", "advice"}, rows); err != nil {
		return err
	}
	switch problems {
	case 0:
		return nil
	case 1:
		return problemsFound("1 problem was found")
	}
	return problemsFound("%d problems were found", problems)
}
