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
	ctx, stop := untilSignal()
	defer stop()
	a := newApp(os.Stdin, os.Stdout, os.Stderr, os.Environ())
	return a.execute(ctx, args)
}

// untilSignal is a context that the first signal ends, so that a job stops at
// its next checkpoint. By then signals do again what they do to any program: a
// second one kills. (signal.NotifyContext ends the context first, and swallows
// a second signal that is quick.)
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals)
		cancel()
	}()
	return ctx, cancel
}
