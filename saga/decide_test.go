package saga

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// threeSteps is a plan whose steps bear names that random histories use.
func threeSteps(t testing.TB) *Plan {
	t.Helper()
	type cargo struct{}
	none := func(context.Context, *cargo) error { return nil }
	def, err := Define("d", 1,
		Step("a", none).Compensate(none).Retry(RetryPolicy{Attempts: 3}),
		Step("b", none).Compensate(none).CompensateRetry(RetryPolicy{Attempts: 2}),
		Step("c", none).Pivot(),
		Step("заказ", none),
	)
	if err != nil {
		t.Fatal(err)
	}
	return def.Plan()
}

func TestDecidingChangesNothing(t *testing.T) {
	const seed = 3
	r := rand.New(rand.NewPCG(seed, seed))
	plan := threeSteps(t)
	decided := 0
	for range 400 {
		in := mustFold(t, randomHistory(t, r, 1+r.IntN(10)))
		before, was := canonical(t, in), *in
		results := []Result{randomResult(r, Task{Step: drawing(r).text(), Undo: r.IntN(2) == 0, Attempt: r.IntN(4)})}
		for _, task := range Ready(plan, in, time.Unix(0, 0)) {
			results = append(results, randomResult(r, task))
		}
		for _, result := range results {
			decided += len(Decide(plan, in, result, time.Unix(0, 0)))
		}
		Settle(plan, in, time.Unix(0, 0), nil)
		if after := canonical(t, in); after != before || !reflect.DeepEqual(was, *in) {
			t.Fatalf("seed %d: the saga has become\n%s\nwas\n%s", seed, after, before)
		}
	}
	if decided == 0 {
		t.Error("nothing was ever decided")
	}
}

func randomResult(r *rand.Rand, task Task) Result {
	result := Result{Task: task, Took: time.Millisecond, Delay: time.Duration(r.IntN(3)) * time.Second}
	switch r.IntN(4) {
	case 0:
		result.Err = io.EOF
	case 1:
		result.Err = Permanent(io.EOF)
	default:
		result.State = drawing(r).state()
	}
	return result
}

// What is ready, what settles and what ends exclude each other: an activation that finds neither has nothing to do.
func TestASagaIsEitherReadyOrSettlesOrHasEnded(t *testing.T) {
	const seed = 4
	r := rand.New(rand.NewPCG(seed, seed))
	plan := threeSteps(t)
	for range 300 {
		in := NewInstance(testKey)
		in.Evolve(&Commit{Version: 1, By: Owner{Delivery: 1}, Events: []Event{SagaStarted{Run: "r", Definition: 1}}})
		for step := 0; !in.Ended(); step++ {
			if step > 200 {
				t.Fatalf("seed %d: no end in sight: %s", seed, canonical(t, in))
			}
			ready, follows := Ready(plan, in, time.Unix(0, 0)), Settle(plan, in, time.Unix(0, 0), nil)
			if len(ready) == 0 && len(follows) == 0 {
				t.Fatalf("seed %d: neither ready nor settled: %s", seed, canonical(t, in))
			}
			events := follows
			switch {
			case len(follows) > 0:
			case r.IntN(10) == 0:
				events = []Event{CancelRequested{ID: "c"}}
			default:
				if events = Decide(plan, in, randomResult(r, ready[0]), time.Unix(0, 0)); len(events) != 1 {
					t.Fatalf("seed %d: the result of what is ready gives %v", seed, events)
				}
			}
			in.Evolve(&Commit{Version: in.Version + 1, Events: events})
		}
		checkEnd(t, plan, in)
	}
}

// checkEnd fails the test unless the steps of an ended saga are where its status says.
func checkEnd(t *testing.T, plan *Plan, in *Instance) {
	t.Helper()
	if len(Ready(plan, in, time.Unix(0, 0))) > 0 || len(Settle(plan, in, time.Unix(0, 0), nil)) > 0 {
		t.Errorf("after the end something follows: %s", canonical(t, in))
	}
	for _, n := range plan.Root.Children {
		s := in.Steps.Get(n.Name)
		switch {
		case in.Status == StatusCompleted && s.Status != StepDone:
			t.Errorf("the saga has completed, and %s is %q", n.Name, s.Status)
		case in.Status == StatusCompensated && (s.Status == StepUndoGaveUp || s.Status == StepDone && n.Step.Undo != nil):
			t.Errorf("the saga was compensated, and %s is %q", n.Name, s.Status)
		}
	}
}

func TestAResultBecomesTheEventThatItIs(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	plan := threeSteps(t)
	running := NewInstance(testKey)
	running.Evolve(&Commit{Version: 1, Events: []Event{SagaStarted{Run: "r"}}})
	third := NewInstance(testKey) // two attempts of a have failed
	third.Evolve(&Commit{Version: 1, Events: []Event{SagaStarted{Run: "r"}, StepFailed{Step: "a", Attempt: 2}}})
	putOff := NewInstance(testKey)
	putOff.Evolve(&Commit{Version: 1, Events: []Event{SagaStarted{Run: "r"}, StepFailed{Step: "a", Failure: Failure{PutOff: 1}}}})
	undoing := NewInstance(testKey)
	undoing.Evolve(&Commit{Version: 1, Events: []Event{
		SagaStarted{Run: "r"}, StepCompleted{Step: "a"}, StepCompleted{Step: "b"}, CompensationStarted{Reason: ReasonFailed},
		CompensationFailed{Step: "b", Attempt: 1},
	}})
	ended := NewInstance(testKey)
	ended.Evolve(&Commit{Version: 1, Events: []Event{SagaStarted{Run: "r"}, SagaCompleted{}}})

	state, err := ParseState([]byte(`{"n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	do, undo := Task{Step: "a", Attempt: 1}, Task{Step: "b", Undo: true, Attempt: 2}
	last := Task{Step: "a", Attempt: 3}
	const took = time.Second
	failed := func(f Failure) []Event { return []Event{StepFailed{Step: "a", Attempt: 1, Took: took, Failure: f}} }
	for _, test := range []struct {
		name   string
		in     *Instance
		result Result
		want   []Event
	}{
		{"success", running, Result{Task: do, State: state},
			[]Event{StepCompleted{Step: "a", Attempt: 1, Took: took, Patch: Patch{Set: state}}}},
		{"success of the last attempt", third, Result{Task: last},
			[]Event{StepCompleted{Step: "a", Attempt: 3, Took: took}}},
		{"success of an undo", undoing, Result{Task: undo, State: state},
			[]Event{StepCompensated{Step: "b", Attempt: 2, Took: took, Patch: Patch{Set: state}}}},
		{"a failure rests by the policy", running, Result{Task: do, Err: io.EOF, Delay: 7 * time.Second},
			failed(Failure{Error: "EOF", RetryAt: now.Add(7 * time.Second)})},
		{"a failure rests as it asks", running, Result{Task: do, Err: fmt.Errorf("x: %w", RetryAfter(io.EOF, time.Hour)), Delay: time.Second},
			failed(Failure{Error: "x: EOF", RetryAt: now.Add(time.Hour)})},
		{"a failure asks for less than no rest", running, Result{Task: do, Err: RetryAfter(io.EOF, -time.Hour), Delay: time.Second},
			failed(Failure{Error: "EOF", RetryAt: now})},
		{"a permanent failure", running, Result{Task: do, Err: Permanent(io.EOF), Delay: time.Second},
			failed(Failure{Error: "EOF", Permanent: true, GaveUp: true})},
		{"a permanent failure that asks for a rest", running, Result{Task: do, Err: RetryAfter(Permanent(io.EOF), time.Hour)},
			failed(Failure{Error: "EOF", Permanent: true, GaveUp: true})},
		{"a panic", running, Result{Task: do, Err: &PanicError{Value: "x", Stack: "there"}},
			failed(Failure{Error: "panic: x", Stack: "there", RetryAt: now})},
		{"the state that comes with a failure is ignored", running, Result{Task: do, State: state, Err: io.EOF},
			failed(Failure{Error: "EOF", RetryAt: now})},
		{"the last attempt fails", third, Result{Task: last, Err: RetryAfter(io.EOF, time.Hour)},
			[]Event{StepFailed{Step: "a", Attempt: 3, Took: took, Failure: Failure{Error: "EOF", GaveUp: true}}}},
		{"an attempt that is put off does not count", running, Result{Task: do, Err: fmt.Errorf("x: %w", PutOff(io.EOF)), Delay: time.Second},
			[]Event{StepFailed{Step: "a", Attempt: 0, Took: took, Failure: Failure{Error: "x: EOF", RetryAt: now.Add(time.Second), PutOff: 1}}}},
		{"an attempt that was late for what puts it off", running, Result{Task: do, Err: PutOff(context.DeadlineExceeded)},
			[]Event{StepFailed{Step: "a", Attempt: 0, Took: took, Failure: Failure{Error: "context deadline exceeded", RetryAt: now, PutOff: 1}}}},
		{"an attempt that is put off, and of which nobody knows", running, Result{Task: do, Err: PutOff(Unknown(io.EOF))},
			[]Event{StepFailed{Step: "a", Attempt: 0, Took: took, Failure: Failure{Error: "EOF", Unknown: true, RetryAt: now, PutOff: 1}}}},
		{"the last attempt is put off", third, Result{Task: last, Err: PutOff(io.EOF)},
			[]Event{StepFailed{Step: "a", Attempt: 2, Took: took, Failure: Failure{Error: "EOF", RetryAt: now, PutOff: 1}}}},
		{"the last attempt of an undo is put off", undoing, Result{Task: undo, Err: PutOff(io.EOF)},
			[]Event{CompensationFailed{Step: "b", Attempt: 1, Took: took, Failure: Failure{Error: "EOF", RetryAt: now, PutOff: 1}}}},
		{"an attempt is put off for good", running, Result{Task: do, Err: PutOff(Permanent(io.EOF))},
			failed(Failure{Error: "EOF", Permanent: true, GaveUp: true})},
		{"an attempt that was put off before", putOff, Result{Task: do, Err: PutOff(io.EOF)}, nil},
		{"the attempt after one that was put off is, too", putOff, Result{Task: Task{Step: "a", Attempt: 1, PutOff: 1}, Err: PutOff(io.EOF)},
			[]Event{StepFailed{Step: "a", Attempt: 0, Took: took, Failure: Failure{Error: "EOF", RetryAt: now, PutOff: 2}}}},
		{"the last attempt of an undo fails", undoing, Result{Task: undo, Err: io.EOF},
			[]Event{CompensationFailed{Step: "b", Attempt: 2, Took: took, Failure: Failure{Error: "EOF", GaveUp: true}}}},
		{"an attempt that has ended before", third, Result{Task: do}, nil},
		{"an attempt that is not due yet", running, Result{Task: last}, nil},
		{"a step that is not due yet", running, Result{Task: Task{Step: "b", Attempt: 1}}, nil},
		{"a step that is not in the plan", running, Result{Task: Task{Step: "nowhere", Attempt: 1}, Err: io.EOF}, nil},
		{"a step of a saga that is being undone", undoing, Result{Task: Task{Step: "c", Attempt: 1}}, nil},
		{"an undo of a saga that goes forward", running, Result{Task: Task{Step: "a", Undo: true, Attempt: 1}}, nil},
		{"a saga that has ended", ended, Result{Task: do}, nil},
		{"a saga that has not begun", NewInstance(testKey), Result{Task: do}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.result.Took = took
			got := Decide(plan, test.in, test.result, now)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("it gives\n%+v\nwant\n%+v", got, test.want)
			}
		})
	}
}

func TestAnErrorOfAnySizeAndOfAnyBytesFitsIntoACommit(t *testing.T) {
	plan := threeSteps(t)
	in := NewInstance(testKey)
	in.Evolve(&Commit{Version: 1, Events: []Event{SagaStarted{Run: "r"}}})
	for _, test := range []struct {
		name, text string
		cut        bool
	}{
		{"short", "no answer", false},
		{"empty", "", false},
		{"as long as may be", strings.Repeat("x", maxErrorText), false},
		{"one byte too long", strings.Repeat("x", maxErrorText+1), true},
		{"huge", strings.Repeat("x", 1<<20), true},
		{"letters of two bytes, cut in the middle of one", "x" + strings.Repeat("ж", maxErrorText), true},
		{"letters of four bytes", strings.Repeat("🚚", maxErrorText), true},
		{"no text", strings.Repeat("a\xff", 1<<20), true},
		{"no text, which grows as it is mended", strings.Repeat("a\xff", maxErrorText/2), true},
		{"a little that is no text", "a\xffb", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := &PanicError{Value: errors.New(test.text), Stack: test.text + test.text}
			events := Decide(plan, in, Result{Task: Task{Step: "a", Attempt: 1}, Err: err}, time.Unix(0, 0))
			failed := events[0].(StepFailed)
			for what, kept := range map[string]struct {
				text string
				max  int
			}{"error": {failed.Error, maxErrorText}, "stack": {failed.Stack, maxStackText}} {
				if len(kept.text) > kept.max || !utf8.ValidString(kept.text) {
					t.Errorf("the %s takes %d bytes, UTF-8 %v; want at most %d of UTF-8", what, len(kept.text), utf8.ValidString(kept.text), kept.max)
				}
			}
			if cut := strings.HasSuffix(failed.Stack, " [cut]"); cut != test.cut {
				t.Errorf("the stack is marked as cut: %v, want %v", cut, test.cut)
			}
		})
	}
}

func TestAnActivationHasLostASagaThatAnotherOwns(t *testing.T) {
	me := Owner{Worker: "w1", Command: "r", Delivery: 1}
	for _, test := range []struct {
		name    string
		version uint64
		owner   Owner
		want    bool
	}{
		{"nothing is in the log yet", 0, Owner{}, false},
		{"it owns the saga", 3, me, false},
		{"nobody has it yet, and it is its command's", 1, Owner{Command: "r"}, false},
		{"a later delivery", 3, Owner{Worker: "w2", Command: "r", Delivery: 2}, true},
		{"a later delivery to the same worker", 3, Owner{Worker: "w1", Command: "r", Delivery: 2}, true},
		{"another command", 3, Owner{Worker: "w1", Command: "t", Delivery: 1}, true},
		{"another command that nobody has yet", 3, Owner{Command: "s"}, true},
		{"it parked, or ended", 3, Owner{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Superseded(me, &Instance{Version: test.version, Owner: test.owner}); got != test.want {
				t.Errorf("it has lost the saga: %v, want %v", got, test.want)
			}
		})
	}
}
