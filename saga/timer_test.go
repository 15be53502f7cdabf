package saga

import (
	"errors"
	"maps"
	"testing"
	"time"
)

// The delivery that set a timer may have died in between, and the saga been woken since by another command, whose activation takes
// the timer for set.
func TestTimersAreSetAgainWhoeverHasWokenTheSaga(t *testing.T) {
	a := NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return threeSteps(t) }},
		Delivery{Key: Key{"d", "one"}, Command: Start{Run: "r", Definition: 1}, Count: 2})
	timer := TimerSet{Name: "wake-1", At: time.Now().Add(time.Hour), Step: "a"}
	log := Log{Revision: 2, Commits: []Commit{
		{Version: 1, By: Owner{Worker: "v", Command: "r", Delivery: 1}, Events: []Event{SagaStarted{Run: "r", Definition: 1}, timer, SagaParked{}}},
		{Version: 2, By: Owner{Worker: "u", Command: "x", Delivery: 1}, Events: []Event{CancelRequested{ID: "x"}}},
	}}
	action := a.Begin(time.Now())
	for action.Do == ActLoad {
		action = a.Loaded(time.Now(), log)
	}
	want := map[string]PendingTimer{"wake-1": {At: timer.At, Version: 1, Step: "a"}}
	if action.Do != ActAck || !maps.Equal(action.Rearm, want) {
		t.Errorf("the action is %v with %v, want an acknowledgement with %v", action.Do, action.Rearm, want)
	}
}

// The schedule of a timer is sent before its commit. Where that meets a conflict and the saga rests until another time, the first
// schedule still fires, and must not be taken for the second.
func TestATimerOfAnotherTimeHasAnotherName(t *testing.T) {
	now, key := time.Now(), Key{"d", "1"}
	a := NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return threeSteps(t) }},
		Delivery{Key: key, Command: Start{Run: "r", Definition: 1}, Count: 2})
	action := a.Begin(now)
	for action.Do == ActLoad {
		action = a.Loaded(now, Log{})
	}
	started := *action.Commit
	run := a.Appended(now, 1)
	if run.Do != ActRun {
		t.Fatalf("the action is %v, want the first step", run.Do)
	}
	set := func(action Action) TimerSet {
		t.Helper()
		if action.Do == ActAppend {
			for _, e := range action.Commit.Events {
				if s, ok := e.(TimerSet); ok {
					return s
				}
			}
		}
		t.Fatalf("the action is %v, want a commit that sets a timer", action.Do)
		return TimerSet{}
	}
	first := set(a.Ran(now, Result{Task: run.Task, Err: errors.New("away"), Delay: time.Hour}))
	a.Conflicted()
	second := set(a.Loaded(now.Add(time.Minute), Log{Revision: 1, Commits: []Commit{started}}))
	if first.At.Equal(second.At) || first.Name == second.Name {
		t.Errorf("timer %s for %v, and after a conflict %s for %v, want another name for another time", first.Name, first.At, second.Name, second.At)
	}
}
