package engine_test

import (
	"fmt"
	"testing"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

func TestASubscriptionBringsEventsFromAVersionOn(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	sagas := engine.For(f.client(), def)
	if _, err := sagas.Run(withPatience(t), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		from uint64
		want string
	}{
		{1, "SagaStarted StepCompleted StepCompleted StepCompleted SagaCompleted"},
		{2, "StepCompleted StepCompleted SagaCompleted"},
	} {
		s, err := sagas.Subscribe(withPatience(t), "t-1", test.from)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for e := range s.Events() {
			got += saga.EventName(e.Event) + " "
			if _, ended := e.Event.(saga.SagaCompleted); ended {
				break
			}
		}
		s.Stop()
		if got != test.want+" " || s.Err() != nil {
			t.Errorf("from %d: %s, %v; want %s", test.from, got, s.Err(), test.want)
		}
	}
}

func TestASubscriptionBringsWhatIsToCome(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	sagas := engine.For(f.client(), def)
	one, err := sagas.Subscribe(withPatience(t), "t-3", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Stop()
	all, err := f.client().SubscribeAll(withPatience(t), "trip")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Stop()
	for i := range 5 {
		if _, err := sagas.Run(withPatience(t), fmt.Sprintf("t-%d", i), trip{}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]uint64{}
	for range 5 * 5 {
		e := receive(t, all.Events())
		if e.Version < seen[e.Key.ID] {
			t.Errorf("%s: version %d came after %d", e.Key, e.Version, seen[e.Key.ID])
		}
		seen[e.Key.ID] = e.Version
	}
	if len(seen) != 5 {
		t.Errorf("events of %d sagas came, want 5", len(seen))
	}
	if e := receive(t, one.Events()); e.Key.ID != "t-3" || e.Version != 1 {
		t.Errorf("got %+v, want the beginning of t-3", e)
	}
	if _, err := f.client().SubscribeAll(t.Context(), "no such"); err == nil {
		t.Error("a name with a space was taken")
	}
}
