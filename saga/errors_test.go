package saga_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

func TestPermanentMarksAnErrorThroughAnyWrapping(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"a plain error", io.EOF, false},
		{"a marked error", saga.Permanent(io.EOF), true},
		{"one that wraps it", fmt.Errorf("charge: %w", saga.Permanent(io.EOF)), true},
		{"one that joins it", errors.Join(io.ErrNoProgress, saga.Permanent(io.EOF)), true},
		{"one that only cites it", errors.New("charge: " + saga.Permanent(io.EOF).Error()), false},
		{"marked twice", saga.Permanent(saga.Permanent(io.EOF)), true},
		{"with a rest", saga.RetryAfter(saga.Permanent(io.EOF), time.Second), true},
		{"a rest alone", saga.RetryAfter(io.EOF, time.Second), false},
		{"a panic with it", &saga.PanicError{Value: saga.Permanent(io.EOF)}, true},
		{"a panic with anything else", &saga.PanicError{Value: "x"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := saga.IsPermanent(test.err); got != test.want {
				t.Errorf("IsPermanent(%v) is %v, want %v", test.err, got, test.want)
			}
		})
	}
}

func TestAMarkIsSeenNeitherInTheTextNorByErrorsIs(t *testing.T) {
	for name, err := range map[string]error{
		"Permanent":  saga.Permanent(io.EOF),
		"RetryAfter": saga.RetryAfter(io.EOF, time.Second),
	} {
		if err.Error() != io.EOF.Error() {
			t.Errorf("%s: the text is %q, want that of what it marks", name, err)
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: the error is not any more what it marks", name)
		}
	}
}

func TestAMarkOnNoErrorIsNone(t *testing.T) {
	if err := saga.Permanent(nil); err != nil {
		t.Errorf("Permanent(nil) is %v", err)
	}
	if err := saga.RetryAfter(nil, time.Second); err != nil {
		t.Errorf("RetryAfter(nil) is %v", err)
	}
}

func TestErrorsSayWhatHappenedToWhat(t *testing.T) {
	key := saga.Key{Definition: "order", ID: "o-1"}
	for _, test := range []struct {
		err     error
		text    string
		unwraps error
	}{
		{&saga.DefinitionError{Name: "order", Faults: []string{"x", "y"}}, `definition "order": x; y`, nil},
		{&saga.CorruptError{Key: key, Version: 7, Err: io.EOF}, "saga order/o-1: history is corrupt at version 7: EOF", io.EOF},
		{&saga.UnknownError{What: "event type", Name: "X"}, `event type "X" is not known to this build; it was written by a newer one`, nil},
		{&saga.PanicError{Value: io.EOF, Stack: "s"}, "panic: EOF", io.EOF},
		{&saga.PanicError{Value: 7, Stack: "s"}, "panic: 7", nil},
		{saga.ErrConflict, "saga: the log has moved on", nil},
		{saga.ErrClaimLost, "saga: another worker has claimed this saga", nil},
	} {
		if got := test.err.Error(); got != test.text {
			t.Errorf("%T says %q, want %q", test.err, got, test.text)
		}
		if got := errors.Unwrap(test.err); !errors.Is(got, test.unwraps) {
			t.Errorf("%T unwraps to %v, want %v", test.err, got, test.unwraps)
		}
	}
}
