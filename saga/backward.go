package saga

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// backward visits the undo attempts below the node, and reports whether nothing below it is left to undo. An undo
// that gave up does not hold up the others.
func (w *walk) backward(n *PlanNode, at frame) (done bool) {
	if !n.undoable {
		return true
	}
	key := at.key(n)
	switch n.Kind {
	case KindStep, KindAwait:
		for _, child := range slices.Backward(n.Children) {
			if !w.backward(child, at) {
				return false
			}
		}
		return w.undo(n, key, at)
	case KindChoice:
		if taken := n.branch(w.in.block(key).Branch); taken != nil {
			return w.backward(taken, at)
		}
		return true
	case KindParallel, KindRace:
		return w.backwardBranches(n, key, at)
	case KindForEach:
		return w.backwardItems(n, key, at)
	case KindLoop:
		for turn := w.in.block(key).Turn; turn > 0; turn-- {
			if !w.backward(n.Children[0], at.turn(turn)) {
				return false
			}
		}
		return true
	case KindChild:
		return w.backwardChild(n, key)
	default:
		for _, child := range slices.Backward(n.Children) {
			if !w.backward(child, at) {
				return false
			}
		}
		return true
	}
}

// undo visits the undo of a step.
func (w *walk) undo(n *PlanNode, key string, at frame) (done bool) {
	s := w.in.Steps.Get(key)
	if n.Step.Undo == nil || !s.mayBeDone() {
		return true
	}
	if s.Status != StepUndoRetrying {
		s.RetryAt, s.PutOff = time.Time{}, 0 // they are of another attempt of the step
	}
	w.tasks = append(w.tasks, Task{Step: key, Undo: true, Attempt: s.UndoAttempt + 1, PutOff: s.PutOff, NotBefore: s.RetryAt, Scope: at.scope})
	return false
}

// backwardBranches undoes the branches at once. Once joined, they have no copy of the state of their own any more.
func (w *walk) backwardBranches(n *PlanNode, key string, at frame) (done bool) {
	done = true
	joined := w.in.block(key).Done
	for _, branch := range n.Children {
		at := at
		if !joined {
			at = at.inBranch(key, branch.Label)
		}
		done = w.backward(branch, at) && done
	}
	return done
}

// backwardItems undoes the items, the last first, as many at once as the limit says.
func (w *walk) backwardItems(n *PlanNode, key string, at frame) (done bool) {
	b := w.in.block(key)
	high := len(b.Items)
	if b.high > 0 {
		high = b.high
	}
	active := 0
	for i := high - 1; i >= 0 && active < n.Each.Limit; i-- {
		switch {
		case !w.backward(n.Children[0], at.turn(i).inBranch(key, strconv.Itoa(i))):
			active++
		case i == high-1 && i > 0:
			high = i
		}
	}
	// Once the saga as a whole is undone nothing is done any more, so what is undone stays so.
	if w.in.Status == StatusCompensating && b.Found {
		b.high = high
	}
	return active == 0
}

// backwardChild has a child undo what it has done.
func (w *walk) backwardChild(n *PlanNode, key string) (done bool) {
	c := w.in.block(key).Child
	s := w.in.Steps.Get(key)
	switch {
	case c == nil || n.Child.Detached, s.Status == StepUndoGaveUp, s.Status == StepResolvedByOp, s.Status == StepSkippedOver:
		return true
	case c.Refused:
		w.follows(CompensationFailed{Step: key, Attempt: s.UndoAttempt + 1, Failure: Failure{
			Error: fmt.Sprintf("the child %s cannot be undone: %s", c.Ref.Key, cmp.Or(c.Error, "it has passed its pivot")), Permanent: true, GaveUp: true,
		}})
		return false
	case c.Recalled:
		w.waiting = true
		return false
	case c.Status == "", c.Status == StatusCompleted:
		w.tasks = append(w.tasks, Task{Kind: TaskRecall, Step: key, Undo: true, Attempt: s.UndoAttempt + 1, NotBefore: s.RetryAt, child: c.Version})
		return false
	case c.Status == StatusStuck:
		w.follows(CompensationFailed{Step: key, Attempt: s.UndoAttempt + 1, Failure: Failure{
			Error: fmt.Sprintf("the child %s is stuck: %s", c.Ref.Key, c.Error), Permanent: true, GaveUp: true,
		}})
		return false
	default:
		if s.Status == StepDone || s.Status == StepUndoRetrying {
			w.follows(StepCompensated{Step: key, Attempt: s.UndoAttempt + 1})
			return false
		}
		return true
	}
}
