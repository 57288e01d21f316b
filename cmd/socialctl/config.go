package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"socialctl/configs"
)

func (a *app) configCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "config",
		Short:   "Show and check the configuration in force.",
		Example: "  socialctl config check",
	}, a.configShowCommand(), a.configCheckCommand())
}

func (a *app) configShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [KEY]...",
		Short: "Show every setting in force and where its value comes from.",
		Long: `Show every setting in force and where its value comes from: a flag, an
environment variable, a line of the file, or the default. Secrets are masked.
A KEY is a setting, such as http.addr, or a section, such as http.`,
		Example: `  socialctl config show
  socialctl config show http redis --output json
  SOCIALCTL_HTTP_ADDR=:9000 socialctl config show http.addr`,
		Args:              takes(0, -1),
		ValidArgsFunction: completeKeys,
		RunE: func(_ *cobra.Command, args []string) error {
			loaded, err := a.config()
			if err != nil {
				return err
			}
			entries, err := selectEntries(loaded.Entries(), args)
			if err != nil {
				return err
			}
			return a.printEntries(entries)
		},
	}
}

func completeKeys(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	var keys []string
	for _, s := range configs.Settings() {
		if strings.HasPrefix(s.Key, begun) {
			keys = append(keys, s.Key)
		}
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}

func selectEntries(all []configs.Entry, keys []string) ([]configs.Entry, error) {
	if len(keys) == 0 {
		return all, nil
	}
	var selected []configs.Entry
	matched := map[string]bool{}
	for _, e := range all {
		wanted := false
		for _, key := range keys {
			if e.Key == key || strings.HasPrefix(e.Key, key+".") {
				wanted, matched[key] = true, true
			}
		}
		if wanted {
			selected = append(selected, e)
		}
	}
	for _, key := range keys {
		if !matched[key] {
			return nil, usageError("no setting has the key %q", key)
		}
	}
	return selected, nil
}

// printEntries leaves the meanings out of the table, which they would make too
// wide to read.
func (a *app) printEntries(entries []configs.Entry) error {
	columns := []string{"key", "value", "origin", "doc"}
	if a.format == formatTable {
		columns = columns[:3]
	}
	var rows [][]any
	for _, e := range entries {
		rows = append(rows, []any{e.Key, e.Value, e.Origin, e.Doc}[:len(columns)])
	}
	return a.printer().Table(columns, rows)
}

func (a *app) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and say everything that is wrong with it.",
		Long: `Check the configuration from all of its sources. Everything that is wrong is
said at once, with the line of the file. Nothing is reached: doctor does that.`,
		Example: `  socialctl config check
  socialctl config check --output json`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			file, err := a.configFile()
			if err != nil {
				return err
			}
			report := configReport{File: file, OK: true, Problems: []configs.Complaint{}}
			loaded, loadErr := a.config()
			var invalid *configs.ConfigError
			switch {
			case errors.As(loadErr, &invalid):
				report.OK, report.Problems = false, invalid.Complaints
			case loadErr != nil:
				return loadErr
			default:
				report.Profile = profileOf(loaded.Config)
			}
			if err := a.printReport(report); err != nil {
				return err
			}
			return loadErr
		},
	}
}

// configReport is what config check has found.
type configReport struct {
	OK       bool                `json:"ok"`
	File     string              `json:"file"`
	Profile  string              `json:"profile"`
	Problems []configs.Complaint `json:"problems"`
}

func profileOf(c configs.Config) string {
	if c.IsEmbedded() {
		return "embedded"
	}
	return "cluster"
}

// printReport writes problems as a result only in the forms for programs:
// people get them as the command's error.
func (a *app) printReport(r configReport) error {
	p := a.printer()
	if a.format == formatJSON {
		return p.Object(r)
	}
	if r.OK {
		return p.Object(struct {
			OK      bool   `json:"ok"`
			File    string `json:"file"`
			Profile string `json:"profile"`
		}{r.OK, r.File, r.Profile})
	}
	if a.format == formatTable {
		return nil
	}
	var rows [][]any
	for _, c := range r.Problems {
		rows = append(rows, []any{c.Where, c.Key, c.Problem})
	}
	return p.Table([]string{"where", "key", "problem"}, rows)
}
