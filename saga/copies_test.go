package saga

import (
	"testing"
	"time"
)

func TestACommandThatWasStoredTwiceTakesNothingOverFromItself(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	owner := Delivery{Command: Timer{Name: "t", Version: 1}, Count: 1, Stream: "S", Sequence: 7}
	parked := Commit{Version: 1, Time: at, By: Owner{Command: "r", Delivery: 1}, Events: []Event{
		SagaStarted{Run: "r", Definition: 1}, TimerSet{Name: "t", At: at, Step: "a"}, SagaParked{},
	}}
	woken := newTestActivation(t, owner)
	woken.Begin(at)
	wakes := woken.Loaded(at, Log{Commits: []Commit{parked}, Revision: 1, Base: 1})
	if wakes.Do != ActAppend {
		t.Fatalf("a timer of a parked saga: the action is %v, want an append", wakes.Do)
	}
	log := Log{Commits: []Commit{parked, *wakes.Commit}, Revision: 2, Base: 1}
	for _, test := range []struct {
		name  string
		other Delivery
		want  ActionKind
	}{
		{"a copy", Delivery{Count: 1, Stream: "S", Sequence: 8}, ActAck},
		{"a copy that was delivered before", Delivery{Count: 2, Stream: "S", Sequence: 8}, ActAck},
		{"the command itself, by an older delivery", Delivery{Count: 1, Stream: "S", Sequence: 7, Doubtful: true}, ActDrop},
		{"the command itself, by a newer delivery", Delivery{Count: 2, Stream: "S", Sequence: 7}, ActAppend},
		{"the command itself, moved to another stream", Delivery{Count: 2, Stream: "T", Sequence: 3}, ActAppend},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.other.Command = owner.Command
			a := newTestActivation(t, test.other)
			a.me.Worker = "other"
			a.Begin(at)
			if got := a.Loaded(at, log); got.Do != test.want {
				t.Errorf("the action is %v, want %v", got.Do, test.want)
			}
		})
	}
}
