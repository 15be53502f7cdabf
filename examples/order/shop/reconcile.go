package shop

import (
	"fmt"
	"maps"
	"slices"

	"github.com/jetsaga/jetsaga/saga"
)

// Outcome is how an order's saga stands.
type Outcome struct {
	// Order is the saga's state, with the results of the steps that completed.
	Order Order
	// Status is the saga's. An order whose saga is not started yet is
	// [saga.StatusRunning].
	Status saga.Status
	// Reason is why it was undone or is stuck. It is shown only where the ledgers
	// hold no refusal that explains it.
	Reason string
}

// Reconcile reads the three ledgers from their files and holds them against the
// outcomes, one for each order.
//
// For a completed order there must be exactly one reservation of its units, one
// charge of its total and one shipment to its address, none undone, with the ids
// that the order names. For a compensated order each reservation must be released
// and each charge refunded, once, and nothing be shipped. Orders that are stuck or
// not finished may hold what they hold, once. Then the stock must be what was
// received less what completed orders bought, and the account must hold what they
// cost; what stuck and unfinished orders hold is counted apart. Whatever does not
// fit, or belongs to no order, is a [Difference].
//
// Call it while no saga runs. Errors are those of reading the ledgers.
func (s *Shop) Reconcile(outcomes []Outcome) (Report, error) {
	a := &audit{
		trails: make(map[string]*trail),
		stock:  make(map[string]*StockLine),
	}
	if err := a.read(s); err != nil {
		return Report{}, fmt.Errorf("reconcile: %w", err)
	}
	known := make(map[string]bool, len(outcomes))
	for _, outcome := range outcomes {
		if known[outcome.Order.ID] {
			a.differ(outcome.Order.ID, KindRepeated, "the order has two outcomes")
			continue
		}
		known[outcome.Order.ID] = true
		a.settle(outcome)
	}
	a.orphans(known)
	a.totals()
	return a.report, nil
}

// effect is an entry of any of the ledgers, as far as reconciling cares.
type effect struct {
	id     string
	amount int64
	object string
}

// account is what one service did for one order.
type account struct {
	made, undone, refused []effect
	outages               int
}

// open returns the effects that were made and not undone.
func (a account) open() []effect {
	return slices.DeleteFunc(slices.Clone(a.made), func(e effect) bool {
		return slices.ContainsFunc(a.undone, func(u effect) bool { return u.id == e.id })
	})
}

// trail is what an order left in the ledgers.
type trail struct {
	stock, money, freight account
}

// audit gathers a report.
type audit struct {
	report Report
	trails map[string]*trail
	stock  map[string]*StockLine
}

func (a *audit) differ(order string, kind DifferenceKind, format string, args ...any) {
	a.report.Differences = append(a.report.Differences, Difference{Order: order, Kind: kind, Detail: fmt.Sprintf(format, args...)})
}

func (a *audit) trail(order string) *trail {
	t, ok := a.trails[order]
	if !ok {
		t = &trail{}
		a.trails[order] = t
	}
	return t
}

func (a *audit) line(sku string) *StockLine {
	line, ok := a.stock[sku]
	if !ok {
		line = &StockLine{SKU: sku}
		a.stock[sku] = line
	}
	return line
}

func (a *audit) read(s *Shop) error {
	if err := a.readInventory(s.Inventory); err != nil {
		return err
	}
	if err := a.readPayments(s.Payments); err != nil {
		return err
	}
	return a.readCarrier(s.Carrier)
}

func (a *audit) readInventory(inv *Inventory) error {
	issued := make(map[string]string)
	oversold := make(map[string]bool)
	for record, err := range inv.ledger.Records() {
		if err != nil {
			return err
		}
		m := record.Entry
		line := a.line(m.SKU)
		e := effect{id: m.Reservation, amount: m.Quantity, object: m.SKU}
		switch m.Kind {
		case Received:
			line.Received += m.Quantity
			line.OnHand += m.Quantity
		case Reserved:
			line.OnHand -= m.Quantity
			t := a.trail(m.Order)
			t.stock.made = append(t.stock.made, e)
			a.issue(issued, "reservation", e.id, m.Order)
		case Released:
			line.OnHand += m.Quantity
			t := a.trail(m.Order)
			t.stock.undone = append(t.stock.undone, e)
		case Refused:
			t := a.trail(m.Order)
			t.stock.refused = append(t.stock.refused, e)
		}
		if line.OnHand < 0 && !oversold[m.SKU] {
			oversold[m.SKU] = true
			a.differ(m.Order, KindOversold, "reservation %s took the last of %s below zero", m.Reservation, m.SKU)
		}
	}
	return nil
}

func (a *audit) readPayments(p *Payments) error {
	issued := make(map[string]string)
	for record, err := range p.ledger.Records() {
		if err != nil {
			return err
		}
		t := &a.trail(record.Entry.Order).money
		e := effect{id: record.Entry.Charge, amount: record.Entry.Cents, object: record.Entry.Card}
		switch record.Entry.Kind {
		case Charged:
			a.report.Money.Charged += e.amount
			t.made = append(t.made, e)
			a.issue(issued, "charge", e.id, record.Entry.Order)
		case Refunded:
			a.report.Money.Refunded += e.amount
			t.undone = append(t.undone, e)
		case Declined:
			t.refused = append(t.refused, e)
		}
	}
	return nil
}

func (a *audit) readCarrier(c *Carrier) error {
	issued := make(map[string]string)
	for record, err := range c.ledger.Records() {
		if err != nil {
			return err
		}
		t := &a.trail(record.Entry.Order).freight
		e := effect{id: record.Entry.Tracking, amount: 1, object: record.Entry.Address}
		switch record.Entry.Kind {
		case Shipped:
			t.made = append(t.made, e)
			a.issue(issued, "shipment", e.id, record.Entry.Order)
		case Cancelled:
			t.undone = append(t.undone, e)
		case Undeliverable:
			t.refused = append(t.refused, e)
		case Outage:
			a.report.Outages++
			t.outages++
		}
	}
	return nil
}

func (a *audit) issue(issued map[string]string, noun, id, order string) {
	if other, ok := issued[id]; ok {
		a.differ(order, KindRepeated, "%s %s is also that of order %s", noun, id, other)
	}
	issued[id] = order
}

// settle checks one order and counts what it bought or holds.
func (a *audit) settle(outcome Outcome) {
	o, t := outcome.Order, a.trail(outcome.Order.ID)
	a.account(outcome, "reservation", t.stock, effect{id: o.ReservationID, amount: o.Quantity, object: o.SKU})
	a.account(outcome, "charge", t.money, effect{id: o.ChargeID, amount: o.TotalCents(), object: o.Card})
	a.account(outcome, "shipment", t.freight, effect{id: o.TrackingID, amount: 1, object: o.Address})
	a.count(outcome, t)
	switch outcome.Status {
	case saga.StatusCompensated:
		return
	case saga.StatusCompleted:
		a.line(o.SKU).Sold += o.Quantity
		a.report.Money.Sold += o.TotalCents()
		return
	case saga.StatusRunning, saga.StatusCompensating, saga.StatusStuck:
	default:
		a.differ(o.ID, KindWrong, "the order has unknown status %q", outcome.Status)
	}
	for _, e := range t.stock.open() {
		a.line(e.object).Held += e.amount
	}
	for _, e := range t.money.open() {
		a.report.Money.Held += e.amount
	}
}

// account checks what one service did for one order. want is what the order asks
// for; its id is the one that the order names, if it names one.
func (a *audit) account(outcome Outcome, noun string, got account, want effect) {
	order := outcome.Order.ID
	if n := len(got.made) + len(got.refused); n > 1 {
		a.differ(order, KindRepeated, "%d answers for one %s: %d made, %d refused", n, noun, len(got.made), len(got.refused))
	}
	for _, e := range got.made {
		if e.amount != want.amount || e.object != want.object {
			a.differ(order, KindWrong, "%s %s is of %d for %q, the order is of %d for %q", noun, e.id, e.amount, e.object, want.amount, want.object)
		}
	}
	if want.id != "" && !slices.ContainsFunc(got.made, func(e effect) bool { return e.id == want.id }) {
		a.differ(order, KindWrong, "the order names %s %s, which the ledger does not have", noun, want.id)
	}
	a.undos(order, noun, got)
	a.status(outcome, noun, got, want)
}

// undos checks that each undo is the only one of something that was made.
func (a *audit) undos(order, noun string, got account) {
	seen := make(map[string]bool)
	for _, u := range got.undone {
		i := slices.IndexFunc(got.made, func(e effect) bool { return e.id == u.id })
		switch {
		case i < 0:
			a.differ(order, KindOrphan, "%s %s was undone, but never made", noun, u.id)
		case seen[u.id]:
			a.differ(order, KindRepeated, "%s %s was undone twice", noun, u.id)
		case u != got.made[i]:
			a.differ(order, KindWrong, "%s %s was made of %d for %q, but undone of %d for %q",
				noun, u.id, got.made[i].amount, got.made[i].object, u.amount, u.object)
		}
		seen[u.id] = true
	}
}

// status checks what the saga's status demands.
func (a *audit) status(outcome Outcome, noun string, got account, want effect) {
	order := outcome.Order.ID
	switch outcome.Status {
	case saga.StatusCompleted:
		switch {
		case len(got.made) == 0:
			a.differ(order, KindMissing, "the order completed without a %s", noun)
		case want.id == "":
			a.differ(order, KindWrong, "the order completed but names no %s, the ledger has %s", noun, got.made[0].id)
		}
		if len(got.undone) > 0 {
			a.differ(order, KindUndone, "the order completed, but %s %s was undone", noun, got.undone[0].id)
		}
	case saga.StatusCompensated:
		for _, e := range got.open() {
			a.differ(order, KindNotUndone, "the order was compensated, but %s %s of %d for %q stands", noun, e.id, e.amount, e.object)
		}
	case saga.StatusPending, saga.StatusRunning, saga.StatusCompensating, saga.StatusTerminated:
		// Any of its effects may be there or not.
	case saga.StatusStuck:
		if noun != "shipment" {
			return
		}
		for _, e := range got.open() {
			a.differ(order, KindNotUndone, "the order is stuck while being undone, but shipment %s stands", e.id)
		}
	}
}

// count adds the order to the table of outcomes.
func (a *audit) count(outcome Outcome, t *trail) {
	line := OutcomeLine{Status: outcome.Status}
	if outcome.Status == saga.StatusCompensated || outcome.Status == saga.StatusStuck {
		line.Cause = cause(outcome, t)
	}
	a.report.Orders++
	i := slices.IndexFunc(a.report.Outcomes, func(l OutcomeLine) bool {
		return l.Status == line.Status && l.Cause == line.Cause
	})
	if i < 0 {
		i = len(a.report.Outcomes)
		a.report.Outcomes = append(a.report.Outcomes, line)
	}
	a.report.Outcomes[i].Orders++
}

// cause is what the ledgers say before what the saga says: a refusal is the same
// text for every order.
func cause(outcome Outcome, t *trail) string {
	switch {
	case len(t.stock.refused) > 0:
		return ErrOutOfStock.Error()
	case len(t.money.refused) > 0:
		return ErrDeclined.Error()
	case len(t.freight.refused) > 0:
		return ErrUndeliverable.Error()
	case outcome.Reason != "":
		return outcome.Reason
	}
	return "no reason known"
}

// orphans names the orders in the ledgers that have no outcome.
func (a *audit) orphans(known map[string]bool) {
	for _, order := range slices.Sorted(maps.Keys(a.trails)) {
		if known[order] {
			continue
		}
		t := a.trails[order]
		a.differ(order, KindOrphan, "no order with this id has an outcome, but the ledgers have %d entries for stock, %d for money and %d for shipping",
			t.stock.entries(), t.money.entries(), t.freight.entries())
	}
}

func (a account) entries() int {
	return len(a.made) + len(a.undone) + len(a.refused) + a.outages
}

// totals closes the books.
func (a *audit) totals() {
	r := &a.report
	for _, sku := range slices.Sorted(maps.Keys(a.stock)) {
		line := *a.stock[sku]
		r.Stock = append(r.Stock, line)
		if want := line.Expected(); line.OnHand != want {
			a.differ("", KindStock, "%d of %s are on hand, %d are expected", line.OnHand, sku, want)
		}
	}
	if got, want := r.Money.Balance(), r.Money.Expected(); got != want {
		a.differ("", KindMoney, "the account has %s, %s are expected", cents(got), cents(want))
	}
	slices.SortStableFunc(r.Outcomes, compareOutcomes)
}
