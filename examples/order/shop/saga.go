package shop

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// DefinitionName is the name of the definition that [Shop.Definition] gives.
const DefinitionName = "place-order"

// stepTimeout is far above what any service here takes, and far below what a
// customer would wait for.
const stepTimeout = 10 * time.Second

var (
	// localRetry is for services that fail only when their disk does.
	localRetry = saga.RetryPolicy{Initial: 50 * time.Millisecond, Max: 2 * time.Second}

	// carrierRetry is quick at first, since the carrier's outages are short. Eight
	// attempts outlast any of them.
	carrierRetry = saga.RetryPolicy{Initial: 20 * time.Millisecond, Max: time.Second, Attempts: 8}
)

// Definition is the saga that sees to one order: reserve its stock, charge its
// card, ship it. An order that is refused on the way is refunded and its stock
// released. Shipping is the pivot: nothing is undone after it.
func (s *Shop) Definition() (*saga.Definition[Order], error) {
	return saga.Define(DefinitionName, 1,
		saga.Step("reserve-stock", s.reserve).Retry(localRetry).Timeout(stepTimeout).
			Compensate(s.release).CompensateRetry(localRetry).CompensateTimeout(stepTimeout),
		saga.Step("charge-card", s.charge).Retry(localRetry).Timeout(stepTimeout).
			Compensate(s.refund).CompensateRetry(localRetry).CompensateTimeout(stepTimeout),
		saga.Step("ship", s.ship).Retry(carrierRetry).Timeout(stepTimeout).Pivot(),
	)
}

func (s *Shop) reserve(ctx context.Context, o *Order) (err error) {
	o.ReservationID, err = s.Inventory.Reserve(ctx, idempotencyKey(ctx), o.ID, o.SKU, o.Quantity)
	return judge(err)
}

func (s *Shop) release(ctx context.Context, o *Order) error {
	return judge(s.Inventory.Release(ctx, idempotencyKey(ctx), o.ReservationID))
}

func (s *Shop) charge(ctx context.Context, o *Order) (err error) {
	o.ChargeID, err = s.Payments.Charge(ctx, idempotencyKey(ctx), o.ID, o.Card, o.TotalCents())
	return judge(err)
}

func (s *Shop) refund(ctx context.Context, o *Order) error {
	return judge(s.Payments.Refund(ctx, idempotencyKey(ctx), o.ChargeID))
}

func (s *Shop) ship(ctx context.Context, o *Order) (err error) {
	o.TrackingID, err = s.Carrier.Ship(ctx, idempotencyKey(ctx), o.ID, o.Address)
	return judge(err)
}

func idempotencyKey(ctx context.Context) string {
	return saga.FromContext(ctx).IdempotencyKey()
}

// final are the answers that the same call would get again.
var final = []error{
	ErrOutOfStock, ErrDeclined, ErrUndeliverable,
	ErrKeyReused, ErrNotFound, ErrUndone, ErrInvalid,
}

// judge marks final answers as permanent. Everything else is worth another
// attempt: the carrier comes back, and so may the disk.
func judge(err error) error {
	if slices.ContainsFunc(final, func(answer error) bool { return errors.Is(err, answer) }) {
		return saga.Permanent(err)
	}
	return err
}
