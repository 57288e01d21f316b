package main

import (
	"github.com/spf13/cobra"
)

func (a *app) completionCommand() *cobra.Command {
	shells := map[string]func(root *cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(a.stdout, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(a.stdout) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(a.stdout, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(a.stdout) },
	}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Write a script that completes commands and flags in bash, zsh, fish or PowerShell.",
		Long: `Write a script that completes commands and flags. SHELL is bash, zsh, fish or
powershell. Each begins with a comment on how to have it loaded.`,
		Example: `  source <(socialctl completion bash)
  socialctl completion fish > ~/.config/fish/completions/socialctl.fish`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args:      takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := shells[args[0]]
			if !ok {
				return usageError("unknown shell %q: want bash, zsh, fish or powershell", args[0])
			}
			return write(cmd.Root())
		},
	}
}
