package saga

import (
	"testing"
	"time"
)

// Nothing follows the end of a run but what mends a stuck one.
func TestAnOperatorReopensASagaOnlyWhereItIsStuck(t *testing.T) {
	plan := newPlan("errand", 1, &PlanNode{Kind: KindSequence, Children: []*PlanNode{
		{Kind: KindStep, Name: "pay", Step: &StepSpec{Undo: &UndoSpec{}}},
		{Kind: KindStep, Name: "ship", Step: &StepSpec{}},
	}})
	stuck := []Event{
		SagaStarted{Run: "run"},
		StepCompleted{Step: "pay", Attempt: 1},
		StepFailed{Step: "ship", Attempt: 1, Failure: Failure{Error: "no lorry", GaveUp: true}},
		CompensationStarted{Reason: ReasonFailed, Step: "ship", Error: "no lorry"},
		CompensationFailed{Step: "pay", Attempt: 1, Failure: Failure{Error: "closed", GaveUp: true}},
		SagaStuck{Steps: []string{"pay"}, Error: "closed"},
	}
	o := Order{ID: "o", Run: "run"}
	for name, cmd := range map[string]operator{
		"retry": Retry{Order: o}, "retry of the step": Retry{Order: o, Steps: []string{"pay"}},
		"skip": Skip{Order: o, Step: "pay"}, "resolve": Resolve{Order: o, Step: "pay"},
	} {
		t.Run(name, func(t *testing.T) {
			in := NewInstance(Key{"errand", "e-1"})
			in.Evolve(&Commit{Version: 1, Events: stuck})
			a := &Activation{plan: plan, in: in}
			if event, err := a.orders(cmd); event == nil || err != nil {
				t.Errorf("of a stuck saga: %v, %v", event, err)
			}
			in.Evolve(&Commit{Version: 2, Events: []Event{SagaTerminated{Order: o}}})
			if event, err := a.orders(cmd); event != nil || err == nil {
				t.Errorf("of one that was terminated: %#v, %v", event, err)
			}
			if event, err := a.orders(Skip{Order: o, Step: "ship"}); event != nil || err == nil {
				t.Errorf("of a step at which it is not stuck: %#v, %v", event, err)
			}
		})
	}
}

func TestASagaOfADefinitionThatNobodyHasCanBeHaltedAndEnded(t *testing.T) {
	order := Order{ID: "o", Run: "r"}
	log := Log{Revision: 1, Base: 1, Commits: []Commit{{Version: 1, By: Owner{Worker: "v", Command: "r", Delivery: 1}, Events: []Event{
		SagaStarted{Run: "r", Definition: 1}, TimerSet{Name: "wake"}, SagaParked{}}}}}
	for _, test := range []struct {
		command Command
		want    ActionKind
	}{
		{Pause{order}, ActAppend}, {Terminate{order}, ActAppend}, {Resume{order}, ActRetry}, {Skip{order, "a"}, ActRetry}, {Cancel{ID: "c", Run: "r"}, ActRetry},
	} {
		a := NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return nil }},
			Delivery{Key: Key{"d", "one"}, Command: test.command, Count: 1, Stream: "s", Sequence: 9})
		action := a.Begin(time.Now())
		for action.Do == ActLoad {
			action = a.Loaded(time.Now(), log)
		}
		if action.Do != test.want {
			t.Errorf("%s: %v, want %v", CommandName(test.command), action.Do, test.want)
		}
		if action.Do != ActAppend {
			continue
		}
		if answer := a.Appended(time.Now(), 2); answer.Do != ActAck {
			t.Errorf("%s: then %v, want it acknowledged", CommandName(test.command), answer.Do)
		}
	}
}
