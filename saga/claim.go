package saga

import (
	"maps"
	"time"
)

// reclaim handles a command that the log knows. If it owns a saga that is still running, its worker is gone or
// late and this delivery takes over, provided it is the newer one. Otherwise the command is done.
func (a *Activation) reclaim(now time.Time) Action {
	switch {
	case a.in.Ended():
		return a.ack()
	case a.in.Parked, a.in.Owner.Command != a.me.Command:
		// The delivery before this one may have died between its commit and the timers that belong to it. Whoever has woken the
		// saga since takes those that it has for set.
		return Action{Do: ActAck, Rearm: maps.Clone(a.in.Timers)}
	case a.in.Owner.isCopyOf(a.me):
		return a.ack() // the other copy is delivered again for as long as the saga runs, and stands for both
	case a.in.Owner.Delivery >= a.me.Delivery:
		return Action{Do: ActDrop}
	}
	if retry, ok := a.know(a.in.Definition); !ok {
		return retry
	}
	a.poke = a.in.Owner.Worker // if it lives, it should stop what it is doing
	a.record(now, ActivationClaimed{Unsettled: a.exposed(now)})
	return a.claimed(now)
}

// claimed goes on as the owner that the events recorded make of this activation. They are in the log before any
// handler runs. A result that the first step gave before the log had begun goes with them.
func (a *Activation) claimed(now time.Time) Action { return a.resume(now) }

// leave appends the events for the saga's owner to act on, and tells it.
func (a *Activation) leave(now time.Time) Action {
	a.poke = a.in.Owner.Worker
	return a.append(now)
}

// Superseded reports whether the log shows that the activation of this owner has lost the saga, so that the handler
// it is running should be cut off: its result will not be used.
//
// A request to cancel is no reason to cut a handler off. Only the attempt itself can tell whether it had its effect,
// and what has to be undone depends on it.
func Superseded(owner Owner, in *Instance) bool {
	unclaimed := Owner{Command: owner.Command}
	return in.Version > 0 && in.Owner != owner && in.Owner != unclaimed
}
