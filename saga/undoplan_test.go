package saga

import "testing"

func TestAChildThatCannotBeUndoneIsNotPlannedToBeUndone(t *testing.T) {
	child := Must(Define("c", 1, Step("x", stageStep)))
	ref := ChildRef{Key: Key{"c", "1"}, Run: "k"}
	s := newStage(t, Step("a", stageStep).Compensate(stageStep), Child("k", child, func(s *stageState) stageState { return *s }), Step("b", stageStep))
	s.results(Result{Task: s.task("a")})
	s.settle()
	s.results(Result{Task: s.task("k"), Child: &ref})
	s.commit(CancelRequested{ID: "cancel"})
	s.settle()
	s.results(Result{Task: s.task("k")})
	if got := DrawUndoing(UndoPlan(s.plan, s.in)); got != "1. k: the saga c/1 undoes what it has done\n2. undo a\n" {
		t.Errorf("while the child is asked the plan is\n%s", got)
	}
	s.commit(ChildEnded{ID: "answer", Step: "k", Ref: ref, Status: StatusCompleted, Refused: true, Version: 3})
	s.settle()
	if got := DrawUndoing(UndoPlan(s.plan, s.in)); got != "1. undo a\n" {
		t.Errorf("once it has refused the plan is\n%s", got)
	}
}
