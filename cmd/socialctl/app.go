package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"socialctl/configs"
)

// app is what every command works with: the streams, the environment, the
// flags that are accepted everywhere, and the configuration behind them.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	isTerminal     func(stream any) bool

	configPath string
	format     format
	quiet      bool
	noProgress bool
	noColor    bool
	yes        bool

	// settingFlags holds the flags that stand for settings, by dotted key. Two
	// commands may each have a flag for the same one.
	settingFlags map[string][]*pflag.Flag

	// running is set once a command's own code begins: an error before that is
	// wrong usage.
	running bool

	config func() (configs.Loaded, error)
	logger func() *slog.Logger
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, environ []string) *app {
	a := &app{
		stdin:        stdin,
		stdout:       stdout,
		stderr:       stderr,
		environ:      environ,
		isTerminal:   isTerminal,
		format:       formatTable,
		settingFlags: map[string][]*pflag.Flag{},
	}
	a.config = sync.OnceValues(a.loadConfig)
	a.logger = sync.OnceValue(a.newLogger)
	return a
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// execute runs the command that args name, prints its error and returns the
// exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if !a.running {
		err = usageError("%w", err)
	}
	code := exitCode(err)
	fmt.Fprintf(a.stderr, "socialctl: %s\n", a.message(err))
	var invalid *configs.ConfigError
	if code == exitUsage && !errors.As(err, &invalid) {
		fmt.Fprintf(a.stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return code
}

func (a *app) message(err error) string {
	var exit *exitError
	if errors.Is(err, context.Canceled) && !errors.As(err, &exit) {
		return "stopped by a signal before it was done"
	}
	return err.Error()
}

func (a *app) getenv(name string) string {
	for _, variable := range a.environ {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}

// defaultConfigFile is read when it is there and no other is named.
const defaultConfigFile = "socialctl.yaml"

// configFile returns the path of the configuration file, or "" for none.
func (a *app) configFile() (string, error) {
	if a.configPath != "" {
		return a.configPath, nil
	}
	if path := a.getenv("SOCIALCTL_CONFIG"); path != "" {
		return path, nil
	}
	switch _, err := os.Stat(defaultConfigFile); {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", usageError("look for a configuration file: %w", err)
	}
	return defaultConfigFile, nil
}

func (a *app) loadConfig() (configs.Loaded, error) {
	file, err := a.configFile()
	if err != nil {
		return configs.Loaded{}, err
	}
	given := map[string]string{}
	for key, flags := range a.settingFlags {
		for _, f := range flags {
			if f.Changed {
				given[key] = f.Value.String()
			}
		}
	}
	return configs.Load(configs.Source{File: file, Env: a.environ, Flags: given})
}

// newLogger makes the logger that the configuration asks for. With a wrong
// configuration it is the default one: the command is about to say what is
// wrong.
func (a *app) newLogger() *slog.Logger {
	settings := configs.Default().Log
	if loaded, err := a.config(); err == nil {
		settings = loaded.Config.Log
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(settings.Level)); err != nil {
		level = slog.LevelInfo
	}
	if a.quiet {
		level = max(level, slog.LevelError)
	}
	options := &slog.HandlerOptions{Level: level}
	if settings.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, options))
	}
	return slog.New(slog.NewTextHandler(a.stderr, options))
}

// colors reports whether colour may be written to a stream.
func (a *app) colors(stream any) bool {
	return !a.noColor && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb" && a.isTerminal(stream)
}

// addSettingFlag gives a command the flag of a setting, with the name, the
// default and the meaning that its declaration has.
func (a *app) addSettingFlag(flags *pflag.FlagSet, key string) {
	s, ok := configs.Lookup(key)
	if !ok {
		return // a test holds that every key used here is declared
	}
	flag := flags.VarPF(&settingValue{text: s.Default}, s.Flag, "", s.Doc)
	if s.Bool {
		flag.NoOptDefVal = "true"
	}
	a.settingFlags[key] = append(a.settingFlags[key], flag)
}

// settingValue keeps the text of a flag; the configuration's loader parses it,
// so that a wrong value is reported together with those of other sources.
type settingValue struct {
	text string
}

func (v *settingValue) String() string { return v.text }

func (v *settingValue) Type() string { return "string" }

func (v *settingValue) Set(text string) error {
	v.text = text
	return nil
}

// takes checks the number of arguments; most is -1 for any number.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("an argument is missing; the usage is: %s", cmd.UseLine())
		case most == 0 && len(args) > 0:
			return fmt.Errorf("%s takes no arguments, but there is %q", cmd.CommandPath(), args[0])
		case most > 0 && len(args) > most:
			return fmt.Errorf("unexpected argument %q; the usage is: %s", args[most], cmd.UseLine())
		}
		return nil
	}
}
