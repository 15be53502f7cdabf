package shop

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// PaymentKind says what a [Payment] did to the account.
type PaymentKind string

// The kinds of payments.
const (
	// Charged moved money from the card to the account.
	Charged PaymentKind = "charged"
	// Declined moved nothing: the card's bank said no.
	Declined PaymentKind = "declined"
	// Refunded moved a charge back to the card.
	Refunded PaymentKind = "refunded"
)

// Payment is one entry in the payments' ledger.
type Payment struct {
	Kind PaymentKind `json:"kind"`
	// Charge is the charge made or refunded.
	Charge string `json:"charge,omitempty"`
	Order  string `json:"order"`
	Card   string `json:"card"`
	Cents  int64  `json:"cents"`
	// Reason is the bank's, for a declined card.
	Reason string `json:"reason,omitempty"`
}

// Validate implements [Entry].
func (p Payment) Validate() error {
	switch {
	case !slices.Contains([]PaymentKind{Charged, Declined, Refunded}, p.Kind):
		return fmt.Errorf("payment of unknown kind %q: %w", p.Kind, ErrInvalid)
	case p.Order == "" || p.Card == "" || !validText(p.Order, p.Card, p.Charge, p.Reason):
		return fmt.Errorf("payment for order %q with card %q: %w", p.Order, p.Card, ErrInvalid)
	case p.Cents <= 0:
		return fmt.Errorf("payment of %d cents: %w", p.Cents, ErrInvalid)
	case (p.Kind != Declined) != (p.Charge != ""):
		return fmt.Errorf("payment %s with charge %q: %w", p.Kind, p.Charge, ErrInvalid)
	}
	return nil
}

// declines are the last four digits of the cards that are declined, with the reason;
// the digits are those of the test cards of a well-known payment provider
// (https://docs.stripe.com/testing#declined-payments).
var declines = map[string]string{
	"0002": "no reason given",
	"9995": "insufficient funds",
	"0069": "expired card",
}

// Payments charges cards into one account.
type Payments struct {
	ledger  *Ledger[Payment]
	latency time.Duration

	// The rest is folded from the ledger, under its lock.
	balance int64
	charges map[string]*charge
}

type charge struct {
	made     Payment
	refunded bool
}

func openPayments(dir string, latency time.Duration) (*Payments, error) {
	p := &Payments{latency: latency, charges: make(map[string]*charge)}
	var err error
	if p.ledger, err = OpenLedger(dir, "payments", p.fold); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Payments) fold(e Payment) {
	switch e.Kind {
	case Charged:
		p.balance += e.Cents
		p.charges[e.Charge] = &charge{made: e}
	case Refunded:
		p.balance -= e.Cents
		if c, ok := p.charges[e.Charge]; ok {
			c.refunded = true
		}
	case Declined:
	}
}

// Charge moves cents from the card to the account and returns the charge's id. A
// card whose token ends in 0002, 9995 or 0069 is [ErrDeclined]. Other errors:
// [ErrInvalid], [ErrKeyReused], ctx's, and the ledger's own.
func (p *Payments) Charge(ctx context.Context, key, order, card string, cents int64) (string, error) {
	if err := pause(ctx, p.latency); err != nil {
		return "", fmt.Errorf("charge order %s: %w", order, err)
	}
	_, e, err := p.ledger.OnceFunc("charge/"+key, func() (Payment, error) {
		e := Payment{Kind: Charged, Order: order, Card: card, Cents: cents}
		if reason, ok := declines[card[max(0, len(card)-4):]]; ok {
			e.Kind, e.Reason = Declined, reason
		} else {
			e.Charge = fmt.Sprintf("C%06d", len(p.charges)+1)
		}
		return e, nil
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("charge order %s: %w", order, err)
	case e.Order != order || e.Card != card || e.Cents != cents:
		return "", fmt.Errorf("charge order %s: key %s: %w", order, key, ErrKeyReused)
	case e.Kind == Declined:
		return "", fmt.Errorf("charge order %s: %w: %s", order, ErrDeclined, e.Reason)
	}
	return e.Charge, nil
}

// Refund moves the whole charge back to its card. Errors: [ErrNotFound],
// [ErrUndone], [ErrKeyReused], ctx's, and the ledger's own.
func (p *Payments) Refund(ctx context.Context, key, id string) error {
	if err := pause(ctx, p.latency); err != nil {
		return fmt.Errorf("refund charge %s: %w", id, err)
	}
	_, e, err := p.ledger.OnceFunc("refund/"+key, func() (Payment, error) {
		c, ok := p.charges[id]
		switch {
		case !ok:
			return Payment{}, ErrNotFound
		case c.refunded:
			return Payment{}, ErrUndone
		}
		e := c.made
		e.Kind = Refunded
		return e, nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("refund charge %s: %w", id, err)
	case e.Charge != id:
		return fmt.Errorf("refund charge %s: key %s: %w", id, key, ErrKeyReused)
	}
	return nil
}

// Balance returns the cents in the account: what was charged and not refunded.
func (p *Payments) Balance() (int64, error) {
	var cents int64
	err := p.ledger.View(func() { cents = p.balance })
	return cents, err
}

// Ledger is the payments' ledger, to read.
func (p *Payments) Ledger() *Ledger[Payment] { return p.ledger }
