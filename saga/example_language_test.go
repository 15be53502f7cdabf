package saga_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil/sagatest"
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

func refuse(context.Context, *Loan) error { return saga.Permanent(errors.New("no")) }

// quiet stands in for the *testing.T that a kit is usually for.
type quiet struct{ testing.TB }

func (quiet) Helper() {}

func (quiet) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// start starts a saga of the definition in memory: see package sagatest.
func start[S any](state S, def *saga.Definition[S], err error, others ...saga.Runnable) (*sagatest.Kit, *sagatest.Saga[S]) {
	if err != nil {
		panic(err)
	}
	k := sagatest.New(quiet{}, append(others, def)...)
	return k, sagatest.Start(k, def, "l-1", state)
}

// tell prints what the handlers have done, and how the saga stands.
func tell[S any](s *sagatest.Saga[S]) {
	fmt.Println(strings.Join(s.Effects(), ", "))
	in := s.Instance()
	fmt.Println(strings.TrimSpace(fmt.Sprint(in.Status, " ", in.Error)))
}

func ExamplePlan_Drawing() {
	def := saga.Must(saga.Define("grant-loan", 1,
		saga.Step("reserve", act).Compensate(act),
		saga.Parallel("checks",
			saga.Branch("income", saga.Step("check-income", act)),
			saga.Branch("house", saga.Step("value-house", act)),
		),
		saga.Sleep("a-day", func(*Loan) time.Duration { return 24 * time.Hour }),
	))
	fmt.Print(def.Plan().Drawing())
	// Output:
	// grant-loan, version 1
	// ├─ reserve, undone on failure
	// ├─ checks: all at once
	// │  ├─ [income]
	// │  │  └─ check-income
	// │  └─ [house]
	// │     └─ value-house
	// └─ a-day: wait
}

func ExampleIf() {
	def, err := saga.Define("grant-loan", 1,
		saga.If("is-large", func(l *Loan) bool { return l.Cents > 1_000_000 },
			saga.Step("ask-board", act),
		).Else(
			saga.Step("ask-clerk", act),
		),
	)
	for _, cents := range []int{2_000_000, 500} {
		k, s := start(Loan{Cents: cents}, def, err)
		k.Run()
		tell(s)
	}
	// Output:
	// do ask-board
	// completed
	// do ask-clerk
	// completed
}

func ExampleIfNode_ElseIf() {
	def, err := saga.Define("grant-loan", 1,
		saga.If("is-large", func(l *Loan) bool { return l.Cents > 1_000_000 },
			saga.Step("ask-board", act),
		).ElseIf("is-foreign", func(l *Loan) bool { return l.Country != "DE" },
			saga.Step("ask-embassy", act),
		),
	)
	for _, country := range []string{"FR", "DE"} {
		k, s := start(Loan{Country: country}, def, err)
		k.Run()
		tell(s)
	}
	// Output:
	// do ask-embassy
	// completed
	//
	// completed
}

func ExampleSwitch() {
	def, err := saga.Define("grant-loan", 1,
		saga.Switch("by-country", func(l *Loan) string { return l.Country }).
			Case("DE", saga.Step("ask-schufa", act)).
			Default(saga.Step("ask-bureau", act)),
	)
	for _, country := range []string{"DE", "FR"} {
		k, s := start(Loan{Country: country}, def, err)
		k.Run()
		tell(s)
	}
	// Output:
	// do ask-schufa
	// completed
	// do ask-bureau
	// completed
}

// A step whose condition does not hold is passed over, and not undone.
func ExampleStepNode_OnlyIf() {
	def, err := saga.Define("grant-loan", 1,
		saga.Step("ask-embassy", act).Compensate(act).OnlyIf(func(l *Loan) bool { return l.Country != "DE" }),
		saga.Step("reserve", act).Compensate(act),
		saga.Step("pay-out", refuse),
	)
	k, s := start(Loan{Country: "DE"}, def, err)
	k.Run()
	tell(s)
	// Output:
	// do reserve, undo reserve
	// compensated no
}

// Each branch changes a field of its own; both changes are in the state when the block is done.
func ExampleParallel() {
	def, err := saga.Define("grant-loan", 1,
		saga.Parallel("checks",
			saga.Branch("income", saga.Step("check-income", func(_ context.Context, l *Loan) error { l.Cents = 700; return nil })),
			saga.Branch("house", saga.Step("value-house", func(_ context.Context, l *Loan) error { l.By = "an expert"; return nil })),
		),
	)
	k, s := start(Loan{}, def, err)
	k.Run()
	fmt.Println(s.Instance().Status, s.State().Cents, s.State().By)
	// Output: completed 700 an expert
}

// The first branch that is done wins; what the other has done is undone.
func ExampleRace() {
	def, err := saga.Define("grant-loan", 1,
		saga.Race("quotes",
			saga.Branch("bank-a", saga.Step("ask-a", act).Compensate(act), saga.Sleep("slow", func(*Loan) time.Duration { return time.Hour })),
			saga.Branch("bank-b", saga.Step("ask-b", act).Compensate(act), saga.Sleep("fast", func(*Loan) time.Duration { return time.Minute })),
		),
	)
	k, s := start(Loan{}, def, err)
	k.Run()
	tell(s)
	// Output:
	// do ask-a, do ask-b, undo ask-a
	// completed
}

// Each offer is worked on by itself, and Collect takes them into the state; one that has failed has an error.
func ExampleForEach() {
	def, err := saga.Define("grant-loan", 1,
		saga.ForEach("offers", func(l *Loan) []Offer { return l.Offers },
			saga.Step("ask-rate", func(_ context.Context, o *Offer) error {
				if o.Bank == "" {
					return saga.Permanent(errors.New("no bank"))
				}
				o.Rate = 3.5
				return nil
			}),
		).Limit(5).Gather().Collect(func(l *Loan, offers []saga.Item[Offer]) {
			for i, o := range offers {
				l.Offers[i] = o.Value
				if o.Error != "" {
					l.Offers[i].Bank = o.Error
				}
			}
		}),
	)
	k, s := start(Loan{Offers: []Offer{{Bank: "a"}, {}, {Bank: "c"}}}, def, err)
	k.Run()
	tell(s)
	fmt.Println(s.State().Offers)
	// Output:
	// do ask-rate#0, do ask-rate#2
	// completed
	// [{a 3.5} {no bank 0} {c 3.5}]
}

// A step within a loop has a key of its own in each turn.
func ExampleLoop() {
	def, err := saga.Define("grant-loan", 1,
		saga.Loop("until-paid", func(l *Loan) bool { return l.Cents > 0 },
			saga.Step("take-rate", func(_ context.Context, l *Loan) error { l.Cents -= 100; return nil }),
			saga.Sleep("a-month", func(*Loan) time.Duration { return 30 * 24 * time.Hour }),
		).Max(14),
	)
	k, s := start(Loan{Cents: 250}, def, err)
	k.Run()
	tell(s)
	// Output:
	// do take-rate#1, do take-rate#2, do take-rate#3
	// completed
}

func ExampleSleep() {
	def, err := saga.Define("grant-loan", 1,
		saga.Sleep("time-to-think", func(*Loan) time.Duration { return 14 * 24 * time.Hour }),
		saga.Step("pay-out", act),
	)
	k, s := start(Loan{}, def, err)
	k.Run()
	in := s.Instance()
	fmt.Println(in.Status, "after", in.EndedAt.Sub(in.StartedAt))
	// Output: completed after 336h0m0s
}

func ExampleSleepUntil() {
	def, err := saga.Define("grant-loan", 1,
		saga.SleepUntil("until-ready", func(l *Loan) time.Time { return l.Ready }),
		saga.Step("pay-out", act),
	)
	k, s := start(Loan{Ready: time.Date(2030, 5, 1, 8, 0, 0, 0, time.UTC)}, def, err)
	k.Run()
	in := s.Instance()
	fmt.Println(in.Status, in.EndedAt.UTC())
	// Output: completed 2030-05-01 08:00:00 +0000 UTC
}

// What is not done in time is undone.
func ExampleWithin() {
	signed := saga.DeclareSignal[string]("signed")
	def, err := saga.Define("grant-loan", 1,
		saga.Within("rate-is-held", 48*time.Hour,
			saga.Step("hold-rate", act).Compensate(act),
			saga.Await("signature", signed, func(context.Context, *Loan, string) error { return nil }),
		),
	)
	k, s := start(Loan{}, def, err)
	k.Run()
	tell(s)
	fmt.Println(s.Instance().Reason)
	// Output:
	// do hold-rate, undo hold-rate
	// compensated "rate-is-held" was not done within 48h0m0s
	// timed-out
}

// A signal that comes takes the saga on, with its payload.
func ExampleAwait() {
	signed := saga.DeclareSignal[string]("signed")
	def, err := saga.Define("grant-loan", 1,
		saga.Await("signature", signed, func(_ context.Context, l *Loan, by string) error {
			l.Signed, l.By = true, by
			return nil
		}),
	)
	k, s := start(Loan{}, def, err)
	k.Advance(time.Hour)
	sagatest.Signal(s, signed, "Ada")
	k.Run()
	fmt.Println(s.Instance().Status, s.State().By)
	// Output: completed Ada
}

// Where no signal comes in time, something else is done.
func ExampleAwaitNode_Timeout() {
	signed := saga.DeclareSignal[string]("signed")
	def, err := saga.Define("grant-loan", 1,
		saga.Await("signature", signed, func(context.Context, *Loan, string) error { return nil }).
			Timeout(72*time.Hour, saga.Step("give-up", act)),
	)
	k, s := start(Loan{}, def, err)
	k.Run()
	tell(s)
	// Output:
	// do give-up
	// completed
}

// The token goes to who is to decide, and comes back with the decision. To reject is to fail, unless the handler says otherwise.
func ExampleApproval() {
	var token string // in a mail
	def, err := saga.Define("grant-loan", 1,
		saga.Step("mail-manager", func(ctx context.Context, _ *Loan) error {
			token = saga.ApprovalToken(ctx, "manager")
			return nil
		}).Compensate(act),
		saga.Approval("manager", func(l *Loan, d saga.Decision) error { l.By = d.By; return d.Err() }),
	)
	for _, d := range []saga.Decision{{Approved: true, By: "Grace"}, {By: "Grace", Reason: "too dear"}} {
		k, s := start(Loan{}, def, err)
		k.Advance(time.Hour)
		s.Approve(token, d)
		k.Run()
		tell(s)
	}
	// Output:
	// do mail-manager, do manager
	// completed
	// do mail-manager, undo mail-manager
	// compensated saga: approval was refused by Grace: too dear
}

// The child's state at its end is the parent's to take from. Had the parent failed later, the child would be undone.
func ExampleChild() {
	insure := saga.Must(saga.Define("insure-house", 2,
		saga.Step("ask-insurer", func(_ context.Context, o *Offer) error { o.Rate = 0.2; return nil })))
	def, err := saga.Define("grant-loan", 1,
		saga.Child("insurance", insure, func(*Loan) Offer { return Offer{Bank: "a"} }).
			Result(func(l *Loan, o Offer) { l.Offers = append(l.Offers, o) }),
	)
	k, s := start(Loan{}, def, err, insure)
	k.Run()
	fmt.Println(s.Instance().Status, s.State().Offers)
	// Output: completed [{a 0.2}]
}

// What is done in place of a step that has failed for good.
func ExampleStepNode_Fallback() {
	def, err := saga.Define("grant-loan", 1,
		saga.Step("reserve", act).Compensate(act),
		saga.Step("pay-at-once", refuse).Fallback(saga.Step("pay-by-wire", act)),
	)
	k, s := start(Loan{}, def, err)
	k.Run()
	tell(s)
	// Output:
	// do reserve, do pay-by-wire
	// completed
}

func ExampleStepNode_Optional() {
	def, err := saga.Define("grant-loan", 1,
		saga.Step("send-flowers", refuse).Optional(),
		saga.Step("pay-out", act),
	)
	k, s := start(Loan{}, def, err)
	k.Run()
	tell(s)
	// Output:
	// do pay-out
	// completed
}

// An event is told if, and only if, the step that emitted it is in the log.
func ExampleEmit() {
	def, err := saga.Define("grant-loan", 1,
		saga.Step("reserve", func(ctx context.Context, _ *Loan) error {
			return errors.Join(saga.Emit(ctx, "reserved", 1), saga.Permanent(errors.New("no money")))
		}).Optional(),
		saga.Step("pay-out", func(ctx context.Context, l *Loan) error {
			return saga.Emit(ctx, "paid-out", map[string]int{"cents": l.Cents})
		}),
	)
	k, _ := start(Loan{Cents: 500}, def, err)
	k.Run()
	for _, e := range k.Emitted() {
		fmt.Println(e.Topic, string(e.Payload))
	}
	// Output: paid-out {"cents":500}
}

// Read models find sagas by their attributes, which follow the state.
func ExampleAttribute() {
	def, err := saga.Define("grant-loan", 1,
		saga.Attribute("by", func(l *Loan) string { return l.By }),
		saga.Step("assign", func(_ context.Context, l *Loan) error { l.By = "Ada"; return nil }),
	)
	k, s := start(Loan{}, def, err)
	k.Run()
	fmt.Println(s.Instance().Attributes)
	// Output: map[by:Ada]
}
