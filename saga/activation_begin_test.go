package saga

import (
	"context"
	"testing"
	"time"
)

func newTestActivation(t *testing.T, d Delivery) *Activation {
	t.Helper()
	type cargo struct{ N int }
	plan := Must(Define("d", 1, Step("a", func(context.Context, *cargo) error { return nil }))).Plan()
	d.Key = Key{Definition: "d", ID: "one"}
	return NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return plan }}, d)
}

func TestAStartRunsItsFirstStepBeforeItsFirstCommitOnlyIfAnotherDeliveryWouldRunTheSame(t *testing.T) {
	for _, test := range []struct {
		name     string
		delivery Delivery
		want     ActionKind
	}{
		{"the first delivery of a first Start", Delivery{Command: Start{Run: "r", Definition: 1}, Count: 1}, ActRun},
		{"one that leaves the version to the worker", Delivery{Command: Start{Run: "r"}, Count: 1}, ActAppend},
		{"a second delivery", Delivery{Command: Start{Run: "r", Definition: 1}, Count: 2}, ActLoad},
		{"one of which it is not sure that it is the first", Delivery{Command: Start{Run: "r", Definition: 1}, Count: 1, Doubtful: true}, ActLoad},
		{"a run that follows another", Delivery{Command: Start{Run: "r", Definition: 1, Previous: "q"}, Count: 1}, ActLoad},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := newTestActivation(t, test.delivery).Begin(time.Time{}); got.Do != test.want {
				t.Errorf("the first action is %v, want %v", got.Do, test.want)
			}
		})
	}
}

func TestARunIsUnsettledFromTheBeginningUnlessItsStartWasDeliveredOnce(t *testing.T) {
	for _, test := range []struct {
		name     string
		count    uint64
		doubtful bool
		want     bool
	}{
		{"delivered once", 1, false, false},
		{"delivered twice", 2, false, true},
		{"delivered once, as far as is known", 1, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTestActivation(t, Delivery{Command: Start{Run: "r"}, Count: test.count, Doubtful: test.doubtful})
			action := a.Begin(time.Time{})
			if action.Do == ActLoad {
				action = a.Loaded(time.Time{}, Log{})
			}
			if action.Do != ActAppend {
				t.Fatalf("the action is %v, want an append", action.Do)
			}
			in, err := Fold(a.key, []Commit{*action.Commit})
			if err != nil {
				t.Fatal(err)
			}
			if (len(in.Unsettled) > 0) != test.want {
				t.Errorf("unsettled is %v, want %v", in.Unsettled, test.want)
			}
		})
	}
}
