// Command socialctl serves the timelines of people who follow each other, and
// is the tool with which their operators run it.
//
// This package turns flags into calls and results into text. It owns cobra,
// the exit codes and what is written to the terminal, and it holds no rules of
// the product, no SQL and no HTTP.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	// The first signal ends the context, and a job stops at its next
	// checkpoint. From then on signals do what they do to any program, so that
	// a second one kills.
	context.AfterFunc(ctx, restore)

	a := newApp(os.Stdin, os.Stdout, os.Stderr, os.Environ())
	return a.execute(ctx, args)
}
