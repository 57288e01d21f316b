package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
)

// confirm asks a question that is answered by yes or no. With --yes it does
// not ask; without a terminal it refuses, since nobody would answer.
func (a *app) confirm(ctx context.Context, question string) error {
	if a.yes {
		return nil
	}
	if !a.isTerminal(a.stdin) {
		return usageError("%s Without a terminal this needs --yes", question)
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	// Reading cannot be interrupted; after a signal the process ends, and the
	// goroutine with it.
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return ctx.Err()
	case text := <-answer:
		if text == "y" || text == "yes" {
			return nil
		}
		return errors.New("not confirmed; nothing was changed")
	}
}
