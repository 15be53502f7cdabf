package saga_test

import (
	"context"
	"fmt"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Loan is the state of the sagas in these examples.
type Loan struct {
	Cents   int
	Country string
	Signed  bool
	Ready   time.Time
	Offers  []Offer
	By      string
}

// Offer is one of a loan's offers.
type Offer struct {
	Bank string
	Rate float64
}

func act(context.Context, *Loan) error { return nil }

func draw(def *saga.Definition[Loan], err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(def.Plan().Drawing())
}

func ExampleIf() {
	draw(saga.Define("grant-loan", 1,
		saga.If("is-large", func(l *Loan) bool { return l.Cents > 1_000_000 },
			saga.Step("ask-board", act),
		).Else(
			saga.Step("ask-clerk", act),
		),
	))
	// Output:
	// grant-loan, version 1
	// └─ is-large ?
	//    ├─ [then]
	//    │  └─ ask-board
	//    └─ [else]
	//       └─ ask-clerk
}

func ExampleSwitch() {
	draw(saga.Define("grant-loan", 1,
		saga.Switch("by-country", func(l *Loan) string { return l.Country }).
			Case("DE", saga.Step("ask-schufa", act)).
			Default(saga.Step("ask-bureau", act)),
	))
	// Output:
	// grant-loan, version 1
	// └─ by-country ?
	//    ├─ [DE]
	//    │  └─ ask-schufa
	//    └─ [else]
	//       └─ ask-bureau
}

func ExampleParallel() {
	draw(saga.Define("grant-loan", 1,
		saga.Parallel("checks",
			saga.Branch("income", saga.Step("check-income", act)),
			saga.Branch("house", saga.Step("value-house", act).Compensate(act)),
		),
	))
	// Output:
	// grant-loan, version 1
	// └─ checks: all at once
	//    ├─ [income]
	//    │  └─ check-income
	//    └─ [house]
	//       └─ value-house, undone on failure
}

func ExampleRace() {
	draw(saga.Define("grant-loan", 1,
		saga.Race("quotes",
			saga.Branch("bank-a", saga.Step("ask-a", act).Compensate(act)),
			saga.Branch("bank-b", saga.Step("ask-b", act).Compensate(act)),
		),
	))
	// Output:
	// grant-loan, version 1
	// └─ quotes: the first of
	//    ├─ [bank-a]
	//    │  └─ ask-a, undone on failure
	//    └─ [bank-b]
	//       └─ ask-b, undone on failure
}

func ExampleForEach() {
	draw(saga.Define("grant-loan", 1,
		saga.ForEach("offers", func(l *Loan) []Offer { return l.Offers },
			saga.Step("ask-rate", func(_ context.Context, o *Offer) error { o.Rate = 3.5; return nil }),
		).Limit(5).Gather().Collect(func(l *Loan, offers []saga.Item[Offer]) {
			for i, o := range offers {
				l.Offers[i] = o.Value
			}
		}),
	))
	// Output:
	// grant-loan, version 1
	// └─ offers: for each item, 5 at once, failures gathered
	//    └─ ask-rate
}

func ExampleLoop() {
	draw(saga.Define("grant-loan", 1,
		saga.Loop("until-signed", func(l *Loan) bool { return !l.Signed },
			saga.Step("remind", act),
			saga.Sleep("a-day", func(*Loan) time.Duration { return 24 * time.Hour }),
		).Max(14),
	))
	// Output:
	// grant-loan, version 1
	// └─ until-signed: repeat, 14 times at the most
	//    ├─ remind
	//    └─ a-day: wait
}

func ExampleSleepUntil() {
	draw(saga.Define("grant-loan", 1,
		saga.SleepUntil("until-ready", func(l *Loan) time.Time { return l.Ready }),
		saga.Step("pay-out", act),
	))
	// Output:
	// grant-loan, version 1
	// ├─ until-ready: wait
	// └─ pay-out
}

func ExampleWithin() {
	draw(saga.Define("grant-loan", 1,
		saga.Within("rate-is-held", 48*time.Hour, saga.Step("sign", act), saga.Step("register", act)),
	))
	// Output:
	// grant-loan, version 1
	// └─ rate-is-held: within 48h0m0s
	//    ├─ sign
	//    └─ register
}

func ExampleAwait() {
	signed := saga.DeclareSignal[string]("signed")
	draw(saga.Define("grant-loan", 1,
		saga.Await("signature", signed, func(_ context.Context, l *Loan, by string) error {
			l.Signed, l.By = true, by
			return nil
		}).Timeout(72*time.Hour, saga.Step("give-up", act)),
	))
	// Output:
	// grant-loan, version 1
	// └─ signature: wait for the signal signed, 72h0m0s at the most
	//    └─ [timeout]
	//       └─ give-up
}

func ExampleApproval() {
	draw(saga.Define("grant-loan", 1,
		saga.Step("mail-manager", func(ctx context.Context, _ *Loan) error {
			_ = saga.ApprovalToken(ctx, "manager") // for the link in the mail
			return nil
		}),
		saga.Approval("manager", func(l *Loan, d saga.Decision) error { l.By = d.By; return d.Err() }),
	))
	// Output:
	// grant-loan, version 1
	// ├─ mail-manager
	// └─ manager: wait for an approval
}

func ExampleChild() {
	insure := saga.Must(saga.Define("insure-house", 2, saga.Step("ask-insurer", func(context.Context, *Offer) error { return nil })))
	draw(saga.Define("grant-loan", 1,
		saga.Child("insurance", insure, func(*Loan) Offer { return Offer{Bank: "a"} }).
			Result(func(l *Loan, o Offer) { l.Offers = append(l.Offers, o) }),
	))
	// Output:
	// grant-loan, version 1
	// └─ insurance: the saga insure-house, version 2, undone on failure
}

func ExampleStepNode_Fallback() {
	draw(saga.Define("grant-loan", 1,
		saga.Step("pay-at-once", act).Fallback(saga.Step("pay-by-wire", act)),
		saga.Step("send-flowers", act).Optional(),
	))
	// Output:
	// grant-loan, version 1
	// ├─ pay-at-once
	// │  └─ [fallback]
	// │     └─ pay-by-wire
	// └─ send-flowers, optional
}

// An event is told if, and only if, the step that emitted it is in the log.
func ExampleEmit() {
	draw(saga.Define("grant-loan", 1,
		saga.Step("pay-out", func(ctx context.Context, l *Loan) error {
			return saga.Emit(ctx, "paid-out", map[string]int{"cents": l.Cents})
		}),
		saga.Attribute("country", func(l *Loan) string { return l.Country }), // read models find loans by it
	))
	// Output:
	// grant-loan, version 1
	// └─ pay-out
}
