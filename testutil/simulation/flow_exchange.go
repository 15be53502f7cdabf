package simulation

import (
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// This file takes the events of signals, of children and of operators.

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
		if ok && f.block(p).child == nil && (f.ended() || f.step(p).skipped) {
			ref := e.Ref
			f.block(p).child = &ref // it was started as the saga ended, or passed the step over
		}
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
		f.s.w.after(longPause, func() {
			if f.paused && !f.ended() {
				f.s.resume()
			}
		})
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
	s.touched = s.touched || s.gaveUp || s.undoGaveUp
	switch {
	case s.gaveUp && !s.undoGaveUp:
		s.gaveUp, s.attempts, s.restsUntil = false, 0, time.Time{}
	case s.undoGaveUp:
		s.undoGaveUp, s.undoAgain, s.undos, s.restsUntil = false, true, 0, time.Time{}
		b := f.block(p)
		b.recalled, b.refused, b.status = false, false, ""
	default:
		s.restsUntil = time.Time{}
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
