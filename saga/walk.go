package saga

import (
	"slices"
	"strconv"
	"time"
)

// walk goes through a plan with what the log says of a saga, and finds what comes next: a fact that follows by itself,
// or else the tasks to carry out and what the saga waits for. It changes nothing of the saga, but notes in blocks which items
// the next walk need not visit.
type walk struct {
	p    *Plan
	in   *Instance
	now  time.Time // or what a timer has told, where that is later
	most int       // how many bytes a state may have; 0 for any
	busy []Task    // the tasks that are under way
	mine *Task     // a further task that is under way; nil for none
	any  bool      // all that could be under way is taken to be

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
	w.now = latest(w.now, w.in.Clock)
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

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// stands reports whether the walk has found nothing but tasks, and would find the same at any later time.
func (w *walk) stands() bool { return w.fact == nil && w.until.IsZero() && !w.waiting }

func (w *walk) runForward() {
	at := frame{deadline: w.in.Deadline}
	past := w.p.pastPivot(w.in)
	if past {
		at.deadline = time.Time{} // it has no way back any more
	}
	o := w.forward(w.p.Root, at)
	if b := w.in.block(""); b.Failed != "" && !past {
		o, w.blame = failed, blame{err: b.Failed, reason: b.Reason}
	}
	turn := w.turning(o, past)
	switch {
	case turn != nil:
		w.fact, w.until, w.waiting = nil, time.Time{}, false
		switch {
		case !w.quiet(0, true):
		case ends(turn) && len(w.in.Outbox) > 0:
			w.waiting = true // until what was emitted is published
		default:
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
	kept := from
	for i := from; i < len(w.tasks); i++ {
		t := &w.tasks[i]
		if !w.isBusy(t) {
			if !settle || t.Undo || !w.unsettled(t) {
				continue
			}
			t.Deadline = time.Time{} // it may have passed, and the attempt has to be given the time to find out
		}
		w.tasks[kept] = *t
		kept++
	}
	w.tasks = w.tasks[:kept]
	return kept == from
}

// unsettled reports whether a task has had an attempt of which nobody knows what became. So has the start of a child that has
// failed: the child may have been started.
func (w *walk) unsettled(t *Task) bool {
	return slices.Contains(w.in.Unsettled, t.Step) ||
		t.Kind == TaskStart && w.in.Steps.Get(t.Step).Doubt && !w.p.Node(t.Step).Child.Detached
}

func (w *walk) isBusy(t *Task) bool {
	return w.any || w.mine != nil && w.mine.same(t) || isAmong(t, w.busy)
}

// isAmong reports whether a task is one of several.
func isAmong(t *Task, tasks []Task) bool {
	for i := range tasks {
		if tasks[i].same(t) {
			return true
		}
	}
	return false
}

// underWay visits a node that is not wanted any more, and reports whether all attempts below it have ended.
func (w *walk) underWay(n *PlanNode, at frame) bool {
	before := w.mark()
	w.forward(n, at)
	tasks := w.tasks
	w.back(before)
	w.tasks = tasks
	return w.quiet(before.tasks, true)
}

// mark is what a walk had found when it came to a place.
type mark struct {
	tasks   int
	fact    Event
	until   time.Time
	waits   string
	waiting bool
	blame   blame
}

func (w *walk) mark() mark { return mark{len(w.tasks), w.fact, w.until, w.waits, w.waiting, w.blame} }

// back forgets what the walk has found since.
func (w *walk) back(m mark) {
	w.tasks = w.tasks[:m.tasks]
	w.fact, w.until, w.waits, w.waiting, w.blame = m.fact, m.until, m.waits, m.waiting, m.blame
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
		return w.fail(key, s.Failure, "")
	}
	w.tasks = append(w.tasks, Task{Kind: kind, Step: key, Attempt: 1, Scope: at.scope})
	return open
}
