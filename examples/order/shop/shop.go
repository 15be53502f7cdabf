package shop

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Config says where the shop keeps its books and how its services behave.
type Config struct {
	// Dir is the directory of the three ledgers. It is created if it is missing.
	// Required.
	Dir string

	// Stock is what the shop has of each sku when it opens for the first time;
	// [InitialStock] computes it from the orders. Opening again with other stock is
	// [ErrStockMismatch]. Nil takes the stock that the ledger has.
	Stock map[string]int64

	// Latency is how long each service takes before it looks at a call. Default
	// 0: as fast as the ledger.
	Latency time.Duration

	// FlakyPercent is the share of orders, in percent, that the carrier is down
	// for at first, once to three times. Default 10; negative for none.
	FlakyPercent int
}

func (c Config) validate() error {
	var faults []error
	if c.Dir == "" {
		faults = append(faults, fmt.Errorf("config: Dir is empty: %w", ErrInvalid))
	}
	if c.Latency < 0 {
		faults = append(faults, fmt.Errorf("config: Latency is %v: %w", c.Latency, ErrInvalid))
	}
	if c.FlakyPercent > 100 {
		faults = append(faults, fmt.Errorf("config: FlakyPercent is %d: %w", c.FlakyPercent, ErrInvalid))
	}
	for sku, quantity := range c.Stock {
		if quantity < 0 {
			faults = append(faults, fmt.Errorf("config: Stock of %q is %d: %w", sku, quantity, ErrInvalid))
		}
	}
	return errors.Join(faults...)
}

// Shop is the three services that an order needs. Its methods may be called from
// any number of goroutines.
type Shop struct {
	Inventory *Inventory
	Payments  *Payments
	Carrier   *Carrier
}

// Open opens the three ledgers in the directory, replaying what they hold. It
// fails with a *[CorruptError] or [ErrStockMismatch] if they are not to be trusted.
func Open(config Config) (_ *Shop, err error) {
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("open shop: %w", err)
	}
	s := &Shop{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open shop: %w", err), s.Close())
		}
	}()
	if s.Inventory, err = openInventory(config.Dir, config.Stock, config.Latency); err != nil {
		return nil, err
	}
	if s.Payments, err = openPayments(config.Dir, config.Latency); err != nil {
		return nil, err
	}
	if s.Carrier, err = openCarrier(config.Dir, config.FlakyPercent, config.Latency); err != nil {
		return nil, err
	}
	return s, nil
}

// Sync returns when every answer given before it would survive a power cut.
func (s *Shop) Sync() error {
	return errors.Join(s.Inventory.ledger.Sync(), s.Payments.ledger.Sync(), s.Carrier.ledger.Sync())
}

// Close syncs and closes the ledgers. Calls that are under way fail with [ErrClosed].
func (s *Shop) Close() error {
	var errs []error
	if s.Inventory != nil {
		errs = append(errs, s.Inventory.ledger.Close())
	}
	if s.Payments != nil {
		errs = append(errs, s.Payments.ledger.Close())
	}
	if s.Carrier != nil {
		errs = append(errs, s.Carrier.ledger.Close())
	}
	return errors.Join(errs...)
}

// pause waits as a remote service would make its caller wait.
func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
