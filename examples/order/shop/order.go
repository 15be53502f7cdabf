package shop

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jetsaga/jetsaga/saga"
)

const (
	// MaxQuantity is the most units of one order.
	MaxQuantity = 1_000_000

	// MaxOrderCents is the most one order may cost. Ninety million orders at this
	// price still fit an account of 64 bits.
	MaxOrderCents = 100_000_000_000

	// maxText is the longest text field, in bytes.
	maxText = 1024
)

// Order is what a customer wants, and the state of the saga that sees to it.
type Order struct {
	// ID is unique among the orders, and the id of the order's saga: see
	// [saga.CheckName].
	ID       string `json:"id"`
	Customer string `json:"customer"`
	SKU      string `json:"sku"`
	// Quantity is in units, 1 to [MaxQuantity].
	Quantity int64 `json:"quantity"`
	// UnitPriceCents is the price of one unit, at least 1.
	UnitPriceCents int64 `json:"unit_price_cents"`
	// Card is the token that the payment provider gave for the card. It ends in
	// the card's last four digits; it is never the card's number.
	Card string `json:"card"`
	// Address is where to ship, in one line.
	Address string `json:"address"`

	// ReservationID, ChargeID and TrackingID are the steps' results. They stay
	// when the steps are undone.
	ReservationID string `json:"reservation_id,omitempty"`
	ChargeID      string `json:"charge_id,omitempty"`
	TrackingID    string `json:"tracking_id,omitempty"`
}

// TotalCents is what the order costs.
func (o Order) TotalCents() int64 { return o.Quantity * o.UnitPriceCents }

// FieldError says what is wrong with one field of an order.
type FieldError struct {
	// Field is the JSON name, or empty if the whole order is meant.
	Field string
	// Problem goes on from the field's name: "is empty".
	Problem string
}

// Error is the field's name and its problem.
func (e *FieldError) Error() string {
	return strings.TrimSpace(e.Field + " " + e.Problem)
}

// Validate returns a *[FieldError] for every field that is wrong, joined.
func (o Order) Validate() error {
	faults := o.faults()
	errs := make([]error, 0, len(faults))
	for _, fault := range faults {
		errs = append(errs, fault)
	}
	return errors.Join(errs...)
}

func (o Order) faults() []*FieldError {
	var faults []*FieldError
	check := func(field, problem string) {
		if problem != "" {
			faults = append(faults, &FieldError{Field: field, Problem: problem})
		}
	}
	check("id", idProblem(o.ID))
	check("customer", textProblem(o.Customer))
	check("sku", textProblem(o.SKU))
	check("quantity", rangeProblem(o.Quantity, MaxQuantity))
	check("unit_price_cents", rangeProblem(o.UnitPriceCents, MaxOrderCents))
	// Both factors are in range, so their product fits 64 bits.
	if len(faults) == 0 && o.TotalCents() > MaxOrderCents {
		check("unit_price_cents", fmt.Sprintf("times quantity is %d, at most %d are allowed", o.TotalCents(), int64(MaxOrderCents)))
	}
	check("card", cardProblem(o.Card))
	check("address", textProblem(o.Address))
	return faults
}

func textProblem(text string) string {
	switch {
	case strings.TrimSpace(text) == "":
		return "is empty"
	case len(text) > maxText:
		return fmt.Sprintf("has %d bytes, at most %d are allowed", len(text), maxText)
	case !utf8.ValidString(text):
		return "is not UTF-8"
	case strings.ContainsFunc(text, unicode.IsControl):
		return "has a control character"
	}
	return ""
}

// idProblem holds the order's id to the rule for saga ids, since it becomes one.
func idProblem(id string) string {
	var invalid *saga.InvalidNameError
	if errors.As(saga.CheckName("id", id), &invalid) {
		return invalid.Reason
	}
	return ""
}

func rangeProblem(n, limit int64) string {
	if n < 1 || n > limit {
		return fmt.Sprintf("is %d, must be 1 to %d", n, limit)
	}
	return ""
}

// cardProblem refuses card numbers: an order is stored in the clear, in logs and
// ledgers.
func cardProblem(card string) string {
	if problem := textProblem(card); problem != "" {
		return problem
	}
	last := card[max(0, len(card)-4):]
	switch {
	case isCardNumber(card):
		return `looks like a card number: give a token that ends in its last four digits, such as "tok_visa_4242"`
	case len(last) < 4 || strings.ContainsFunc(last, func(r rune) bool { return !isDigit(r) }):
		return `must be a token that ends in the card's last four digits, such as "tok_visa_4242"`
	}
	return ""
}

// isCardNumber finds twelve or more digits in a row, however they are spaced: card
// numbers have 12 to 19 (ISO/IEC 7812).
func isCardNumber(card string) bool {
	run := 0
	for _, r := range card {
		switch {
		case isDigit(r):
			run++
		case r != ' ' && r != '-':
			run = 0
		}
		if run >= 12 {
			return true
		}
	}
	return false
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }
