package shop

import (
	"errors"
	"fmt"
	"testing"
)

// ship tries until the carrier is up, and tells how often it was down.
func ship(t testing.TB, s *Shop, key, order, address string) (tracking string, outages int, err error) {
	t.Helper()
	for {
		tracking, err = s.Carrier.Ship(t.Context(), key, order, address)
		if !errors.Is(err, ErrCarrierDown) {
			return tracking, outages, err
		}
		if outages++; outages > maxOutages {
			t.Fatalf("order %s: down %d times", order, outages)
		}
	}
}

func TestCarrierShipsAndCancelsOncePerKey(t *testing.T) {
	s := openShop(t, Config{FlakyPercent: -1})
	first, _, err := ship(t, s, "k1", "o1", "12 Mill Lane, Lyon")
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := ship(t, s, "k1", "o1", "12 Mill Lane, Lyon")
	if err != nil || first != second {
		t.Fatal(first, second, err)
	}
	for range 2 {
		if err := s.Carrier.Cancel(t.Context(), "k1", first); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCarrierIsDownForTheSameOrdersEveryTimeAndForATenthOfThem(t *testing.T) {
	a, b := openShop(t, Config{}), openShop(t, Config{})
	const orders = 1000
	flaky := 0
	for i := range orders {
		id := fmt.Sprintf("order-%06d", i)
		_, one, err := ship(t, a, "k"+id, id, "here")
		if err != nil {
			t.Fatal(err)
		}
		_, two, err := ship(t, b, "another-k"+id, id, "there")
		if err != nil {
			t.Fatal(err)
		}
		if one != two {
			t.Fatalf("order %s: down %d times, then %d", id, one, two)
		}
		if one > 0 {
			flaky++
		}
	}
	if flaky < orders*7/100 || flaky > orders*13/100 {
		t.Fatalf("down for %d of %d orders", flaky, orders)
	}
}

func TestCarrierRemembersItsOutagesAcrossARestart(t *testing.T) {
	dir := t.TempDir()
	s := openShop(t, Config{Dir: dir, FlakyPercent: 100})
	order := "o"
	for n := 0; s.Carrier.outages(order) < 2; n++ {
		order = fmt.Sprint("o", n)
	}
	want := s.Carrier.outages(order)
	if _, err := s.Carrier.Ship(t.Context(), "k", order, "here"); !errors.Is(err, ErrCarrierDown) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, got, err := ship(t, openShop(t, Config{Dir: dir, FlakyPercent: 100}), "k", order, "here"); err != nil || got != want-1 {
		t.Fatalf("down %d more times, want %d: %v", got, want-1, err)
	}
}

func TestCarrierDoesNotDeliverToPostOfficeBoxes(t *testing.T) {
	s := openShop(t, Config{FlakyPercent: -1})
	for i, address := range []string{"PO Box 12, Lyon", "po box 12", "  Po BOX 1"} {
		for range 2 {
			if _, _, err := ship(t, s, fmt.Sprint("k", i), "o1", address); !errors.Is(err, ErrUndeliverable) {
				t.Fatalf("%q: %v", address, err)
			}
		}
	}
}

func TestCarrierRefusesMisuse(t *testing.T) {
	s := openShop(t, Config{FlakyPercent: -1})
	ctx := t.Context()
	try := func(key, order, address string) error {
		_, err := s.Carrier.Ship(ctx, key, order, address)
		return err
	}
	id, err := s.Carrier.Ship(ctx, "k1", "o1", "here")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Carrier.Cancel(ctx, "u1", id); err != nil {
		t.Fatal(err)
	}
	flaky := openShop(t, Config{FlakyPercent: 100})
	_, noOrder := flaky.Carrier.Ship(ctx, "k1", "", "here")
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"key with another order", try("k1", "o2", "here"), ErrKeyReused},
		{"key with another address", try("k1", "o1", "there"), ErrKeyReused},
		{"no address", try("k2", "o2", ""), ErrInvalid},
		{"no order", try("k2", "", "here"), ErrInvalid},
		{"no order while down", noOrder, ErrInvalid},
		{"unknown shipment", s.Carrier.Cancel(ctx, "u2", "T9"), ErrNotFound},
		{"cancelled under another key", s.Carrier.Cancel(ctx, "u2", id), ErrUndone},
		{"cancel key with another shipment", s.Carrier.Cancel(ctx, "u1", "T9"), ErrKeyReused},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !errors.Is(test.err, test.want) {
				t.Fatalf("got %v, want %v", test.err, test.want)
			}
		})
	}
}

func TestConsignmentValidates(t *testing.T) {
	good := []Consignment{
		{Kind: Shipped, Tracking: "T1", Order: "o", Address: "here"},
		{Kind: Undeliverable, Order: "o", Address: "here"},
		{Kind: Outage, Order: "o", Address: "here"},
		{Kind: Cancelled, Tracking: "T1", Order: "o", Address: "here"},
	}
	for _, c := range good {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
	bad := []Consignment{
		{},
		{Kind: "lost", Tracking: "T1", Order: "o", Address: "here"},
		{Kind: Shipped, Order: "o", Address: "here"},
		{Kind: Outage, Tracking: "T1", Order: "o", Address: "here"},
		{Kind: Outage, Order: "o", Address: "\xff"},
	}
	for _, c := range bad {
		if err := c.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
