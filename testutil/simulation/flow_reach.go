package simulation

import (
	"fmt"
	"slices"

	"github.com/jetsaga/jetsaga/saga"
)

// This file says where a run may go on, what it may undo, and what it waits for.

// reach reports whether the log has led to a place, and why what is there is not wanted any more; nothing if it is.
func (f *flow) reach(p place) (reached bool, unwanted string) {
	switch {
	case f.status != saga.StatusRunning:
		unwanted = "the saga is " + string(f.status)
	case !f.pastPivot() && (f.cancelled || f.overdue):
		unwanted = "the saga is cancelled, or its time is over"
	case f.stands(f.root()) == broken:
		unwanted = "the saga has failed"
	}
	for c := p; c.parent != nil; c = c.up() {
		if !f.leads(c.up(), c) {
			return false, ""
		}
		if fault := f.givenUp(c.up(), c); fault != "" {
			unwanted = fault
		}
	}
	return true, unwanted
}

// leads reports whether a node leads to a place right below it.
func (f *flow) leads(up, c place) bool {
	b := f.block(up)
	switch up.kind {
	case saga.KindSequence:
		for _, before := range up.kids {
			if before == c.spec {
				break
			}
			if f.stands(up.kid(before)) != through {
				return false
			}
		}
		return true
	case saga.KindStep, saga.KindAwait:
		if c.label == timeoutLabel {
			return b.branch == timeoutLabel
		}
		return f.step(up).gaveUp
	case saga.KindChoice:
		return b.branch == c.label
	case saga.KindParallel, saga.KindRace:
		return !b.done
	case saga.KindForEach:
		i := c.lastTurn()
		return b.found && i < len(b.items) && !b.items[i].ended
	case saga.KindLoop:
		return b.turn == c.lastTurn() && !b.done
	default:
		return !b.until.IsZero() // a block with a deadline
	}
}

// givenUp says why a node does not want a place right below it any more; nothing if it does.
func (f *flow) givenUp(up, c place) string {
	b := f.block(up)
	switch up.kind {
	case saga.KindRace:
		if f.lost(up, c) {
			return "it is out of the race " + up.key()
		}
	case saga.KindForEach:
		if i := c.lastTurn(); f.stands(c) == broken || up.waitsForOthers(b, i) {
			return fmt.Sprintf("item %d of %s has failed, or its turn has not come", i, up.key())
		}
	case saga.KindWithin:
		if b.failed {
			return "the time of " + up.key() + " is over"
		}
	default:
	}
	return ""
}

// lost reports whether a branch of a race has lost it, or an item has failed beside which others go on.
func (f *flow) lost(up, c place) bool {
	switch won := f.block(up).branch; {
	case up.kind == saga.KindRace && won != "":
		return won != c.label
	case up.kind == saga.KindRace, up.kind == saga.KindForEach && up.gather:
		return f.stands(c) == broken
	default:
		return false
	}
}

func (p place) lastTurn() int { return p.turns[len(p.turns)-1] }

// waitsForOthers reports whether as many items as may be under way come before this one.
func (s *spec) waitsForOthers(b *flowBlock, i int) bool {
	before := 0
	for _, it := range b.items[:i] {
		if !it.ended {
			before++
		}
	}
	return before >= s.limit
}

// undoFault says why a place cannot be undone now; nothing if it can.
func (f *flow) undoFault(p place) string {
	s := f.step(p)
	switch {
	case p.kind == saga.KindChild && !f.childLeft(p):
		return "its child has nothing to undo"
	case p.kind != saga.KindChild && (p.undo == nil || !s.mayBeDone()):
		return "it has no effect to undo"
	case f.leftBelow(p):
		return "what ran in its place is not undone"
	}
	given := f.status == saga.StatusCompensating || s.gaveUp && p.goesOn()
	for c := p; c.parent != nil; c = c.up() {
		up := c.up()
		if later := f.leftAfter(up, c); later != "" {
			return later + ", which came after it, is not undone"
		}
		if given || !f.lost(up, c) {
			continue
		}
		if given = true; f.open(c) {
			return fmt.Sprintf("attempts of %s %s have not ended", up.key(), c.label)
		}
	}
	if !given {
		return "nothing has failed"
	}
	return ""
}

// leftAfter gives what is left to undo right below a node that came after a place there; nothing if there is none.
func (f *flow) leftAfter(up, c place) string {
	switch up.kind {
	case saga.KindSequence:
		for _, after := range slices.Backward(up.kids) {
			if after == c.spec {
				break
			}
			if f.left(up.kid(after)) {
				return up.kid(after).key()
			}
		}
	case saga.KindLoop:
		for turn := f.block(up).turn; turn > c.lastTurn(); turn-- {
			if f.left(up.turn(turn)) {
				return fmt.Sprintf("turn %d of %s", turn, up.key())
			}
		}
	default:
	}
	return ""
}

// openWaits visits the waits for a signal that the saga has come to, and the children that run.
func (f *flow) openWaits(p place, visit func(place)) {
	if f.isOpenWait(p) {
		visit(p)
		return
	}
	for _, below := range f.present(p) {
		if f.stands(below) == going {
			f.openWaits(below, visit)
		}
	}
}

// isOpenWait reports whether a place waits for a signal, or for a child.
func (f *flow) isOpenWait(p place) bool {
	b := f.block(p)
	if f.step(p).gaveUp || b.branch == timeoutLabel {
		return false
	}
	return p.kind == saga.KindAwait && b.signal == nil || p.kind == saga.KindChild && b.child != nil && b.status == ""
}

// present gives the places right below one that it has come to.
func (f *flow) present(p place) (places []place) {
	b := f.block(p)
	switch p.kind {
	case saga.KindSequence:
		for _, kid := range p.kids {
			if f.stands(p.kid(kid)) != through {
				return []place{p.kid(kid)}
			}
		}
	case saga.KindStep, saga.KindAwait, saga.KindChoice:
		label := b.branch
		if f.step(p).gaveUp {
			label = fallbackLabel
		}
		if taken := p.branch(label); label != "" && taken != nil {
			return []place{p.kid(taken)}
		}
	case saga.KindParallel, saga.KindRace:
		for _, kid := range p.kids {
			if b.branch == "" {
				places = append(places, p.kid(kid))
			}
		}
	case saga.KindForEach:
		for i, it := range b.items {
			if !it.ended && !p.waitsForOthers(b, i) {
				places = append(places, p.turn(i))
			}
		}
	case saga.KindLoop:
		if b.turn > 0 {
			return []place{p.turn(b.turn)}
		}
	case saga.KindWithin:
		return []place{p.kid(p.kids[0])}
	default:
	}
	return places
}

// awaits gives the waits for a signal that the saga has come to.
func (f *flow) awaits() (waits []place) {
	if f.status == saga.StatusRunning && f.stands(f.root()) == going {
		f.openWaits(f.root(), func(p place) {
			if p.kind == saga.KindAwait {
				waits = append(waits, p)
			}
		})
	}
	return waits
}

// isApproval reports whether a node is a wait for a decision, which no participant takes part in.
func (s *spec) isApproval() bool { return s.kind == saga.KindAwait && s.signal == "" }

// signalName is what a wait listens for.
func (p place) signalName() string {
	if p.signal == "" {
		return "approval/" + p.key()
	}
	return p.signal
}

// oldest gives the oldest signal of a name that nothing has taken.
func (f *flow) oldest(name string) *saga.Signal {
	for i := range f.signals {
		if f.signals[i].Name == name {
			return &f.signals[i]
		}
	}
	return nil
}

func (f *flow) waits() bool {
	if f.paused {
		return true
	}
	found := false
	if f.status == saga.StatusRunning {
		f.openWaits(f.root(), func(place) { found = true })
	}
	for _, b := range f.blocks {
		found = found || b.recalled || b.child != nil && b.status == ""
	}
	return found
}
