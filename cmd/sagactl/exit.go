package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/examples/order/shop"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/streams/embedded"
)

// The exit codes, for scripts. Their meaning never changes.
const (
	exitOK       = 0
	exitNo       = 1 // the command ran, and the answer is no
	exitUsage    = 2
	exitServer   = 3
	exitNotFound = 4
	exitKnown    = 5
	exitDamaged  = 6
	exitFailed   = 7
	exitStopped  = 130 // as shells have it for an interrupt
)

// exitMeaning is what an exit code means, as -o json prints it.
type exitMeaning struct {
	Code    int    `json:"code"`
	Meaning string `json:"meaning"`
}

var exitMeanings = []exitMeaning{
	{exitOK, "done"},
	{exitNo, "it ran, and the answer is no: the books do not balance, doctor or verify found something, there are no read models to tell " +
		"the status of, a saga that was waited for did not end as was asked (completed; after a cancel, compensated), an import has " +
		"refused some, or a dead letter cannot be redriven because it was cut"},
	{exitUsage, "the command line, a name or an input is wrong; nothing was done"},
	{exitServer, "no server, no JetStream, a server that is too old, no sagas in this namespace, no Redis, or no read models in it yet"},
	{exitNotFound, "there is no such saga, no such version of it, no such plan, or no such dead letter"},
	{exitKnown, "something else was there first: the saga was started before, has ended, or is in no state for what was asked of it; the " +
		"directory or the port is in use"},
	{exitDamaged, "what is stored is not as it must be: streams with other settings, a history with holes or from a newer build"},
	{exitFailed, "anything else: a full disk, say"},
	{exitStopped, "interrupted before it was done; what runs until it is interrupted (`dev`, `projections run`, `retention run`) ends with 0"},
}

// exitHelp tells of all exit codes.
func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n\n")
	for _, m := range exitMeanings {
		fmt.Fprintf(&b, "  %-5d%s\n", m.Code, wrapped(m.Meaning, 118, "       "))
	}
	b.WriteString("\nWhat went wrong is one line on standard error, with -o json too.")
	return b.String()
}

// wrapped breaks text into lines of at most so many bytes, of which all but the first are indented.
func wrapped(text string, width int, indent string) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return strings.Join(append(lines, line), "\n"+indent)
}

func (a *app) exitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long:  exitHelp() + "\n\nWith -o json, a list: code, meaning.",
		RunE: func(*cobra.Command, []string) error {
			if a.json() {
				return a.printJSON(exitMeanings)
			}
			a.printf("%s\n", exitHelp())
			return nil
		},
	}
}

// errNo is an answer that has been given in full; only the exit code is left to say.
var errNo = errors.New("no")

// usageError is what the user has to put right on the command line or in an input.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// stoppedError says what an interrupt leaves behind.
type stoppedError struct{ text string }

func (e *stoppedError) Error() string { return e.text }
func (e *stoppedError) Unwrap() error { return context.Canceled }

// errNoVersion tells that a saga has not had a version.
var errNoVersion = errors.New("no such version")

// exitCode tells how the process ends with an error.
func exitCode(err error) int {
	var (
		usage   *usageError
		name    *saga.InvalidNameError
		orders  *shop.OrdersError
		large   *streams.TooLargeError
		server  *streams.ServerError
		away    *unreachableError
		drift   *streams.DriftError
		corrupt *saga.CorruptError
		unknown *saga.UnknownError
		ledger  *shop.CorruptError
		known   *engine.AlreadyStartedError
		ended   *engine.EndedError
		refused *engine.RefusedError
		query   *projections.QueryError
		unbuilt *projections.NotReadyError
		down    *redisDownError
		broken  *net.OpError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNo), errors.Is(err, streams.ErrLetterCut):
		return exitNo
	case errors.Is(err, context.Canceled):
		return exitStopped
	case errors.As(err, &usage), errors.As(err, &name), errors.As(err, &orders), errors.As(err, &large), errors.As(err, &query),
		errors.Is(err, engine.ErrStateTooLarge):
		return exitUsage
	case errors.As(err, &drift), errors.As(err, &corrupt), errors.As(err, &unknown), errors.As(err, &ledger),
		errors.Is(err, projections.ErrNewer):
		return exitDamaged
	case errors.As(err, &server), errors.As(err, &away), errors.As(err, &down), errors.As(err, &unbuilt), errors.Is(err, streams.ErrNotFound),
		errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded):
		return exitServer
	case errors.Is(err, engine.ErrNotFound), errors.Is(err, errNoVersion), errors.Is(err, streams.ErrNoPlan), errors.Is(err, streams.ErrNoLetter):
		return exitNotFound
	case errors.As(err, &known), errors.As(err, &ended), errors.As(err, &refused), errors.Is(err, embedded.ErrInUse), errors.Is(err, syscall.EADDRINUSE):
		return exitKnown
	case errors.As(err, &broken), errors.Is(err, io.EOF): // a Redis that went in the middle
		return exitServer
	default:
		return exitFailed
	}
}
