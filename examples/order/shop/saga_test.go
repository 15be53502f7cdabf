package shop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

// place runs an order's saga as the engine would, with its real handlers but
// without its log. Before each handler's result is kept, crash is asked whether the
// worker dies: then the same handler runs again on the same state.
func place(ctx context.Context, s *Shop, o Order, crash func() bool) (Outcome, error) {
	d, err := s.Definition()
	if err != nil {
		return Outcome{}, err
	}
	p := &placing{definition: d, order: o, crash: crash}
	text, err := json.Marshal(o)
	if err != nil {
		return Outcome{}, err
	}
	if p.state, err = saga.ParseState(text); err != nil {
		return Outcome{}, err
	}
	steps := []string{"reserve-stock", "charge-card", "ship"}
	for i, step := range steps {
		refusal := p.run(ctx, step, false)
		if refusal == nil {
			continue
		}
		if !saga.IsPermanent(refusal) {
			return Outcome{}, fmt.Errorf("order %s: %s: %w", o.ID, step, refusal)
		}
		for _, undone := range slices.Backward(steps[:i]) {
			if err := p.run(ctx, undone, true); err != nil {
				return Outcome{}, fmt.Errorf("order %s: undo %s: %w", o.ID, undone, err)
			}
		}
		return p.outcome(saga.StatusCompensated, refusal.Error())
	}
	return p.outcome(saga.StatusCompleted, "")
}

type placing struct {
	definition *saga.Definition[Order]
	order      Order
	state      saga.State
	crash      func() bool
}

func (p *placing) run(ctx context.Context, step string, undo bool) error {
	runner := p.definition.NewRunner()
	for attempt := 1; ; attempt++ {
		ctx := saga.NewContext(ctx, saga.Info{
			Key: saga.Key{Definition: DefinitionName, ID: p.order.ID}, Run: "run",
			DefinitionVersion: 1, Step: step, Undo: undo, Attempt: attempt,
		})
		next, err := runner.Run(ctx, saga.Task{Step: step, Undo: undo, Attempt: attempt}, p.state)
		switch {
		case p.crash():
			runner = p.definition.NewRunner()
		case err == nil:
			p.state = next
			return nil
		case !errors.Is(err, ErrCarrierDown):
			return err
		}
	}
}

func (p *placing) outcome(status saga.Status, reason string) (Outcome, error) {
	o := Outcome{Status: status, Reason: reason}
	return o, json.Unmarshal(p.state.JSON(), &o.Order)
}

func never() bool { return false }

func TestDefinitionRetriesTheCarrierLongerThanItIsDown(t *testing.T) {
	d, err := openShop(t, Config{}).Definition()
	if err != nil {
		t.Fatal(err)
	}
	plan := d.Plan()
	if plan.Name != DefinitionName {
		t.Error(plan.Name)
	}
	ship := plan.Step("ship")
	if !ship.Pivot || ship.Retry.Attempts <= maxOutages {
		t.Errorf("%+v", ship)
	}
	for _, step := range []string{"reserve-stock", "charge-card"} {
		if plan.Step(step).Undo == nil {
			t.Errorf("%s has no undo", step)
		}
	}
}

func TestSagaNamesTheResultsInTheOrder(t *testing.T) {
	o := goodOrder()
	s := openShop(t, Config{Stock: InitialStock([]Order{o}), FlakyPercent: -1})
	got, err := place(t.Context(), s, o, never)
	if err != nil || got.Status != saga.StatusCompleted || got.Order.ReservationID == "" || got.Order.ChargeID == "" || got.Order.TrackingID == "" {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestSagaUndoesWhatWasDoneWhenAnAnswerIsFinal(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Order)
		want   error
	}{
		{"out of stock", func(o *Order) { o.SKU = "knife-limited" }, ErrOutOfStock},
		{"declined", func(o *Order) { o.Card = "tok_9995" }, ErrDeclined},
		{"undeliverable", func(o *Order) { o.Address = "PO Box 1" }, ErrUndeliverable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := goodOrder()
			test.change(&o)
			s := openShop(t, Config{Stock: InitialStock([]Order{o})})
			before := onHand(t, s, o.SKU)
			got, err := place(t.Context(), s, o, never)
			if err != nil || got.Status != saga.StatusCompensated || !strings.Contains(got.Reason, test.want.Error()) {
				t.Fatalf("%+v, %v", got, err)
			}
			if onHand(t, s, o.SKU) != before || balance(t, s) != 0 {
				t.Fatalf("%d on hand, %d in the account", onHand(t, s, o.SKU), balance(t, s))
			}
		})
	}
}

func TestJudgeLeavesTransientErrorsToTheRetryPolicy(t *testing.T) {
	for _, err := range []error{nil, ErrCarrierDown, ErrClosed, errors.New("disk is full")} {
		if got := judge(err); saga.IsPermanent(got) || !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestAThousandOrdersReconcileThoughWorkersDieAndTheShopRestarts(t *testing.T) {
	orders := Orders(1000, 42)
	config := Config{Dir: t.TempDir(), Stock: InitialStock(orders)}
	outcomes := make([]Outcome, len(orders))
	const workers = 8
	for half := range 2 {
		s := openShop(t, config)
		var wg sync.WaitGroup
		for w := range workers {
			random := rand.New(rand.NewPCG(uint64(half), uint64(w)))
			wg.Go(func() {
				for i := w; i < len(orders); i += workers {
					if i%2 != half {
						continue
					}
					var err error
					if outcomes[i], err = place(t.Context(), s, orders[i], func() bool { return random.IntN(4) == 0 }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := openShop(t, config)
	// A saga that was finished and is delivered once more changes nothing.
	for i, o := range orders {
		if again, err := place(t.Context(), s, o, never); err != nil || again != outcomes[i] {
			t.Fatalf("order %s: %+v, then %+v, %v", o.ID, outcomes[i], again, err)
		}
	}
	report, err := s.Reconcile(outcomes)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Reconciled() || report.Orders != len(orders) {
		t.Fatal(report)
	}
	for _, cause := range []error{ErrOutOfStock, ErrDeclined, ErrUndeliverable} {
		if !strings.Contains(report.String(), fmt.Sprintf("compensated: %v ", cause)) {
			t.Errorf("no order was %v:\n%v", cause, report)
		}
	}
	if report.Outages == 0 {
		t.Error("the carrier was never down")
	}
}
