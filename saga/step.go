package saga

import (
	"context"
	"time"
)

// Handler is a step, or an undo, of a saga whose state is S. It may change the state; the change is kept when
// it returns nil and forgotten when it does not. An error says that the attempt had no effect that lasts; where a
// handler cannot know, it returns an error that is not [Permanent] and finds out on the next attempt, with the same
// idempotency key.
//
// The context ends when the attempt's timeout passes, when another worker has taken the saga over ([ErrClaimLost])
// and when the worker stops; context.Cause tells which. A request to cancel the saga lets the attempt end.
type Handler[S any] func(ctx context.Context, state *S) error

// StepNode is a step of a definition. Its methods give changed copies, so a step may be kept and varied.
type StepNode[S any] struct {
	name     string
	do, undo Handler[S]
	spec     StepSpec
	undoSpec *UndoSpec // nil: the step has no undo
	onlyIf   *Condition[S]
	fallback []Node[S]
	instead  bool // a fallback was given
}

// Step is a unit of work under a name that is unique within its definition. The name is recorded in histories
// and is part of the idempotency key; to rename a step is to make a new version of the definition.
func Step[S any](name string, do func(context.Context, *S) error) StepNode[S] {
	return StepNode[S]{name: name, do: do}
}

// Compensate gives the step an undo. It runs when the step had completed and the saga is undone; by default it
// is retried without end, with the delays of the zero [RetryPolicy].
func (s StepNode[S]) Compensate(undo func(context.Context, *S) error) StepNode[S] {
	s = s.withUndo(func(*UndoSpec) {})
	s.undo = undo
	return s
}

// Retry sets the step's retry policy. Default: the zero [RetryPolicy].
func (s StepNode[S]) Retry(p RetryPolicy) StepNode[S] {
	s.spec.Retry = p
	return s
}

// Timeout limits each attempt of the step: past it the handler's context ends, and the attempt counts as
// failed when the handler returns an error. Default: no limit.
func (s StepNode[S]) Timeout(d time.Duration) StepNode[S] {
	s.spec.Timeout = d
	return s
}

// Pivot makes the step the point of no return: once it has completed, nothing is undone any more and the saga
// only goes forward. Steps after it are retried without end unless they fail permanently, which leaves the saga
// stuck for an operator.
func (s StepNode[S]) Pivot() StepNode[S] {
	s.spec.Pivot = true
	return s
}

// Optional lets the saga go on when the step has failed for good. The step then counts as not done.
func (s StepNode[S]) Optional() StepNode[S] {
	s.spec.Optional = true
	return s
}

// Guarded has the step's handlers, that of its undo included, run under the guard of an idempotency store (Redis): one worker at
// a time, and not again once the guard knows the result. It is for effects that take no idempotency key of their own. Without
// it, a worker that is late may still be at a step that another has taken over, and a step whose result was not stored in the log
// runs again. The guard is as good as the store: one that has lost its data does not know what has been done.
//
// A worker without a store refuses to run such a definition; while the store is away, the step waits.
func (s StepNode[S]) Guarded() StepNode[S] {
	s.spec.Guarded = true
	return s
}

// OnlyIf runs the step only if the condition holds when the saga gets there. It is asked once, and the answer is
// recorded.
func (s StepNode[S]) OnlyIf(when func(*S) bool) StepNode[S] {
	c := Condition[S](when)
	s.onlyIf = &c
	s.spec.Conditional = true
	return s
}

// Fallback runs the nodes when the step has failed for good; the saga then goes on.
func (s StepNode[S]) Fallback(nodes ...Node[S]) StepNode[S] {
	s.fallback, s.instead = nodes, true
	return s
}

// CompensateRetry sets the undo's retry policy. Default: the zero
// [RetryPolicy], with unlimited attempts. An undo whose attempts are spent leaves the saga stuck, after all
// other undos have run.
func (s StepNode[S]) CompensateRetry(p RetryPolicy) StepNode[S] {
	return s.withUndo(func(u *UndoSpec) { u.Retry = p })
}

// CompensateTimeout limits each attempt of the undo. Default: no limit.
func (s StepNode[S]) CompensateTimeout(d time.Duration) StepNode[S] {
	return s.withUndo(func(u *UndoSpec) { u.Timeout = d })
}

// withUndo changes a copy of the undo's spec. Without an undo the step is left with one that has no handler,
// which the builder reports.
func (s StepNode[S]) withUndo(change func(*UndoSpec)) StepNode[S] {
	var u UndoSpec
	if s.undoSpec != nil {
		u = *s.undoSpec
	}
	change(&u)
	s.undoSpec = &u
	return s
}

// The label of what runs in place of a step that has failed for good.
const labelFallback = "fallback"

func (s StepNode[S]) build(b *builder[S]) *PlanNode { return s.buildAs(b, "step") }

// buildAs is build for a node that works as a step does, and is called something else.
func (s StepNode[S]) buildAs(b *builder[S], what string) *PlanNode {
	s.check(b, what)
	spec := s.spec
	attempts := DefaultAttempts
	if b.pivot != "" && !spec.Optional && !s.instead {
		attempts = Unlimited
	}
	spec.Retry = spec.Retry.withDefaults(attempts)
	if s.undoSpec != nil {
		undo := *s.undoSpec
		undo.Retry = undo.Retry.withDefaults(Unlimited)
		spec.Undo = &undo
		b.def.undo[s.name] = s.undo
	}
	b.def.do[s.name] = s.do
	if s.onlyIf != nil {
		when := *s.onlyIf
		b.def.ask[s.name] = func(state *S, _ Task, _ Input) (Answer, error) {
			if when(state) {
				return Answer{Choice: labelRun}, nil
			}
			return Answer{Choice: labelSkip}, nil
		}
	}
	node := &PlanNode{Kind: KindStep, Name: s.name, Step: &spec}
	if s.instead {
		node.Children = append(node.Children, b.branch(what, s.name, labelFallback, s.fallback))
		b.labels(what, node)
	}
	if spec.Pivot {
		b.pivot = s.name
	}
	return node
}

func (s StepNode[S]) check(b *builder[S], what string) {
	b.claim(what, s.name)
	if s.do == nil {
		b.fault("%s %q has a nil handler", what, s.name)
	}
	if s.spec.Timeout < 0 {
		b.fault("%s %q: timeout %v is negative", what, s.name, s.spec.Timeout)
	}
	for _, f := range s.spec.Retry.check() {
		b.fault("%s %q: %s", what, s.name, f)
	}
	if s.onlyIf != nil && *s.onlyIf == nil {
		b.fault("%s %q: OnlyIf has a nil condition", what, s.name)
	}
	if b.pivot != "" && s.spec.Retry.Attempts > 0 && !s.spec.Optional && !s.instead {
		b.fault("%s %q: retry Attempts %d: after the pivot %q nothing can be undone, so it must be Unlimited",
			what, s.name, s.spec.Retry.Attempts, b.pivot)
	}
	if b.pivot != "" && s.spec.Pivot {
		b.fault("%s %q: is a second pivot, after %q", what, s.name, b.pivot)
	}
	if s.spec.Pivot && len(b.within) > 0 {
		b.fault("%s %q: is a pivot within %s, where what follows can still be undone", what, s.name, b.within[len(b.within)-1])
	}
	if s.spec.Pivot && (s.spec.Optional || s.instead) {
		b.fault("%s %q: is a pivot, so it can neither be optional nor have a fallback", what, s.name)
	}
	if s.undoSpec == nil {
		return
	}
	switch {
	case s.undo == nil:
		b.fault("%s %q: has a nil compensation", what, s.name)
	case b.pivot != "":
		b.fault("%s %q: has a compensation, but after the pivot %q nothing is undone", what, s.name, b.pivot)
	case s.spec.Pivot:
		b.fault("%s %q: has a compensation, but a pivot is never undone", what, s.name)
	}
	if s.undoSpec.Timeout < 0 {
		b.fault("%s %q: compensation timeout %v is negative", what, s.name, s.undoSpec.Timeout)
	}
	for _, f := range s.undoSpec.Retry.check() {
		b.fault("%s %q: compensation %s", what, s.name, f)
	}
}
