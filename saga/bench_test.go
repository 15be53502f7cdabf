package saga_test

import (
	"context"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// purchase is a state of the size that people have: small, and the same after a trip through JSON.
type purchase struct {
	ID          string `json:"id"`
	Customer    string `json:"customer"`
	SKU         string `json:"sku"`
	Quantity    int    `json:"quantity"`
	Cents       int64  `json:"cents"`
	Reservation string `json:"reservation,omitempty"`
	Charge      string `json:"charge,omitempty"`
	Tracking    string `json:"tracking,omitempty"`
}

// basket is purchase with a slice, so that each step has to decode it anew.
type basket struct {
	purchase

	Lines []string `json:"lines,omitempty"`
}

const purchaseJSON = `{"id":"o-1000017","customer":"c-20391","sku":"sku-77","quantity":3,"cents":12995}`

// threeStepsOf gives a definition whose steps each set a field by one of these.
func threeStepsOf[S any](b *testing.B, set ...func(*S)) *saga.Definition[S] {
	b.Helper()
	step := func(i int) func(context.Context, *S) error {
		return func(_ context.Context, s *S) error { set[i](s); return nil }
	}
	def, err := saga.Define("place-order", 1,
		saga.Step("reserve-stock", step(0)).Compensate(nothingOf[S]),
		saga.Step("charge-card", step(1)).Compensate(nothingOf[S]),
		saga.Step("ship", step(2)),
	)
	if err != nil {
		b.Fatal(err)
	}
	return def
}

func purchases(b *testing.B) *saga.Definition[purchase] {
	b.Helper()
	return threeStepsOf(b,
		func(p *purchase) { p.Reservation = "r-5512" },
		func(p *purchase) { p.Charge = "ch_3NqZ" },
		func(p *purchase) { p.Tracking = "1Z999AA1" },
	)
}

func baskets(b *testing.B) *saga.Definition[basket] {
	b.Helper()
	return threeStepsOf(b,
		func(p *basket) { p.Reservation = "r-5512" },
		func(p *basket) { p.Charge = "ch_3NqZ" },
		func(p *basket) { p.Tracking = "1Z999AA1" },
	)
}

// The first step of an activation, whose state comes from the wire, and what it changed.
func BenchmarkRunAndDiffFromTheWire(b *testing.B) {
	def, s := purchases(b), mustState(b, purchaseJSON)
	b.ReportAllocs()
	for b.Loop() {
		next, err := def.NewRunner().Run(b.Context(), saga.Task{Step: "reserve-stock"}, s)
		if err != nil {
			b.Fatal(err)
		}
		s.Diff(next)
	}
}

// A further step, which is given the value that the one before has left.
func BenchmarkRunAndDiffOfALiveValue(b *testing.B) {
	r, s := purchases(b).NewRunner(), mustState(b, purchaseJSON)
	b.ReportAllocs()
	for b.Loop() {
		next, err := r.Run(b.Context(), saga.Task{Step: "reserve-stock"}, s)
		if err != nil {
			b.Fatal(err)
		}
		s.Diff(next)
		s = next
	}
}

// A further step where the state's type makes the runner decode it each time.
func BenchmarkRunAndDiffOfADecodedValue(b *testing.B) {
	r, s := baskets(b).NewRunner(), mustState(b, purchaseJSON)
	b.ReportAllocs()
	for b.Loop() {
		next, err := r.Run(b.Context(), saga.Task{Step: "reserve-stock"}, s)
		if err != nil {
			b.Fatal(err)
		}
		s.Diff(next)
		s = next
	}
}

// stepCommit is the commonest of commits.
func stepCommit(b *testing.B) *saga.Commit {
	b.Helper()
	return &saga.Commit{
		Version: 2, Time: storyTime.Add(123456789), Base: 41,
		By: saga.Owner{Worker: "0190c8f26d4b7a58", Command: "0190c8f2-6d4b-7a58-8d1f-0f3c9f6b2a11", Delivery: 1},
		Events: []saga.Event{saga.StepCompleted{
			Step: "charge-card", Attempt: 1, Took: 1234567 * time.Nanosecond,
			Patch: saga.Patch{Set: mustState(b, `{"charge":"ch_3NqZ"}`)},
		}},
	}
}

func BenchmarkEncodeCommit(b *testing.B) {
	c := stepCommit(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := saga.EncodeCommit(c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeCommit(b *testing.B) {
	data, err := saga.EncodeCommit(stepCommit(b))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := saga.DecodeCommit(data); err != nil {
			b.Fatal(err)
		}
	}
}

// The whole life of a saga of three steps, from the command as it is delivered to the last commit as it is stored: all
// that a worker does for it but input and output.
func BenchmarkActivationOfThreeSteps(b *testing.B) {
	b.Run("live", func(b *testing.B) { benchmarkActivation(b, purchases(b)) })
	b.Run("decoded", func(b *testing.B) { benchmarkActivation(b, baskets(b)) })
}

func benchmarkActivation(b *testing.B, def saga.Runnable) {
	b.Helper()
	command, err := saga.EncodeCommand(saga.Start{
		Run: "0190c8f2-6d4b-7a58-8d1f-0f3c9f6b2a11", Definition: 1, State: mustState(b, purchaseJSON), Time: storyTime,
	})
	if err != nil {
		b.Fatal(err)
	}
	plan := def.Plan()
	conf := saga.ActivationConfig{Worker: "0190c8f26d4b7a58", Plan: func(string, int) *saga.Plan { return plan }}
	b.ReportAllocs()
	for b.Loop() {
		c, err := saga.DecodeCommand(command)
		if err != nil {
			b.Fatal(err)
		}
		a := saga.NewActivation(conf, saga.Delivery{Key: theSaga, Command: c, Count: 1, Stream: "SAGA_ns_0", Sequence: 7})
		runner := def.NewRunner()
		action := a.Begin(storyTime)
		for revision := uint64(1); !action.Final(); revision++ {
			info := saga.Info{Key: theSaga, Run: a.Instance().Run, Step: action.Task.Step, Attempt: action.Task.Attempt}
			state, err := runner.Run(saga.NewContext(b.Context(), info), action.Task, action.State)
			action = a.Ran(storyTime, saga.Result{Task: action.Task, State: state, Err: err, Took: time.Millisecond})
			if _, err := saga.EncodeCommit(action.Commit); err != nil {
				b.Fatal(err)
			}
			action = a.Appended(storyTime, revision)
		}
	}
}
