package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// newRoot builds the tree of commands. A new command is added to the list here
// and has a file of its own.
func newRoot(a *app) *cobra.Command {
	root := group(&cobra.Command{
		Use:   "socialctl",
		Short: "Serve and operate timelines of people who follow each other.",
		Long: `socialctl serves timelines of people who follow each other, and operates them.

It starts with no configuration at all: everything then lies in ./data. With a
configuration it runs on MySQL or MariaDB shards, Redis and HBase.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done and
problems were found, 4 stopped early with work left, 75 another run holds the
job.`,
		Example: `  socialctl serve
  socialctl user create ada
  socialctl doctor`,
		Version: readBuild().Version,
	},
		a.initCommand(),
		a.serveCommand(),
		a.workerCommand(),
		a.configCommand(),
		a.migrateCommand(),
		a.userCommand(),
		a.shardCommand(),
		a.inspectCommand(),
		a.doctorCommand(),
		a.importCommand(),
		a.benchCommand(),
		a.versionCommand(),
		a.completionCommand(),
	)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetVersionTemplate("socialctl {{.Version}}\n")
	root.SetHelpCommand(helpCommand())
	a.addGlobalFlags(root)
	a.noteStart(root)
	return root
}

// addGlobalFlags adds the flags that are accepted everywhere, in the terms of
// the command line's contract.
func (a *app) addGlobalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&a.configPath, "config", "", "Configuration `FILE`. (default $SOCIALCTL_CONFIG, or "+defaultConfigFile+" if it is there)")
	flags.VarP(&a.format, "output", "o", "Form of results.")
	completeOutput := cobra.FixedCompletions([]cobra.Completion{"table", "json", "csv"}, cobra.ShellCompDirectiveNoFileComp)
	// It fails only for a flag that is not there; a script tests it.
	_ = root.RegisterFlagCompletionFunc("output", completeOutput)
	flags.BoolVar(&a.quiet, "quiet", false, "No progress, and no logs but errors.")
	flags.BoolVar(&a.noProgress, "no-progress", false, "No progress bar; a log line now and then instead.")
	flags.BoolVar(&a.noColor, "no-color", false, "No colour, as with the variable NO_COLOR.")
	flags.BoolVar(&a.yes, "yes", false, "Answer yes to what a command asks.")
	a.addSettingFlag(flags, "data")
	a.addSettingFlag(flags, "log.level")
	a.addSettingFlag(flags, "log.format")
}

// noteStart wraps the code of every command so that the app knows when it
// begins. Cobra's own errors have no type by which to tell them apart.
func (a *app) noteStart(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.running = true
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		a.noteStart(sub)
	}
}

// group makes a command that only holds others. Called by itself it is wrong
// usage: a script whose variable is empty must not succeed.
func group(cmd *cobra.Command, subcommands ...*cobra.Command) *cobra.Command {
	// Flags of a misspelt subcommand are unknown here, and must not hide the
	// fact that the subcommand is.
	cmd.FParseErrWhitelist.UnknownFlags = true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError("%s", unknownCommand(cmd, args[0]))
		}
		var names []string
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		return usageError("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.AddCommand(subcommands...)
	return cmd
}

func unknownCommand(cmd *cobra.Command, name string) string {
	text := fmt.Sprintf("unknown command %q for %q", name, cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return text
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show what a command is for and how it is called.",
		Example: "  socialctl help config show",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usageError("%w", err)
			}
			if len(rest) > 0 {
				return usageError("%s", unknownCommand(about, rest[0]))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
