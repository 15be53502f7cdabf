package saga

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrConflict is what a [Journal] answers when the log has moved on: load, fold and decide again.
	ErrConflict = errors.New("saga: the log has moved on")
	// ErrClaimLost is the cause of a handler's ended context when another worker has taken the saga over. The
	// handler's result will not be used.
	ErrClaimLost = errors.New("saga: another worker has claimed this saga")
)

// DefinitionError lists every fault of a definition at once.
type DefinitionError struct {
	Name   string
	Faults []string
}

func (e *DefinitionError) Error() string {
	return fmt.Sprintf("definition %q: %s", e.Name, strings.Join(e.Faults, "; "))
}

// CorruptError tells that a saga's log cannot be read as a history: a commit that does not decode, a hole in
// its versions, a log that does not begin at its beginning. Nothing may be appended to such a log.
type CorruptError struct {
	Key     Key
	Version uint64 // the version at which it shows; 0 where unknown
	Err     error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("saga %s: history is corrupt at version %d: %v", e.Key, e.Version, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// UnknownError tells that something on the wire is newer than this build: an event type, a command kind or a
// format number. A worker that meets it leaves the saga to one that knows it.
type UnknownError struct {
	What string // "event type", "command", "commit format", "snapshot format", ...
	Name string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s %q is not known to this build; it was written by a newer one", e.What, e.Name)
}

// Permanent marks err as one that no retry can mend: the step has failed for good, whatever its policy says.
// Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// IsPermanent reports whether err, or an error that it wraps, was marked by [Permanent].
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

// RetryAfter asks that the next attempt come after d, whatever rest the step's policy would take; the number
// of attempts stays bounded by the policy. A d below zero is taken as zero. RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, max(d, 0)}
}

type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// PanicError is a handler's panic, as the failed attempt that it becomes.
type PanicError struct {
	Value any
	Stack string
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap gives the panic's value where it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Unknown marks err as one after which nobody knows whether the attempt had its effect, such as a connection that was
// lost before the answer came. Another attempt, with the same idempotency key, is what finds out; where there is none,
// because it was the last, or the saga is being undone, the step's compensation runs as if the step had completed: it must cope with an effect
// that is not there. An error that is, or wraps, context.DeadlineExceeded is taken for one. Unknown(nil) is nil.
func Unknown(err error) error {
	if err == nil {
		return nil
	}
	return &unknownOutcomeError{err}
}

type unknownOutcomeError struct{ err error }

func (e *unknownOutcomeError) Error() string { return e.err.Error() }
func (e *unknownOutcomeError) Unwrap() error { return e.err }

// IsUnknown reports whether err, or an error that it wraps, was marked by [Unknown].
func IsUnknown(err error) bool {
	var u *unknownOutcomeError
	return errors.As(err, &u)
}

// PutOff marks err as one that must not count as an attempt: something that every attempt needs, such as Redis, is away for a
// time. The step is tried again however few attempts its policy leaves
// it, after a rest that grows up to a minute and leaves the saga's slot to others. [Once] and guarded steps mark so what fails
// in their Redis. That the attempt had no effect is taken for granted, unless err is marked by [Unknown], too. PutOff(nil) is
// nil; an error that is marked by [Permanent], too, is permanent.
func PutOff(err error) error {
	if err == nil {
		return nil
	}
	return &putOffError{err}
}

type putOffError struct{ err error }

func (e *putOffError) Error() string { return e.err.Error() }
func (e *putOffError) Unwrap() error { return e.err }

// IsPutOff reports whether err, or an error that it wraps, was marked by [PutOff].
func IsPutOff(err error) bool {
	var p *putOffError
	return errors.As(err, &p)
}
