package shop_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jetsaga/jetsaga/examples/order/shop"
	"github.com/jetsaga/jetsaga/saga"
)

// The services answer a repeated call with what they answered first, and
// Reconcile names what the ledgers lack.
func Example() {
	if err := sellTents(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// R000001 <nil>
	// true <nil>
	// true
	// order-1: the order completed but names no reservation, the ledger has R000001
	// order-1: the order completed without a charge
	// order-1: the order completed without a shipment
	// the account has 0.00, 378.00 are expected
}

func sellTents(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	s, err := shop.Open(shop.Config{Dir: dir, Stock: map[string]int64{"tent": 3}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	first, err := s.Inventory.Reserve(ctx, "key-1", "order-1", "tent", 2)
	fmt.Println(first, err)

	// Whoever asks again, after a crash for instance, gets the same answer.
	again, err := s.Inventory.Reserve(ctx, "key-1", "order-1", "tent", 2)
	fmt.Println(again == first, err)

	_, err = s.Inventory.Reserve(ctx, "key-2", "order-2", "tent", 2)
	fmt.Println(errors.Is(err, shop.ErrOutOfStock))

	report, err := s.Reconcile([]shop.Outcome{
		{Order: shop.Order{ID: "order-1", SKU: "tent", Quantity: 2, UnitPriceCents: 18_900}, Status: saga.StatusCompleted},
		{Order: shop.Order{ID: "order-2"}, Status: saga.StatusCompensated},
	})
	if err != nil {
		return err
	}
	for _, difference := range report.Differences {
		fmt.Println(difference)
	}
	return nil
}
