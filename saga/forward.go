package saga

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// forward visits the tasks below the node, and tells where it stands.
func (w *walk) forward(n *PlanNode, at frame) outcome {
	switch n.Kind {
	case KindSequence:
		for _, child := range n.Children {
			if o := w.forward(child, at); o != done {
				return o
			}
		}
		return done
	case KindStep:
		return w.step(n, at)
	case KindChoice:
		return w.choice(n, at)
	case KindParallel:
		return w.parallel(n, at)
	case KindRace:
		return w.race(n, at)
	case KindForEach:
		return w.forEach(n, at)
	case KindLoop:
		return w.loop(n, at)
	case KindSleep:
		return w.sleep(n, at)
	case KindWithin:
		return w.within(n, at)
	case KindAwait:
		return w.await(n, at)
	case KindChild:
		return w.child(n, at)
	default:
		return w.fail(n.Name, fmt.Sprintf("the plan has a node of kind %q, which this build does not know", n.Kind), "")
	}
}

func (w *walk) step(n *PlanNode, at frame) outcome {
	key := at.key(n)
	s := w.in.Steps.Get(key)
	switch s.Status {
	case StepPending, StepRetrying:
		if n.Step.Conditional {
			switch w.in.block(key).Branch {
			case "":
				return w.ask(TaskAsk, key, at)
			case labelSkip:
				return done
			}
		}
		w.tasks = append(w.tasks, Task{Step: key, Attempt: s.Attempt + 1, PutOff: s.PutOff, NotBefore: s.RetryAt, Scope: at.scope, Deadline: at.deadline})
		return open
	default:
		return w.after(n, key, s, at)
	}
}

// after tells what comes after a step that is through. Where the saga goes on though it has failed for good, what it may have
// done all the same is undone first.
func (w *walk) after(n *PlanNode, key string, s StepState, at frame) outcome {
	instead := n.branch(labelFallback)
	goesOn := instead != nil || n.Step.Optional
	switch {
	case s.Status == StepUndoGaveUp && goesOn:
		return w.fail(key, s.Error, "")
	case s.Failure == "":
		return done
	case !goesOn:
		return w.fail(key, s.Failure, "")
	case !w.undo(n, key, at):
		return open
	case instead != nil:
		return w.forward(instead, at)
	default:
		return done
	}
}

func (w *walk) choice(n *PlanNode, at frame) outcome {
	key := at.key(n)
	taken := w.in.block(key).Branch
	if taken == "" {
		return w.ask(TaskAsk, key, at)
	}
	if branch := n.branch(taken); branch != nil {
		return w.forward(branch, at)
	}
	return done
}

// inBranch gives the frame of a branch on its own copy of the state.
func (f frame) inBranch(key, label string) frame {
	f.scope = within(f.scope, key, label)
	return f
}

func (w *walk) parallel(n *PlanNode, at frame) outcome {
	key := at.key(n)
	b := w.in.block(key)
	switch {
	case b.Done:
		return done
	case b.Failed != "":
		return w.fail(key, b.Failed, b.Reason)
	}
	all := done
	var first blame
	for _, branch := range n.Children {
		switch w.forward(branch, at.inBranch(key, branch.Label)) {
		case failed:
			if all != failed {
				first = w.blame
			}
			all = failed
		case open:
			if all == done {
				all = open
			}
		case done:
		}
	}
	if all == failed {
		w.blame = first
	}
	if all != done {
		return all
	}
	if field, a, b, found := w.in.conflict(at.scope, key, n.Children); found {
		return w.follows(BlockFailed{Node: key, Error: fmt.Sprintf("the branches %q and %q have both changed the field %q", a, b, field)})
	}
	if size := w.in.joined(at.scope, key, n.Children, w.most); w.most > 0 && size > w.most {
		return w.follows(BlockFailed{Node: key, Error: fmt.Sprintf("the branches leave a state of %d bytes together, at most %d are kept", size, w.most)})
	}
	labels := make([]string, len(n.Children))
	for i, branch := range n.Children {
		labels[i] = branch.Label
	}
	return w.follows(BranchesJoined{Node: key, Scope: at.scope, Branches: labels})
}

func (w *walk) race(n *PlanNode, at frame) outcome {
	key := at.key(n)
	b := w.in.block(key)
	switch {
	case b.Done:
		return done
	case b.Branch == "":
		return w.racing(n, key, at)
	}
	pending := false
	var broken *blame
	for _, branch := range n.Children {
		if branch.Label == b.Branch {
			continue
		}
		switch w.unwind(branch, at.inBranch(key, branch.Label)) {
		case open:
			pending = true
		case failed:
			broken = new(w.blame)
		case done:
		}
	}
	switch {
	case broken != nil:
		w.blame = *broken
		return failed
	case pending:
		return open
	}
	return w.follows(BranchesJoined{Node: key, Scope: at.scope, Branches: []string{b.Branch}})
}

// racing visits a race that nobody has won yet: all branches, for attempts may be under way in each.
func (w *walk) racing(n *PlanNode, key string, at frame) outcome {
	out, winner := 0, ""
	var broken *blame // a branch that cannot be undone
	for _, branch := range n.Children {
		at := at.inBranch(key, branch.Label)
		before := w.mark()
		switch w.forward(branch, at) {
		case done:
			winner = cmp.Or(winner, branch.Label)
			continue
		case open:
			continue
		case failed:
		}
		cause := w.blame
		w.back(before)
		switch w.unwind(branch, at) {
		case failed:
			broken = new(w.blame)
		case done:
			out++
		case open:
		}
		w.blame = cause
	}
	switch {
	case broken != nil:
		w.blame = *broken
		return failed
	case winner != "":
		return w.follows(BranchTaken{Node: key, Branch: winner})
	case out == len(n.Children):
		return failed
	default:
		return open
	}
}

// unwind visits a branch that is not wanted any more: its attempts may finish, then it is undone. It fails where an undo
// has failed for good.
//
// That it is undone is in the log before an undo begins: whoever takes the saga over must not take an attempt forward for
// one that may be under way, and make another.
func (w *walk) unwind(n *PlanNode, at frame) outcome {
	turned := slices.Contains(w.in.Turned, at.scope)
	if !turned && !w.underWay(n, at) {
		return open
	}
	before := w.mark()
	if !w.backward(n, at) {
		if !turned {
			w.back(before)
			return w.follows(BranchTurned{Scope: at.scope})
		}
		return open
	}
	if key, s, found := w.stuck(n, at); found {
		return w.fail(key, s.Error, "")
	}
	return done
}

// stuck finds a step below the node whose undo has failed for good.
func (w *walk) stuck(n *PlanNode, at frame) (key string, state StepState, found bool) {
	for _, e := range w.in.Steps.list {
		if e.state.Status != StepUndoGaveUp || !strings.HasPrefix(turnsOf(e.key), at.turns) || found && e.key > key {
			continue
		}
		if n.holds(StepName(e.key)) {
			key, state, found = e.key, e.state, true
		}
	}
	return key, state, found
}

func (w *walk) forEach(n *PlanNode, at frame) outcome {
	key := at.key(n)
	b := w.in.block(key)
	switch {
	case b.Done:
		return done
	case !b.Found:
		return w.ask(TaskAsk, key, at)
	}
	var first blame
	all := open
	for i, active := b.firstOpen(), 0; i < len(b.Items) && active < n.Each.Limit; i++ {
		if b.Items[i].Ended {
			continue
		}
		active++
		if w.eachItem(n, key, i, at) == failed && all != failed {
			first, all = w.blame, failed
		}
	}
	if all == failed {
		w.blame = first
		return failed
	}
	if b.Ended == len(b.Items) {
		return w.ask(TaskCollect, key, at)
	}
	return open
}

// eachItem visits one item that is not through. It fails the whole where the item has failed for good and others are not to
// go on, or where what the item had done cannot be undone.
func (w *walk) eachItem(n *PlanNode, key string, i int, at frame) outcome {
	at = at.turn(i).inBranch(key, strconv.Itoa(i))
	before := w.mark()
	o := w.forward(n.Children[0], at)
	if o == done {
		return w.follows(ItemEnded{Node: key, Index: i})
	}
	if o == open || !n.Each.Gather {
		return o
	}
	cause := w.blame
	w.back(before)
	if o = w.unwind(n.Children[0], at); o == done {
		return w.follows(ItemEnded{Node: key, Index: i, Error: cause.err})
	}
	return o
}

func (w *walk) loop(n *PlanNode, at frame) outcome {
	key := at.key(n)
	b := w.in.block(key)
	switch {
	case b.Done:
		return done
	case b.Failed != "":
		return w.fail(key, b.Failed, b.Reason)
	case b.Turn > 0:
		if o := w.forward(n.Children[0], at.turn(b.Turn)); o != done {
			return o
		}
	}
	return w.ask(TaskAsk, key, at)
}

func (w *walk) sleep(n *PlanNode, at frame) outcome {
	key := at.key(n)
	b := w.in.block(key)
	switch {
	case b.Done:
		return done
	case b.Until.IsZero():
		return w.ask(TaskAsk, key, at)
	case !w.now.Before(b.Until):
		return w.follows(WaitEnded{Node: key})
	}
	w.wake(key, b.Until)
	return open
}

func (w *walk) within(n *PlanNode, at frame) outcome {
	key := at.key(n)
	b := w.in.block(key)
	switch {
	case b.Failed != "":
		w.forward(n.Children[0], at) // for the attempts that have not ended
		return w.fail(key, b.Failed, b.Reason)
	case b.Until.IsZero():
		return w.follows(WaitStarted{Node: key, Until: w.now.Add(n.Within)})
	}
	if at.deadline.IsZero() || b.Until.Before(at.deadline) {
		at.deadline = b.Until
	}
	o := w.forward(n.Children[0], at)
	if o == open {
		w.expire(key, b.Until, fmt.Sprintf("%q was not done within %v", n.Name, n.Within))
	}
	return o
}

func (w *walk) await(n *PlanNode, at frame) outcome {
	key := at.key(n)
	s := w.in.Steps.Get(key)
	switch s.Status {
	case StepPending, StepRetrying:
	default:
		return w.after(n, key, s, at)
	}
	b := w.in.block(key)
	if b.Branch == labelTimeout {
		if late := n.branch(labelTimeout); late != nil {
			return w.forward(late, at)
		}
		return w.fail(key, fmt.Sprintf("no signal came within %v", n.Await.Timeout), ReasonTimedOut)
	}
	if b.Signal != nil {
		w.tasks = append(w.tasks, Task{
			Step: key, Attempt: s.Attempt + 1, PutOff: s.PutOff, NotBefore: s.RetryAt, Scope: at.scope, Deadline: at.deadline, Signal: b.Signal,
		})
		return open
	}
	if signal := w.in.signal(n.signalName(key)); signal != nil {
		return w.follows(SignalTaken{Node: key, ID: signal.ID})
	}
	w.waiting = true
	switch {
	case n.Await.Timeout == 0:
	case b.Until.IsZero():
		return w.follows(WaitStarted{Node: key, Until: w.now.Add(n.Await.Timeout)})
	case !w.now.Before(b.Until):
		return w.follows(BranchTaken{Node: key, Branch: labelTimeout})
	default:
		w.wake(key, b.Until)
	}
	return open
}

func (w *walk) child(n *PlanNode, at frame) outcome {
	key := at.key(n)
	s := w.in.Steps.Get(key)
	switch {
	case s.Failure != "" && !n.Step.Optional: // even once it is undone
		return w.fail(key, s.Failure, "")
	case s.Status != StepPending && s.Status != StepRetrying:
		return done
	}
	c := w.in.block(key).Child
	switch {
	case c == nil:
		w.tasks = append(w.tasks, Task{Kind: TaskStart, Step: key, Attempt: s.Attempt + 1, NotBefore: s.RetryAt, Scope: at.scope})
	case n.Child.Detached:
		return w.follows(StepCompleted{Step: key, Attempt: s.Attempt + 1, Scope: at.scope})
	case c.Status == StatusCompleted:
		return w.ask(TaskResult, key, at)
	case c.Status != "":
		return w.follows(StepFailed{Step: key, Attempt: s.Attempt + 1, Failure: Failure{
			Error: fmt.Sprintf("the child %s ended %s: %s", c.Ref.Key, c.Status, c.Error), Permanent: true, GaveUp: true,
		}})
	default:
		w.waiting = true
	}
	return open
}
