package shop

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

// ConsignmentKind says what a [Consignment] records.
type ConsignmentKind string

// The kinds of consignments.
const (
	// Shipped: the order is on its way.
	Shipped ConsignmentKind = "shipped"
	// Undeliverable: the carrier does not go to the address.
	Undeliverable ConsignmentKind = "undeliverable"
	// Outage: the carrier did not take the call. It is in the ledger so that a
	// restarted carrier is not down for the same order all over again.
	Outage ConsignmentKind = "outage"
	// Cancelled: a shipment was called back.
	Cancelled ConsignmentKind = "cancelled"
)

// Consignment is one entry in the carrier's ledger.
type Consignment struct {
	Kind ConsignmentKind `json:"kind"`
	// Tracking is the shipment made or cancelled.
	Tracking string `json:"tracking,omitempty"`
	Order    string `json:"order"`
	Address  string `json:"address"`
}

// Validate implements [Entry].
func (c Consignment) Validate() error {
	ships := c.Kind == Shipped || c.Kind == Cancelled
	switch {
	case !slices.Contains([]ConsignmentKind{Shipped, Undeliverable, Outage, Cancelled}, c.Kind):
		return fmt.Errorf("consignment of unknown kind %q: %w", c.Kind, ErrInvalid)
	case c.Order == "" || c.Address == "" || !validText(c.Order, c.Address, c.Tracking):
		return fmt.Errorf("consignment for order %q to address %q: %w", c.Order, c.Address, ErrInvalid)
	case ships != (c.Tracking != ""):
		return fmt.Errorf("consignment %s with tracking %q: %w", c.Kind, c.Tracking, ErrInvalid)
	}
	return nil
}

const (
	// defaultFlakyPercent is the share of orders that the carrier is down for.
	defaultFlakyPercent = 10

	// maxOutages is how often it is down for one of them, at most.
	maxOutages = 3
)

// Carrier ships orders. It does not deliver to post office boxes.
type Carrier struct {
	ledger  *Ledger[Consignment]
	latency time.Duration
	flaky   int

	// The rest is folded from the ledger, under its lock.
	shipments map[string]*shipment
}

type shipment struct {
	made      Consignment
	cancelled bool
}

func openCarrier(dir string, flakyPercent int, latency time.Duration) (*Carrier, error) {
	if flakyPercent == 0 {
		flakyPercent = defaultFlakyPercent
	}
	c := &Carrier{latency: latency, flaky: flakyPercent, shipments: make(map[string]*shipment)}
	var err error
	if c.ledger, err = OpenLedger(dir, "carrier", c.fold); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Carrier) fold(e Consignment) {
	switch e.Kind {
	case Shipped:
		c.shipments[e.Tracking] = &shipment{made: e}
	case Cancelled:
		if s, ok := c.shipments[e.Tracking]; ok {
			s.cancelled = true
		}
	case Undeliverable, Outage:
	}
}

// Ship sends the order to the address and returns the tracking id. For some orders
// the first one to three calls are [ErrCarrierDown]: try again with the same key.
// An address that begins with "PO Box" is [ErrUndeliverable], whoever writes it.
// Other errors: [ErrInvalid], [ErrKeyReused], ctx's, and the ledger's own.
func (c *Carrier) Ship(ctx context.Context, key, order, address string) (string, error) {
	if err := pause(ctx, c.latency); err != nil {
		return "", fmt.Errorf("ship order %s: %w", order, err)
	}
	if err := c.outage(key, order, address); err != nil {
		return "", fmt.Errorf("ship order %s: %w", order, err)
	}
	_, e, err := c.ledger.OnceFunc("ship/"+key, func() (Consignment, error) {
		e := Consignment{Kind: Undeliverable, Order: order, Address: address}
		if deliverable(address) {
			e.Kind = Shipped
			e.Tracking = fmt.Sprintf("T%06d", len(c.shipments)+1)
		}
		return e, nil
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("ship order %s: %w", order, err)
	case e.Order != order || e.Address != address:
		return "", fmt.Errorf("ship order %s: key %s: %w", order, key, ErrKeyReused)
	case e.Kind == Undeliverable:
		return "", fmt.Errorf("ship order %s to %q: %w", order, address, ErrUndeliverable)
	}
	return e.Tracking, nil
}

// outage records the next outage that the order has to come, if any is left.
func (c *Carrier) outage(key, order, address string) error {
	for n := range c.outages(order) {
		first, _, err := c.ledger.Once(fmt.Sprintf("outage/%s/%d", key, n+1), Consignment{Kind: Outage, Order: order, Address: address})
		if err != nil {
			return err
		}
		if first {
			return ErrCarrierDown
		}
	}
	return nil
}

// outages returns how many calls for the order fail before one is taken. It
// depends on the order's id alone, so that a resumed run sees the same.
func (c *Carrier) outages(order string) int {
	h := fnv.New64a()
	h.Write([]byte(order))
	sum := h.Sum64()
	if int(sum%100) >= c.flaky {
		return 0
	}
	return 1 + int(sum/100%maxOutages)
}

func deliverable(address string) bool {
	return !strings.HasPrefix(strings.ToLower(strings.TrimSpace(address)), "po box")
}

// Cancel calls a shipment back. Errors: [ErrNotFound], [ErrUndone],
// [ErrKeyReused], ctx's, and the ledger's own.
func (c *Carrier) Cancel(ctx context.Context, key, tracking string) error {
	if err := pause(ctx, c.latency); err != nil {
		return fmt.Errorf("cancel shipment %s: %w", tracking, err)
	}
	_, e, err := c.ledger.OnceFunc("cancel/"+key, func() (Consignment, error) {
		s, ok := c.shipments[tracking]
		switch {
		case !ok:
			return Consignment{}, ErrNotFound
		case s.cancelled:
			return Consignment{}, ErrUndone
		}
		e := s.made
		e.Kind = Cancelled
		return e, nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("cancel shipment %s: %w", tracking, err)
	case e.Tracking != tracking:
		return fmt.Errorf("cancel shipment %s: key %s: %w", tracking, key, ErrKeyReused)
	}
	return nil
}

// Ledger is the carrier's ledger, to read.
func (c *Carrier) Ledger() *Ledger[Consignment] { return c.ledger }
