package saga

import (
	"slices"
	"testing"
	"time"
)

// Whether an attempt forward may be under way in a branch that is being undone, the steps do not tell: one that has failed
// may have been tried again before the branch failed, or not. So the branch tells.
func TestWhoTakesOverABranchThatIsUndoneMakesNoAttemptForward(t *testing.T) {
	def := Must(Define("d", 1,
		ForEach("f", func(*stageState) []stageState { return []stageState{{}} },
			Within[stageState]("w", time.Second, Step("a", stageStep).Compensate(stageStep))).Gather()))
	failed := []Event{
		SagaStarted{Run: "r", Definition: 1}, ItemsFound{Node: "f", Items: []State{{}}}, WaitStarted{Node: "w#0", Until: time.Unix(1, 0)},
		StepFailed{Step: "a#0", Attempt: 1, Failure: Failure{Error: "perhaps", Unknown: true}},
		BlockFailed{Node: "w#0", Error: "too late", Reason: ReasonTimedOut},
	}
	next := func(count uint64, events []Event) Action {
		a := NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return def.Plan() }},
			Delivery{Key: Key{"d", "one"}, Command: Start{Run: "r", Definition: 1}, Count: count, Stream: "s", Sequence: 9})
		action := a.Begin(time.Unix(2, 0))
		for action.Do == ActLoad {
			action = a.Loaded(time.Unix(2, 0), Log{Revision: 1, Base: 1, Commits: []Commit{{
				Version: 1, By: Owner{Worker: "v", Command: "r", Delivery: count - 1}, Events: events}}})
		}
		if action.Do != ActAppend {
			t.Fatalf("the action is %v, want the saga claimed", action.Do)
		}
		return action
	}
	claim := next(2, failed).Commit.Events[0].(ActivationClaimed)
	if !slices.Equal(claim.Unsettled, []string{"a#0"}) {
		t.Errorf("before the branch is said to be undone, %v are in doubt, want a#0: another attempt may be under way", claim.Unsettled)
	}
	action := next(2, append(failed, BranchTurned{Scope: within("", "f", "0")}))
	claim = action.Commit.Events[0].(ActivationClaimed)
	if len(claim.Unsettled) != 0 {
		t.Errorf("while the branch is undone, %v are in doubt, want none", claim.Unsettled)
	}
}
