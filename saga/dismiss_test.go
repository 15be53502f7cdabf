package saga

import (
	"slices"
	"testing"
	"time"
)

// What there is nothing to do for now may be something later. Two deliveries of one command may see the two; so the first
// that answers for it has to be the only one.
func TestACommandThatComesAtTheWrongTimeIsNotCarriedOutLater(t *testing.T) {
	begun := func(events ...Event) []Commit {
		return []Commit{{Version: 1, By: Owner{Worker: "v", Command: "r", Delivery: 1}, Events: append([]Event{SagaStarted{Run: "r", Definition: 1}}, events...)}}
	}
	reset := SagaReset{Order: Order{ID: "o", Run: "r"}, To: 1, Saga: &Instance{Run: "r", Definition: 1, Status: StatusRunning}}
	for _, test := range []struct {
		name    string
		log     []Commit
		command Command
		later   []Event
		answer  ActionKind
	}{
		{"a Cancel of a saga that has ended", begun(SagaCompleted{}), Cancel{ID: "c", Run: "r"}, []Event{reset, SagaParked{}}, ActAck},
		{"a second Cancel", begun(CancelRequested{ID: "first"}), Cancel{ID: "c", Run: "r"}, []Event{reset, SagaParked{}}, ActAck},
		{"a Resume of a saga that is not paused", begun(), Resume{Order{ID: "c", Run: "r"}},
			[]Event{SagaPaused{Order{ID: "p", Run: "r"}}}, ActAck},
		{"a Retry of a step that has not failed", begun(), Retry{Order{ID: "c", Run: "r"}, []string{"a"}},
			[]Event{StepFailed{Step: "a", Attempt: 1, Failure: Failure{Error: "no", GaveUp: true}}, SagaStuck{Steps: []string{"a"}}}, ActReject},
		{"a Cancel of a saga that is stuck", begun(SagaStuck{Steps: []string{"a"}}), Cancel{ID: "c", Run: "r"},
			[]Event{StepRetried{Order{ID: "o", Run: "r"}, []string{"a"}}, SagaParked{}}, ActAck},
		{"a signal to a saga that has ended", begun(SagaCompleted{}), Signal{ID: "c", Name: "ring"},
			[]Event{SagaStarted{Run: "r2", Definition: 1}, SagaParked{}}, ActAck},
	} {
		t.Run(test.name, func(t *testing.T) {
			deliver := func(count uint64) *Activation {
				return NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return threeSteps(t) }},
					Delivery{Key: Key{"d", "one"}, Command: test.command, Count: count, Stream: "s", Sequence: 9})
			}
			settle := func(a *Activation, commits []Commit) Action {
				action := a.Begin(time.Now())
				for action.Do == ActLoad {
					action = a.Loaded(time.Now(), Log{Commits: commits, Revision: uint64(len(commits)), Base: 1})
				}
				return action
			}
			first := deliver(1)
			action := settle(first, test.log)
			if action.Do != ActAppend || EventName(action.Commit.Events[0]) != "CommandDismissed" {
				t.Fatalf("the first delivery: %v, want the command dismissed in the log", action.Do)
			}
			if answer := first.Appended(time.Now(), 2); answer.Do != test.answer {
				t.Errorf("then %v, want %v", answer.Do, test.answer)
			}
			log := append(slices.Clone(test.log), *action.Commit, Commit{Version: 3, By: Owner{Worker: "v", Command: "r", Delivery: 1}, Events: test.later})
			if action := settle(deliver(2), log); action.Do != ActAck {
				t.Errorf("the second delivery: %v, want it done with", action.Do)
			}
		})
	}
}

func TestAStuckSagaTakesWhatComesForIt(t *testing.T) {
	ref := ChildRef{Key: Key{"c", "1"}, Run: "k"}
	log := Log{Revision: 1, Base: 1, Commits: []Commit{{Version: 1, By: Owner{Worker: "v", Command: "r", Delivery: 1}, Events: []Event{
		SagaStarted{Run: "r", Definition: 1}, ChildStarted{Node: "k", Ref: ref}, SagaStuck{Steps: []string{"a"}}}}}}
	for _, command := range []Command{
		Signal{ID: "c", Name: "ring"},
		ChildDone{ID: "c", Run: "r", Ref: ref, Step: "k", Status: StatusCompleted, Version: 3},
	} {
		a := NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return threeSteps(t) }},
			Delivery{Key: Key{"d", "one"}, Command: command, Count: 1, Stream: "s", Sequence: 9})
		action := a.Begin(time.Now())
		for action.Do == ActLoad {
			action = a.Loaded(time.Now(), log)
		}
		if action.Do != ActAppend || a.Instance().Status != StatusStuck || a.Instance().Owner != (Owner{}) {
			t.Errorf("%s: %v, and the saga is %s, owned by %v; want it noted, and the saga left as it is",
				CommandName(command), action.Do, a.Instance().Status, a.Instance().Owner)
		}
		if answer := a.Appended(time.Now(), 2); answer.Do != ActAck {
			t.Errorf("%s: then %v, want it acknowledged", CommandName(command), answer.Do)
		}
	}
}
