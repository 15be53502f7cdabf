package saga

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestACancelWaitsForTheAttemptOfAWorkerThatVanished(t *testing.T) {
	type cargo struct{ N int }
	do := func(context.Context, *cargo) error { return nil }
	plan := Must(Define("d", 1, Step("a", do).Compensate(do))).Plan()
	task := Task{Step: "a", Attempt: 1}
	next := task
	next.Attempt = 2
	unknown, refused := errors.New("no answer"), Permanent(errors.New("refused"))
	for _, test := range []struct {
		name    string
		results []Result
		turns   bool
	}{
		{"no attempt was made since", nil, false},
		{"an attempt failed, which says nothing of the one before", []Result{{Task: task, Err: unknown}}, false},
		{"an attempt failed for good", []Result{{Task: task, Err: refused}}, true},
		{"an attempt succeeded", []Result{{Task: task}}, true},
		{"an attempt succeeded after one had failed", []Result{{Task: task, Err: unknown}, {Task: next}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := NewInstance(Key{Definition: "d", ID: "one"})
			version := uint64(0)
			commit := func(delivery uint64, events ...Event) {
				version++
				in.Evolve(&Commit{Version: version, By: Owner{Worker: "w", Command: "r", Delivery: delivery}, Events: events})
			}
			commit(1, SagaStarted{Run: "r", Definition: 1})
			commit(2, ActivationClaimed{Unsettled: []string{"a"}}) // of delivery 1 nothing more was heard
			commit(0, CancelRequested{ID: "c"})
			for _, r := range test.results {
				commit(2, Decide(plan, in, r, time.Time{})...)
			}
			events := Settle(plan, in, time.Time{}, nil)
			if turned := len(events) > 0; turned != test.turns {
				t.Errorf("what follows is %v; want the saga to turn around: %v", events, test.turns)
			}
			if (len(in.Unsettled) > 0) == test.turns {
				t.Errorf("unsettled is %v, want %v", in.Unsettled, !test.turns)
			}
		})
	}
}

func TestATimerThatIsWaitedForDoesNotSettleAnAttempt(t *testing.T) {
	in := NewInstance(Key{Definition: "d", ID: "one"})
	in.Evolve(&Commit{Version: 1, By: Owner{Command: "r", Delivery: 1}, Events: []Event{SagaStarted{Run: "r"}}})
	in.Evolve(&Commit{Version: 2, By: Owner{Command: "r", Delivery: 2}, Events: []Event{ActivationClaimed{Unsettled: []string{"a"}}}})
	in.Evolve(&Commit{Version: 3, Events: []Event{StepFailed{Step: "a", Attempt: 1}, TimerSet{Name: "t", Step: "a"}, SagaParked{}}})
	in.Evolve(&Commit{Version: 4, By: Owner{Command: "t", Delivery: 1}, Events: []Event{TimerFired{Name: "t"}}})
	if len(in.Unsettled) == 0 {
		t.Error("the attempt of delivery 1 counts as settled, though none has told how it ended")
	}
}
