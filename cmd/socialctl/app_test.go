package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"socialctl/configs"
)

// quietApp has no terminal, no input and no environment.
func quietApp() *app {
	return newApp(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}, nil)
}

func TestExitCodes(t *testing.T) {
	cause := errors.New("cause")
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{cause, 1},
		{fmt.Errorf("outer: %w", usageError("wrong: %w", cause)), 2},
		{&configs.ConfigError{}, 2},
		{problemsFound("3 problems"), 3},
		{stoppedEarly("stopped at 5 of 9: %w", context.Canceled), 4},
		{fmt.Errorf("read: %w", context.Canceled), 4},
		{context.DeadlineExceeded, 1},
		{lockHeld("held"), 75},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%v: exit code %d, want %d", test.err, got, test.want)
		}
	}
	if !errors.Is(usageError("wrong: %w", cause), cause) {
		t.Error("the cause is lost")
	}
}

func TestConfirm(t *testing.T) {
	for _, test := range []struct {
		name, input   string
		terminal, yes bool
		want          int
	}{
		{"yes on a terminal", "Yes\n", true, false, 0},
		{"y without a line break", "y", true, false, 0},
		{"no", "n\n", true, false, 1},
		{"just enter", "\n", true, false, 1},
		{"end of input", "", true, false, 1},
		{"no terminal", "y\n", false, false, 2},
		{"no terminal, --yes", "", false, true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := quietApp()
			a.stdin = strings.NewReader(test.input)
			a.isTerminal = func(any) bool { return test.terminal }
			a.yes = test.yes
			if got := exitCode(a.confirm(t.Context(), "Delete ada?")); got != test.want {
				t.Errorf("exit code %d, want %d", got, test.want)
			}
		})
	}
}

func TestConfirmEndsWithItsContext(t *testing.T) {
	a := quietApp()
	a.isTerminal = func(any) bool { return true }
	input, answer := newBlockedInput()
	defer answer()
	a.stdin = input
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.confirm(ctx, "Delete ada?"); exitCode(err) != exitStoppedEarly {
		t.Errorf("got %v", err)
	}
}

func TestProgressLogsNowAndThen(t *testing.T) {
	a := quietApp()
	now := time.Unix(1000, 0)
	p := a.progress("import graph", 100)
	p.now = func() time.Time { return now }
	p.begun, p.logged = now, now
	for range 50 {
		now = now.Add(time.Second)
		p.advance(1)
	}
	p.finish()
	lines := strings.Split(strings.TrimSpace(a.stderr.(*bytes.Buffer).String()), "\n")
	if len(lines) != 5 || !strings.Contains(lines[4], `msg="import graph" done=50 total=100 per_second=1 left=50s`) {
		t.Errorf("logged %q", lines)
	}
}

func TestProgressBarOnATerminal(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*app)
		drawn  bool
	}{
		"bar":           {func(*app) {}, true},
		"--quiet":       {func(a *app) { a.quiet = true }, false},
		"--no-progress": {func(a *app) { a.noProgress = true }, false},
		"no terminal":   {func(a *app) { a.isTerminal = func(any) bool { return false } }, false},
	} {
		a := quietApp()
		a.isTerminal = func(any) bool { return true }
		test.change(a)
		p := a.progress("import graph", 10)
		p.advance(10)
		p.finish()
		if drawn := strings.Contains(a.stderr.(*bytes.Buffer).String(), "import graph"); drawn != test.drawn {
			t.Errorf("%s: drawn is %v", name, drawn)
		}
	}
}

func TestColors(t *testing.T) {
	for name, test := range map[string]struct {
		environ  []string
		noColor  bool
		terminal bool
		want     bool
	}{
		"terminal":    {nil, false, true, true},
		"no terminal": {nil, false, false, false},
		"NO_COLOR":    {[]string{"NO_COLOR=1"}, false, true, false},
		"--no-color":  {nil, true, true, false},
		"dumb":        {[]string{"TERM=dumb"}, false, true, false},
	} {
		a := quietApp()
		a.environ, a.noColor = test.environ, test.noColor
		a.isTerminal = func(any) bool { return test.terminal }
		if got := a.colors(a.stdout); got != test.want {
			t.Errorf("%s: colour is %v", name, got)
		}
	}
}
