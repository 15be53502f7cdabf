package shop

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

// books are a shop's ledgers and the outcomes to hold against them. They begin
// with a completed order "good" and an order "bad" that was undone after it had been
// charged.
type books struct {
	t        *testing.T
	shop     *Shop
	outcomes []Outcome
}

func newBooks(t *testing.T) *books {
	t.Helper()
	good, bad := goodOrder(), goodOrder()
	good.ID, bad.ID, bad.Address = "good", "bad", "PO Box 7"
	b := &books{t: t, shop: openShop(t, Config{Stock: map[string]int64{good.SKU: 100, "stove": 10}})}
	for _, o := range []Order{good, bad} {
		outcome, err := place(t.Context(), b.shop, o, never)
		if err != nil {
			t.Fatal(err)
		}
		b.outcomes = append(b.outcomes, outcome)
	}
	return b
}

// good and bad are the outcomes, to be changed.
func (b *books) good() *Outcome { return &b.outcomes[0] }
func (b *books) bad() *Outcome  { return &b.outcomes[1] }

// add appends an outcome for an order that no service has seen.
func (b *books) add(id string, status saga.Status) Order {
	o := goodOrder()
	o.ID = id
	b.outcomes = append(b.outcomes, Outcome{Order: o, Status: status})
	return o
}

// The plant methods write entries behind the services' backs.

func (b *books) plantMovement(m Movement) {
	b.t.Helper()
	plant(b.t, b.shop.Inventory.ledger, m)
}

func (b *books) plantPayment(p Payment) {
	b.t.Helper()
	plant(b.t, b.shop.Payments.ledger, p)
}

func (b *books) plantConsignment(c Consignment) {
	b.t.Helper()
	plant(b.t, b.shop.Carrier.ledger, c)
}

func plant[E Entry](t *testing.T, l *Ledger[E], entry E) {
	t.Helper()
	if first, _, err := l.Once(fmt.Sprint("planted/", l.lines), entry); err != nil || !first {
		t.Fatal(first, err)
	}
}

func (b *books) reconcile() Report {
	b.t.Helper()
	report, err := b.shop.Reconcile(b.outcomes)
	if err != nil {
		b.t.Fatal(err)
	}
	return report
}

func reserved(o Order, id string) Movement {
	return Movement{Kind: Reserved, Reservation: id, Order: o.ID, SKU: o.SKU, Quantity: o.Quantity}
}

func charged(o Order, id string) Payment {
	return Payment{Kind: Charged, Charge: id, Order: o.ID, Card: o.Card, Cents: o.TotalCents()}
}

func shipped(o Order, id string) Consignment {
	return Consignment{Kind: Shipped, Tracking: id, Order: o.ID, Address: o.Address}
}

func TestReconcileFindsNothingInBooksThatBalance(t *testing.T) {
	b := newBooks(t)
	report := b.reconcile()
	if !report.Reconciled() {
		t.Fatal(report)
	}
	if report.Orders != 2 || report.Count(saga.StatusCompleted) != 1 || report.Count(saga.StatusCompensated, saga.StatusStuck) != 1 {
		t.Fatal(report)
	}
	want := MoneyLine{Charged: 75_600, Refunded: 37_800, Sold: 37_800}
	if report.Money != want {
		t.Fatalf("%+v", report.Money)
	}
	if i := slices.IndexFunc(report.Stock, func(l StockLine) bool { return l.SKU == "tent-2p" }); i < 0 ||
		report.Stock[i] != (StockLine{SKU: "tent-2p", Received: 100, OnHand: 98, Sold: 2}) {
		t.Fatalf("%+v", report.Stock)
	}
}

func TestReconcileFindsEveryKindOfDifference(t *testing.T) {
	tests := []struct {
		name  string
		plant func(*books)
		want  []Difference
	}{
		{"nothing done for a completed order", func(b *books) {
			b.add("new", saga.StatusCompleted)
		}, []Difference{
			{"new", KindMissing, "without a reservation"},
			{"new", KindMissing, "without a charge"},
			{"new", KindMissing, "without a shipment"},
			{"", KindStock, "98 of tent-2p are on hand, 96 are expected"},
			{"", KindMoney, "the account has 378.00, 756.00 are expected"},
		}},
		{"two reservations", func(b *books) {
			b.plantMovement(reserved(b.good().Order, "R9"))
		}, []Difference{
			{"good", KindRepeated, "2 answers for one reservation: 2 made, 0 refused"},
			{"", KindStock, "96 of tent-2p are on hand, 98 are expected"},
		}},
		{"a reservation after a refusal", func(b *books) {
			b.plantMovement(Movement{Kind: Refused, Order: "good", SKU: "tent-2p", Quantity: 2})
		}, []Difference{
			{"good", KindRepeated, "2 answers for one reservation: 1 made, 1 refused"},
		}},
		{"two charges", func(b *books) {
			b.plantPayment(charged(b.good().Order, "C9"))
		}, []Difference{
			{"good", KindRepeated, "2 answers for one charge"},
			{"", KindMoney, "the account has 756.00, 378.00 are expected"},
		}},
		{"two shipments", func(b *books) {
			b.plantConsignment(shipped(b.good().Order, "T9"))
		}, []Difference{
			{"good", KindRepeated, "2 answers for one shipment"},
		}},
		{"other units than ordered", func(b *books) {
			b.good().Order.Quantity = 1
			b.good().Order.UnitPriceCents *= 2
		}, []Difference{
			{"good", KindWrong, `is of 2 for "tent-2p", the order is of 1 for "tent-2p"`},
			{"", KindStock, "98 of tent-2p are on hand, 99 are expected"},
		}},
		{"another sku than ordered", func(b *books) {
			b.good().Order.SKU = "stove"
		}, []Difference{
			{"good", KindWrong, `is of 2 for "tent-2p", the order is of 2 for "stove"`},
			{"", KindStock, "10 of stove are on hand, 8 are expected"},
			{"", KindStock, "98 of tent-2p are on hand, 100 are expected"},
		}},
		{"a cent too much", func(b *books) {
			o := b.add("new", saga.StatusCompleted)
			b.outcomes[2].Order.ReservationID, b.outcomes[2].Order.ChargeID, b.outcomes[2].Order.TrackingID = "R9", "C9", "T9"
			b.plantMovement(reserved(o, "R9"))
			p := charged(o, "C9")
			p.Cents++
			b.plantPayment(p)
			b.plantConsignment(shipped(o, "T9"))
		}, []Difference{
			{"new", KindWrong, "charge C9 is of 37801"},
			{"", KindMoney, "the account has 756.01, 756.00 are expected"},
		}},
		{"another address", func(b *books) {
			b.good().Order.Address = "elsewhere"
		}, []Difference{
			{"good", KindWrong, `the order is of 1 for "elsewhere"`},
		}},
		{"a result that the ledger does not have", func(b *books) {
			b.good().Order.ChargeID = "C9"
		}, []Difference{
			{"good", KindWrong, "the order names charge C9, which the ledger does not have"},
		}},
		{"a result that the order does not have", func(b *books) {
			b.good().Order.TrackingID = ""
		}, []Difference{
			{"good", KindWrong, "the order completed but names no shipment, the ledger has T"},
		}},
		{"a completed order released", func(b *books) {
			m := reserved(b.good().Order, b.good().Order.ReservationID)
			m.Kind = Released
			b.plantMovement(m)
		}, []Difference{
			{"good", KindUndone, "the order completed, but reservation R"},
			{"", KindStock, "100 of tent-2p are on hand, 98 are expected"},
		}},
		{"a completed order refunded", func(b *books) {
			p := charged(b.good().Order, b.good().Order.ChargeID)
			p.Kind = Refunded
			b.plantPayment(p)
		}, []Difference{
			{"good", KindUndone, "the order completed, but charge C"},
			{"", KindMoney, "the account has 0.00, 378.00 are expected"},
		}},
		{"a completed order called back", func(b *books) {
			c := shipped(b.good().Order, b.good().Order.TrackingID)
			c.Kind = Cancelled
			b.plantConsignment(c)
		}, []Difference{
			{"good", KindUndone, "the order completed, but shipment T"},
		}},
		{"a compensated order that holds everything", func(b *books) {
			o := b.add("new", saga.StatusCompensated)
			b.plantMovement(reserved(o, "R9"))
			b.plantPayment(charged(o, "C9"))
			b.plantConsignment(shipped(o, "T9"))
		}, []Difference{
			{"new", KindNotUndone, "reservation R9 of 2"},
			{"new", KindNotUndone, "charge C9 of 37800"},
			{"new", KindNotUndone, "shipment T9 of 1"},
			{"", KindStock, "96 of tent-2p are on hand, 98 are expected"},
			{"", KindMoney, "the account has 756.00, 378.00 are expected"},
		}},
		{"released twice", func(b *books) {
			m := reserved(b.bad().Order, b.bad().Order.ReservationID)
			m.Kind = Released
			b.plantMovement(m)
		}, []Difference{
			{"bad", KindRepeated, "was undone twice"},
			{"", KindStock, "100 of tent-2p are on hand, 98 are expected"},
		}},
		{"refunded with another amount", func(b *books) {
			o := b.add("new", saga.StatusCompensated)
			p := charged(o, "C9")
			b.plantPayment(p)
			p.Kind = Refunded
			p.Cents--
			b.plantPayment(p)
		}, []Difference{
			{"new", KindWrong, `charge C9 was made of 37800 for "tok_visa_4242", but undone of 37799`},
			{"", KindMoney, "the account has 378.01, 378.00 are expected"},
		}},
		{"a refund of nothing", func(b *books) {
			p := charged(b.bad().Order, "C9")
			p.Kind = Refunded
			b.plantPayment(p)
		}, []Difference{
			{"bad", KindOrphan, "charge C9 was undone, but never made"},
			{"", KindMoney, "the account has 0.00, 378.00 are expected"},
		}},
		{"an order that nobody placed", func(b *books) {
			o := goodOrder()
			o.ID = "ghost"
			b.plantMovement(reserved(o, "R9"))
			b.plantPayment(charged(o, "C9"))
			b.plantConsignment(Consignment{Kind: Undeliverable, Order: o.ID, Address: o.Address})
		}, []Difference{
			{"ghost", KindOrphan, "1 entries for stock, 1 for money and 1 for shipping"},
			{"", KindStock, "96 of tent-2p are on hand, 98 are expected"},
			{"", KindMoney, "the account has 756.00, 378.00 are expected"},
		}},
		{"an outage for an order that nobody placed", func(b *books) {
			b.plantConsignment(Consignment{Kind: Outage, Order: "ghost", Address: "here"})
		}, []Difference{
			{"ghost", KindOrphan, "0 entries for stock, 0 for money and 1 for shipping"},
		}},
		{"one id for two orders", func(b *books) {
			b.plantPayment(charged(b.add("new", saga.StatusRunning), b.good().Order.ChargeID))
		}, []Difference{
			{"new", KindRepeated, "is also that of order good"},
		}},
		{"more sold than there was", func(b *books) {
			o := b.add("new", saga.StatusRunning)
			b.outcomes[2].Order.SKU, b.outcomes[2].Order.Quantity = "stove", 11
			m := reserved(o, "R9")
			m.SKU, m.Quantity = "stove", 11
			b.plantMovement(m)
		}, []Difference{
			{"new", KindOversold, "reservation R9 took the last of stove below zero"},
		}},
		{"two outcomes for one order", func(b *books) {
			b.outcomes = append(b.outcomes, *b.good())
		}, []Difference{
			{"good", KindRepeated, "the order has two outcomes"},
		}},
		{"a stuck order that was shipped", func(b *books) {
			b.plantConsignment(shipped(b.add("new", saga.StatusStuck), "T9"))
		}, []Difference{
			{"new", KindNotUndone, "stuck while being undone, but shipment T9 stands"},
		}},
		{"an unknown status", func(b *books) {
			b.bad().Status = "lost"
		}, []Difference{
			{"bad", KindWrong, `unknown status "lost"`},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBooks(t)
			test.plant(b)
			report := b.reconcile()
			if !slices.EqualFunc(report.Differences, test.want, func(got, want Difference) bool {
				return got.Order == want.Order && got.Kind == want.Kind && strings.Contains(got.Detail, want.Detail)
			}) {
				t.Fatalf("got:\n%v\nwant:\n%v", report.Differences, test.want)
			}
			if report.Reconciled() || !strings.Contains(report.String(), "NOT reconciled") {
				t.Error(report)
			}
		})
	}
}

func TestReconcileCountsApartWhatStuckAndUnfinishedOrdersHold(t *testing.T) {
	b := newBooks(t)
	b.plantMovement(reserved(b.add("stuck", saga.StatusStuck), "R8"))
	running := b.add("running", saga.StatusRunning)
	b.plantMovement(reserved(running, "R9"))
	b.plantPayment(charged(running, "C9"))
	b.plantConsignment(shipped(running, "T9"))
	compensating := b.add("compensating", saga.StatusCompensating)
	p := charged(compensating, "C10")
	b.plantPayment(p)
	p.Kind = Refunded
	b.plantPayment(p)
	report := b.reconcile()
	if !report.Reconciled() {
		t.Fatal(report)
	}
	if got := report.Money; got.Held != 37_800 || got.Balance() != got.Expected() {
		t.Errorf("%+v", got)
	}
	if got := report.Stock[1]; got.Held != 4 || got.OnHand != 94 || got.Expected() != 94 {
		t.Errorf("%+v", got)
	}
}

func TestReconcileTakesTheCauseFromTheLedgersBeforeTheSagas(t *testing.T) {
	b := newBooks(t)
	b.bad().Reason = "order bad: address cannot be delivered to, says T7"
	b.add("cancelled", saga.StatusCompensated)
	b.outcomes[2].Reason = "cancelled"
	b.add("mute", saga.StatusCompensated)
	report := b.reconcile()
	want := []OutcomeLine{
		{saga.StatusCompleted, "", 1},
		{saga.StatusCompensated, ErrUndeliverable.Error(), 1},
		{saga.StatusCompensated, "cancelled", 1},
		{saga.StatusCompensated, "no reason known", 1},
	}
	if !slices.Equal(report.Outcomes, want) {
		t.Fatalf("%+v", report.Outcomes)
	}
}

func TestReconcileReportsALedgerThatCannotBeRead(t *testing.T) {
	ledgers := map[string]func(*Shop) string{
		"inventory": func(s *Shop) string { return s.Inventory.ledger.Path() },
		"payments":  func(s *Shop) string { return s.Payments.ledger.Path() },
		"carrier":   func(s *Shop) string { return s.Carrier.ledger.Path() },
	}
	for name, path := range ledgers {
		t.Run(name, func(t *testing.T) {
			b := newBooks(t)
			file := path(b.shop)
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			content[0] = 'x'
			if err := os.WriteFile(file, content, 0o644); err != nil {
				t.Fatal(err)
			}
			var corrupt *CorruptError
			if _, err := b.shop.Reconcile(b.outcomes); !errors.As(err, &corrupt) || corrupt.Path != file {
				t.Fatal(err)
			}
		})
	}
}
