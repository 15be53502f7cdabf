package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jetsaga/jetsaga/saga"
)

// Order is the state of the saga that fulfils one.
type Order struct {
	Customer string   `json:"customer"`
	Lines    []Line   `json:"lines"`
	Missing  []string `json:"missing,omitempty"` // what could not be picked
	Parcels  int      `json:"parcels,omitempty"`
}

// Line is one line of an order, and the state of the steps that fulfil it.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
	Bin      string `json:"bin,omitempty"` // where it was picked
}

// Packed is what the outside is told of a line.
type Packed struct {
	Order string `json:"order"`
	SKU   string `json:"sku"`
}

// warehouse is what the handlers call.
type warehouse struct {
	mu     sync.Mutex
	stock  map[string]int
	picked map[string]Line // by idempotency key
}

// fulfil is the definition: every line is picked and packed, twenty at once. A line that is out of stock is left out, and
// the order goes on without it; an order without any line is undone.
func (w *warehouse) fulfil() (*saga.Definition[Order], error) {
	return saga.Define("fulfil-order", 1,
		saga.ForEach("lines", func(o *Order) []Line { return o.Lines },
			saga.Step("pick", w.pick).Compensate(w.putBack),
			saga.Step("pack", w.pack),
		).Limit(20).Gather().Collect(collect),
		saga.Step("ship", ship),
	)
}

func (w *warehouse) pick(ctx context.Context, l *Line) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := saga.FromContext(ctx).IdempotencyKey()
	if _, again := w.picked[key]; !again {
		if w.stock[l.SKU] < l.Quantity {
			return saga.Permanent(fmt.Errorf("%d of %s are wanted, %d are there", l.Quantity, l.SKU, w.stock[l.SKU]))
		}
		w.stock[l.SKU] -= l.Quantity
		w.picked[key] = *l
	}
	l.Bin = "bin of " + l.SKU
	return nil
}

func (w *warehouse) putBack(_ context.Context, l *Line) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, picked := range w.picked {
		if picked.SKU == l.SKU {
			w.stock[l.SKU] += picked.Quantity
			delete(w.picked, key)
			return nil
		}
	}
	return nil
}

// pack tells the outside: the event is part of the commit that completes the step, so it is told if and only if that is in the
// log.
func (w *warehouse) pack(ctx context.Context, l *Line) error {
	return saga.Emit(ctx, "packed", Packed{Order: saga.FromContext(ctx).Key.ID, SKU: l.SKU})
}

func collect(o *Order, lines []saga.Item[Line]) {
	o.Lines = o.Lines[:0]
	for _, l := range lines {
		if l.Error != "" {
			o.Missing = append(o.Missing, l.Value.SKU)
			continue
		}
		o.Lines = append(o.Lines, l.Value)
	}
}

func ship(_ context.Context, o *Order) error {
	if len(o.Lines) == 0 {
		return saga.Permanent(errors.New("there is nothing to ship"))
	}
	o.Parcels = (len(o.Lines) + 9) / 10
	return nil
}
