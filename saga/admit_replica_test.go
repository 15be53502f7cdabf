package saga

import (
	"context"
	"testing"
	"time"
)

func TestNoCommandIsAnsweredOnWhatAReplicaShows(t *testing.T) {
	child := ChildRef{Key: Key{"c", "1"}, Run: "k"}
	start := SagaStarted{Run: "r", Definition: 1}
	for _, test := range []struct {
		name    string
		events  []Event
		command Command
		answer  ActionKind
	}{
		{"an Undo of a saga that is to be cancelled, and may have completed since",
			[]Event{start, CancelRequested{ID: "x"}}, Undo{Order{ID: "u", Run: "r"}}, ActAppend},
		{"an answer that tells nothing new, though the child may have been asked again since",
			[]Event{start, ChildStarted{Node: "k", Ref: child}, ChildEnded{Step: "k", Ref: child, Status: StatusStuck, Version: 3}},
			ChildDone{ID: "a", Run: "r", Ref: child, Step: "k", Status: StatusStuck, Version: 3}, ActAck},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return threeSteps(t) }},
				Delivery{Key: Key{"d", "one"}, Command: test.command, Count: 1, Stream: "s", Sequence: 9})
			log := Log{Revision: 1, Commits: []Commit{{Version: 1, By: Owner{Worker: "v", Command: "r", Delivery: 1}, Events: test.events}}}
			action := a.Begin(time.Now())
			for _, want := range []Consistency{Any, Latest} {
				if action.Do != ActLoad || action.Consistency != want {
					t.Fatalf("the action is %v at %v, want a load at %v", action.Do, action.Consistency, want)
				}
				action = a.Loaded(time.Now(), log)
			}
			if action.Do != test.answer {
				t.Errorf("with what the leader has, the action is %v, want %v", action.Do, test.answer)
			}
		})
	}
}

func TestAnAnswerMayComeBeforeTheQuestionIsInTheLog(t *testing.T) {
	for _, test := range []struct {
		name  string
		known ChildState
		done  ChildDone
		news  bool
	}{
		{"the same again", ChildState{Status: StatusStuck}, ChildDone{Status: StatusStuck}, false},
		{"to a question in the log", ChildState{Status: StatusStuck, Recalled: true}, ChildDone{Status: StatusStuck}, true},
		{"that it cannot be undone", ChildState{Status: StatusCompleted}, ChildDone{Status: StatusCompleted, Refused: true}, true},
		{"that, again", ChildState{Status: StatusCompleted, Refused: true}, ChildDone{Status: StatusCompleted, Refused: true}, false},
		{"after an operator had it asked again", ChildState{}, ChildDone{Status: StatusStuck}, true},
	} {
		if news := test.known.news(test.done); news != test.news {
			t.Errorf("%s: news %v, want %v", test.name, news, test.news)
		}
	}
}

func TestWhatHasBegunInPlaceOfAStepIsNotPassedOver(t *testing.T) {
	ring := DeclareSignal[int]("ring")
	plan := Must(Define("d", 1,
		Step("a", stageStep).Fallback(Step("b", stageStep)),
		Await[stageState]("w", ring, func(context.Context, *stageState, int) error { return nil }).Timeout(time.Minute, Step("late", stageStep)))).Plan()
	for _, test := range []struct {
		step  string
		event Event
	}{
		{"a", StepFailed{Step: "a", Attempt: 1, Failure: Failure{Error: "no", GaveUp: true}}},
		{"w", BranchTaken{Node: "w", Branch: "timeout"}},
	} {
		a := NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return plan }},
			Delivery{Key: Key{"d", "one"}, Command: Skip{Order{ID: "o", Run: "r"}, test.step}, Count: 1})
		log := Log{Revision: 1, Commits: []Commit{{
			Version: 1, By: Owner{Worker: "v", Command: "r", Delivery: 1}, Events: []Event{SagaStarted{Run: "r", Definition: 1}, test.event},
		}}}
		a.Begin(time.Now())
		a.Loaded(time.Now(), log)
		action := a.Loaded(time.Now(), log)
		if action.Do != ActAppend || len(action.Commit.Events) != 1 {
			t.Fatalf("skipping %s: %v, want it dismissed", test.step, action.Do)
		}
		dismissed, ok := action.Commit.Events[0].(CommandDismissed)
		if !ok || dismissed.ID != "o" || dismissed.Command != "Skip" || dismissed.Reason == "" {
			t.Errorf("skipping %s: %+v, want it dismissed", test.step, action.Commit.Events[0])
		}
		if action := a.Appended(time.Now(), 2); action.Do != ActReject {
			t.Errorf("skipping %s: %v, want it rejected", test.step, action.Do)
		}
	}
}
