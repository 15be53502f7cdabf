package shop

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jetsaga/jetsaga/saga"
)

// DifferenceKind says in which way ledgers and outcomes differ.
type DifferenceKind string

// The kinds of differences.
const (
	// KindMissing: a completed order lacks an effect.
	KindMissing DifferenceKind = "missing"
	// KindRepeated: an effect, an undo, an id or an outcome is there twice.
	KindRepeated DifferenceKind = "repeated"
	// KindWrong: an effect is not of what the order is of.
	KindWrong DifferenceKind = "wrong"
	// KindUndone: an effect of a completed order was undone.
	KindUndone DifferenceKind = "undone"
	// KindNotUndone: an effect of a compensated order stands.
	KindNotUndone DifferenceKind = "not-undone"
	// KindOrphan: an entry belongs to no order, or undoes what was never made.
	KindOrphan DifferenceKind = "orphan"
	// KindOversold: more was reserved than was there.
	KindOversold DifferenceKind = "oversold"
	// KindStock: the stock of a sku is not what the outcomes leave.
	KindStock DifferenceKind = "stock"
	// KindMoney: the account does not hold what the outcomes bring.
	KindMoney DifferenceKind = "money"
)

// Difference is one disagreement between the ledgers and the outcomes.
type Difference struct {
	// Order is empty where the difference is in a total.
	Order  string         `json:"order,omitempty"`
	Kind   DifferenceKind `json:"kind"`
	Detail string         `json:"detail"`
}

// String is the order's id and the detail.
func (d Difference) String() string {
	if d.Order == "" {
		return d.Detail
	}
	return d.Order + ": " + d.Detail
}

// OutcomeLine counts the orders with one outcome.
type OutcomeLine struct {
	Status saga.Status `json:"status"`
	// Cause is why they were undone or are stuck.
	Cause  string `json:"cause,omitempty"`
	Orders int    `json:"orders"`
}

// StockLine is the books of one sku, in units.
type StockLine struct {
	SKU string `json:"sku"`
	// Received and OnHand are the ledger's.
	Received int64 `json:"received"`
	OnHand   int64 `json:"on_hand"`
	// Sold is what completed orders bought, by the orders.
	Sold int64 `json:"sold"`
	// Held is what stuck and unfinished orders have reserved, by the ledger.
	Held int64 `json:"held"`
}

// Expected is what should be on hand.
func (l StockLine) Expected() int64 { return l.Received - l.Sold - l.Held }

// MoneyLine is the books of the account, in cents.
type MoneyLine struct {
	// Charged and Refunded are the ledger's.
	Charged  int64 `json:"charged"`
	Refunded int64 `json:"refunded"`
	// Sold is what completed orders cost, by the orders.
	Sold int64 `json:"sold"`
	// Held is what stuck and unfinished orders were charged, by the ledger.
	Held int64 `json:"held"`
}

// Balance is what the account has.
func (l MoneyLine) Balance() int64 { return l.Charged - l.Refunded }

// Expected is what the account should have.
func (l MoneyLine) Expected() int64 { return l.Sold + l.Held }

// Report is the result of [Shop.Reconcile].
type Report struct {
	Orders int `json:"orders"`
	// Outcomes has completed orders first, then compensated, stuck and unfinished
	// ones, the most frequent cause first.
	Outcomes []OutcomeLine `json:"outcomes"`
	// Stock has one line for each sku, sorted.
	Stock []StockLine `json:"stock"`
	Money MoneyLine   `json:"money"`
	// Outages is how often the carrier was down.
	Outages int `json:"outages"`
	// Differences is empty if ledgers and outcomes agree.
	Differences []Difference `json:"differences,omitempty"`
}

// Reconciled tells whether the ledgers agree with the outcomes. They can agree
// while orders are stuck or not finished: see Count.
func (r Report) Reconciled() bool { return len(r.Differences) == 0 }

// Count returns the number of orders with one of the statuses.
func (r Report) Count(statuses ...saga.Status) int {
	n := 0
	for _, line := range r.Outcomes {
		if slices.Contains(statuses, line.Status) {
			n += line.Orders
		}
	}
	return n
}

const (
	// maxCauses is how many lines of outcomes are rendered, and maxDifferences how
	// many differences; the fields have all.
	maxCauses      = 12
	maxDifferences = 20
)

// String is the report as [Report.Render] writes it.
func (r Report) String() string {
	var b strings.Builder
	r.outcomeTable(&b)
	r.stockTable(&b)
	r.moneyTable(&b)
	if r.Outages > 0 {
		fmt.Fprintf(&b, "The carrier was down %s times, and was tried again.\n\n", group(int64(r.Outages)))
	}
	r.verdict(&b)
	return b.String()
}

// Render writes the report as tables for a terminal, 64 columns wide unless a
// cause is long.
func (r Report) Render(w io.Writer) error {
	_, err := io.WriteString(w, r.String())
	return err
}

func (r Report) outcomeTable(b *strings.Builder) {
	rows := [][]string{{"outcome", "orders", "share"}}
	add := func(name string, orders int) {
		share := 100 * float64(orders) / float64(max(r.Orders, 1))
		rows = append(rows, []string{name, group(int64(orders)), fmt.Sprintf("%.1f %%", share)})
	}
	others := 0
	for i, line := range r.Outcomes {
		switch {
		case i >= maxCauses:
			others += line.Orders
		case line.Cause != "":
			add(string(line.Status)+": "+line.Cause, line.Orders)
		default:
			add(string(line.Status), line.Orders)
		}
	}
	if others > 0 {
		add("others", others)
	}
	add("total", r.Orders)
	writeTable(b, rows)
}

func (r Report) stockTable(b *strings.Builder) {
	var sum StockLine
	for _, line := range r.Stock {
		sum.Received += line.Received
		sum.OnHand += line.OnHand
		sum.Sold += line.Sold
		sum.Held += line.Held
	}
	writeTable(b, [][]string{
		{"stock", "units"},
		{"received", group(sum.Received)},
		{"sold to completed orders", group(-sum.Sold)},
		{"held by stuck and unfinished orders", group(-sum.Held)},
		{"expected on hand", group(sum.Expected())},
		{"on hand by the ledger", group(sum.OnHand)},
	})
}

func (r Report) moneyTable(b *strings.Builder) {
	writeTable(b, [][]string{
		{"money", "amount"},
		{"price of completed orders", cents(r.Money.Sold)},
		{"held for stuck and unfinished orders", cents(r.Money.Held)},
		{"expected in the account", cents(r.Money.Expected())},
		{"charged by the ledger", cents(r.Money.Charged)},
		{"refunded by the ledger", cents(-r.Money.Refunded)},
		{"in the account by the ledger", cents(r.Money.Balance())},
	})
}

func (r Report) verdict(b *strings.Builder) {
	if r.Reconciled() {
		fmt.Fprintf(b, "Reconciled: the ledgers agree with %s outcomes, to the unit and to the cent.\n", group(int64(r.Orders)))
		return
	}
	fmt.Fprintf(b, "NOT reconciled: %s differences.\n", group(int64(len(r.Differences))))
	for i, difference := range r.Differences {
		if i == maxDifferences {
			fmt.Fprintf(b, "  and %s more\n", group(int64(len(r.Differences)-i)))
			return
		}
		fmt.Fprintf(b, "  %s\n", difference)
	}
}

// compareOutcomes puts good before bad, and frequent before rare.
func compareOutcomes(a, b OutcomeLine) int {
	order := []saga.Status{saga.StatusCompleted, saga.StatusCompensated, saga.StatusStuck, saga.StatusRunning, saga.StatusCompensating}
	return cmp.Or(
		cmp.Compare(slices.Index(order, a.Status), slices.Index(order, b.Status)),
		cmp.Compare(b.Orders, a.Orders),
		cmp.Compare(a.Cause, b.Cause),
	)
}
