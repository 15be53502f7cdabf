package saga_test

import (
	"context"
	"fmt"

	"github.com/jetsaga/jetsaga/saga"
)

// A step is run at least once, so its effect is asked for under a key that is the same for every attempt. The unit test
// of a handler puts an Info of its own into the context.
func ExampleFromContext() {
	type Payment struct{ Charge string }
	ledger := map[string]string{} // of the bank, which answers a key once
	bank := func(ctx context.Context, key string) (string, error) {
		if _, seen := ledger[key]; !seen {
			ledger[key] = fmt.Sprintf("charge %d", len(ledger)+1)
		}
		return ledger[key], ctx.Err()
	}

	charge := func(ctx context.Context, p *Payment) (err error) {
		p.Charge, err = bank(ctx, saga.FromContext(ctx).IdempotencyKey())
		return err
	}

	info := saga.Info{Key: saga.Key{Definition: "place-order", ID: "o-1"}, Run: "r-1", Step: "charge-card"}
	for info.Attempt = 1; info.Attempt <= 2; info.Attempt++ {
		var p Payment
		if err := charge(saga.NewContext(context.Background(), info), &p); err != nil {
			fmt.Println(err)
		}
		fmt.Printf("attempt %d: %s\n", info.Attempt, p.Charge)
	}
	// Output:
	// attempt 1: charge 1
	// attempt 2: charge 1
}

// The undo of a step has a key of its own, and so has every run of a saga.
func ExampleInfo_IdempotencyKey() {
	do := saga.Info{Key: saga.Key{Definition: "place-order", ID: "o-1"}, Run: "r-1", Step: "charge-card", Attempt: 1}
	undo := do
	undo.Undo = true
	again := do
	again.Run = "r-2"
	fmt.Println(do.IdempotencyKey())
	fmt.Println(undo.IdempotencyKey())
	fmt.Println(again.IdempotencyKey())
	// Output:
	// 84947b96-b630-539b-b884-e1c33d62b760
	// c956fa50-4053-58e0-9dc5-debe3efc12a9
	// 468f9185-09f6-5714-aaa2-3f780c2a686c
}
