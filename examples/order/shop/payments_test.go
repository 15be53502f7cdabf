package shop

import (
	"errors"
	"strings"
	"testing"
)

func balance(t testing.TB, s *Shop) int64 {
	t.Helper()
	cents, err := s.Payments.Balance()
	if err != nil {
		t.Fatal(err)
	}
	return cents
}

func TestPaymentsChargeAndRefundOncePerKey(t *testing.T) {
	dir := t.TempDir()
	s := openShop(t, Config{Dir: dir})
	var id string
	for range 2 {
		got, err := s.Payments.Charge(t.Context(), "k1", "o1", "tok_4242", 12_345)
		if err != nil || got == "" || id != "" && got != id {
			t.Fatal(got, id, err)
		}
		id = got
	}
	if got := balance(t, openShop(t, Config{Dir: dir})); got != 12_345 {
		t.Fatal(got)
	}
	for range 2 {
		if err := s.Payments.Refund(t.Context(), "k1", id); err != nil {
			t.Fatal(err)
		}
	}
	if got := balance(t, openShop(t, Config{Dir: dir})); got != 0 {
		t.Fatal(got)
	}
}

func TestPaymentsDeclineByTheLastDigitsAndRemember(t *testing.T) {
	dir := t.TempDir()
	s := openShop(t, Config{Dir: dir})
	for card, reason := range map[string]string{"tok_0002": "no reason given", "tok_9995": "insufficient funds", "0069": "expired card"} {
		for range 2 {
			_, err := s.Payments.Charge(t.Context(), "k"+card, "o1", card, 100)
			if !errors.Is(err, ErrDeclined) || !strings.Contains(err.Error(), reason) {
				t.Fatal(err)
			}
		}
	}
	if got := balance(t, s); got != 0 {
		t.Fatal(got)
	}
	n := 0
	for record, err := range s.Payments.Ledger().Records() {
		if err != nil || record.Entry.Kind != Declined {
			t.Fatal(record, err)
		}
		n++
	}
	if n != 3 {
		t.Fatalf("%d entries", n)
	}
}

func TestPaymentsRefuseMisuse(t *testing.T) {
	s := openShop(t, Config{})
	ctx := t.Context()
	charge := func(key, order, card string, cents int64) error {
		_, err := s.Payments.Charge(ctx, key, order, card, cents)
		return err
	}
	id, err := s.Payments.Charge(ctx, "k1", "o1", "tok_4242", 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Payments.Refund(ctx, "u1", id); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"key with another order", charge("k1", "o2", "tok_4242", 100), ErrKeyReused},
		{"key with another card", charge("k1", "o1", "tok_4444", 100), ErrKeyReused},
		{"key with another amount", charge("k1", "o1", "tok_4242", 101), ErrKeyReused},
		{"no amount", charge("k2", "o2", "tok_4242", 0), ErrInvalid},
		{"negative amount", charge("k2", "o2", "tok_4242", -1), ErrInvalid},
		{"no card", charge("k2", "o2", "", 1), ErrInvalid},
		{"no order", charge("k2", "", "tok_4242", 1), ErrInvalid},
		{"unknown charge", s.Payments.Refund(ctx, "u2", "C9"), ErrNotFound},
		{"refunded under another key", s.Payments.Refund(ctx, "u2", id), ErrUndone},
		{"refund key with another charge", s.Payments.Refund(ctx, "u1", "C9"), ErrKeyReused},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !errors.Is(test.err, test.want) {
				t.Fatalf("got %v, want %v", test.err, test.want)
			}
		})
	}
}

func TestPaymentValidates(t *testing.T) {
	good := []Payment{
		{Kind: Charged, Charge: "C1", Order: "o", Card: "tok_4242", Cents: 1},
		{Kind: Declined, Order: "o", Card: "tok_4242", Cents: 1, Reason: "expired card"},
		{Kind: Refunded, Charge: "C1", Order: "o", Card: "tok_4242", Cents: 1},
	}
	for _, p := range good {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
	}
	bad := []Payment{
		{},
		{Kind: "lost", Charge: "C1", Order: "o", Card: "tok_4242", Cents: 1},
		{Kind: Charged, Order: "o", Card: "tok_4242", Cents: 1},
		{Kind: Declined, Charge: "C1", Order: "o", Card: "tok_4242", Cents: 1},
		{Kind: Refunded, Charge: "C1", Order: "o", Card: "tok_4242", Cents: -1},
		{Kind: Refunded, Charge: "C1", Order: "o", Card: "\xff", Cents: 1},
	}
	for _, p := range bad {
		if err := p.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
