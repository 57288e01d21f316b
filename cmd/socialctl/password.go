package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// longestPassword bounds what is read of a password file, in bytes: a wrong file may be of any size.
const longestPassword = 4096

// passwordFile reads a password from the first line of a file, or of standard input for "-".
func (a *app) passwordFile(path string) (string, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", usageError("--password-file: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, longestPassword))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	password, _, _ := strings.Cut(string(text), "\n")
	password = strings.TrimSuffix(password, "\r")
	if password == "" {
		return "", usageError("--password-file: there is no password in its first line")
	}
	return password, nil
}

// askPassword asks for a new password twice, without showing it.
func (a *app) askPassword(ctx context.Context, of string) (string, error) {
	stdin, ok := a.stdin.(*os.File)
	if !ok || !a.isTerminal(a.stdin) {
		return "", usageError("without a terminal the password comes from --password-file")
	}
	var given [2]string
	for i, question := range []string{"New password for " + of + ": ", "Once more: "} {
		fmt.Fprint(a.stderr, question)
		text, err := readHidden(ctx, stdin)
		fmt.Fprintln(a.stderr)
		if err != nil {
			return "", err
		}
		given[i] = text
	}
	if given[0] != given[1] {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return given[0], nil
}

// readHidden reads a line that the terminal does not show. A signal gives the terminal back as it was.
func readHidden(ctx context.Context, stdin *os.File) (string, error) {
	fd := int(stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	type answer struct {
		text []byte
		err  error
	}
	// Reading cannot be interrupted; after a signal the process ends, and the goroutine with it.
	read := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		read <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	case got := <-read:
		if got.err != nil {
			return "", fmt.Errorf("read the password: %w", got.err)
		}
		return string(got.text), nil
	}
}
