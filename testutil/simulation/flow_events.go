package simulation

import (
	"maps"
	"slices"

	"github.com/jetsaga/jetsaga/saga"
)

func (f *flow) begin(e saga.SagaStarted, c *saga.Commit) {
	f.top = newScope(bagOf(e.State))
	f.deadline = e.Deadline
	for key, by := range f.openers {
		if by != c.By {
			f.checkUnsettled(key, by, e.Unsettled)
		}
		f.begun[key] = by
	}
	f.openers = nil
	f.unsettle(e.Unsettled)
}

func (f *flow) unsettle(keys []string) {
	f.unsettled = map[string]bool{}
	for _, key := range keys {
		f.unsettled[key] = true
	}
}

// checkUnsettled checks that an attempt which a vanished activation has begun is known to be open.
func (f *flow) checkUnsettled(key string, by saga.Owner, known []string) {
	if !slices.Contains(known, key) {
		f.violate(AttemptsEndFirst, "an attempt of %s by %v, which has lost the saga, is forgotten", key, by)
	}
}

// starts takes that an activation which owns the saga begins an attempt.
func (f *flow) starts(a *activation, t saga.Task) {
	p, ok := f.locate(t.Step)
	in := a.core.Instance()
	upToDate := in.Version == f.version
	if !t.Undo && (!ok || !f.step(p).skipped) {
		f.begun[t.Step] = a.core.Owner()
	}
	switch {
	case !ok:
		f.violate(PlanIsFollowed, "%s runs, which the plan does not have", taskName(t))
	case !upToDate:
	case f.paused:
		f.violate(PlanIsFollowed, "%s runs in a pause", taskName(t))
	case t.Undo:
		if fault := f.undoFault(p); fault != "" {
			f.violate(PlanIsFollowed, "%s runs: %s", taskName(t), fault)
		}
	default:
		f.checkStart(p, t)
	}
}

func (f *flow) checkStart(p place, t saga.Task) {
	reached, unwanted := f.reach(p)
	s, b := f.step(p), f.block(p)
	switch {
	case !reached:
		f.violate(PlanIsFollowed, "%s runs, which the log has not led to", taskName(t))
	case unwanted != "" && !f.unsettled[t.Step]:
		f.violate(PlanIsFollowed, "%s runs: %s", taskName(t), unwanted)
	case s.done || s.gaveUp || t.Attempt != s.attempts+1:
		f.violate(PlanIsFollowed, "%s runs after attempt %d of a step that is done: %v, or gave up: %v", taskName(t), s.attempts, s.done, s.gaveUp)
	case p.asked && b.branch != runLabel:
		f.violate(PlanIsFollowed, "%s runs, and the answer to its condition is %q", taskName(t), b.branch)
	case p.kind == saga.KindAwait && (t.Signal == nil || b.signal == nil || b.signal.ID != t.Signal.ID):
		f.violate(SignalsAreTakenOnce, "%s runs with the signal %v, where the log tells of %v", taskName(t), t.Signal, b.signal)
	}
}

func (f *flow) event(event saga.Event, c *saga.Commit) {
	switch e := event.(type) {
	case saga.ActivationClaimed:
		for key, by := range f.begun {
			if f.status == saga.StatusRunning && by != c.By {
				f.checkUnsettled(key, by, e.Unsettled)
			}
		}
		maps.DeleteFunc(f.begun, func(_ string, by saga.Owner) bool { return by != c.By })
		f.unsettle(e.Unsettled)
	case saga.StepCompleted:
		f.completed(e, c)
	case saga.StepFailed:
		f.failed(e, c)
	case saga.StepCompensated:
		f.compensated(e)
	case saga.CompensationFailed:
		f.undoFailed(e)
	case saga.CompensationStarted:
		f.turned(e)
	case saga.SagaCompleted, saga.SagaCompensated, saga.SagaStuck:
		f.checkEnd(event)
	case saga.SagaTerminated, saga.CancelRequested, saga.AttributesChanged, saga.CommandDismissed:
	case saga.EmissionsPublished:
		f.published()
	case saga.SignalReceived, saga.SignalTaken, saga.SignalRefused:
		f.signalEvent(event)
	case saga.ChildStarted, saga.ChildEnded, saga.ChildRecalled:
		f.childEvent(event)
	case saga.SagaPaused, saga.SagaResumed, saga.UndoRequested, saga.StepRetried, saga.StepSkipped, saga.StepResolved:
		f.order(event)
	default:
		f.blockEvent(event, c)
	}
}

// result checks that the result of an attempt forward is one that the log called for.
func (f *flow) result(key string, attempt int, c *saga.Commit) (p place, s *flowStep, ok bool) {
	p, ok = f.locate(key)
	if !ok {
		f.violate(PlanIsFollowed, "attempt %d of %s, which the plan does not have", attempt, key)
		return p, nil, false
	}
	s = f.step(p)
	reached, _ := f.reach(p)
	by, begun := f.begun[key]
	switch {
	case f.status != saga.StatusRunning || !reached:
		f.violate(PlanIsFollowed, "attempt %d of %s, which the log has not led to, of a saga that is %s", attempt, key, f.status)
	case s.done || s.gaveUp || attempt != s.attempts+1:
		f.violate(PlanIsFollowed, "attempt %d of %s follows attempt %d; done: %v, gave up: %v", attempt, key, s.attempts, s.done, s.gaveUp)
	case p.kind != saga.KindChild && (!begun || by != c.By):
		f.violate(PlanIsFollowed, "attempt %d of %s has a result by %v, and was not begun by it", attempt, key, c.By)
	}
	delete(f.begun, key)
	return p, s, true
}

func (f *flow) completed(e saga.StepCompleted, c *saga.Commit) {
	p, s, ok := f.result(e.Step, e.Attempt, c)
	if !ok {
		return
	}
	b := f.block(p)
	delete(f.unsettled, e.Step)
	f.outbox = append(f.outbox, e.Emits...)
	switch p.kind {
	case saga.KindAwait:
		if b.signal == nil || e.Signal != b.signal.ID {
			f.violate(SignalsAreTakenOnce, "%s completes with the signal %q, where it has taken %v", e.Step, e.Signal, b.signal)
			return
		}
		f.scope(p).change(func(state *Bag) { f.receive(p, state, *b.signal) })
	case saga.KindChild:
		if !p.alone && b.status != saga.StatusCompleted {
			f.violate(PlanIsFollowed, "%s completes, and its child is %q", e.Step, b.status)
		}
		if !p.alone {
			f.scope(p).change(func(state *Bag) { state.adopt(p.spec, bagOf(b.state)) })
		}
	default:
		f.scope(p).change(func(state *Bag) { state.carry(p.spec, e.Step, false, 0) })
	}
	*s = flowStep{attempts: e.Attempt, done: true, touched: s.touched}
}

func (f *flow) failed(e saga.StepFailed, c *saga.Commit) {
	p, s, ok := f.result(e.Step, madeOf(e.Attempt, e.Failure), c)
	if !ok {
		return
	}
	s.attempts, s.gaveUp, s.restsUntil = e.Attempt, e.GaveUp, e.RetryAt
	s.doubt = e.Unknown || s.doubt && !e.Permanent
	if e.GaveUp {
		delete(f.unsettled, e.Step)
	} else if p.kind == saga.KindChild && !p.alone {
		f.unsettled[e.Step] = true // the child may have been started
	}
	switch {
	case p.kind != saga.KindChild:
		f.checkFailure(e.Failure, p.retry, e.Attempt, &s.putOff)
	case e.GaveUp && (f.block(p).child == nil || f.block(p).status == "" || f.block(p).status == saga.StatusCompleted):
		f.violate(PlanIsFollowed, "%s fails for good, and its child is %q", e.Step, f.block(p).status)
	}
}

func (f *flow) compensated(e saga.StepCompensated) {
	p, ok := f.locate(e.Step)
	if !ok {
		f.violate(PlanIsFollowed, "%s is undone, which the plan does not have", e.Step)
		return
	}
	s := f.step(p)
	if fault := f.undoFault(p); fault != "" || e.Attempt != s.undos+1 {
		f.violate(UndoneOnceInOrder, "attempt %d of the undo of %s, after attempt %d: %s", e.Attempt, e.Step, s.undos, fault)
	}
	f.outbox = append(f.outbox, e.Emits...)
	if p.kind == saga.KindChild {
		if status := f.block(p).status; status != saga.StatusCompensated && status != saga.StatusTerminated {
			f.violate(PlanIsFollowed, "%s is undone, and its child is %q", e.Step, status)
		}
	} else {
		f.scope(p).change(func(state *Bag) { state.carry(p.spec, e.Step, true, 0) })
	}
	s.undos, s.undone = e.Attempt, true
}

func (f *flow) undoFailed(e saga.CompensationFailed) {
	p, ok := f.locate(e.Step)
	if !ok {
		f.violate(PlanIsFollowed, "the undo of %s fails, which the plan does not have", e.Step)
		return
	}
	s := f.step(p)
	if fault := f.undoFault(p); fault != "" || madeOf(e.Attempt, e.Failure) != s.undos+1 {
		f.violate(UndoneOnceInOrder, "attempt %d of the undo of %s, after attempt %d: %s", e.Attempt, e.Step, s.undos, fault)
	}
	s.undos, s.undoGaveUp, s.restsUntil = e.Attempt, e.GaveUp, e.RetryAt
	if b := f.block(p); p.kind != saga.KindChild {
		f.checkFailure(e.Failure, *p.undo, e.Attempt, &s.undoPutOff)
	} else if e.GaveUp && !b.refused && b.status != saga.StatusStuck {
		f.violate(PlanIsFollowed, "the undo of %s fails for good, and its child is %q", e.Step, b.status)
	}
}

func (f *flow) turned(e saga.CompensationStarted) {
	if e.Reason != saga.ReasonCancelled && !f.overdue && f.stands(f.root()) != broken {
		f.violate(PlanIsFollowed, "compensation begins for the reason %q, and nothing has failed", e.Reason)
	}
	f.checkOpen("compensation begins")
}

// checkOpen checks that no attempt is open.
func (f *flow) checkOpen(what string) {
	if len(f.begun) > 0 || len(f.unsettled) > 0 {
		f.violate(AttemptsEndFirst, "%s, and attempts are open: %v, or in doubt: %v", what, f.begun, f.unsettled)
	}
}

func (f *flow) checkEnd(event saga.Event) {
	right := false
	stuck := f.stuckBelow(f.root())
	switch event.(type) {
	case saga.SagaCompleted:
		right = f.stands(f.root()) == through
	case saga.SagaCompensated:
		right = !f.left(f.root()) && !stuck
	case saga.SagaStuck:
		right = f.stands(f.root()) == broken
		if f.status == saga.StatusCompensating {
			right = !f.left(f.root()) && stuck
		}
	}
	if !right {
		f.violate(PlanIsFollowed, "run %s, which is %s, ends with %s", f.run, f.status, saga.EventName(event))
	}
	if len(f.outbox) > 0 {
		f.violate(OutboxIsEmptied, "run %s ends with %s and with %d emissions that are not published", f.run, saga.EventName(event), len(f.outbox))
	}
	f.checkOpen("run " + f.run + " ends")
}

// published checks that all that was emitted is out.
func (f *flow) published() {
	for _, e := range f.outbox {
		if f.s.w.published[e.ID] == 0 {
			f.violate(OutboxIsEmptied, "emission %s is said to be published, and is not", e.ID)
		}
	}
	f.outbox = nil
}
