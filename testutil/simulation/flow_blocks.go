package simulation

import (
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// This file takes the events of blocks.

func (f *flow) blockEvent(event saga.Event, c *saga.Commit) {
	switch e := event.(type) {
	case saga.BranchTaken:
		if p, ok := f.at(e.Node, event); ok {
			f.branchTaken(p, e.Branch, c)
		}
	case saga.BranchesJoined:
		if p, ok := f.at(e.Node, event); ok {
			f.joined(p, e)
		}
	case saga.BlockFailed:
		f.blockFailed(e, c)
	case saga.BranchTurned: // what is undone is checked undo by undo
	case saga.TurnStarted, saga.LoopEnded:
		f.loopEvent(event)
	case saga.ItemsFound, saga.ItemEnded, saga.ItemsCollected:
		f.itemEvent(event)
	case saga.WaitStarted, saga.WaitEnded:
		f.waitEvent(event, c)
	default:
		f.violate(PlanIsFollowed, "event %T is not known to the model", event)
	}
}

func (f *flow) loopEvent(event saga.Event) {
	switch e := event.(type) {
	case saga.TurnStarted:
		if p, ok := f.at(e.Node, event); ok {
			b := f.block(p)
			if e.Turn != b.turn+1 || p.max != saga.Unlimited && e.Turn > p.max || f.inTurn(p, b) {
				f.violate(PlanIsFollowed, "turn %d of %s follows turn %d of at most %d", e.Turn, e.Node, b.turn, p.max)
			}
			b.turn = e.Turn
		}
	case saga.LoopEnded:
		if p, ok := f.at(e.Node, event); ok {
			b := f.block(p)
			if f.inTurn(p, b) {
				f.violate(PlanIsFollowed, "the loop %s ends in turn %d", e.Node, b.turn)
			}
			b.done = true
		}
	}
}

// inTurn reports whether a loop cannot be asked for another turn.
func (f *flow) inTurn(p place, b *flowBlock) bool {
	return b.done || b.turn > 0 && f.stands(p.turn(b.turn)) != through
}

func (f *flow) waitEvent(event saga.Event, c *saga.Commit) {
	switch e := event.(type) {
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
