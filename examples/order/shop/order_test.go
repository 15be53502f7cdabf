package shop

import (
	"errors"
	"strings"
	"testing"
)

func goodOrder() Order {
	return Order{
		ID: "order-1", Customer: "Ada Costa", SKU: "tent-2p", Quantity: 2, UnitPriceCents: 18_900,
		Card: "tok_visa_4242", Address: "12 Mill Lane, Lyon",
	}
}

func TestOrderCostsQuantityTimesPrice(t *testing.T) {
	if got := goodOrder().TotalCents(); got != 37_800 {
		t.Fatal(got)
	}
}

func TestOrderNamesTheFieldThatIsWrong(t *testing.T) {
	if err := goodOrder().Validate(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, field string
		change      func(*Order)
	}{
		{"no id", "id", func(o *Order) { o.ID = "" }},
		{"id with a dot", "id", func(o *Order) { o.ID = "a.b" }},
		{"id with a space", "id", func(o *Order) { o.ID = "a b" }},
		{"long id", "id", func(o *Order) { o.ID = strings.Repeat("a", 129) }},
		{"id not UTF-8", "id", func(o *Order) { o.ID = "\xff" }},
		{"no customer", "customer", func(o *Order) { o.Customer = " " }},
		{"customer with a newline", "customer", func(o *Order) { o.Customer = "a\nb" }},
		{"no sku", "sku", func(o *Order) { o.SKU = "" }},
		{"sku not UTF-8", "sku", func(o *Order) { o.SKU = "\xff" }},
		{"no quantity", "quantity", func(o *Order) { o.Quantity = 0 }},
		{"huge quantity", "quantity", func(o *Order) { o.Quantity = MaxQuantity + 1 }},
		{"no price", "unit_price_cents", func(o *Order) { o.UnitPriceCents = -1 }},
		{"huge price", "unit_price_cents", func(o *Order) { o.UnitPriceCents = 1 << 62 }},
		{"huge total", "unit_price_cents", func(o *Order) { o.UnitPriceCents = MaxOrderCents }},
		{"no card", "card", func(o *Order) { o.Card = "" }},
		{"card number", "card", func(o *Order) { o.Card = "4242 4242 4242 4242" }},
		{"card number within a text", "card", func(o *Order) { o.Card = "visa 4242-4242-4242" }},
		{"card without digits", "card", func(o *Order) { o.Card = "tok_visa" }},
		{"card too short", "card", func(o *Order) { o.Card = "42" }},
		{"no address", "address", func(o *Order) { o.Address = "" }},
		{"long address", "address", func(o *Order) { o.Address = strings.Repeat("a", maxText+1) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := goodOrder()
			test.change(&o)
			var field *FieldError
			if err := o.Validate(); !errors.As(err, &field) || field.Field != test.field || strings.Contains(err.Error(), "\n") {
				t.Fatal(err)
			}
		})
	}
}

func TestOrderNamesAllFieldsThatAreWrong(t *testing.T) {
	err := Order{}.Validate()
	for _, field := range []string{"id ", "customer ", "sku ", "quantity ", "unit_price_cents ", "card ", "address "} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%q is not named in: %v", field, err)
		}
	}
}
