package saga_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// A saga that is paused begins nothing; its clocks run on.
func ExamplePause() {
	def, err := saga.Define("grant-loan", 1,
		saga.Sleep("a-day", func(*Loan) time.Duration { return 24 * time.Hour }),
		saga.Step("pay-out", act),
	)
	k, s := start(Loan{}, def, err)
	k.Advance(time.Hour)
	s.Send(saga.Pause{Order: s.Order()})
	k.Advance(48 * time.Hour)
	fmt.Println("paused:", s.Instance().Paused, s.Effects())
	s.Send(saga.Resume{Order: s.Order()})
	k.Run()
	tell(s)
	// Output:
	// paused: true []
	// do pay-out
	// completed
}

// A saga that is terminated is left as it is: nothing is undone.
func ExampleTerminate() {
	def, err := saga.Define("grant-loan", 1,
		saga.Step("reserve", act).Compensate(act),
		saga.Sleep("a-day", func(*Loan) time.Duration { return 24 * time.Hour }),
	)
	k, s := start(Loan{}, def, err)
	k.Advance(time.Hour)
	s.Send(saga.Terminate{Order: s.Order()})
	k.Run()
	fmt.Println(s.Instance().Status, s.Effects())
	// Output: terminated [do reserve]
}

// A step past the pivot that has failed for good is tried again once its cause is mended.
func ExampleRetry() {
	def, err := saga.Define("grant-loan", 1, saga.Step("pay-out", act).Pivot(), saga.Step("tell-bureau", act))
	k, s := start(Loan{}, def, err)
	k.Fail("tell-bureau", saga.Permanent(errors.New("moved")))
	k.Run()
	tell(s)
	s.Send(saga.Retry{Order: s.Order()})
	k.Run()
	tell(s)
	// Output:
	// do pay-out
	// stuck moved
	// do pay-out, do tell-bureau
	// completed
}

// The saga goes on as if the step had completed.
func ExampleSkip() {
	def, err := saga.Define("grant-loan", 1, saga.Step("pay-out", act).Pivot(), saga.Step("tell-bureau", refuse), saga.Step("file", act))
	k, s := start(Loan{}, def, err)
	k.Run()
	s.Send(saga.Skip{Order: s.Order(), Step: "tell-bureau"})
	k.Run()
	tell(s)
	// Output:
	// do pay-out, do file
	// completed
}

// Somebody has undone by hand what the compensation could not.
func ExampleResolve() {
	def, err := saga.Define("grant-loan", 1,
		saga.Step("reserve", act).Compensate(refuse).CompensateRetry(saga.RetryPolicy{Attempts: 3}),
		saga.Step("pay-out", refuse),
	)
	k, s := start(Loan{}, def, err)
	k.Run()
	fmt.Println(s.Instance().Status, s.Instance().Stuck)
	s.Send(saga.Resolve{Order: s.Order(), Step: "reserve"})
	k.Run()
	fmt.Println(s.Instance().Status)
	// Output:
	// stuck [reserve]
	// compensated
}

// The saga goes on from where it was at a version of its log. A client does the same by the version's number.
func ExampleReset() {
	def, err := saga.Define("grant-loan", 1, saga.Step("reserve", act).Compensate(act), saga.Step("pay-out", act))
	k, s := start(Loan{}, def, err)
	k.Fail("pay-out", saga.Permanent(errors.New("wrong account")))
	k.Run()
	tell(s)
	was, err := k.At(s.Key, 1)
	if err != nil {
		panic(err)
	}
	s.Send(saga.Reset{Order: s.Order(), To: was.Version, Saga: was})
	k.Run()
	tell(s)
	// Output:
	// do reserve, undo reserve
	// compensated wrong account
	// do reserve, undo reserve, do pay-out
	// completed
}
