package saga

import (
	"context"
	"testing"
	"time"
)

// An answer is of the state that it was given on. That may have been changed by events which are not in the log after all.
func TestTheStateIsAskedAgainAfterAConflict(t *testing.T) {
	type tally struct{ One, Two bool }
	def := Must(Define("d", 1,
		Step("one", func(_ context.Context, s *tally) error { s.One = true; return nil }),
		Step("two", func(_ context.Context, s *tally) error { s.Two = true; return nil }),
		If("both", func(s *tally) bool { return s.Two },
			Step("three", func(context.Context, *tally) error { return nil })),
	))
	now, key, runner := time.Now(), Key{"d", "1"}, def.NewRunner()
	run := func(action Action) Result {
		state, err := runner.Run(t.Context(), action.Task, action.State)
		return Result{Task: action.Task, State: state, Err: err}
	}
	ask := func(action Action) Result {
		state, answer, err := runner.Ask(action.Task, action.State, *action.Input)
		return Result{Task: action.Task, State: state, Answer: &answer, Err: err}
	}
	initial, err := ParseState([]byte(`{"One":false,"Two":false}`))
	if err != nil {
		t.Fatal(err)
	}
	a := NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return def.Plan() }},
		Delivery{Key: key, Command: Start{Run: "r", Definition: 1, State: initial}, Count: 1})
	first := a.Ran(now, run(a.Begin(now)))
	asked := a.Ran(now, run(a.Appended(now, 1)))
	if asked.Do != ActAsk || asked.State.equal(initial) {
		t.Fatalf("after two steps the action is %v on %s", asked.Do, asked.State.JSON())
	}
	if action := a.Ran(now, ask(asked)); action.Do != ActAppend {
		t.Fatalf("after the answer the action is %v", action.Do)
	}
	a.Conflicted()
	skipped := Commit{Version: 2, By: Owner{Worker: "w", Command: "o", Delivery: 1}, Events: []Event{StepSkipped{Order: Order{ID: "o"}, Step: "two"}}}
	again := a.Loaded(now, Log{Revision: 2, Commits: []Commit{*first.Commit, skipped}})
	if again.Do != ActAsk || string(again.State.JSON()) != `{"One":true,"Two":false}` {
		t.Errorf("the action is %v on %s, want the question again, on what the first step left", again.Do, again.State.JSON())
	}
}
