package saga

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// walk goes through a plan with what the log says of a saga, and finds what comes next: a fact that follows by itself,
// or else the tasks to carry out and what the saga waits for. It changes nothing.
type walk struct {
	p    *Plan
	in   *Instance
	now  time.Time       // or what a timer has told, where that is later
	busy func(Task) bool // whether a task is under way; nil: none is

	tasks   []Task    // under way, due or resting
	fact    Event     // the first that follows by itself
	until   time.Time // when the first wait is over; zero without any
	waits   string    // the key of that wait
	waiting bool      // something waits for a signal or a child
	blame   blame     // for the failure that the walk has found
}

// blame says what failed.
type blame struct {
	step   string
	err    string
	reason Reason
}

// outcome is where a node stands.
type outcome int

const (
	open   outcome = iota // there is something to do or to wait for
	done                  // what follows may begin
	failed                // for good
)

// frame is where in a saga a node is.
type frame struct {
	turns    string    // the part of the keys after the names
	scope    string    // the part of the state that the handlers work on
	deadline time.Time // of the innermost block that has one
}

func (f frame) key(n *PlanNode) string {
	if f.turns == "" {
		return n.Name
	}
	return n.Name + f.turns
}

// turn gives the frame of one turn of a loop, or of one item.
func (f frame) turn(n int) frame {
	f.turns += string(keyMark) + strconv.Itoa(n)
	return f
}

// run finds what comes next for the saga as a whole.
func (w *walk) run() {
	if w.in.Clock.After(w.now) {
		w.now = w.in.Clock
	}
	switch w.in.Status {
	case StatusRunning:
		w.runForward()
	case StatusCompensating:
		w.runBackward()
	default:
	}
	if w.in.Paused {
		w.quiet(0, false)
		w.until, w.waits, w.waiting = time.Time{}, "", true
	}
}

func (w *walk) runForward() {
	at := frame{deadline: w.in.Deadline}
	past := w.p.pastPivot(w.in)
	o := w.forward(w.p.Root, at)
	if b := w.in.block(""); b.Failed != "" && !past {
		o, w.blame = failed, blame{err: b.Failed, reason: b.Reason}
	}
	turn := w.turning(o, past)
	switch {
	case turn != nil:
		w.fact, w.until, w.waiting = nil, time.Time{}, false
		if w.quiet(0, true) {
			w.fact = turn
		}
	case w.fact != nil:
	case o == done && len(w.in.Outbox) == 0:
		w.fact = SagaCompleted{}
	case o == done:
		w.waiting = true // until what was emitted is published
	case !w.in.Deadline.IsZero() && !past:
		w.expire("", w.in.Deadline, "the saga's deadline has passed")
	}
}

// turning gives the event that ends the way forward, if something does: it comes once all attempts have ended.
func (w *walk) turning(o outcome, pastPivot bool) Event {
	switch {
	case o == failed && pastPivot:
		return SagaStuck{Steps: []string{w.blame.step}, Error: w.blame.err}
	case o == failed:
		reason := w.blame.reason
		if reason == "" {
			reason = ReasonFailed
		}
		return CompensationStarted{Reason: reason, Step: w.blame.step, Error: w.blame.err}
	case w.in.Cancel != nil && !pastPivot:
		return CompensationStarted{Reason: ReasonCancelled, Error: w.in.Cancel.Reason}
	default:
		return nil
	}
}

func (w *walk) runBackward() {
	if !w.backward(w.p.Root, frame{}) || len(w.tasks) > 0 || w.waiting || w.fact != nil {
		return
	}
	if len(w.in.Outbox) > 0 {
		w.waiting = true
		return
	}
	var stuck []string
	var cause string
	for key, s := range w.in.Steps.All() {
		if s.Status == StepUndoGaveUp {
			stuck, cause = append(stuck, key), s.Error
		}
	}
	if len(stuck) > 0 {
		w.fact = SagaStuck{Steps: stuck, Error: cause}
		return
	}
	w.fact = SagaCompensated{Reason: w.in.Reason, Error: w.in.Error}
}

// quiet takes all tasks from one on off the list but those whose outcome has to be awaited before anything is undone: those
// under way, and with settle, those of which an attempt may have been made whose result is not known. It reports
// whether none is left.
func (w *walk) quiet(from int, settle bool) bool {
	kept := slices.DeleteFunc(w.tasks[from:], func(t Task) bool {
		return !w.isBusy(t) && !(settle && !t.Undo && slices.Contains(w.in.Unsettled, t.Step))
	})
	w.tasks = w.tasks[:from+len(kept)]
	return len(kept) == 0
}

func (w *walk) isBusy(t Task) bool { return w.busy != nil && w.busy(t) }

// underWay visits a node that is not wanted any more, and reports whether all attempts below it have ended.
func (w *walk) underWay(n *PlanNode, at frame) bool {
	before, from := *w, len(w.tasks)
	w.forward(n, at)
	w.fact, w.until, w.waits, w.waiting, w.blame = before.fact, before.until, before.waits, before.waiting, before.blame
	return w.quiet(from, true)
}

func (w *walk) follows(e Event) outcome {
	if w.fact == nil {
		w.fact = e
	}
	return open
}

func (w *walk) fail(step, err string, reason Reason) outcome {
	w.blame = blame{step, err, reason}
	return failed
}

// wake has the saga looked at again at a time.
func (w *walk) wake(key string, at time.Time) {
	if w.until.IsZero() || at.Before(w.until) {
		w.until, w.waits = at, key
	}
}

// expire fails a block whose time has come, and watches the time of one whose has not.
func (w *walk) expire(key string, at time.Time, err string) {
	if w.now.Before(at) {
		w.wake(key, at)
		return
	}
	w.follows(BlockFailed{Node: key, Error: err, Reason: ReasonTimedOut})
}

// ask has the state asked on behalf of a node. It is open until the answer is in the log.
func (w *walk) ask(kind TaskKind, key string, at frame) outcome {
	if s := w.in.Steps.Get(key); s.Status == StepGaveUp {
		return w.fail(key, s.Error, "")
	}
	w.tasks = append(w.tasks, Task{Kind: kind, Step: key, Attempt: 1, Scope: at.scope})
	return open
}

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
		w.tasks = append(w.tasks, Task{Step: key, Attempt: s.Attempt + 1, NotBefore: s.RetryAt, Scope: at.scope, Deadline: at.deadline})
		return open
	case StepGaveUp:
		return w.gaveUp(n, key, s, at)
	default:
		return done
	}
}

// gaveUp tells what comes after a step that has failed for good.
func (w *walk) gaveUp(n *PlanNode, key string, s StepState, at frame) outcome {
	if instead := n.branch(labelFallback); instead != nil {
		return w.forward(instead, at)
	}
	if n.Step.Optional {
		return done
	}
	return w.fail(key, s.Error, "")
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
		}
	}
	switch all {
	case failed:
		w.blame = first
		return failed
	case open:
		return open
	}
	if field, a, b, found := w.in.conflict(at.scope, key, n.Children); found {
		return w.follows(BlockFailed{Node: key, Error: fmt.Sprintf("the branches %q and %q have both changed the field %q", a, b, field)})
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
	for _, branch := range n.Children {
		if branch.Label == b.Branch {
			continue
		}
		switch w.unwind(branch, at.inBranch(key, branch.Label)) {
		case open:
			pending = true
		case failed:
			return failed
		}
	}
	if pending {
		return open
	}
	return w.follows(BranchesJoined{Node: key, Scope: at.scope, Branches: []string{b.Branch}})
}

// racing visits a race that nobody has won yet.
func (w *walk) racing(n *PlanNode, key string, at frame) outcome {
	out := 0
	for _, branch := range n.Children {
		at := at.inBranch(key, branch.Label)
		from := len(w.tasks)
		switch w.forward(branch, at) {
		case done:
			return w.follows(BranchTaken{Node: key, Branch: branch.Label})
		case open:
			continue
		}
		cause := w.blame
		w.tasks = w.tasks[:from]
		switch w.unwind(branch, at) {
		case failed:
			return failed
		case done:
			out++
		}
		w.blame = cause
	}
	if out == len(n.Children) {
		return failed
	}
	return open
}

// unwind visits a branch that is not wanted any more: its attempts are let end, then it is undone. It fails where an undo
// has failed for good.
func (w *walk) unwind(n *PlanNode, at frame) outcome {
	if !w.underWay(n, at) {
		return open
	}
	if !w.backward(n, at) {
		return open
	}
	if key, s, found := w.stuck(n, at); found {
		return w.fail(key, s.Error, "")
	}
	return done
}

// stuck finds a step below the node whose undo has failed for good.
func (w *walk) stuck(n *PlanNode, at frame) (key string, state StepState, found bool) {
	names := map[string]bool{}
	n.each(func(n *PlanNode) { names[n.Name] = n.Name != "" })
	for key, s := range w.in.Steps.All() {
		if s.Status == StepUndoGaveUp && names[StepName(key)] && len(turnsOf(key)) >= len(at.turns) && turnsOf(key)[:len(at.turns)] == at.turns {
			return key, s, true
		}
	}
	return "", StepState{}, false
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
		at := at.turn(i).inBranch(key, strconv.Itoa(i))
		switch from := len(w.tasks); w.forward(n.Children[0], at) {
		case done:
			w.follows(ItemEnded{Node: key, Index: i})
		case failed:
			cause := w.blame
			if n.Each.Gather {
				w.tasks = w.tasks[:from]
				switch w.unwind(n.Children[0], at) {
				case done:
					w.follows(ItemEnded{Node: key, Index: i, Error: cause.err})
					continue
				case open:
					continue
				}
				cause = w.blame
			}
			if all != failed {
				first = cause
			}
			all = failed
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
	case StepGaveUp:
		return w.gaveUp(n, key, s, at)
	default:
		return done
	}
	b := w.in.block(key)
	if b.Branch == labelTimeout {
		if late := n.branch(labelTimeout); late != nil {
			return w.forward(late, at)
		}
		return w.fail(key, fmt.Sprintf("no signal came within %v", n.Await.Timeout), ReasonTimedOut)
	}
	if signal := w.in.signal(n.signalName(key)); signal != nil {
		w.tasks = append(w.tasks, Task{
			Step: key, Attempt: s.Attempt + 1, NotBefore: s.RetryAt, Scope: at.scope, Deadline: at.deadline, Signal: signal,
		})
		return open
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
	switch s.Status {
	case StepPending, StepRetrying:
	case StepGaveUp:
		return w.gaveUp(n, key, s, at)
	default:
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
	rest := s.RetryAt
	if s.Status != StepUndoRetrying {
		rest = time.Time{} // that was the rest before another attempt of the step
	}
	w.tasks = append(w.tasks, Task{Step: key, Undo: true, Attempt: s.UndoAttempt + 1, NotBefore: rest, Scope: at.scope})
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

func (w *walk) backwardItems(n *PlanNode, key string, at frame) (done bool) {
	b := w.in.block(key)
	if b.high == 0 {
		b.high = len(b.Items)
	}
	active := 0
	for i := b.high - 1; i >= 0 && active < n.Each.Limit; i-- {
		if !w.backward(n.Children[0], at.turn(i).inBranch(key, strconv.Itoa(i))) {
			active++
			continue
		}
		if i == b.high-1 && i > 0 {
			b.high = i
		}
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
			Error: fmt.Sprintf("the child %s has passed its pivot and cannot be undone", c.Ref.Key), Permanent: true, GaveUp: true,
		}})
		return false
	case c.Recalled:
		w.waiting = true
		return false
	case c.Status == "", c.Status == StatusCompleted:
		w.tasks = append(w.tasks, Task{Kind: TaskRecall, Step: key, Undo: true, Attempt: s.UndoAttempt + 1, NotBefore: s.RetryAt})
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
