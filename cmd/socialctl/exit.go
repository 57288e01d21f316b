package main

import (
	"context"
	"errors"
	"fmt"

	"socialctl/admin"
	"socialctl/configs"
	"socialctl/sharding"
)

// The exit codes are part of the command line's contract.
const (
	exitDone         = 0
	exitFailed       = 1
	exitUsage        = 2  // wrong usage or configuration
	exitProblems     = 3  // done, and problems were found
	exitStoppedEarly = 4  // work is left; run it again to go on
	exitLockHeld     = 75 // another run holds the job; EX_TEMPFAIL of sysexits.h
)

// exitError is an error that decides the exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }

func (e *exitError) Unwrap() error { return e.err }

// usageError says that the command was called in a wrong way.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// problemsFound says that a check has run to its end and found something.
func problemsFound(format string, args ...any) error {
	return &exitError{exitProblems, fmt.Errorf(format, args...)}
}

// stoppedEarly says that a job ended with work left, and how to go on.
func stoppedEarly(format string, args ...any) error {
	return &exitError{exitStoppedEarly, fmt.Errorf(format, args...)}
}

// lockHeld says that another run holds the job.
func lockHeld(format string, args ...any) error {
	return &exitError{exitLockHeld, fmt.Errorf(format, args...)}
}

// exitCode returns the code for what a command has returned.
func exitCode(err error) int {
	var exit *exitError
	var invalid *configs.ConfigError
	var usage *admin.UsageError
	var refused *admin.RefusedError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &refused):
		return exitProblems
	case errors.Is(err, admin.ErrStopped):
		return exitStoppedEarly
	case errors.Is(err, sharding.ErrJobHeld):
		return exitLockHeld
	case errors.As(err, &invalid), errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, context.Canceled):
		// Only a signal cancels the context that commands get.
		return exitStoppedEarly
	}
	return exitFailed
}
