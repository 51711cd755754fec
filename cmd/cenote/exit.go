package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/cenote-go/cenote/queue"
)

// The exit codes of the program.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitTaskFailed  = 4
	exitTimedOut    = 5
	exitUnreachable = 6
	exitInterrupted = 130
	exitPipeClosed  = 141 // what a shell says of a program that SIGPIPE ended
)

var (
	errInterrupted = errors.New("interrupted")
	errNotFound    = errors.New("not found")
	errTaskFailed  = errors.New("task failed")
	errTimedOut    = errors.New("timed out")
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(err error) error { return usageError{err} }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// told is an error that the verb has already told the user about: it only decides
// the exit code.
type told struct{ error }

func (e told) Unwrap() error { return e.error }

// exitCode is the one place that turns an error into an exit code.
func exitCode(err error) int {
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	_, badUsage := errors.AsType[usageError](err)
	switch {
	case err == nil:
		return exitOK
	case badUsage:
		return exitUsage
	case is(errInterrupted):
		return exitInterrupted
	case is(syscall.EPIPE):
		return exitPipeClosed
	case is(errTaskFailed), queue.IsTaskError(err):
		return exitTaskFailed
	case is(errNotFound, queue.ErrResultExpired):
		return exitNotFound
	case is(queue.ErrUnavailable, queue.ErrUnauthorized):
		return exitUnreachable
	case is(errTimedOut, context.DeadlineExceeded):
		return exitTimedOut
	case is(queue.ErrName, queue.ErrOption, queue.ErrTaskID):
		return exitUsage
	}
	return exitError
}

// report tells the user about err, unless that is done, and returns the exit code.
func report(cmd *cobra.Command, err error) int {
	code := exitCode(err)
	if _, done := errors.AsType[told](err); err == nil || done || code == exitPipeClosed {
		return code
	}
	reportTo(os.Stderr, cmd, err, code)
	return code
}

func reportTo(w io.Writer, cmd *cobra.Command, err error, code int) {
	fmt.Fprintf(w, "cenote: %v\n", err)
	if code == exitUsage && cmd != nil {
		fmt.Fprintf(w, "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
}
