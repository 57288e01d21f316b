package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptCommands are what the scripts can say beyond testscript's own words.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"await":    await,
	"capture":  capture,
	"exitcode": exitcode,
	"fill":     fill,
	"http":     request,
}

// exitcode N COMMAND... runs a command and fails unless it exits with N; its
// output is there for stdout and stderr, as after exec.
func exitcode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("exitcode: %v", err)
	}
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s exited with %d, want %d", args[1], got, want)
	}
}

// awaitPatience is how long something that must happen may take.
const awaitPatience = 30 * time.Second

// await FILE PATTERN [VARIABLE] waits until a background command has written a
// match into FILE, and puts the pattern's first group into the variable.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: await FILE PATTERN [VARIABLE]")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var text []byte
	for begun := time.Now(); time.Since(begun) < awaitPatience; <-time.After(5 * time.Millisecond) {
		if text, err = os.ReadFile(ts.MkAbs(args[0])); err != nil && !errors.Is(err, os.ErrNotExist) {
			ts.Fatalf("await: %v", err)
		}
		if found := pattern.FindSubmatch(text); found != nil {
			if len(args) == 3 {
				ts.Setenv(args[2], string(found[1]))
			}
			return
		}
	}
	ts.Fatalf("await: %s has no match for %s:\n%s", args[0], args[1], text)
}

// capture VARIABLE takes what the command before wrote on stdout.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: capture VARIABLE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// fill FILE... replaces ${VARIABLE} in files by its value.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fill FILE...")
	}
	for _, file := range args {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

// request is http STATUS METHOD URL [TOKEN [BODY]]: it asks, fails unless the
// answer has the status, and writes the answer's body to stdout.
func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 5 {
		ts.Fatalf("usage: http STATUS METHOD URL [TOKEN [BODY]]")
	}
	args = append(args, "", "")[:5]
	r, err := http.NewRequest(args[1], args[2], strings.NewReader(args[4]))
	ts.Check(err)
	if args[3] != "" {
		r.Header.Set("Authorization", "Bearer "+args[3])
	}
	if args[4] != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Timeout: awaitPatience}
	answer, err := client.Do(r)
	ts.Check(err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	ts.Check(err)
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
	if strconv.Itoa(answer.StatusCode) != args[0] {
		ts.Fatalf("%s %s: status %d, want %s\n%s", args[1], args[2], answer.StatusCode, args[0], body)
	}
}
