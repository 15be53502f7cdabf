package simulation

import (
	"maps"
	"slices"

	"github.com/jetsaga/jetsaga/saga"
)

// This file says how far a run has got, and what of it is left to undo.

// standing is how far a place has got on the way forward.
type standing int

const (
	going standing = iota
	through
	broken
)

// stands gives how far a place has got.
func (f *flow) stands(p place) standing {
	b := f.block(p)
	switch p.kind {
	case saga.KindSequence:
		for _, kid := range p.kids {
			if s := f.stands(p.kid(kid)); s != through {
				return s
			}
		}
		return through
	case saga.KindStep, saga.KindAwait, saga.KindChild:
		return f.stepStands(p)
	case saga.KindWithin:
		if b.failed {
			return broken
		}
		return f.stands(p.kid(p.kids[0]))
	default:
	}
	switch {
	case b.done:
		return through
	case b.failed:
		return broken
	default:
		return f.blockStands(p, b)
	}
}

// blockStands is stands for a block that has neither ended nor failed by itself.
func (f *flow) blockStands(p place, b *flowBlock) standing {
	switch p.kind {
	case saga.KindChoice:
		taken := p.branch(b.branch)
		switch {
		case b.branch == "":
			return going
		case taken == nil:
			return through
		default:
			return f.stands(p.kid(taken))
		}
	case saga.KindRace:
		return f.raceStands(p, b)
	case saga.KindParallel:
		if slices.ContainsFunc(p.kids, func(kid *spec) bool { return f.stands(p.kid(kid)) == broken }) {
			return broken
		}
	case saga.KindForEach:
		for i, it := range b.items {
			if !it.ended && f.itemBreaks(p, p.turn(i)) {
				return broken
			}
		}
	case saga.KindLoop:
		if b.turn > 0 && f.stands(p.turn(b.turn)) == broken {
			return broken
		}
	default:
	}
	return going
}

// itemBreaks reports whether an item has failed, and the ForEach with it.
func (f *flow) itemBreaks(p, item place) bool {
	if f.stands(item) != broken {
		return false
	}
	return !p.gather || f.stuckBelow(item) && !f.left(item) && !f.open(item)
}

func (f *flow) stepStands(p place) standing {
	s, b := f.step(p), f.block(p)
	switch {
	case s.undoGaveUp && p.goesOn():
		return broken
	case s.gaveUp:
		if p.undo != nil && s.mayBeDone() && p.goesOn() {
			return going
		}
		if instead := p.branch(fallbackLabel); instead != nil {
			return f.stands(p.kid(instead))
		}
		if p.option {
			return through
		}
		return broken
	case s.done || s.skipped || s.undone || s.undoGaveUp || s.resolved:
		return through
	case p.asked && b.branch == skipLabel:
		return through
	case b.branch == timeoutLabel:
		if late := p.branch(timeoutLabel); late != nil {
			return f.stands(p.kid(late))
		}
		return broken
	default:
		return going
	}
}

// goesOn reports whether a saga goes on when the step has failed for good: what it may have done is undone first.
func (s *spec) goesOn() bool {
	return s.kind == saga.KindStep && (s.option || s.branch(fallbackLabel) != nil)
}

func (f *flow) raceStands(p place, b *flowBlock) standing {
	out := 0
	for _, kid := range p.kids {
		branch := p.kid(kid)
		switch {
		case !f.lost(p, branch) || f.left(branch) || f.open(branch):
		case f.stuckBelow(branch):
			return broken
		default:
			out++
		}
	}
	if b.branch == "" && out == len(p.kids) {
		return broken
	}
	return going
}

// below visits the keys of steps and children below a place of which anything is known.
func (f *flow) below(p place, visit func(key string, at place)) {
	for _, key := range slices.Sorted(maps.Keys(f.steps)) {
		if at, ok := f.locate(key); ok && at.isBelow(p) {
			visit(key, at)
		}
	}
}

func (p place) isBelow(top place) bool {
	if !slices.Equal(p.turns[:min(len(p.turns), len(top.turns))], top.turns) {
		return false
	}
	for n := p.spec; n != nil; n = n.parent {
		if n == top.spec {
			return true
		}
	}
	return false
}

// stuckBelow reports whether an undo below a place has failed for good.
func (f *flow) stuckBelow(p place) (stuck bool) {
	f.below(p, func(key string, _ place) { stuck = stuck || f.steps[key].undoGaveUp })
	return stuck
}

// open reports whether attempts forward below a place have not ended.
func (f *flow) open(p place) bool {
	for _, attempts := range []map[string]bool{f.unsettled, keysOf(f.begun)} {
		for key := range attempts {
			if at, ok := f.locate(key); ok && at.isBelow(p) {
				return true
			}
		}
	}
	return false
}

func keysOf[V any](m map[string]V) map[string]bool {
	keys := map[string]bool{}
	for key := range m {
		keys[key] = true
	}
	return keys
}

// left reports whether something below a place is left to undo. An undo that has failed for good is not.
func (f *flow) left(p place) bool {
	b := f.block(p)
	switch p.kind {
	case saga.KindStep:
		return p.undo != nil && f.step(p).mayBeDone() || f.leftBelow(p)
	case saga.KindAwait:
		return f.leftBelow(p)
	case saga.KindChild:
		return f.childLeft(p)
	case saga.KindChoice:
		taken := p.branch(b.branch)
		return b.branch != "" && taken != nil && f.left(p.kid(taken))
	case saga.KindLoop:
		for turn := range b.turn {
			if f.left(p.turn(turn + 1)) {
				return true
			}
		}
		return false
	case saga.KindForEach:
		for i := range b.items {
			if f.left(p.turn(i)) {
				return true
			}
		}
		return false
	default:
		return f.leftBelow(p)
	}
}

func (f *flow) leftBelow(p place) bool {
	return slices.ContainsFunc(p.kids, func(kid *spec) bool { return f.left(p.kid(kid)) })
}

// mayBeDone reports whether a step has, or may have, an effect.
func (s *flowStep) mayBeDone() bool {
	return (s.done || s.doubt) && !s.undone && !s.undoGaveUp && !s.resolved && !s.skipped
}

func (f *flow) childLeft(p place) bool {
	s, b := f.step(p), f.block(p)
	switch {
	case b.child == nil || p.alone || s.undone || s.undoGaveUp || s.resolved || s.skipped:
		return false
	case b.status == saga.StatusCompensated || b.status == saga.StatusTerminated:
		return s.done || s.undos > 0 || s.undoAgain
	default:
		return true
	}
}
