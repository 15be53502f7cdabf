package saga_test

import (
	"context"
	"errors"
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

// memory remembers effects; a worker has a Redis for it.
type memory map[string][]byte

func (m memory) Do(ctx context.Context, key string, fn func(context.Context) ([]byte, error)) ([]byte, error) {
	if result, ok := m[key]; ok {
		return result, nil
	}
	result, err := fn(ctx)
	if err == nil {
		m[key] = result
	}
	return result, err
}

// The room is booked once, though the mail fails at first.
func ExampleOnce() {
	failures := 1
	book := func(ctx context.Context) error {
		room, err := saga.Once(ctx, "room", func(context.Context) (int, error) {
			fmt.Println("book a room")
			return 7, nil
		})
		if err != nil {
			return err
		}
		_, err = saga.Once(ctx, "mail", func(context.Context) (bool, error) {
			if failures > 0 {
				failures--
				return false, errors.New("the mail server is away")
			}
			fmt.Println("send a mail for room", room)
			return true, nil
		})
		return err
	}
	info := saga.Info{Key: saga.Key{Definition: "trip", ID: "t-1"}, Run: "r", Step: "book"}
	ctx := saga.WithEffects(saga.NewContext(context.Background(), info), memory{})
	fmt.Println(book(ctx))
	fmt.Println(book(ctx))
	// Output:
	// book a room
	// the mail server is away
	// send a mail for room 7
	// <nil>
}
