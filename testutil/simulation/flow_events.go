package simulation

import (
	"maps"
	"slices"
	"time"

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
	if !t.Undo {
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
	case saga.SagaTerminated, saga.CancelRequested, saga.AttributesChanged:
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
	p, s, ok := f.result(e.Step, e.Attempt, c)
	if !ok {
		return
	}
	s.attempts, s.gaveUp, s.restsUntil = e.Attempt, e.GaveUp, e.RetryAt
	s.doubt = e.Unknown || s.doubt && !e.Permanent
	if e.GaveUp {
		delete(f.unsettled, e.Step)
	}
	switch {
	case p.kind != saga.KindChild:
		f.checkFailure(e.Failure, p.retry, e.Attempt)
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
	if fault := f.undoFault(p); fault != "" || e.Attempt != s.undos+1 {
		f.violate(UndoneOnceInOrder, "attempt %d of the undo of %s, after attempt %d: %s", e.Attempt, e.Step, s.undos, fault)
	}
	s.undos, s.undoGaveUp, s.restsUntil = e.Attempt, e.GaveUp, e.RetryAt
	if b := f.block(p); p.kind != saga.KindChild {
		f.checkFailure(e.Failure, *p.undo, e.Attempt)
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

func (f *flow) blockEvent(event saga.Event, c *saga.Commit) {
	switch e := event.(type) {
	case saga.BranchTaken:
		if p, ok := f.at(e.Node, event); ok {
			f.branchTaken(p, e.Branch, c)
		}
	case saga.TurnStarted:
		if p, ok := f.at(e.Node, event); ok {
			b := f.block(p)
			if b.done || e.Turn != b.turn+1 || p.max != saga.Unlimited && e.Turn > p.max || b.turn > 0 && f.stands(p.turn(b.turn)) != through {
				f.violate(PlanIsFollowed, "turn %d of %s follows turn %d of at most %d", e.Turn, e.Node, b.turn, p.max)
			}
			b.turn = e.Turn
		}
	case saga.LoopEnded:
		if p, ok := f.at(e.Node, event); ok {
			b := f.block(p)
			if b.done || b.turn > 0 && f.stands(p.turn(b.turn)) != through {
				f.violate(PlanIsFollowed, "the loop %s ends in turn %d", e.Node, b.turn)
			}
			b.done = true
		}
	case saga.BranchesJoined:
		if p, ok := f.at(e.Node, event); ok {
			f.joined(p, e)
		}
	case saga.BlockFailed:
		f.blockFailed(e, c)
	case saga.ItemsFound, saga.ItemEnded, saga.ItemsCollected:
		f.itemEvent(event)
	case saga.WaitStarted:
		if p, ok := f.at(e.Node, event); ok {
			b := f.block(p)
			if !b.until.IsZero() {
				f.violate(AskedOnce, "the wait %s begins a second time", e.Node)
			}
			b.until = e.Until
		}
	case saga.WaitEnded:
		if p, ok := f.at(e.Node, event); ok {
			b := f.block(p)
			f.checkTime(e.Node, b.until, c)
			if b.done {
				f.violate(PlanIsFollowed, "the wait %s ends twice", e.Node)
			}
			b.done = true
		}
	default:
		f.violate(PlanIsFollowed, "event %T is not known to the model", event)
	}
}

// at finds the place of an event, which the log has to have led to.
func (f *flow) at(key string, event saga.Event) (place, bool) {
	p, ok := f.locate(key)
	if !ok {
		f.violate(PlanIsFollowed, "%s at %s, which the plan does not have", saga.EventName(event), key)
		return p, false
	}
	if reached, _ := f.reach(p); !reached || f.status != saga.StatusRunning {
		f.violate(PlanIsFollowed, "%s at %s, which the log has not led to, of a saga that is %s", saga.EventName(event), key, f.status)
	}
	return p, true
}

// checkTime checks that nothing comes before its time.
func (f *flow) checkTime(key string, at time.Time, c *saga.Commit) {
	if at.IsZero() || at.After(c.Time) && at.After(f.clock) && !f.s.w.skewed {
		f.violate(RestIsKept, "%s is over %v before its time", key, at.Sub(c.Time))
	}
}

func (f *flow) branchTaken(p place, branch string, c *saga.Commit) {
	b := f.block(p)
	if b.branch != "" {
		f.violate(AskedOnce, "%s takes %q after %q", p.key(), branch, b.branch)
	}
	b.branch = branch
	switch p.kind { //nolint:exhaustive // the others take no branches
	case saga.KindRace:
		if kid := p.branch(branch); kid == nil || f.stands(p.kid(kid)) != through {
			f.violate(PlanIsFollowed, "%s wins the race %s, and is not through", branch, p.key())
		}
	case saga.KindAwait:
		f.checkTime(p.key(), b.until, c)
		if b.signal != nil {
			f.violate(SignalsAreTakenOnce, "%s has its signal, and times out", p.key())
		}
	case saga.KindChoice:
		if p.branch(branch) == nil && branch != noneLabel {
			f.violate(PlanIsFollowed, "%s takes the branch %q, which it does not have", p.key(), branch)
		}
	}
}

func (f *flow) joined(p place, e saga.BranchesJoined) {
	b := f.block(p)
	right := !b.done
	for _, kid := range p.kids {
		branch := p.kid(kid)
		switch {
		case p.kind == saga.KindParallel:
			right = right && f.stands(branch) == through && slices.Contains(e.Branches, kid.label)
		case kid.label == b.branch:
			right = right && slices.Equal(e.Branches, []string{kid.label})
		default:
			right = right && !f.left(branch)
		}
		if f.open(branch) {
			f.violate(AttemptsEndFirst, "%s is joined, and attempts of %q are open: %v, or in doubt: %v", e.Node, kid.label, f.begun, f.unsettled)
		}
	}
	if !right || p.kind == saga.KindParallel && f.conflict(p) {
		f.violate(PlanIsFollowed, "%s is joined with %v, where %q has won; left %v", e.Node, e.Branches, b.branch, f.left(p))
	}
	f.join(p, e.Branches)
}

func (f *flow) blockFailed(e saga.BlockFailed, c *saga.Commit) {
	if e.Node == "" {
		f.checkTime("the saga", f.deadline, c)
		f.overdue = true
		return
	}
	p, ok := f.at(e.Node, e)
	if !ok {
		return
	}
	b := f.block(p)
	right := false
	switch p.kind { //nolint:exhaustive // the others do not fail by themselves
	case saga.KindParallel:
		right = f.conflict(p)
	case saga.KindLoop:
		right = p.max != saga.Unlimited && b.turn >= p.max
	case saga.KindWithin:
		right = true
		f.checkTime(e.Node, b.until, c)
	}
	if !right || b.done || b.failed {
		f.violate(PlanIsFollowed, "%s fails by itself: %s", e.Node, e.Error)
	}
	b.failed = true
}

func (f *flow) itemEvent(event saga.Event) {
	switch e := event.(type) {
	case saga.ItemsFound:
		p, ok := f.at(e.Node, event)
		if !ok {
			return
		}
		b := f.block(p)
		if b.found {
			f.violate(AskedOnce, "the items of %s are found twice", e.Node)
		}
		b.found, b.items = true, nil
		for _, item := range e.Items {
			b.items = append(b.items, &flowItem{scope: newScope(bagOf(item))})
		}
	case saga.ItemEnded:
		if p, ok := f.at(e.Node, event); ok {
			f.itemEnded(p, e)
		}
	case saga.ItemsCollected:
		p, ok := f.at(e.Node, event)
		if !ok {
			return
		}
		b := f.block(p)
		items := make([]saga.Item[Bag], len(b.items))
		for i, it := range b.items {
			items[i] = saga.Item[Bag]{Index: i, Value: it.scope.bag, Error: it.err}
			if !it.ended {
				f.violate(PlanIsFollowed, "the items of %s are collected, and item %d is not through", e.Node, i)
			}
		}
		if b.done {
			f.violate(AskedOnce, "the items of %s are collected twice", e.Node)
		}
		b.done = true
		f.scope(p).change(func(state *Bag) { state.gather(p.spec, items) })
	}
}

func (f *flow) itemEnded(p place, e saga.ItemEnded) {
	b := f.block(p)
	if e.Index >= len(b.items) || b.items[e.Index].ended {
		f.violate(PlanIsFollowed, "item %d of %s is through twice, or is none", e.Index, e.Node)
		return
	}
	item := p.turn(e.Index)
	right := f.stands(item) == through
	if e.Error != "" {
		right = p.gather && f.stands(item) == broken && !f.left(item) && !f.open(item)
	}
	if !right {
		f.violate(PlanIsFollowed, "item %d of %s is through with %q, and is not: stands %d, left %v, open %v", e.Index, e.Node, e.Error, f.stands(item), f.left(item), f.open(item))
	}
	b.items[e.Index].ended, b.items[e.Index].err = true, e.Error
}

func (f *flow) signalEvent(event saga.Event) {
	switch e := event.(type) {
	case saga.SignalReceived:
		if f.seen[e.ID] {
			f.violate(SignalsAreTakenOnce, "signal %s is received twice", e.ID)
		}
		f.seen[e.ID] = true
		f.signals = append(f.signals, e.Signal)
	case saga.SignalTaken:
		p, ok := f.at(e.Node, event)
		if !ok {
			return
		}
		b, oldest := f.block(p), f.oldest(p.signalName())
		if oldest == nil || oldest.ID != e.ID || b.signal != nil {
			f.violate(SignalsAreTakenOnce, "%s takes the signal %s, where %v is the oldest, and has %v", e.Node, e.ID, oldest, b.signal)
			return
		}
		taken := *oldest
		b.signal = &taken
		f.signals = slices.DeleteFunc(f.signals, func(s saga.Signal) bool { return s.ID == e.ID })
	case saga.SignalRefused:
		p, ok := f.at(e.Node, event)
		if !ok {
			return
		}
		b := f.block(p)
		if b.signal == nil || b.signal.ID != e.ID || string(b.signal.Payload) != badPayload {
			f.violate(SignalsAreTakenOnce, "%s refuses the signal %s, where it has %v", e.Node, e.ID, b.signal)
		}
		b.signal = nil
		delete(f.begun, e.Node)
		delete(f.unsettled, e.Node)
	}
}

func (f *flow) childEvent(event saga.Event) {
	switch e := event.(type) {
	case saga.ChildStarted:
		p, ok := f.at(e.Node, event)
		if !ok {
			return
		}
		b := f.block(p)
		if b.child != nil {
			f.violate(PlanIsFollowed, "%s starts a second child", e.Node)
		}
		delete(f.begun, e.Node)
		delete(f.unsettled, e.Node)
		ref := e.Ref
		b.child = &ref
		f.checkInput(p, ref)
	case saga.ChildEnded:
		p, ok := f.locate(e.Step)
		if !ok || f.block(p).child == nil || *f.block(p).child != e.Ref {
			f.violate(PlanIsFollowed, "the child %v of %s ends, which was not started", e.Ref, e.Step)
			return
		}
		b := f.block(p)
		if e.Version < b.version || e.Version == b.version && !b.recalled && b.status == e.Status && (b.refused || !e.Refused) {
			f.violate(PlanIsFollowed, "the child of %s ends at version %d after version %d", e.Step, e.Version, b.version)
		}
		b.status, b.state, b.version, b.refused, b.recalled = e.Status, e.State, e.Version, e.Refused, false
	case saga.ChildRecalled:
		p, ok := f.locate(e.Node)
		if !ok || !f.childLeft(p) || f.block(p).recalled {
			f.violate(PlanIsFollowed, "the child of %s is recalled, and has nothing to undo", e.Node)
			return
		}
		f.block(p).recalled = true
	}
}

// checkInput checks that a child begins with what its parent makes of its own state.
func (f *flow) checkInput(p place, ref saga.ChildRef) {
	child := f.s.w.byKey[ref.Key]
	if child == nil || child.findStart(ref.Run) == nil {
		f.violate(PlanIsFollowed, "the child %v of %s is started, and has no Start", ref, p.key())
		return
	}
	if got, want := bagOf(child.findStart(ref.Run).State), f.scope(p).bag.inherit(p.spec); !got.equal(want) {
		f.violate(StateIsTheModels, "the child %v of %s begins with %v, not with %v", ref, p.key(), got.fields, want.fields)
	}
}

func (f *flow) order(event saga.Event) {
	switch e := event.(type) {
	case saga.SagaPaused:
		f.paused = true
	case saga.SagaResumed:
		f.paused = false
	case saga.StepRetried:
		for _, key := range e.Steps {
			f.retry(key)
		}
	case saga.StepSkipped:
		if p, ok := f.locate(e.Step); ok {
			*f.step(p) = flowStep{skipped: true}
			delete(f.begun, e.Step)
			delete(f.unsettled, e.Step)
		}
	case saga.StepResolved:
		if p, ok := f.locate(e.Step); ok {
			s := f.step(p)
			s.resolved, s.undoGaveUp = true, false
		}
	}
}

func (f *flow) retry(key string) {
	p, ok := f.locate(key)
	if !ok {
		return
	}
	s := f.step(p)
	s.touched = true
	switch {
	case s.gaveUp && !s.undoGaveUp:
		s.gaveUp, s.attempts, s.restsUntil = false, 0, time.Time{}
	case s.undoGaveUp:
		s.undoGaveUp, s.undos, s.restsUntil = false, 0, time.Time{}
		b := f.block(p)
		b.recalled, b.refused, b.status = false, false, ""
	}
}

// receive is what a wait makes of its signal.
func (f *flow) receive(p place, state *Bag, s saga.Signal) {
	if p.signal == "" {
		state.set("approval:"+p.name, uint64(len(s.By)))
		return
	}
	state.carry(p.spec, p.key(), false, pingOf(s).N)
}
