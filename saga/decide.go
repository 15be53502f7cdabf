package saga

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Task is one attempt to make: of a step, or of its undo.
type Task struct {
	Step      string
	Undo      bool
	Attempt   int       // 1 for the first
	NotBefore time.Time // zero: at once
}

// Result is how a [Task] ended.
type Result struct {
	Task  Task
	State State // the state that the handler left; ignored with an error
	Err   error // nil for success
	Took  time.Duration
	// Delay is the rest before the next attempt by the policy, jitter included, should there be one; an error
	// made by [RetryAfter] overrides it.
	Delay time.Duration
}

// Ready gives the tasks that the saga's log calls for now; several where branches run at once. It is empty for
// a saga that has ended, and for one that [Settle] has something to say about.
func Ready(p *Plan, in *Instance) []Task {
	var tasks []Task
	ready(p, in, func(t Task) { tasks = append(tasks, t) })
	return tasks
}

// first gives the first of the tasks that [Ready] gives.
func first(p *Plan, in *Instance) (task Task, ok bool) {
	ready(p, in, func(t Task) {
		if !ok {
			task, ok = t, true
		}
	})
	return task, ok
}

// ready calls visit with each of the tasks that [Ready] gives.
func ready(p *Plan, in *Instance, visit func(Task)) {
	switch in.Status {
	case StatusRunning:
		p.Root.forward(in, visit)
	case StatusCompensating:
		p.Root.backward(in, visit)
	default:
	}
}

// forward visits the attempts due below the node, and reports whether the node has completed.
func (n *PlanNode) forward(in *Instance, visit func(Task)) (done bool) {
	if n.Kind == KindSequence {
		for _, child := range n.Children {
			if !child.forward(in, visit) {
				return false
			}
		}
		return true
	}
	s := in.Steps[n.Name]
	switch s.Status {
	case StepPending, StepRetrying:
		visit(Task{Step: n.Name, Attempt: s.Attempt + 1, NotBefore: s.RetryAt})
		return false
	case StepGaveUp:
		return false
	default:
		return true
	}
}

// backward visits the undo attempts due below the node, and reports whether nothing below it is left to undo. An undo
// that gave up does not hold up the others.
func (n *PlanNode) backward(in *Instance, visit func(Task)) (done bool) {
	if n.Kind == KindSequence {
		for _, child := range slices.Backward(n.Children) {
			if !child.backward(in, visit) {
				return false
			}
		}
		return true
	}
	s := in.Steps[n.Name]
	if n.Step.Undo == nil || (s.Status != StepDone && s.Status != StepUndoRetrying) {
		return true
	}
	visit(Task{Step: n.Name, Undo: true, Attempt: s.UndoAttempt + 1, NotBefore: s.RetryAt})
	return false
}

// pass visits a task and does nothing: for those who ask only whether a node is done.
func pass(Task) {}

// Decide gives the event that a task's result is. It changes nothing: the caller appends the event and applies
// it. A result that the log does not call for (any more) gives none.
func Decide(p *Plan, in *Instance, r Result, now time.Time) []Event {
	if !calledFor(p, in, r.Task) {
		return nil
	}
	t := r.Task
	if r.Err == nil {
		patch := in.State.Diff(r.State)
		if t.Undo {
			return []Event{StepCompensated{Step: t.Step, Attempt: t.Attempt, Took: r.Took, Patch: patch}}
		}
		return []Event{StepCompleted{Step: t.Step, Attempt: t.Attempt, Took: r.Took, Patch: patch}}
	}
	f := failure(p.Policy(t), r, now)
	if t.Undo {
		return []Event{CompensationFailed{Step: t.Step, Attempt: t.Attempt, Took: r.Took, Failure: f}}
	}
	return []Event{StepFailed{Step: t.Step, Attempt: t.Attempt, Took: r.Took, Failure: f}}
}

func calledFor(p *Plan, in *Instance, t Task) (called bool) {
	ready(p, in, func(r Task) {
		called = called || r.Step == t.Step && r.Undo == t.Undo && r.Attempt == t.Attempt
	})
	return called
}

// failure says what becomes of a failed attempt under the policy.
func failure(policy RetryPolicy, r Result, now time.Time) Failure {
	f := Failure{Error: clip(r.Err.Error(), maxErrorText), Permanent: IsPermanent(r.Err)}
	var panicked *PanicError
	if errors.As(r.Err, &panicked) {
		f.Stack = clip(panicked.Stack, maxStackText)
	}
	if f.Permanent || policy.spent(r.Task.Attempt) {
		f.GaveUp = true
		return f
	}
	delay := r.Delay
	var after *retryAfterError
	if errors.As(r.Err, &after) {
		delay = after.after
	}
	f.RetryAt = now.Add(delay)
	return f
}

// How many bytes of an error and of a panic's stack a commit keeps: enough to see what happened, too little to
// burst a message.
const (
	maxErrorText = 4 << 10
	maxStackText = 8 << 10
)

// clip cuts s to at most n bytes of valid UTF-8.
func clip(s string, n int) string {
	const mark = " [cut]"
	s = strings.ToValidUTF8(s, "\ufffd") // which may make it longer
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len(mark)], "") + mark
}

// Settle gives the events that follow from where the saga stands, without any further input: it turns around,
// or ends. It changes nothing. The caller applies them and asks again until there are none. A task that is
// under way must have given its result first.
func Settle(p *Plan, in *Instance) []Event {
	switch in.Status {
	case StatusRunning:
		return settleForward(p, in)
	case StatusCompensating:
		return settleBackward(p, in)
	default:
		return nil
	}
}

func settleForward(p *Plan, in *Instance) []Event {
	switch {
	case in.Failed != "" && p.pastPivot(in):
		return []Event{SagaStuck{Steps: []string{in.Failed}, Error: in.Error}}
	case in.Failed != "":
		return []Event{CompensationStarted{Reason: ReasonFailed, Step: in.Failed, Error: in.Error}}
	case in.Cancel != nil && !in.Unsettled && !p.pastPivot(in):
		return []Event{CompensationStarted{Reason: ReasonCancelled, Error: in.Cancel.Reason}}
	}
	if p.Root.forward(in, pass) {
		return []Event{SagaCompleted{}}
	}
	return nil
}

func settleBackward(p *Plan, in *Instance) []Event {
	if !p.Root.backward(in, pass) {
		return nil
	}
	var stuck []string
	var cause string
	p.Root.each(func(n *PlanNode) {
		if s := in.Steps[n.Name]; n.Kind == KindStep && s.Status == StepUndoGaveUp {
			stuck, cause = append(stuck, n.Name), s.Error
		}
	})
	if len(stuck) > 0 {
		return []Event{SagaStuck{Steps: stuck, Error: cause}}
	}
	return []Event{SagaCompensated{Reason: in.Reason, Error: in.Error}}
}

// pastPivot reports whether a pivot has completed, so that nothing is undone any more.
func (p *Plan) pastPivot(in *Instance) bool {
	for _, name := range p.pivots {
		if in.Steps[name].Status == StepDone {
			return true
		}
	}
	return false
}
