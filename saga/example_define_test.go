package saga_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Define reports all that is wrong with a definition at once.
func ExampleDefine() {
	type Trip struct{ Seat, Room string }
	book := func(context.Context, *Trip) error { return nil }

	_, err := saga.Define("book trip", 1,
		saga.Step("seat", book).Compensate(nil),
		saga.Step("room", book).Retry(saga.RetryPolicy{Factor: 0.5}),
		saga.Step("room", book).Timeout(-time.Second),
	)
	var faulty *saga.DefinitionError
	if errors.As(err, &faulty) {
		for _, fault := range faulty.Faults {
			fmt.Println(fault)
		}
	}
	// Output:
	// invalid definition "book trip": contains ' '; white space, control characters, '.', '*' and '>' are not allowed
	// step "seat": has a nil compensation
	// step "room": retry Factor 0.5 is below 1
	// step "room" occurs twice
	// step "room": timeout -1s is negative
}

// A step says how often it is tried, for how long, and how it is undone.
func ExampleStep() {
	type Trip struct{ Seat string }
	book := func(_ context.Context, t *Trip) error {
		t.Seat = "12A"
		return nil
	}
	release := func(_ context.Context, t *Trip) error {
		t.Seat = ""
		return nil
	}

	def := saga.Must(saga.Define("book-trip", 1,
		saga.Step("seat", book).
			Retry(saga.RetryPolicy{Initial: time.Second, Attempts: 5}).
			Timeout(10*time.Second).
			Compensate(release).
			CompensateTimeout(time.Minute),
	))
	seat := def.Plan().Step("seat")
	fmt.Println("attempts:", seat.Retry.Attempts)
	fmt.Println("timeout:", seat.Timeout)
	fmt.Println("timeout of the undo:", seat.Undo.Timeout)
	// Output:
	// attempts: 5
	// timeout: 10s
	// timeout of the undo: 1m0s
}
