package idempotency_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/projections/idempotency"
)

// A message that is delivered again is not taken again; one whose handler has failed is.
func ExampleInbox() {
	server := miniredis.NewMiniRedis() // for the example; a service has a Redis of its own
	if err := server.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = rdb.Close() }()
	store, err := idempotency.New(idempotency.Config{Redis: rdb, Namespace: "billing"})
	if err != nil {
		fmt.Println(err)
		return
	}
	inbox, err := store.Inbox("orders")
	if err != nil {
		fmt.Println(err)
		return
	}

	full := true
	take := func(context.Context) error {
		if full {
			full = false
			return fmt.Errorf("the ledger is full")
		}
		fmt.Println("an invoice is written")
		return nil
	}
	for delivery := range 3 { // the id is the message's, such as the Nats-Msg-Id of its sender
		fmt.Println("delivery", delivery+1, "gives", inbox.Once(context.Background(), "order-17", take))
	}
	// Output:
	// delivery 1 gives the ledger is full
	// an invoice is written
	// delivery 2 gives <nil>
	// delivery 3 gives <nil>
}
