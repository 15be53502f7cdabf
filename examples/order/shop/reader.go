package shop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

const (
	// maxFaults is how many faults an [OrdersError] lists.
	maxFaults = 20

	// maxOrderLine is the longest line of orders, in bytes.
	maxOrderLine = 64 << 10
)

// ErrNoOrders is what an input without any order gets.
var ErrNoOrders = errors.New("input has no orders")

// LineFault says what is wrong with one field in one line of the input.
type LineFault struct { //nolint:errname // one of many; the error that is returned is OrdersError
	// Line counts from 1.
	Line int
	FieldError
}

// OrdersError lists what is wrong with the input.
type OrdersError struct {
	// Faults are the first 20, in the order of the lines.
	Faults []LineFault
	// More is how many there are beyond them.
	More int
}

// Error has one line for each fault.
func (e *OrdersError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "orders have %d faults:", len(e.Faults)+e.More)
	for _, fault := range e.Faults {
		fmt.Fprintf(&b, "\n  line %d: %s", fault.Line, fault.Error())
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\n  and %d more", e.More)
	}
	return b.String()
}

func (e *OrdersError) add(line int, faults ...*FieldError) {
	for _, fault := range faults {
		if len(e.Faults) == maxFaults {
			e.More++
			continue
		}
		e.Faults = append(e.Faults, LineFault{Line: line, FieldError: *fault})
	}
}

// ReadOrders reads orders, one JSON object a line, with the fields of [Order]
// except the results. Empty lines are skipped. If any line is wrong it returns an
// *[OrdersError] that names every one, and no orders; [ErrNoOrders] if there is
// none.
func ReadOrders(r io.Reader) ([]Order, error) {
	var (
		orders []Order
		faults OrdersError
		lines  = bufio.NewReaderSize(r, maxOrderLine)
		seen   = make(map[string]int)
	)
	for number := 1; ; number++ {
		text, tooLong, err := readOrderLine(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read orders at line %d: %w", number, err)
		}
		if number == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		text = bytes.TrimSpace(text)
		switch {
		case tooLong:
			faults.add(number, &FieldError{Problem: fmt.Sprintf("is longer than %d bytes", maxOrderLine)})
		case len(text) > 0:
			order, found := parseOrder(text)
			if first, ok := seen[order.ID]; ok && order.ID != "" {
				found = append(found, &FieldError{Field: "id", Problem: fmt.Sprintf("%q is that of line %d", order.ID, first)})
			} else {
				seen[order.ID] = number
			}
			faults.add(number, found...)
			orders = append(orders, order)
		}
		if err != nil {
			break
		}
	}
	switch {
	case len(faults.Faults) > 0:
		return nil, &faults
	case len(orders) == 0:
		return nil, ErrNoOrders
	}
	return orders, nil
}

// readOrderLine returns the next line, or drops it if it is longer than the
// reader's buffer. With the last one comes io.EOF.
func readOrderLine(r *bufio.Reader) (text []byte, tooLong bool, err error) {
	text, err = r.ReadSlice('\n')
	for errors.Is(err, bufio.ErrBufferFull) {
		tooLong = true
		_, err = r.ReadSlice('\n')
	}
	if tooLong {
		return nil, true, err
	}
	return text, false, err
}

// parseOrder decodes field by field, so that every wrong one is named and not
// only the first.
func parseOrder(text []byte) (Order, []*FieldError) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return Order{}, []*FieldError{{Problem: "is not a JSON object: " + err.Error()}}
	}
	var o Order
	var faults []*FieldError
	wrong := make(map[string]bool)
	reject := func(field, problem string) {
		wrong[field] = true
		faults = append(faults, &FieldError{Field: field, Problem: problem})
	}
	known := []struct {
		name string
		into any
		want string
	}{
		{"id", &o.ID, "a text"},
		{"customer", &o.Customer, "a text"},
		{"sku", &o.SKU, "a text"},
		{"quantity", &o.Quantity, "a whole number"},
		{"unit_price_cents", &o.UnitPriceCents, "a whole number"},
		{"card", &o.Card, "a text"},
		{"address", &o.Address, "a text"},
	}
	for _, field := range known {
		raw, ok := fields[field.name]
		delete(fields, field.name)
		switch {
		case !ok:
			reject(field.name, "is missing")
		case string(raw) == "null" || json.Unmarshal(raw, field.into) != nil:
			reject(field.name, "must be "+field.want)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		reject(fmt.Sprintf("%q", name), "is not a field of an order that can be given")
	}
	for _, fault := range o.faults() {
		if !wrong[fault.Field] {
			faults = append(faults, fault)
		}
	}
	return o, faults
}
