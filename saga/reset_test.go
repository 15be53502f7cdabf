package saga

import (
	"context"
	"slices"
	"testing"
	"time"
)

// reset takes the stage's saga back to where it was.
func (s *stage) reset(was *Instance) {
	s.commit(SagaReset{Order: Order{ID: "reset"}, To: was.Version, Saga: was})
}

func TestAResetKeepsWhatIsKnownOfChildren(t *testing.T) {
	child := Must(Define("c", 1, Step("x", stageStep)))
	ref := ChildRef{Key: Key{"c", "1"}, Run: "k"}
	for _, test := range []struct {
		name string
		upTo string // how far the saga had got where it is taken back to
		want TaskKind
	}{
		{"that was not started", "start", TaskResult},
		{"that was running", "running", TaskResult},
		{"that was asked to undo what it had done", "recalled", TaskResult},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, Child("k", child, func(s *stageState) stageState { return *s }))
			was := map[string]*Instance{"start": s.in.clone()}
			s.results(Result{Task: s.task("k"), Child: &ref})
			was["running"] = s.in.clone()
			s.commit(CancelRequested{ID: "cancel"})
			s.settle()
			s.results(Result{Task: s.task("k")})
			was["recalled"] = s.in.clone()
			s.commit(ChildEnded{ID: "answer", Step: "k", Ref: ref, Status: StatusCompleted, Version: 3})
			s.reset(was[test.upTo])
			s.settle()
			if task := s.task("k"); task.Kind != test.want {
				t.Errorf("%+v is due, want one of kind %v: the child has answered, and does not answer again", task, test.want)
			}
		})
	}
}

func TestAResetGivesBackTheSignalsThatWereThere(t *testing.T) {
	ring := DeclareSignal[int]("ring")
	take := func(context.Context, *stageState, int) error { return nil }
	s := newStage(t, Step("a", stageStep), Await("b", ring, take), Step("c", stageStep), Await("d", ring, take))
	s.commit(SignalReceived{Signal{ID: "s1", Name: "ring", Payload: []byte("1")}})
	was := s.in.clone()
	s.results(Result{Task: s.task("a")})
	s.settle()
	s.results(Result{Task: s.task("b")})
	s.commit(SignalReceived{Signal{ID: "s2", Name: "ring", Payload: []byte("2")}})
	s.reset(was)
	var ids []string
	for _, signal := range s.in.Signals {
		ids = append(ids, signal.ID)
	}
	if !slices.Equal(ids, []string{"s1", "s2"}) {
		t.Errorf("the signals are %v, want s1, which was there, and s2, which has come since", ids)
	}
}

func TestAnApprovalCanBeDecidedAgainAfterAReset(t *testing.T) {
	s := newStage(t, Step("a", stageStep), Approval[stageState]("boss", nil), Step("b", stageStep), Approval[stageState]("chief", nil))
	decision := func(step string) Signal {
		signal, err := newToken(s.in.Key, s.in.Run, step).Decide(Decision{Approved: true}, s.in.Run, s.now)
		if err != nil {
			t.Fatal(err)
		}
		return signal
	}
	was := s.in.clone()
	s.results(Result{Task: s.task("a")})
	s.commit(SignalReceived{decision("boss")}, SignalReceived{decision("chief")})
	s.settle()
	s.results(Result{Task: s.task("boss")})
	between := s.in.clone()
	for _, test := range []struct {
		name      string
		to        *Instance
		undecided bool
	}{
		{"after it was decided", between, false},
		{"before it was decided", was, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.reset(test.to)
			if known := slices.Contains(s.in.Seen, decision("boss").ID); known == test.undecided {
				t.Errorf("the decision is known already: %v", known)
			}
			if !slices.Contains(s.in.Seen, decision("chief").ID) || len(s.in.Signals) != 1 {
				t.Errorf("the decision that came early and nobody has taken is forgotten: %v, %v", s.in.Seen, s.in.Signals)
			}
		})
	}
}

func TestWhatAResetTakesBackIsNotDoneAgainByItsOwnCommand(t *testing.T) {
	plan := Must(Define("d", 1, Step("a", stageStep), Approval[stageState]("boss", nil), Step("b", stageStep))).Plan()
	key := Key{"d", "one"}
	decision, err := newToken(key, "r", "boss").Decide(Decision{Approved: true}, "r", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	by := func(command Command) Owner {
		return Owner{Worker: "v", Command: command.CommandID(), Delivery: 1, Stream: "s", Sequence: 9}
	}
	begun := []Commit{{Version: 1, By: Owner{Worker: "v", Command: "r", Delivery: 1}, Events: []Event{
		SagaStarted{Run: "r", Definition: 1}, StepCompleted{Step: "a", Attempt: 1}, SagaParked{}}}}
	was, err := Fold(key, begun)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		command Command
		events  []Event
	}{
		{"a Cancel", Cancel{ID: "c", Run: "r"}, []Event{CancelRequested{ID: "c"}}},
		{"an Undo, which was to cancel it", Undo{Order{ID: "u", Run: "r"}}, []Event{CancelRequested{ID: "u"}}},
		{"the decision on an approval", decision, []Event{SignalReceived{decision}, SignalTaken{Node: "boss", ID: decision.ID}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := Log{Revision: 3, Base: 1, Commits: append(slices.Clone(begun),
				Commit{Version: 2, By: by(test.command), Events: test.events},
				Commit{Version: 3, By: Owner{Worker: "v", Command: "o", Delivery: 1, Stream: "s", Sequence: 10}, Events: []Event{
					SagaReset{Order: Order{ID: "o", Run: "r"}, To: 1, Saga: was}, SagaParked{}}})}
			deliver := func(sequence uint64) Action {
				a := NewActivation(ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return plan }},
					Delivery{Key: key, Command: test.command, Count: 2, Stream: "s", Sequence: sequence})
				action := a.Begin(time.Now())
				for action.Do == ActLoad {
					action = a.Loaded(time.Now(), log)
				}
				return action
			}
			if action := deliver(9); action.Do != ActAck {
				t.Errorf("its command, delivered again: %v, want it acknowledged", action.Do)
			}
			if _, ok := test.command.(Signal); ok {
				if action := deliver(11); action.Do == ActAck {
					t.Error("it cannot be decided again")
				}
			}
		})
	}
}

func TestAResetDoesNotForgetWhatIsUnsettled(t *testing.T) {
	s := newStage(t, Step("a", stageStep).Compensate(stageStep))
	was := s.in.clone()
	s.commit(ActivationClaimed{Unsettled: []string{"a"}})
	s.reset(was)
	s.commit(CancelRequested{ID: "cancel"})
	if s.settle(); s.in.Status != StatusRunning {
		t.Error("the saga is turned around, though nobody knows whether a has had its effect")
	}
	s.results(Result{Task: s.task("a")})
	s.settle()
	if task := s.task("a"); !task.Undo {
		t.Errorf("%+v is due, want the undo", task)
	}
}

func TestWhatIsPassedOverInATurnToComeIsPassedOverThen(t *testing.T) {
	forget := []string{"a", "b"}
	s := newStage(t, Loop("l", func(*stageState) bool { return true }, Step("a", stageStep), Step("b", stageStep)).Max(Unlimited))
	s.commit(StepSkipped{Order{ID: "o1"}, "a#1"}, StepSkipped{Order{ID: "o2"}, "b#2"})
	s.commit(TurnStarted{Node: "l", Turn: 1, Forget: forget})
	if task := s.task("b#1"); task.Step == "" || s.in.Steps.Get("a#1").Status != StepSkippedOver {
		t.Errorf("in turn 1 a is %+v", s.in.Steps.Get("a#1"))
	}
	s.results(Result{Task: s.task("b#1")})
	s.commit(TurnStarted{Node: "l", Turn: 2, Forget: forget})
	if s.in.Steps.Get("b#2").Status != StepSkippedOver || s.in.Steps.Get("a#1") != (StepState{}) || s.in.Steps.Get("b#1") != (StepState{}) {
		t.Errorf("in turn 2 the steps are %v", s.in.Steps)
	}
}
