package shop

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func onHand(t testing.TB, s *Shop, sku string) int64 {
	t.Helper()
	stock, err := s.Inventory.OnHand()
	if err != nil {
		t.Fatal(err)
	}
	return stock[sku]
}

func TestInventoryReservesAndReleasesOncePerKey(t *testing.T) {
	s := openShop(t, Config{Stock: map[string]int64{"tent": 5}})
	var id string
	for range 2 {
		got, err := s.Inventory.Reserve(t.Context(), "k1", "o1", "tent", 3)
		if err != nil || got == "" || id != "" && got != id {
			t.Fatal(got, id, err)
		}
		id = got
		if n := onHand(t, s, "tent"); n != 2 {
			t.Fatalf("%d on hand", n)
		}
	}
	for range 2 {
		// An undo may come with the key of what it undoes.
		if err := s.Inventory.Release(t.Context(), "k1", id); err != nil {
			t.Fatal(err)
		}
		if n := onHand(t, s, "tent"); n != 5 {
			t.Fatalf("%d on hand", n)
		}
	}
}

func TestInventoryRemembersARefusalUnderItsKey(t *testing.T) {
	dir := t.TempDir()
	stock := map[string]int64{"tent": 5}
	s := openShop(t, Config{Dir: dir, Stock: stock})
	id, err := s.Inventory.Reserve(t.Context(), "k1", "o1", "tent", 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Inventory.Reserve(t.Context(), "k2", "o2", "tent", 1); !errors.Is(err, ErrOutOfStock) {
		t.Fatal(err)
	}
	if err := s.Inventory.Release(t.Context(), "u1", id); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openShop(t, Config{Dir: dir, Stock: stock})
	if n := onHand(t, s, "tent"); n != 5 {
		t.Fatalf("%d on hand", n)
	}
	if _, err := s.Inventory.Reserve(t.Context(), "k2", "o2", "tent", 1); !errors.Is(err, ErrOutOfStock) {
		t.Fatalf("the retry got another answer: %v", err)
	}
	if _, err := s.Inventory.Reserve(t.Context(), "k3", "o3", "tent", 1); err != nil {
		t.Fatal(err)
	}
}

func TestInventoryRefusesMisuse(t *testing.T) {
	s := openShop(t, Config{Stock: map[string]int64{"tent": 5, "stove": 5}})
	ctx := t.Context()
	id, err := s.Inventory.Reserve(ctx, "k1", "o1", "tent", 1)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Inventory.Reserve(ctx, "k2", "o2", "tent", 1)
	if err != nil {
		t.Fatal(err)
	}
	reserve := func(key, order, sku string, quantity int64) error {
		_, err := s.Inventory.Reserve(ctx, key, order, sku, quantity)
		return err
	}
	if err := s.Inventory.Release(ctx, "u1", id); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"key with another order", reserve("k1", "o9", "tent", 1), ErrKeyReused},
		{"key with another sku", reserve("k1", "o1", "stove", 1), ErrKeyReused},
		{"key with another quantity", reserve("k1", "o1", "tent", 2), ErrKeyReused},
		{"no units", reserve("k3", "o3", "tent", 0), ErrInvalid},
		{"negative units", reserve("k3", "o3", "tent", -1), ErrInvalid},
		{"no order", reserve("k3", "", "tent", 1), ErrInvalid},
		{"no sku", reserve("k3", "o3", "", 1), ErrInvalid},
		{"unknown sku", reserve("k4", "o4", "boat", 1), ErrOutOfStock},
		{"unknown reservation", s.Inventory.Release(ctx, "u2", "R9"), ErrNotFound},
		{"released under another key", s.Inventory.Release(ctx, "u2", id), ErrUndone},
		{"release key with another reservation", s.Inventory.Release(ctx, "u1", other), ErrKeyReused},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !errors.Is(test.err, test.want) {
				t.Fatalf("got %v, want %v", test.err, test.want)
			}
		})
	}
	if n := onHand(t, s, "tent"); n != 4 {
		t.Fatalf("%d on hand", n)
	}
}

func TestInventoryRefusesOtherStockThanItStartedWith(t *testing.T) {
	dir := t.TempDir()
	if err := openShop(t, Config{Dir: dir, Stock: map[string]int64{"tent": 5, "stove": 0}}).Close(); err != nil {
		t.Fatal(err)
	}
	for _, stock := range []map[string]int64{{"tent": 6, "stove": 0}, {"stove": 0}, {}} {
		if _, err := Open(Config{Dir: dir, Stock: stock}); !errors.Is(err, ErrStockMismatch) {
			t.Fatalf("%v: %v", stock, err)
		}
	}
	// A run that was killed while it received its stock receives the rest.
	s := openShop(t, Config{Dir: dir, Stock: map[string]int64{"tent": 5, "stove": 0, "boots": 2}})
	if n := onHand(t, s, "boots"); n != 2 {
		t.Fatal(n)
	}
	if n := onHand(t, openShop(t, Config{Dir: dir}), "tent"); n != 5 {
		t.Fatal(n)
	}
}

func TestInventoryNeverSellsMoreThanItHas(t *testing.T) {
	dir := t.TempDir()
	stock := map[string]int64{"tent": 100}
	// Two shops on one directory stand for two processes.
	shops := []*Shop{openShop(t, Config{Dir: dir, Stock: stock}), openShop(t, Config{Dir: dir, Stock: stock})}
	var sold atomic.Int64
	var wg sync.WaitGroup
	for i := range 150 {
		wg.Go(func() {
			_, err := shops[i%2].Inventory.Reserve(t.Context(), fmt.Sprint("k", i), fmt.Sprint("o", i), "tent", 1)
			switch {
			case err == nil:
				sold.Add(1)
			case !errors.Is(err, ErrOutOfStock):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sold.Load() != 100 || onHand(t, shops[0], "tent") != 0 {
		t.Fatalf("sold %d, %d on hand", sold.Load(), onHand(t, shops[0], "tent"))
	}
}

func TestMovementValidates(t *testing.T) {
	good := []Movement{
		{Kind: Received, SKU: "tent", Quantity: 0},
		{Kind: Reserved, Reservation: "R1", Order: "o", SKU: "tent", Quantity: 1},
		{Kind: Refused, Order: "o", SKU: "tent", Quantity: 1},
		{Kind: Released, Reservation: "R1", Order: "o", SKU: "tent", Quantity: 1},
	}
	for _, m := range good {
		if err := m.Validate(); err != nil {
			t.Error(err)
		}
	}
	bad := []Movement{
		{},
		{Kind: "lost", Order: "o", SKU: "tent", Quantity: 1},
		{Kind: Received, Order: "o", SKU: "tent", Quantity: 1},
		{Kind: Received, SKU: "tent", Quantity: -1},
		{Kind: Reserved, Order: "o", SKU: "tent", Quantity: 1},
		{Kind: Reserved, Reservation: "R1", SKU: "tent", Quantity: 1},
		{Kind: Refused, Reservation: "R1", Order: "o", SKU: "tent", Quantity: 1},
		{Kind: Refused, Order: "o", SKU: "tent", Quantity: 0},
		{Kind: Refused, Order: "o", SKU: "\xff", Quantity: 1},
	}
	for _, m := range bad {
		if err := m.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", m, err)
		}
	}
}
