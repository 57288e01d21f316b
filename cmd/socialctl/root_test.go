package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"socialctl/configs"
)

func everyCommand(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, sub := range root.Commands() {
		all = append(all, everyCommand(sub)...)
	}
	return all
}

func TestEveryCommandIsExplained(t *testing.T) {
	for _, cmd := range everyCommand(newRoot(quietApp())) {
		path := cmd.CommandPath()
		if !regexp.MustCompile(`^[A-Z].*\.$`).MatchString(cmd.Short) {
			t.Errorf("%s: %q is not a sentence on what it is for", path, cmd.Short)
		}
		if cmd.Example == "" || cmd.RunE == nil {
			t.Errorf("%s has no example or does nothing", path)
		}
		if cmd.Args == nil && cmd.Name() != "help" {
			t.Errorf("%s does not check its arguments", path)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s has no meaning", path, f.Name)
			}
		})
	}
}

var startOfCall = regexp.MustCompile(`(?:^|[\s(])socialctl(?:\s|$)`)

// TestExamplesAreAccepted takes the examples as far as the flags and arguments
// of the commands they name; scripts run them.
func TestExamplesAreAccepted(t *testing.T) {
	for _, cmd := range everyCommand(newRoot(quietApp())) {
		calls := 0
		for line := range strings.Lines(strings.ReplaceAll(cmd.Example, "\\\n", " ")) {
			start := startOfCall.FindStringIndex(line)
			if start == nil {
				continue
			}
			calls++
			call := line[start[1]:]
			root := newRoot(quietApp())
			target, rest, err := root.Find(shellWords(call))
			if err == nil {
				err = target.ParseFlags(rest)
			}
			if err == nil && target.Args != nil {
				err = target.ValidateArgs(target.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: example %q: %v", cmd.CommandPath(), strings.TrimSpace(line), err)
			}
		}
		if calls == 0 {
			t.Errorf("%s: no example calls socialctl", cmd.CommandPath())
		}
	}
}

// shellWords takes a call apart as a shell does, up to where another one begins.
func shellWords(call string) []string {
	var words []string
	var word strings.Builder
	quoted, begun := false, false
	for _, r := range call + " " {
		switch {
		case r == '"':
			quoted, begun = !quoted, true
		case quoted:
			word.WriteRune(r)
		case strings.ContainsRune(" \n|<>)&;#", r):
			if begun {
				words = append(words, word.String())
			}
			if r != ' ' && r != '\n' {
				return words
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	return words
}

func TestEverySettingFlagIsDeclared(t *testing.T) {
	a := quietApp()
	newRoot(a)
	for _, key := range []string{"data", "log.level", "log.format"} {
		if len(a.settingFlags[key]) != 1 {
			t.Errorf("no flag for %s", key)
		}
	}
	for key, flags := range a.settingFlags {
		if s, ok := configs.Lookup(key); !ok || s.Flag != flags[0].Name {
			t.Errorf("--%s stands for %q, which has another flag or none", flags[0].Name, key)
		}
	}
}
