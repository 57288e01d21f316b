package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version, the commit, and what the program was built from.",
		Example: `  socialctl version
  socialctl version --output json`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return a.printBuild(readBuild())
		},
	}
}

// build is what the program knows of its making.
type build struct {
	Version      string       `json:"version"`
	Commit       string       `json:"commit"`
	CommitTime   string       `json:"commit_time"`
	Modified     bool         `json:"modified"` // built from files that were not committed
	Go           string       `json:"go"`
	Platform     string       `json:"platform"`
	Dependencies []dependency `json:"dependencies"`
}

type dependency struct {
	Module  string `json:"module"`
	Version string `json:"version"`
}

// readBuild takes everything from what the Go tool writes into a program, so
// that no build needs flags of its own.
func readBuild() build {
	b := build{
		Version:      "unknown",
		Go:           runtime.Version(),
		Platform:     runtime.GOOS + "/" + runtime.GOARCH,
		Dependencies: []dependency{},
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.CommitTime = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		b.Dependencies = append(b.Dependencies, dependency{Module: d.Path, Version: d.Version})
	}
	return b
}

// printBuild writes one row a part, save in JSON, where the parts have names.
func (a *app) printBuild(b build) error {
	if a.format == formatJSON {
		return a.printer().Object(b)
	}
	commit := b.Commit
	if b.Modified {
		commit += " (modified)"
	}
	rows := [][]any{
		{"socialctl", b.Version},
		{"commit", commit},
		{"commit_time", b.CommitTime},
		{"go", b.Go},
		{"platform", b.Platform},
	}
	for _, d := range b.Dependencies {
		rows = append(rows, []any{d.Module, d.Version})
	}
	return a.printer().Table([]string{"part", "version"}, rows)
}
