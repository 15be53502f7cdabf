package main

import (
	"context"
	"errors"

	"github.com/jetsaga/jetsaga/saga"
)

type Order struct{ SKU, Card, Reservation string }

func reserve(ctx context.Context, o *Order) error { o.Reservation = "R-1"; return nil }
func release(ctx context.Context, o *Order) error { o.Reservation = ""; return nil }
func charge(ctx context.Context, o *Order) error {
	if o.Card == "" {
		return saga.Permanent(errors.New("no card")) // no retry can help: undo what was done
	}
	return nil // any other error is retried, with saga.FromContext(ctx).IdempotencyKey() the same
}

var placeOrder = saga.Must(saga.Define("place-order", 1,
	saga.Step("reserve-stock", reserve).Compensate(release),
	saga.Step("charge-card", charge),
))
