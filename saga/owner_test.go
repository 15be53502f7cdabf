package saga

import (
	"fmt"
	"testing"
	"time"
)

// A saga knows the last SeenKept ids. The command that owns it may be older: it has to be taken over all the same.
func TestTheCommandThatOwnsASagaIsTakenOverAfterItsIdWasForgotten(t *testing.T) {
	ref := ChildRef{Key: Key{"c", "1"}, Run: "k"}
	order := Order{ID: "c", Run: "r"}
	for _, test := range []struct {
		command Command
		event   Event
	}{
		{Signal{ID: "c", Name: "ring"}, SignalReceived{Signal{ID: "c", Name: "ring"}}},
		{ChildDone{ID: "c", Run: "r", Ref: ref, Step: "k", Status: StatusCompleted, Version: 3},
			ChildEnded{ID: "c", Ref: ref, Step: "k", Status: StatusCompleted, Version: 3}},
		{Resume{order}, SagaResumed{order}},
		{Retry{order, []string{"a"}}, StepRetried{order, []string{"a"}}},
		{Skip{order, "a"}, StepSkipped{order, "a"}},
	} {
		t.Run(CommandName(test.command), func(t *testing.T) {
			owner := Owner{Worker: "v", Command: "c", Delivery: 1, Stream: "s", Sequence: 9}
			log := Log{Revision: 1, Base: 1, Commits: []Commit{
				{Version: 1, By: Owner{Worker: "v", Command: "r", Delivery: 1}, Events: []Event{
					SagaStarted{Run: "r", Definition: 1}, ChildStarted{Node: "k", Ref: ref}, SagaParked{}}},
				{Version: 2, By: owner, Events: []Event{test.event}},
			}}
			for i := range uint64(SeenKept) {
				log.Revision++
				log.Commits = append(log.Commits, Commit{
					Version: 3 + i, By: Owner{Worker: "x", Command: fmt.Sprint("s", i), Delivery: 1, Stream: "s", Sequence: 10 + i},
					Events: []Event{SignalReceived{Signal{ID: fmt.Sprint("s", i), Name: "ring"}}},
				})
			}
			a := NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return threeSteps(t) }},
				Delivery{Key: Key{"d", "one"}, Command: test.command, Count: 2, Stream: "s", Sequence: 9})
			action := a.Begin(time.Now())
			for action.Do == ActLoad {
				action = a.Loaded(time.Now(), log)
			}
			if action.Do != ActAppend || EventName(action.Commit.Events[0]) != "ActivationClaimed" || a.Instance().Owner != a.Owner() {
				t.Errorf("%v, and the saga is owned by %+v; want it claimed", action.Do, a.Instance().Owner)
			}
		})
	}
}
