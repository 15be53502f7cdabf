package simulation

import (
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// shadow is a second, dumb model of one saga. It is shown every commit as it gets into the log, checks each event
// against what may happen next, and shares no code with the machine that wrote it.
type shadow struct {
	s       *subject
	version uint64
	commits map[uint64]saga.Owner // who wrote each version

	owner  saga.Owner
	owned  map[saga.Owner]bool // ever
	parked bool

	timers     map[string]string // pending, to the step that waits
	timersEver map[string]bool
	runs       []shadowRun // over

	// Of the present run.
	run        string
	definition *saga.Definition[Cargo]
	status     saga.Status // "" before the first run
	steps      []*shadowStep
	cancelled  bool
	failed     string
	reason     saga.Reason
	cargo      Cargo
}

// shadowStep is what became of one step of the present run.
type shadowStep struct {
	name               string
	spec               *saga.StepSpec
	index              int
	attempts, undos    int // that ended
	done, undone       bool
	gaveUp, undoGaveUp bool
	restsUntil         time.Time
}

// shadowRun is a run that is over.
type shadowRun struct {
	run       string
	status    saga.Status
	cancelled bool
	endedAt   time.Duration
	steps     []*shadowStep
}

func newShadow(s *subject) *shadow {
	return &shadow{
		s: s, commits: map[uint64]saga.Owner{}, owned: map[saga.Owner]bool{},
		timers: map[string]string{}, timersEver: map[string]bool{},
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

// checkAuthor checks that who wrote the commit could.
func (sh *shadow) checkAuthor(c *saga.Commit) {
	if len(c.Events) == 0 {
		sh.violate(OnlyTheOwnerMoves, "version %d by %v has no events", c.Version, c.By)
		return
	}
	first := c.Events[0]
	_, claims := first.(saga.ActivationClaimed)
	_, starts := first.(saga.SagaStarted)
	switch {
	case sh.status == "" || sh.ended():
		if !starts {
			sh.violate(NothingAfterTheEnd, "version %d by %v: %v", c.Version, c.By, eventNames(c))
		}
		return
	case sh.parked:
		switch first.(type) {
		case saga.TimerFired:
		case saga.CancelRequested:
			sh.sight(CancelledWhileParked)
		default:
			sh.violate(OnlyTheOwnerMoves, "version %d by %v wakes the saga with %v", c.Version, c.By, eventNames(c))
		}
		sh.own(c.By)
		sh.parked = false
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
		for _, e := range c.Events {
			switch e.(type) {
			case saga.CancelRequested, saga.TimerFired:
			default:
				sh.violate(OnlyTheOwnerMoves, "version %d by %v, where %v owns: %v", c.Version, c.By, sh.owner, eventNames(c))
				return
			}
		}
	}
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
	if _, starts := event.(saga.SagaStarted); sh.ended() && !starts {
		sh.violate(NothingAfterTheEnd, "%s in version %d", saga.EventName(event), c.Version)
		return
	}
	switch e := event.(type) {
	case saga.SagaStarted:
		sh.start(e, c)
	case saga.ActivationClaimed:
	case saga.StepCompleted:
		if s := sh.attempt(e.Step, e.Attempt, false); s != nil {
			s.attempts, s.done = e.Attempt, true
			sh.cargo.carry(s.index, false)
		}
	case saga.StepFailed:
		if s := sh.attempt(e.Step, e.Attempt, false); s != nil {
			s.attempts, s.gaveUp, s.restsUntil = e.Attempt, e.GaveUp, e.RetryAt
			sh.checkFailure(e.Failure, s.spec.Retry, e.Attempt)
			if e.GaveUp {
				sh.failed = e.Step
			}
		}
	case saga.CompensationStarted:
		sh.turn(e)
	case saga.StepCompensated:
		if s := sh.attempt(e.Step, e.Attempt, true); s != nil {
			s.undos, s.undone = e.Attempt, true
			sh.cargo.carry(s.index, true)
		}
	case saga.CompensationFailed:
		if s := sh.attempt(e.Step, e.Attempt, true); s != nil {
			s.undos, s.undoGaveUp, s.restsUntil = e.Attempt, e.GaveUp, e.RetryAt
			sh.checkFailure(e.Failure, s.spec.Undo.Retry, e.Attempt)
		}
	case saga.CancelRequested:
		sh.cancel(e, c)
	case saga.TimerSet, saga.TimerFired, saga.TimerCancelled, saga.SagaParked:
		sh.timerEvent(event, c)
	case saga.SagaCompleted, saga.SagaCompensated, saga.SagaStuck:
		sh.end(event)
	default:
		sh.violate(PlanIsFollowed, "event %T is not known to the model", event)
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
	sh.run, sh.status, sh.cancelled, sh.failed, sh.reason = e.Run, saga.StatusRunning, false, "", ""
	sh.definition = sh.s.w.catalog[sh.s.key.Definition][e.Definition]
	sh.cargo = cargoOf(e.State)
	sh.steps = nil
	for i, n := range sh.definition.Plan().Root.Children {
		sh.steps = append(sh.steps, &shadowStep{name: n.Name, spec: n.Step, index: i})
	}
	sh.own(c.By)
	if c.By.Command != e.Run {
		sh.owner = saga.Owner{Command: e.Run}
		sh.sight(CancelledBeforeStart)
	}
	if len(sh.runs) > 0 {
		sh.sight(RanAgain)
	}
}

// attempt checks that the attempt is the one that is due, and gives its step.
func (sh *shadow) attempt(step string, attempt int, undo bool) *shadowStep {
	due := sh.dueForward()
	last := 0
	if undo {
		due = sh.dueBackward()
	}
	if due != nil {
		last = due.attempts
		if undo {
			last = due.undos
		}
	}
	if due == nil || due.name != step || attempt != last+1 {
		sh.violate(PlanIsFollowed, "attempt %d of %s (undo: %v), where the plan has %v after attempt %d",
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
func (sh *shadow) dueForward() *shadowStep {
	if sh.status != saga.StatusRunning || sh.failed != "" {
		return nil
	}
	for _, s := range sh.steps {
		if !s.done {
			return s
		}
	}
	return nil
}

// dueBackward is the step to undo next, if any.
func (sh *shadow) dueBackward() *shadowStep {
	if sh.status != saga.StatusCompensating {
		return nil
	}
	for _, s := range slices.Backward(sh.steps) {
		if s.done && s.spec.Undo != nil && !s.undone && !s.undoGaveUp {
			return s
		}
	}
	return nil
}

func (sh *shadow) pastPivot() bool {
	return slices.ContainsFunc(sh.steps, func(s *shadowStep) bool { return s.spec.Pivot && s.done })
}

func (sh *shadow) checkFailure(f saga.Failure, policy saga.RetryPolicy, attempt int) {
	spent := policy.Attempts != saga.Unlimited && attempt >= policy.Attempts
	if f.GaveUp != (f.Permanent || spent) {
		sh.violate(PlanIsFollowed, "attempt %d of at most %d, permanent: %v, gave up: %v", attempt, policy.Attempts, f.Permanent, f.GaveUp)
	}
}

// restsUntil is the time before which the task is not to run.
func (sh *shadow) restsUntil(t saga.Task) time.Time {
	for _, s := range sh.steps {
		if s.name == t.Step {
			return s.restsUntil
		}
	}
	return time.Time{}
}

func (sh *shadow) turn(e saga.CompensationStarted) {
	ok := sh.status == saga.StatusRunning && !sh.pastPivot()
	switch e.Reason { //nolint:exhaustive // the plans here have no deadlines and no parents
	case saga.ReasonFailed:
		ok = ok && sh.failed != "" && e.Step == sh.failed
	case saga.ReasonCancelled:
		ok = ok && sh.cancelled
	}
	if !ok {
		sh.violate(PlanIsFollowed, "compensation of a saga that is %s begins for the reason %q", sh.status, e.Reason)
	}
	sh.status, sh.reason = saga.StatusCompensating, e.Reason
}

func (sh *shadow) cancel(e saga.CancelRequested, c *saga.Commit) {
	sh.cancelled = true
	if e.ID == c.By.Command && sh.owner != c.By && sh.owner.Delivery > 0 {
		sh.sight(CancelledWhileRunning)
	}
	if sh.pastPivot() {
		sh.sight(CancelledPastPivot)
	}
}

func (sh *shadow) timerEvent(event saga.Event, c *saga.Commit) {
	switch e := event.(type) {
	case saga.TimerSet:
		if sh.timersEver[e.Name] {
			sh.violate(TimersFireOnce, "timer %s is set a second time", e.Name)
		}
		sh.timers[e.Name] = e.Step
		sh.timersEver[e.Name] = true
	case saga.TimerFired:
		step, pending := sh.timers[e.Name]
		if !pending {
			sh.violate(TimersFireOnce, "timer %s fires, but is not pending", e.Name)
		}
		delete(sh.timers, e.Name)
		for _, s := range sh.steps {
			if s.name == step {
				s.restsUntil = time.Time{}
			}
		}
	case saga.TimerCancelled:
		if _, pending := sh.timers[e.Name]; !pending {
			sh.violate(TimersFireOnce, "timer %s is cancelled, but is not pending", e.Name)
		}
		delete(sh.timers, e.Name)
	case saga.SagaParked:
		if len(sh.timers) == 0 {
			sh.violate(NoSagaIsLost, "version %d parks the saga without a timer", c.Version)
		}
		sh.parked = true
		sh.sight(Parked)
	}
}

// end checks that the end is the right one.
func (sh *shadow) end(event saga.Event) {
	var gaveUp bool
	for _, s := range sh.steps {
		gaveUp = gaveUp || s.undoGaveUp
	}
	var right bool
	switch e := event.(type) {
	case saga.SagaCompleted:
		right = sh.status == saga.StatusRunning && sh.failed == "" && sh.dueForward() == nil
		sh.status = saga.StatusCompleted
		sh.sight(Completed)
	case saga.SagaCompensated:
		right = sh.status == saga.StatusCompensating && sh.dueBackward() == nil && !gaveUp && e.Reason == sh.reason
		sh.status = saga.StatusCompensated
		sh.sight(Compensated)
	case saga.SagaStuck:
		if sh.status == saga.StatusCompensating {
			right = sh.dueBackward() == nil && gaveUp
			sh.sight(StuckUndo)
		} else {
			right = sh.pastPivot() && sh.failed != ""
			sh.sight(StuckPastPivot)
		}
		sh.status = saga.StatusStuck
	}
	if !right {
		sh.violate(PlanIsFollowed, "run %s ends with %s", sh.run, saga.EventName(event))
	}
	if sh.cancelled && sh.status == saga.StatusCompleted && !sh.pastPivot() {
		sh.violate(CancelIsHonoured, "run %s was to be cancelled, had not passed a pivot, and is %s", sh.run, sh.status)
	}
	if len(sh.timers) > 0 {
		sh.violate(TimersFireOnce, "run %s ends with timers pending: %v", sh.run, sh.timers)
	}
	sh.runs = append(sh.runs, shadowRun{
		run: sh.run, status: sh.status, cancelled: sh.cancelled, endedAt: sh.s.w.now, steps: sh.steps,
	})
}
