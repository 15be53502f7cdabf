package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/examples/order/shop"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// The exit codes, for scripts. Their meaning never changes.
const (
	exitOK       = 0
	exitNo       = 1 // the command ran, and the answer is no
	exitUsage    = 2
	exitServer   = 3
	exitNotFound = 4
	exitKnown    = 5
	exitStopped  = 130 // as shells have it for an interrupt
)

const exitHelp = `Exit codes:

  0    done
  1    it ran, and the answer is no: the books do not balance, doctor found something, a saga that was waited for
       did not complete; or something failed that no other code names
  2    the command line, a name or an input is wrong; nothing was done
  3    no server, no JetStream, a server that is too old, or no sagas in this namespace
  4    there is no such saga
  5    the saga was started before, or has ended
  130  interrupted`

// errNo is an answer that has been given in full; only the exit code is left to say.
var errNo = errors.New("no")

// usageError is what the user has to put right on the command line or in an input.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exitCode tells how the process ends with an error.
func exitCode(err error) int {
	var (
		usage  *usageError
		name   *saga.InvalidNameError
		orders *shop.OrdersError
		server *streams.ServerError
		drift  *streams.DriftError
		known  *engine.AlreadyStartedError
		ended  *engine.EndedError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		return exitStopped
	case errors.As(err, &usage), errors.As(err, &name), errors.As(err, &orders),
		errors.Is(err, engine.ErrStateTooLarge), errors.Is(err, fs.ErrNotExist):
		return exitUsage
	case errors.As(err, &server), errors.As(err, &drift), errors.Is(err, streams.ErrNotFound),
		errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoResponders),
		errors.Is(err, nats.ErrAuthorization), errors.Is(err, context.DeadlineExceeded):
		return exitServer
	case errors.Is(err, engine.ErrNotFound):
		return exitNotFound
	case errors.As(err, &known), errors.As(err, &ended):
		return exitKnown
	default:
		return exitNo
	}
}
