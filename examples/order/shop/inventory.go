package shop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// MovementKind says what a [Movement] did to the stock.
type MovementKind string

// The kinds of movements.
const (
	// Received put units on hand when the shop opened.
	Received MovementKind = "received"
	// Reserved took units from hand for an order.
	Reserved MovementKind = "reserved"
	// Refused moved nothing: too few units were on hand.
	Refused MovementKind = "refused"
	// Released put a reservation's units back on hand.
	Released MovementKind = "released"
)

// Movement is one entry in the inventory's ledger.
type Movement struct {
	Kind MovementKind `json:"kind"`
	// Reservation is the reservation made or released.
	Reservation string `json:"reservation,omitempty"`
	// Order is empty for goods received.
	Order    string `json:"order,omitempty"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Validate implements [Entry].
func (m Movement) Validate() error {
	reserves := m.Kind == Reserved || m.Kind == Released
	switch {
	case !slices.Contains([]MovementKind{Received, Reserved, Refused, Released}, m.Kind):
		return fmt.Errorf("movement of unknown kind %q: %w", m.Kind, ErrInvalid)
	case m.SKU == "" || !validText(m.SKU, m.Order, m.Reservation):
		return fmt.Errorf("movement of sku %q for order %q: %w", m.SKU, m.Order, ErrInvalid)
	case m.Quantity < 0 || m.Quantity == 0 && m.Kind != Received:
		return fmt.Errorf("movement of %d units: %w", m.Quantity, ErrInvalid)
	case (m.Kind != Received) != (m.Order != ""):
		return fmt.Errorf("movement %s for order %q: %w", m.Kind, m.Order, ErrInvalid)
	case reserves != (m.Reservation != ""):
		return fmt.Errorf("movement %s with reservation %q: %w", m.Kind, m.Reservation, ErrInvalid)
	}
	return nil
}

// Inventory holds the stock and reserves it for orders.
type Inventory struct {
	ledger  *Ledger[Movement]
	latency time.Duration

	// The rest is folded from the ledger, under its lock.
	onHand       map[string]int64
	received     map[string]int64
	reservations map[string]*reservation
}

type reservation struct {
	made     Movement
	released bool
}

// openInventory opens the ledger and receives the stock that it did not receive
// before. A nil stock takes the ledger as it is.
func openInventory(dir string, stock map[string]int64, latency time.Duration) (*Inventory, error) {
	inv := &Inventory{
		latency:      latency,
		onHand:       make(map[string]int64),
		received:     make(map[string]int64),
		reservations: make(map[string]*reservation),
	}
	var err error
	if inv.ledger, err = OpenLedger(dir, "inventory", inv.fold); err != nil {
		return nil, err
	}
	if stock != nil {
		err = inv.receive(stock)
	}
	if err != nil {
		return nil, errors.Join(err, inv.ledger.Close())
	}
	return inv, nil
}

func (inv *Inventory) fold(m Movement) {
	switch m.Kind {
	case Received:
		inv.onHand[m.SKU] += m.Quantity
		inv.received[m.SKU] += m.Quantity
	case Reserved:
		inv.onHand[m.SKU] -= m.Quantity
		inv.reservations[m.Reservation] = &reservation{made: m}
	case Released:
		inv.onHand[m.SKU] += m.Quantity
		if r, ok := inv.reservations[m.Reservation]; ok {
			r.released = true
		}
	case Refused:
	}
}

// receive is safe to be killed in: the next run receives the rest. What was
// received before must be part of stock, so that two runs with different orders are
// not mixed in one directory.
func (inv *Inventory) receive(stock map[string]int64) error {
	var mismatch error
	err := inv.ledger.View(func() {
		for _, sku := range slices.Sorted(maps.Keys(inv.received)) {
			if had, want := inv.received[sku], stock[sku]; had != want {
				mismatch = fmt.Errorf("%s: %d of %s were received at first, now %d are wanted: use the same orders, or another directory: %w",
					inv.ledger.Path(), had, sku, want, ErrStockMismatch)
				return
			}
		}
	})
	if err := errors.Join(err, mismatch); err != nil {
		return err
	}
	for _, sku := range slices.Sorted(maps.Keys(stock)) {
		if _, _, err := inv.ledger.Once("receive/"+sku, Movement{Kind: Received, SKU: sku, Quantity: stock[sku]}); err != nil {
			return fmt.Errorf("receive stock: %w", err)
		}
	}
	return nil
}

// Reserve takes quantity units of sku from hand for the order and returns the
// reservation's id. Fewer units on hand is [ErrOutOfStock], for this key for good.
// Other errors: [ErrInvalid], [ErrKeyReused], ctx's, and the ledger's own.
func (inv *Inventory) Reserve(ctx context.Context, key, order, sku string, quantity int64) (string, error) {
	if err := pause(ctx, inv.latency); err != nil {
		return "", fmt.Errorf("reserve stock for order %s: %w", order, err)
	}
	_, m, err := inv.ledger.OnceFunc("reserve/"+key, func() (Movement, error) {
		m := Movement{Kind: Refused, Order: order, SKU: sku, Quantity: quantity}
		if quantity <= inv.onHand[sku] {
			m.Kind = Reserved
			m.Reservation = fmt.Sprintf("R%06d", len(inv.reservations)+1)
		}
		return m, nil
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("reserve stock for order %s: %w", order, err)
	case m.Order != order || m.SKU != sku || m.Quantity != quantity:
		return "", fmt.Errorf("reserve stock for order %s: key %s: %w", order, key, ErrKeyReused)
	case m.Kind == Refused:
		return "", fmt.Errorf("reserve %d of %s for order %s: %w", quantity, sku, order, ErrOutOfStock)
	}
	return m.Reservation, nil
}

// Release puts the reservation's units back on hand. Errors: [ErrNotFound],
// [ErrUndone], [ErrKeyReused], ctx's, and the ledger's own.
func (inv *Inventory) Release(ctx context.Context, key, id string) error {
	if err := pause(ctx, inv.latency); err != nil {
		return fmt.Errorf("release reservation %s: %w", id, err)
	}
	_, m, err := inv.ledger.OnceFunc("release/"+key, func() (Movement, error) {
		r, ok := inv.reservations[id]
		switch {
		case !ok:
			return Movement{}, ErrNotFound
		case r.released:
			return Movement{}, ErrUndone
		}
		m := r.made
		m.Kind = Released
		return m, nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("release reservation %s: %w", id, err)
	case m.Reservation != id:
		return fmt.Errorf("release reservation %s: key %s: %w", id, key, ErrKeyReused)
	}
	return nil
}

// OnHand returns the units of each sku that are neither sold nor reserved.
func (inv *Inventory) OnHand() (map[string]int64, error) {
	var stock map[string]int64
	err := inv.ledger.View(func() { stock = maps.Clone(inv.onHand) })
	return stock, err
}

// Ledger is the inventory's ledger, to read.
func (inv *Inventory) Ledger() *Ledger[Movement] { return inv.ledger }
