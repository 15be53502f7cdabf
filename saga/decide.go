package saga

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

// Ready gives the tasks that the saga's log calls for now; several where branches run at once. It is empty for
// a saga that has ended, and for one that [Settle] has something to say about.
func Ready(p *Plan, in *Instance, now time.Time) []Task {
	w := walk{p: p, in: in, now: now}
	w.run()
	if w.fact != nil {
		return nil
	}
	return w.tasks
}

// Settle gives the events that follow from where the saga stands, without any further input: it turns around,
// or ends. It changes nothing that a log could tell. The caller applies them and asks again until there are none. busy are the
// tasks that are under way.
func Settle(p *Plan, in *Instance, now time.Time, busy []Task) []Event {
	w := walk{p: p, in: in, now: now, busy: busy}
	w.run()
	if w.fact == nil {
		return nil
	}
	return []Event{w.fact}
}

// Decide gives the events that a task's result is. It changes nothing: the caller appends them and applies
// them. A result that the log does not call for (any more) gives none.
func Decide(p *Plan, in *Instance, r Result, now time.Time) []Event {
	if !calledFor(nil, p, in, &r.Task, now) {
		return nil
	}
	return decide(nil, p, in, &r, now)
}

// decide appends what Decide gives to events, for a result that the log calls for.
func decide(events []Event, p *Plan, in *Instance, r *Result, now time.Time) []Event {
	t := &r.Task
	switch {
	case r.Err != nil:
		return append(events, attemptFailed(p, r, now))
	case t.Kind.Asks():
		return append(events, answered(p, in, r, now))
	case t.Kind == TaskStart:
		return append(events, ChildStarted{Node: t.Step, Ref: *r.Child})
	case t.Kind == TaskRecall:
		return append(events, ChildRecalled{Node: t.Step})
	}
	patch := r.Given.Diff(r.State)
	if t.Undo {
		events = append(events, StepCompensated{Step: t.Step, Attempt: t.Attempt, Took: r.Took, Scope: t.Scope, Patch: patch, Emits: r.Emits})
	} else {
		e := StepCompleted{Step: t.Step, Attempt: t.Attempt, Took: r.Took, Scope: t.Scope, Patch: patch, Emits: r.Emits}
		if t.Signal != nil {
			e.Signal = t.Signal.ID
		}
		events = append(events, e)
	}
	if t.Scope == "" && r.Attributes != nil && !maps.Equal(r.Attributes, in.Attributes) && r.Given.equal(in.State) {
		events = append(events, AttributesChanged{Values: r.Attributes})
	}
	return events
}

// answered gives the event that an answer of the state is.
func answered(p *Plan, in *Instance, r *Result, now time.Time) Event {
	t, n, b := r.Task, p.Node(r.Task.Step), in.block(r.Task.Step)
	switch n.Kind {
	case KindLoop:
		switch {
		case r.Answer.Choice != labelRun:
			return LoopEnded{Node: t.Step}
		case n.Loop.Max != Unlimited && b.Turn >= n.Loop.Max:
			return BlockFailed{Node: t.Step, Error: fmt.Sprintf("wants more than %d turns", n.Loop.Max)}
		default:
			return TurnStarted{Node: t.Step, Turn: b.Turn + 1, Forget: n.forgettable()}
		}
	case KindSleep:
		until := r.Answer.Until
		if until.IsZero() {
			until = now.Add(max(r.Answer.Rest, 0))
		}
		return WaitStarted{Node: t.Step, Until: until.UTC().Round(0)}
	case KindForEach:
		if t.Kind == TaskAsk {
			return ItemsFound{Node: t.Step, Items: r.Answer.Items}
		}
		patch := in.View(t.Scope).Diff(r.State)
		return ItemsCollected{Node: t.Step, Scope: t.Scope, Patch: patch, Forget: n.forgettable()}
	case KindChild:
		patch := in.View(t.Scope).Diff(r.State)
		return StepCompleted{Step: t.Step, Attempt: in.Steps.Get(t.Step).Attempt + 1, Took: r.Took, Scope: t.Scope, Patch: patch}
	default:
		return BranchTaken{Node: t.Step, Branch: r.Answer.Choice}
	}
}

// forgettable gives the names below a node of which nothing needs to be kept, since none of them can be undone.
func (n *PlanNode) forgettable() (names []string) {
	if n.undoable {
		return nil
	}
	for _, child := range n.Children {
		child.each(func(n *PlanNode) {
			if n.Name != "" {
				names = append(names, n.Name)
			}
		})
	}
	return names
}

// calledFor reports whether the log calls for a task now, and makes it the task as it is called for. The walk has room for
// tasks.
func calledFor(room []Task, p *Plan, in *Instance, t *Task, now time.Time) bool {
	w := walk{p: p, in: in, now: now, mine: t, tasks: room[:0]}
	w.run()
	for i := range w.tasks {
		if w.tasks[i].same(t) {
			*t = w.tasks[i]
			return true
		}
	}
	return false
}

// attemptFailed gives the event that a failed attempt is.
func attemptFailed(p *Plan, r *Result, now time.Time) Event {
	t := r.Task
	var refused *SignalError
	if t.Signal != nil && errors.As(r.Err, &refused) {
		return SignalRefused{Node: t.Step, ID: t.Signal.ID, Error: clip(r.Err.Error(), maxErrorText)}
	}
	f := failure(p.Policy(t), r, now)
	if t.Kind.Asks() {
		f.Permanent, f.GaveUp, f.RetryAt, f.PutOff = true, true, time.Time{}, 0
	}
	if f.PutOff > 0 {
		t.Attempt--
	}
	if t.Undo {
		return CompensationFailed{Step: t.Step, Attempt: t.Attempt, Took: r.Took, Failure: f}
	}
	return StepFailed{Step: t.Step, Attempt: t.Attempt, Took: r.Took, Failure: f}
}

// failure says what becomes of a failed attempt under the policy.
func failure(policy RetryPolicy, r *Result, now time.Time) Failure {
	f := Failure{Error: clip(r.Err.Error(), maxErrorText), Permanent: IsPermanent(r.Err)}
	if IsPutOff(r.Err) && !f.Permanent {
		f.PutOff = r.Task.PutOff + 1
	}
	late := errors.Is(r.Err, context.DeadlineExceeded) && f.PutOff == 0
	f.Unknown = !r.Task.Undo && (IsUnknown(r.Err) || late) ||
		r.Task.Kind == TaskStart && !f.Permanent // its Start may have arrived
	var panicked *PanicError
	if errors.As(r.Err, &panicked) {
		f.Stack = clip(panicked.Stack, maxStackText)
	}
	if f.Permanent || policy.spent(r.Task.Attempt) && f.PutOff == 0 {
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

// pastPivot reports whether a pivot has completed, so that nothing is undone any more.
func (p *Plan) pastPivot(in *Instance) bool {
	for _, name := range p.pivots {
		if in.Steps.Get(name).Status == StepDone {
			return true
		}
	}
	return false
}
