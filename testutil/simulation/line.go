package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// line is the course of a run of a plan that is a row of steps.
type line struct {
	*shadow
	steps  []*shadowStep
	failed string
	cargo  Cargo
}

// shadowStep is what became of one step of a run.
type shadowStep struct {
	name               string
	spec               *saga.StepSpec
	index              int
	attempts, undos    int // that ended
	putOff             int // attempts that did not count since the last that did
	done, undone       bool
	gaveUp, undoGaveUp bool
	restsUntil         time.Time
}

func newLine(sh *shadow, plan *saga.Plan) *line {
	l := &line{shadow: sh}
	for i, n := range plan.Root.Children {
		l.steps = append(l.steps, &shadowStep{name: n.Name, spec: n.Step, index: i})
	}
	return l
}

func (l *line) begin(e saga.SagaStarted, _ *saga.Commit) { l.cargo = cargoOf(e.State) }

func (l *line) event(event saga.Event, _ *saga.Commit) {
	switch e := event.(type) {
	case saga.ActivationClaimed, saga.CancelRequested:
	case saga.StepCompleted:
		if s := l.attempt(e.Step, e.Attempt, false); s != nil {
			s.attempts, s.done, s.putOff = e.Attempt, true, 0
			l.cargo.carry(s.index, false)
		}
	case saga.StepFailed:
		if s := l.attempt(e.Step, madeOf(e.Attempt, e.Failure), false); s != nil {
			s.attempts, s.gaveUp, s.restsUntil = e.Attempt, e.GaveUp, e.RetryAt
			l.checkFailure(e.Failure, s.spec.Retry, e.Attempt, &s.putOff)
			if e.GaveUp {
				l.failed = e.Step
			}
		}
	case saga.CompensationStarted:
		if e.Reason != saga.ReasonCancelled && (e.Reason != saga.ReasonFailed || l.failed == "" || e.Step != l.failed) {
			l.violate(PlanIsFollowed, "compensation begins for the reason %q, where %q has failed", e.Reason, l.failed)
		}
	case saga.StepCompensated:
		if s := l.attempt(e.Step, e.Attempt, true); s != nil {
			s.undos, s.undone = e.Attempt, true
			l.cargo.carry(s.index, true)
		}
	case saga.CompensationFailed:
		if s := l.attempt(e.Step, madeOf(e.Attempt, e.Failure), true); s != nil {
			s.undos, s.undoGaveUp, s.restsUntil = e.Attempt, e.GaveUp, e.RetryAt
			l.checkFailure(e.Failure, s.spec.Undo.Retry, e.Attempt, &s.putOff)
		}
	case saga.SagaCompleted, saga.SagaCompensated, saga.SagaStuck:
		l.checkEnd(event)
	case saga.CommandDismissed:
	default:
		l.violate(PlanIsFollowed, "event %T is not known to the model", event)
	}
}

func (l *line) checkEnd(event saga.Event) {
	gaveUp := slices.ContainsFunc(l.steps, func(s *shadowStep) bool { return s.undoGaveUp })
	var right bool
	switch event.(type) {
	case saga.SagaCompleted:
		right = l.failed == "" && l.dueForward() == nil
	case saga.SagaCompensated:
		right = l.dueBackward() == nil && !gaveUp
	case saga.SagaStuck:
		right = l.failed != ""
		if l.status == saga.StatusCompensating {
			right = l.dueBackward() == nil && gaveUp
		}
	}
	if !right {
		l.violate(PlanIsFollowed, "run %s ends with %s", l.run, saga.EventName(event))
	}
}

// attempt checks that the attempt is the one that is due, and gives its step.
func (l *line) attempt(step string, attempt int, undo bool) *shadowStep {
	due := l.dueForward()
	last := 0
	if undo {
		due = l.dueBackward()
	}
	if due != nil {
		last = due.attempts
		if undo {
			last = due.undos
		}
	}
	if due == nil || due.name != step || attempt != last+1 {
		l.violate(PlanIsFollowed, "attempt %d of %s (undo: %v), where the plan has %v after attempt %d",
			attempt, step, undo, due, last)
		return nil
	}
	due.restsUntil = time.Time{}
	return due
}

func (s *shadowStep) String() string {
	if s == nil {
		return "nothing"
	}
	return s.name
}

// dueForward is the step to do next, if any.
func (l *line) dueForward() *shadowStep {
	if l.status != saga.StatusRunning || l.failed != "" {
		return nil
	}
	for _, s := range l.steps {
		if !s.done {
			return s
		}
	}
	return nil
}

// dueBackward is the step to undo next, if any.
func (l *line) dueBackward() *shadowStep {
	if l.status != saga.StatusCompensating {
		return nil
	}
	for _, s := range slices.Backward(l.steps) {
		if s.done && s.spec.Undo != nil && !s.undone && !s.undoGaveUp {
			return s
		}
	}
	return nil
}

func (l *line) pastPivot() bool {
	return slices.ContainsFunc(l.steps, func(s *shadowStep) bool { return s.spec.Pivot && s.done })
}

// madeOf gives the attempt that a failure is of, where the event tells of that attempt, or of the last before that counts.
func madeOf(attempt int, f saga.Failure) int {
	if f.PutOff > 0 {
		return attempt + 1
	}
	return attempt
}

// checkFailure checks that an attempt was the last exactly if it had to be, and counts in putOff those that did not count.
func (sh *shadow) checkFailure(f saga.Failure, policy saga.RetryPolicy, attempt int, putOff *int) {
	spent := f.PutOff == 0 && policy.Attempts != saga.Unlimited && attempt >= policy.Attempts
	if f.PutOff > 0 && f.PutOff != *putOff+1 {
		sh.violate(PlanIsFollowed, "an attempt is put off for the time %d, after %d times", f.PutOff, *putOff)
	}
	*putOff = f.PutOff
	if f.GaveUp != (f.Permanent || spent) {
		sh.violate(PlanIsFollowed, "attempt %d of at most %d, permanent: %v, gave up: %v", attempt, policy.Attempts, f.Permanent, f.GaveUp)
	}
}

func (l *line) fired(e saga.TimerSet) {
	if s := l.step(e.Step); s != nil {
		s.restsUntil = time.Time{}
	}
}

func (l *line) restsUntil(t saga.Task) time.Time {
	if s := l.step(t.Step); s != nil {
		return s.restsUntil
	}
	return time.Time{}
}

func (l *line) step(step string) *shadowStep {
	if i := slices.IndexFunc(l.steps, func(s *shadowStep) bool { return s.name == step }); i >= 0 {
		return l.steps[i]
	}
	return nil
}

func (l *line) starts(*activation, saga.Task) {}

func (l *line) waits() bool { return false }

func (l *line) told(info saga.Info) (told, free bool) {
	s := l.step(info.Step)
	switch {
	case s == nil:
		return false, false
	case info.Undo:
		return s.undone, false
	default:
		return s.done, false
	}
}

func (l *line) differs(state saga.State) string {
	if got := cargoOf(state); got != l.cargo {
		return fmt.Sprintf("the state is %+v, the model's %+v", got, l.cargo)
	}
	return ""
}
