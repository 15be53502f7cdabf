package simulation

import (
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// shadow is a second, dumb model of one saga. It is shown every commit as it gets into the log, checks each event
// against what may happen next, and shares no code with the machine that wrote it. What it knows itself is who may
// write, timers, and how runs begin and end; what a plan makes of a run is its course's to know.
type shadow struct {
	s       *subject
	version uint64
	commits map[uint64]saga.Owner // who wrote each version

	owner  saga.Owner
	owned  map[saga.Owner]bool // ever
	parked bool

	timers     map[string]saga.TimerSet // pending
	timersEver map[string]bool
	firstEnd   map[string]time.Duration // of each run, which may have been opened again since
	runs       []shadowRun              // over

	// Of the present run.
	run       string
	status    saga.Status // "" before the first run
	cancelled bool
	reason    saga.Reason
	course    course
	openers   map[string]saga.Owner // who began which attempt while nothing was in the log
}

// course is the part of the model that knows the plan of a run.
type course interface {
	// begin takes the beginning of the run.
	begin(e saga.SagaStarted, c *saga.Commit)
	// event takes any other event but those of timers.
	event(e saga.Event, c *saga.Commit)
	// fired takes that a timer has fired.
	fired(e saga.TimerSet)
	// pastPivot reports whether there is no way back any more.
	pastPivot() bool
	// starts takes that an activation which owns the saga begins an attempt.
	starts(a *activation, task saga.Task)
	// restsUntil is the time before which the task is not to run.
	restsUntil(t saga.Task) time.Time
	// waits reports whether a saga may be parked without a timer.
	waits() bool
	// told says whether the log tells of the effect of a step, or of its undo; free where it cannot tell.
	told(info saga.Info) (told, free bool)
	// differs says in what a state is not the model's; nothing where it is.
	differs(s saga.State) string
}

// shadowRun is a run that is over.
type shadowRun struct {
	run       string
	status    saga.Status
	cancelled bool
	endedAt   time.Duration
	course    course
}

func newShadow(s *subject) *shadow {
	return &shadow{
		s: s, commits: map[uint64]saga.Owner{}, owned: map[saga.Owner]bool{},
		timers: map[string]saga.TimerSet{}, timersEver: map[string]bool{}, firstEnd: map[string]time.Duration{},
	}
}

func (sh *shadow) ended() bool { return sh.status.Ended() }

// ownedBy reports whether the activation owns the saga now.
func (sh *shadow) ownedBy(o saga.Owner) bool { return sh.owner == o }

// has reports whether a commit is in the log.
func (sh *shadow) has(c *saga.Commit) bool {
	by, ok := sh.commits[c.Version]
	return ok && by == c.By
}

func (sh *shadow) violate(i Invariant, format string, args ...any) {
	sh.s.w.violate(i, sh.s.key, format, args...)
}

func (sh *shadow) sight(s Situation) { sh.s.w.sight(s) }

// apply takes a commit.
func (sh *shadow) apply(c *saga.Commit) {
	if c.Version != sh.version+1 {
		sh.violate(NoHoles, "version %d follows version %d", c.Version, sh.version)
	}
	sh.version = c.Version
	sh.commits[c.Version] = c.By
	if c.Snapshot != nil && c.Version%saga.SnapshotEvery == 0 {
		sh.sight(PeriodicSnapshot)
	}
	sh.checkAuthor(c)
	for _, e := range c.Events {
		sh.event(e, c)
	}
	if (sh.ended() || sh.parked) && sh.owner != (saga.Owner{}) {
		sh.owner = saga.Owner{}
	}
}

// starts takes that an activation which owns the saga begins an attempt.
func (sh *shadow) starts(a *activation, task saga.Task) {
	if sh.version > 0 {
		sh.course.starts(a, task)
		return
	}
	if sh.openers == nil {
		sh.openers = map[string]saga.Owner{}
	}
	sh.openers[task.Step] = a.core.Owner()
}

// isOrder reports whether an event is what an operator wants, or a parent; opens, whether it opens a run again that is over.
func isOrder(e saga.Event) (order, opens bool) {
	switch e.(type) {
	case saga.SagaPaused, saga.SagaTerminated:
		return true, false
	case saga.SagaResumed, saga.StepRetried, saga.StepSkipped, saga.StepResolved, saga.UndoRequested:
		return true, true
	default:
		return false, false
	}
}

// checkAuthor checks that who wrote the commit could.
func (sh *shadow) checkAuthor(c *saga.Commit) {
	if len(c.Events) == 0 {
		sh.violate(OnlyTheOwnerMoves, "version %d by %v has no events", c.Version, c.By)
		return
	}
	first := c.Events[0]
	_, claims := first.(saga.ActivationClaimed)
	_, starts := first.(saga.SagaStarted)
	order := slices.ContainsFunc(c.Events, func(e saga.Event) bool { order, _ := isOrder(e); return order })
	if sh.isNote(c) {
		return
	}
	switch {
	case sh.status == "" || sh.ended():
		if !starts && (!order || !sh.ended()) {
			sh.violate(NothingAfterTheEnd, "version %d by %v: %v", c.Version, c.By, eventNames(c))
		}
	case sh.parked:
		sh.wake(c, order)
	case claims:
		if c.By.Command != sh.owner.Command || c.By.Delivery <= sh.owner.Delivery {
			sh.violate(OnlyTheOwnerMoves, "version %d: %v claims from %v", c.Version, c.By, sh.owner)
		}
		if c.By.Sequence != sh.owner.Sequence {
			sh.violate(OneOwnerAtATime, "version %d: %v claims from %v, another copy of its command", c.Version, c.By, sh.owner)
		}
		sh.noteClaim(c)
		sh.own(c.By)
	case c.By != sh.owner:
		sh.checkStranger(c)
	}
}

// isNote reports whether a commit only notes what has come, for a saga that has ended, or for none.
func (sh *shadow) isNote(c *saga.Commit) bool {
	switch c.Events[0].(type) {
	case saga.ChildEnded:
		return sh.ended() && len(c.Events) == 1
	case saga.CommandDismissed:
		return sh.status != "" && len(c.Events) == 1
	case saga.SignalReceived:
		return sh.status == saga.StatusStuck && len(c.Events) == 1
	default:
		return false
	}
}

// wake takes a commit to a parked saga.
func (sh *shadow) wake(c *saga.Commit, order bool) {
	switch c.Events[0].(type) {
	case saga.TimerFired, saga.SignalReceived, saga.ChildEnded:
		if sh.paused() {
			sh.checkStranger(c)
			return
		}
	case saga.CancelRequested:
		sh.sight(CancelledWhileParked)
	case saga.SagaPaused:
		sh.checkStranger(c)
		return
	default:
		if !order {
			sh.violate(OnlyTheOwnerMoves, "version %d by %v wakes the saga with %v", c.Version, c.By, eventNames(c))
		}
	}
	sh.own(c.By)
	sh.parked = false
}

// checkStranger checks that who does not own the saga leaves it to who does.
func (sh *shadow) checkStranger(c *saga.Commit) {
	for _, e := range c.Events {
		switch e.(type) {
		case saga.CancelRequested, saga.TimerFired, saga.TimerCancelled, saga.SignalReceived, saga.ChildEnded, saga.EmissionsPublished:
		default:
			if order, _ := isOrder(e); !order {
				sh.violate(OnlyTheOwnerMoves, "version %d by %v, where %v owns: %v", c.Version, c.By, sh.owner, eventNames(c))
				return
			}
		}
	}
}

// paused reports whether an operator had the saga halt.
func (sh *shadow) paused() bool {
	f, ok := sh.course.(*flow)
	return ok && f.paused
}

func (sh *shadow) own(o saga.Owner) {
	sh.owner = o
	sh.owned[o] = true
}

func (sh *shadow) noteClaim(c *saga.Commit) {
	if sh.owner.Delivery > 0 {
		sh.sight(Reclaimed)
	}
	if sh.cancelled && len(c.Events) > 1 {
		sh.sight(CancelledDuringFirst)
	}
}

// event takes one event.
func (sh *shadow) event(event saga.Event, c *saga.Commit) {
	_, starts := event.(saga.SagaStarted)
	order, opens := isOrder(event)
	switch {
	case starts || !sh.ended() || sh.isNote(c):
	case opens:
		sh.reopen(event, c)
	case !order:
		sh.violate(NothingAfterTheEnd, "%s in version %d", saga.EventName(event), c.Version)
		return
	}
	switch e := event.(type) {
	case saga.SagaStarted:
		sh.start(e, c)
	case saga.CompensationStarted:
		sh.turn(e, c)
	case saga.CancelRequested:
		sh.cancel(e, c)
		sh.course.event(event, c)
	case saga.TimerSet, saga.TimerFired, saga.TimerCancelled, saga.SagaParked:
		sh.timerEvent(event, c)
	case saga.SagaCompleted, saga.SagaCompensated, saga.SagaStuck, saga.SagaTerminated:
		sh.end(event, c)
	default:
		sh.course.event(event, c)
	}
}

func (sh *shadow) start(e saga.SagaStarted, c *saga.Commit) {
	if sh.status != "" && !sh.ended() {
		sh.violate(NothingAfterTheEnd, "run %s starts while run %s is not over", e.Run, sh.run)
	}
	start := sh.s.findStart(e.Run)
	if start == nil || start.Previous != sh.run || start.Definition != 0 && start.Definition != e.Definition {
		sh.violate(PlanIsFollowed, "run %s under definition %d follows run %q, which is not what its Start says",
			e.Run, e.Definition, sh.run)
	}
	sh.run, sh.status, sh.cancelled, sh.reason = e.Run, saga.StatusRunning, false, ""
	sh.course = sh.s.w.catalog[sh.s.key.Definition][e.Definition].course(sh)
	sh.own(c.By)
	if c.By.Command != e.Run {
		sh.owner = saga.Owner{Command: e.Run}
		sh.sight(CancelledBeforeStart)
	}
	sh.course.begin(e, c)
	if len(sh.runs) > 0 {
		sh.sight(RanAgain)
	}
}

func (sh *shadow) turn(e saga.CompensationStarted, c *saga.Commit) {
	if sh.status != saga.StatusRunning || sh.course.pastPivot() || e.Reason == saga.ReasonCancelled && !sh.cancelled {
		sh.violate(PlanIsFollowed, "compensation of a saga that is %s begins for the reason %q", sh.status, e.Reason)
	}
	sh.course.event(e, c)
	sh.status, sh.reason = saga.StatusCompensating, e.Reason
}

func (sh *shadow) cancel(e saga.CancelRequested, c *saga.Commit) {
	sh.cancelled = true
	if e.ID == c.By.Command && sh.owner != c.By && sh.owner.Delivery > 0 {
		sh.sight(CancelledWhileRunning)
	}
	if sh.course.pastPivot() {
		sh.sight(CancelledPastPivot)
	}
}

func (sh *shadow) timerEvent(event saga.Event, c *saga.Commit) {
	switch e := event.(type) {
	case saga.TimerSet:
		if sh.timersEver[e.Name] {
			sh.violate(TimersFireOnce, "timer %s is set a second time", e.Name)
		}
		sh.timers[e.Name] = e
		sh.timersEver[e.Name] = true
	case saga.TimerFired:
		timer, pending := sh.timers[e.Name]
		if !pending {
			sh.violate(TimersFireOnce, "timer %s fires, but is not pending", e.Name)
		}
		delete(sh.timers, e.Name)
		sh.course.fired(timer)
	case saga.TimerCancelled:
		if _, pending := sh.timers[e.Name]; !pending {
			sh.violate(TimersFireOnce, "timer %s is cancelled, but is not pending", e.Name)
		}
		delete(sh.timers, e.Name)
	case saga.SagaParked:
		if len(sh.timers) == 0 && !sh.course.waits() {
			sh.violate(NoSagaIsLost, "version %d parks the saga without a timer", c.Version)
		}
		sh.parked = true
		sh.sight(Parked)
	}
}

// end checks that the end is the right one, as far as every plan has it.
func (sh *shadow) end(event saga.Event, c *saga.Commit) {
	if sh.ended() {
		sh.reopen(event, c) // a stuck run is given up
	}
	sh.course.event(event, c)
	running := sh.status == saga.StatusRunning
	right := running
	switch e := event.(type) {
	case saga.SagaCompleted:
		sh.status = saga.StatusCompleted
		sh.sight(Completed)
	case saga.SagaCompensated:
		right = !running && e.Reason == sh.reason
		sh.status = saga.StatusCompensated
		sh.sight(Compensated)
	case saga.SagaStuck:
		if running {
			right = sh.course.pastPivot()
			sh.sight(StuckPastPivot)
		} else {
			right = true
			sh.sight(StuckUndo)
		}
		sh.status = saga.StatusStuck
	case saga.SagaTerminated:
		right = true
		sh.status = saga.StatusTerminated
	}
	if !right {
		sh.violate(PlanIsFollowed, "run %s ends with %s", sh.run, saga.EventName(event))
	}
	if sh.cancelled && sh.status == saga.StatusCompleted && !sh.course.pastPivot() {
		sh.violate(CancelIsHonoured, "run %s was to be cancelled, had not passed a pivot, and is %s", sh.run, sh.status)
	}
	if len(sh.timers) > 0 {
		sh.violate(TimersFireOnce, "run %s ends with timers pending: %v", sh.run, sh.timers)
	}
	if _, again := sh.firstEnd[sh.run]; !again {
		sh.firstEnd[sh.run] = sh.s.w.now
	}
	sh.runs = append(sh.runs, shadowRun{
		run: sh.run, status: sh.status, cancelled: sh.cancelled, endedAt: sh.firstEnd[sh.run], course: sh.course,
	})
}

// reopen takes back that the run is over.
func (sh *shadow) reopen(event saga.Event, c *saga.Commit) {
	_, undo := event.(saga.UndoRequested)
	if undo != (sh.status == saga.StatusCompleted) || !undo && sh.status != saga.StatusStuck {
		sh.violate(NothingAfterTheEnd, "%s in version %d of a run that is %s", saga.EventName(event), c.Version, sh.status)
	}
	sh.runs = sh.runs[:len(sh.runs)-1]
	sh.status = saga.StatusRunning
	if undo {
		sh.reason = saga.ReasonUndone
	}
	if sh.reason != "" {
		sh.status = saga.StatusCompensating
	}
	sh.own(c.By)
}
