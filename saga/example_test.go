package saga_test

import (
	"context"
	"fmt"

	"github.com/jetsaga/jetsaga/saga"
)

// Order is the state of the saga: what its steps know of an order, and what they have found out.
type Order struct {
	SKU         string `json:"sku"`
	Quantity    int    `json:"quantity"`
	Reservation string `json:"reservation,omitempty"`
	Charge      string `json:"charge,omitempty"`
	Tracking    string `json:"tracking,omitempty"`
}

// ask stands for a call of another service, which answers one key once.
func ask(ctx context.Context, service string) (answer string, err error) {
	key := saga.FromContext(ctx).IdempotencyKey()
	return service + " " + key[:8], ctx.Err()
}

func reserve(ctx context.Context, o *Order) (err error) {
	o.Reservation, err = ask(ctx, "reservation")
	return err
}

func release(ctx context.Context, _ *Order) error {
	_, err := ask(ctx, "release")
	return err
}

func charge(ctx context.Context, o *Order) (err error) {
	o.Charge, err = ask(ctx, "charge")
	return err
}

func refund(ctx context.Context, _ *Order) error {
	_, err := ask(ctx, "refund")
	return err
}

func ship(ctx context.Context, o *Order) (err error) {
	o.Tracking, err = ask(ctx, "parcel")
	return err
}

// An order is placed in three steps. Should the second or the third fail for good, what was done before is undone.
func Example() {
	def, err := saga.Define("place-order", 1,
		saga.Step("reserve-stock", reserve).Compensate(release),
		saga.Step("charge-card", charge).Compensate(refund),
		saga.Step("ship", ship),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	plan := def.Plan()
	fmt.Printf("%s, version %d\n", plan.Name, plan.Version)
	for _, step := range plan.Root.Children {
		fmt.Printf("%s: %d attempts, undone: %v\n", step.Name, step.Step.Retry.Attempts, step.Step.Undo != nil)
	}
	// Output:
	// place-order, version 1
	// reserve-stock: 10 attempts, undone: true
	// charge-card: 10 attempts, undone: true
	// ship: 10 attempts, undone: false
}
