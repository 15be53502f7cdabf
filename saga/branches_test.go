package saga

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// stage is a saga in a test: its log is written by hand, and its results by Decide.
type stage struct {
	t       *testing.T
	plan    *Plan
	in      *Instance
	now     time.Time
	version uint64
}

type stageState struct{ N int }

func stageStep(context.Context, *stageState) error { return nil }

func newStage(t *testing.T, nodes ...Node[stageState]) *stage {
	t.Helper()
	s := &stage{t: t, plan: Must(Define("d", 1, nodes...)).Plan(), in: NewInstance(Key{"d", "one"}), now: time.Unix(1000, 0)}
	s.commit(SagaStarted{Run: "r", Definition: 1})
	return s
}

func (s *stage) commit(events ...Event) {
	s.version++
	s.in.Evolve(&Commit{Version: s.version, Time: s.now, By: Owner{Worker: "w", Command: "r", Delivery: 1}, Events: events})
}

// settle records what follows by itself while tasks are under way.
func (s *stage) settle(busy ...Task) (followed []Event) {
	for events := Settle(s.plan, s.in, s.now, busy); len(events) > 0; events = Settle(s.plan, s.in, s.now, busy) {
		s.commit(events...)
		followed = append(followed, events...)
	}
	return followed
}

// results records what tasks' results are, which came together.
func (s *stage) results(results ...Result) {
	for _, r := range results {
		r.Given = s.in.View(r.Task.Scope)
		if r.Err == nil {
			r.State = r.Given
		}
		s.commit(Decide(s.plan, s.in, r, s.now)...)
	}
}

func (s *stage) ready() []Task { return Ready(s.plan, s.in, s.now) }

func (s *stage) task(step string) Task {
	s.t.Helper()
	tasks := s.ready()
	i := slices.IndexFunc(tasks, func(t Task) bool { return t.Step == step })
	if i < 0 {
		s.t.Fatalf("no task is ready for %q; those that are: %v", step, tasks)
	}
	return tasks[i]
}

func (s *stage) has(status Status) {
	s.t.Helper()
	if s.in.Status != status {
		s.t.Errorf("the saga is %s, want %s", s.in.Status, status)
	}
}

func names(events []Event) (names []string) {
	for _, e := range events {
		names = append(names, EventName(e))
	}
	return names
}

func TestOneSignalIsTakenByOneOfTwoWaits(t *testing.T) {
	ring := DeclareSignal[int]("ring")
	take := func(context.Context, *stageState, int) error { return nil }
	s := newStage(t, Parallel("p", Branch("one", Await("a", ring, take)), Branch("two", Await("b", ring, take))))
	s.settle()
	s.commit(SignalReceived{Signal{ID: "s1", Name: "ring", Payload: []byte("1")}})
	if got := names(s.settle()); !slices.Equal(got, []string{"SignalTaken"}) {
		t.Fatalf("what follows is %v", got)
	}
	if tasks := s.ready(); len(tasks) != 1 || tasks[0].Step != "a" || tasks[0].Signal.ID != "s1" {
		t.Fatalf("the tasks are %v, want a to take s1", tasks)
	}
	s.commit(SignalReceived{Signal{ID: "s2", Name: "ring", Payload: []byte("2")}})
	s.settle(s.ready()...)
	if tasks := s.ready(); len(tasks) != 2 || tasks[1].Step != "b" || tasks[1].Signal.ID != "s2" {
		t.Fatalf("the tasks are %v, want b to take s2", tasks)
	}
	s.results(Result{Task: s.task("b")}, Result{Task: s.task("a")})
	s.settle()
	s.has(StatusCompleted)
	if len(s.in.Signals) > 0 || s.in.Blocks["a"].Signal != nil {
		t.Errorf("signals are left: %v, %v", s.in.Signals, s.in.Blocks["a"].Signal)
	}
}

func TestASignalWhoseHandlerFailedForGoodIsNotTakenAgain(t *testing.T) {
	ring := DeclareSignal[int]("ring")
	take := func(context.Context, *stageState, int) error { return nil }
	s := newStage(t, Await("a", ring, take).OrElse(Step("instead", stageStep)), Await("b", ring, take))
	s.commit(SignalReceived{Signal{ID: "s1", Name: "ring", Payload: []byte("1")}})
	s.settle()
	s.results(Result{Task: s.task("a"), Err: Permanent(errors.New("no"))})
	s.results(Result{Task: s.task("instead")})
	if followed, tasks := s.settle(), s.ready(); len(followed) > 0 || len(tasks) > 0 {
		t.Errorf("b goes on with %v and %v, though there is no signal left", names(followed), tasks)
	}
}

func TestARefusedSignalRefusesNoOther(t *testing.T) {
	ring := DeclareSignal[int]("ring")
	s := newStage(t, Await("a", ring, func(context.Context, *stageState, int) error { return nil }))
	s.commit(SignalReceived{Signal{ID: "s1", Name: "ring", Payload: []byte(`"x"`)}}, SignalReceived{Signal{ID: "s2", Name: "ring", Payload: []byte("2")}})
	s.settle()
	refused := Result{Task: s.task("a"), Err: &SignalError{Signal: "s1", Err: errors.New("no number")}}
	s.results(refused)
	s.settle()
	s.results(refused) // the answer to its append was lost, and it is decided again
	if task := s.task("a"); task.Signal.ID != "s2" {
		t.Errorf("a takes %s, want s2", task.Signal.ID)
	}
}

func TestABlockWhoseTimeIsOverLetsItsAttemptsEnd(t *testing.T) {
	for _, test := range []struct {
		name string
		lost bool // the attempt's worker is gone
	}{{"under way", false}, {"of a worker that vanished", true}} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, Within("w", time.Minute, Step("a", stageStep).Compensate(stageStep)))
			s.settle()
			task := s.task("a")
			busy := []Task{task}
			if test.lost {
				s.commit(ActivationClaimed{Unsettled: []string{"a"}})
				busy = nil
			}
			s.now = s.now.Add(time.Hour)
			s.settle(busy...)
			s.has(StatusRunning)
			if test.lost {
				if task = s.task("a"); !task.Deadline.IsZero() {
					t.Errorf("the attempt that is to find out has until %v, which has passed", task.Deadline)
				}
			}
			s.results(Result{Task: task})
			s.settle()
			s.has(StatusCompensating)
			if undo := s.task("a"); !undo.Undo {
				t.Errorf("%v is due, want the undo", undo)
			}
		})
	}
}

func TestPastThePivotTheDeadlineCutsNothingOff(t *testing.T) {
	s := newStage(t, Step("a", stageStep).Pivot(), Step("b", stageStep))
	s.in.Deadline = s.now.Add(time.Minute)
	if task := s.task("a"); task.Deadline.IsZero() {
		t.Error("the pivot has no deadline")
	}
	s.results(Result{Task: s.task("a")})
	s.now = s.now.Add(time.Hour)
	s.settle()
	if task := s.task("b"); !task.Deadline.IsZero() {
		t.Errorf("what comes after the pivot has until %v", task.Deadline)
	}
}

func TestWhatIsUnknownOfAnAttemptStaysSo(t *testing.T) {
	unknown, failed := Unknown(errors.New("no answer")), errors.New("not available")
	for _, test := range []struct {
		name  string
		last  error
		undos bool
	}{
		{"until one is refused for good", Permanent(failed), false},
		{"though one fails after it", failed, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, Step("a", stageStep).Compensate(stageStep).Retry(RetryPolicy{Attempts: 2}))
			s.results(Result{Task: s.task("a"), Err: unknown})
			s.results(Result{Task: s.task("a"), Err: test.last})
			s.settle()
			if tasks := s.ready(); (len(tasks) > 0) != test.undos {
				t.Errorf("what is to be done is %v; want an undo: %v", tasks, test.undos)
			}
		})
	}
}

func TestNothingEndsBeforeItsEmissionsArePublished(t *testing.T) {
	s := newStage(t, Step("a", stageStep).Pivot(), Parallel("p", Branch("one", Step("b", stageStep)), Branch("two", Step("c", stageStep))))
	s.results(Result{Task: s.task("a")})
	b, c := s.task("b"), s.task("c")
	s.results(Result{Task: b, Emits: []Emission{{ID: "e", Topic: "t"}}}, Result{Task: c, Err: Permanent(errors.New("no"))})
	s.settle()
	s.has(StatusRunning)
	s.commit(EmissionsPublished{})
	s.settle()
	s.has(StatusStuck)
}

func TestAFailedChildThatCannotBeUndoneIsNotDone(t *testing.T) {
	child := Must(Define("c", 1, Step("x", stageStep)))
	s := newStage(t,
		Race("r",
			Branch("one", Child("k", child, func(s *stageState) stageState { return *s }), Step("after", stageStep)),
			Branch("two", Step("b", stageStep))))
	s.results(Result{Task: s.task("k"), Child: &ChildRef{Key: Key{"c", "1"}, Run: "k"}})
	s.commit(ChildEnded{Step: "k", Ref: ChildRef{Key: Key{"c", "1"}, Run: "k"}, Status: StatusStuck, Version: 3, Error: "no undo"})
	s.settle()
	for _, task := range s.ready() {
		if task.Step == "after" {
			t.Errorf("%v is due, after a child that is stuck", task)
		}
	}
}

func TestAChildIsAskedAgainOnceItHasEndedMeanwhile(t *testing.T) {
	child := Must(Define("c", 1, Step("x", stageStep)))
	ref := ChildRef{Key: Key{"c", "1"}, Run: "k"}
	s := newStage(t, Child("k", child, func(s *stageState) stageState { return *s }))
	s.results(Result{Task: s.task("k"), Child: &ref})
	s.commit(CancelRequested{ID: "cancel"})
	s.settle()
	asked := s.task("k")
	s.commit(ChildEnded{Step: "k", Ref: ref, Status: StatusCompleted, Version: 3})
	s.results(Result{Task: asked})
	if s.in.Blocks["k"].Child.Recalled {
		t.Fatal("the child counts as asked, but was asked while it ran, and has completed since")
	}
	first, one, _ := s.in.Recall("k", s.now)
	s.results(Result{Task: s.task("k")})
	_, two, _ := s.in.Recall("k", s.now)
	if !s.in.Blocks["k"].Child.Recalled || first != ref.Key || one.ID == two.ID {
		t.Errorf("asked of %s: %+v, then %+v", first, one, two)
	}
}

func TestABranchMayBeCalledNone(t *testing.T) {
	answer := func(value bool) func(*stageState) bool { return func(*stageState) bool { return value } }
	value := func(value string) func(*stageState) string { return func(*stageState) string { return value } }
	for _, test := range []struct {
		name string
		node Node[stageState]
		want string // the branch; empty for none
	}{
		{"a switch of another value", Switch("q", value("other")).Case("none", Step("a", stageStep)).Case("no none", Step("b", stageStep)), ""},
		{"a switch of that value", Switch("q", value("none")).Case("none", Step("a", stageStep)), "none"},
		{"an if of nothing", If("q", answer(false), Step("a", stageStep)).ElseIf("none", answer(false), Step("b", stageStep)), ""},
		{"an if of that", If("q", answer(false), Step("a", stageStep)).ElseIf("none", answer(true), Step("b", stageStep)), "none"},
	} {
		def := Must(Define("d", 1, test.node))
		_, answer, err := def.NewRunner().Ask(Task{Kind: TaskAsk, Step: "q"}, State{}, Input{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if branch := def.Plan().Node("q").branch(answer.Choice); branch != nil {
			got = branch.Label
		}
		if got != test.want {
			t.Errorf("%s takes the branch %q, want %q", test.name, got, test.want)
		}
	}
}
