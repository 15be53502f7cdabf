package saga_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// A declined card stays declined: there is no point in another attempt, and the saga is undone at once.
func ExamplePermanent() {
	type Payment struct{ Card string }
	errDeclined := errors.New("card declined")
	bank := func(context.Context, string) error { return errDeclined }

	charge := func(ctx context.Context, p *Payment) error {
		err := bank(ctx, p.Card)
		if errors.Is(err, errDeclined) {
			return saga.Permanent(err)
		}
		return err
	}

	err := charge(context.Background(), &Payment{Card: "4000"})
	fmt.Println(err)
	fmt.Println("permanent:", saga.IsPermanent(err))
	fmt.Println("declined:", errors.Is(err, errDeclined))
	// Output:
	// card declined
	// permanent: true
	// declined: true
}

// A service that says when to come back is asked again then, whatever the step's policy would do.
func ExampleRetryAfter() {
	type Parcel struct{ Tracking string }
	errBusy := errors.New("carrier is busy")
	carrier := func(context.Context) (tracking string, comeBack time.Duration, err error) {
		return "", 30 * time.Second, errBusy
	}

	ship := func(ctx context.Context, p *Parcel) error {
		tracking, comeBack, err := carrier(ctx)
		if err != nil {
			return saga.RetryAfter(err, comeBack)
		}
		p.Tracking = tracking
		return nil
	}

	err := ship(context.Background(), &Parcel{})
	fmt.Println(err)
	fmt.Println("permanent:", saga.IsPermanent(err))
	// Output:
	// carrier is busy
	// permanent: false
}
