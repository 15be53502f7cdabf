package saga

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// This file decides what a delivered command means to a saga that the activation does not own.
//
// A command may be acknowledged without an append only on monotone grounds, which hold for ever once they hold:
//
//   - the run has ended, or a later run has begun;
//   - the command is in the log and does not own a saga that is still running, or a copy of it does;
//   - its timer has fired or was cancelled, or its commit lost the race for its version.
//
// "Not there yet" is never such a ground, and what a lagging replica shows may be "not there yet": in doubt the
// leader is asked, and after it the command is left for later.

// admit decides on the saga as loaded.
func (a *Activation) admit(now time.Time) Action {
	switch cmd := a.cmd.(type) {
	case Start:
		return a.admitStart(now, cmd)
	case Timer:
		return a.admitTimer(now, cmd)
	case Cancel:
		return a.admitCancel(now, cmd)
	default:
		return a.reject(fmt.Errorf("saga %s: command type %T cannot be carried out", a.key, cmd))
	}
}

func (a *Activation) admitStart(now time.Time, cmd Start) Action {
	switch {
	case a.in.Run == cmd.Run:
		return a.reclaim(now)
	case a.mayBegin(cmd):
		if retry, ok := a.know(cmd.Definition); !ok {
			return retry
		}
		a.start(now, cmd)
		if a.doubtful {
			a.record(now, ActivationClaimed{}) // this may not be the first delivery to try the first step
		}
		return a.claimed(now)
	case cmd.Previous == "":
		return a.ack() // the log tells of a later run, so this one, the first, is over
	default:
		return a.sure("the run that this one follows has not ended", a.in.Run == cmd.Previous || a.in.Version == 0)
	}
}

// mayBegin reports whether the log stands right where the run begins.
func (a *Activation) mayBegin(cmd Start) bool {
	if cmd.Previous == "" {
		return a.in.Version == 0
	}
	return a.in.Run == cmd.Previous && a.in.Ended()
}

// sure acknowledges a command whose time has passed, and leaves it for later while its time has not come. What
// a replica shows proves neither.
func (a *Activation) sure(reason string, early bool) Action {
	switch {
	case a.level != Latest:
		return a.load(Latest)
	case early:
		return a.retry(fmt.Errorf("saga %s: %s", a.key, reason))
	default:
		return a.ack()
	}
}

func (a *Activation) admitTimer(now time.Time, cmd Timer) Action {
	_, pending := a.in.Timers[cmd.Name]
	switch {
	case a.in.Version < cmd.Version:
		return a.sure(fmt.Sprintf("timer %s is not in the log yet", cmd.Name), true)
	case !pending:
		return a.reclaim(now) // fired or cancelled before, or an orphan
	case a.in.Parked:
		if retry, ok := a.know(a.in.Definition); !ok {
			return retry
		}
		a.record(now, TimerFired{Name: cmd.Name})
		return a.claimed(now)
	default:
		a.record(now, TimerFired{Name: cmd.Name})
		return a.leave(now)
	}
}

func (a *Activation) admitCancel(now time.Time, cmd Cancel) Action {
	switch {
	case a.in.Run != cmd.Run:
		if a.level != Latest {
			return a.load(Latest)
		}
		return Action{Do: ActFindStart, Run: cmd.Run}
	case a.in.Ended() || a.in.Cancel != nil:
		return a.reclaim(now)
	case a.in.Parked:
		if retry, ok := a.know(a.in.Definition); !ok {
			return retry
		}
		a.record(now, a.cancelRequested(cmd))
		for _, name := range slices.Sorted(maps.Keys(a.in.Timers)) {
			a.record(now, TimerCancelled{Name: name})
		}
		return a.claimed(now)
	default:
		a.record(now, a.cancelRequested(cmd))
		return a.leave(now)
	}
}

func (a *Activation) cancelRequested(cmd Cancel) CancelRequested {
	return CancelRequested{ID: cmd.ID, Reason: cmd.Reason, By: cmd.By}
}

// cancelUnstarted cancels a run whose Start has not reached the log. It begins the run in the Start's name and
// leaves it to the Start's own delivery, which may be running the first step this very moment: its result has to
// be undone, not lost.
func (a *Activation) cancelUnstarted(now time.Time, start Start) Action {
	if !a.mayBegin(start) {
		return a.sure("the run that is to be cancelled has not begun", a.in.Run == start.Previous)
	}
	if retry, ok := a.know(start.Definition); !ok {
		return retry
	}
	a.start(now, start)
	a.record(now, a.cancelRequested(a.cmd.(Cancel)))
	return a.leave(now)
}

// reclaim handles a command that the log knows. If it owns a saga that is still running, its worker is gone or
// late and this delivery takes over, provided it is the newer one. Otherwise the command is done.
func (a *Activation) reclaim(now time.Time) Action {
	switch {
	case a.in.Parked:
		// The delivery before this one may have died between its commit and the timers that belong to it.
		return Action{Do: ActAck, Rearm: maps.Clone(a.in.Timers)}
	case a.in.Ended() || a.in.Owner.Command != a.me.Command:
		return a.ack()
	case a.in.Owner.isCopyOf(a.me):
		return a.ack() // the other copy is delivered again for as long as the saga runs, and stands for both
	case a.in.Owner.Delivery >= a.me.Delivery:
		return Action{Do: ActDrop}
	}
	if retry, ok := a.know(a.in.Definition); !ok {
		return retry
	}
	a.poke = a.in.Owner.Worker // if it lives, it should stop what it is doing
	a.record(now, ActivationClaimed{})
	return a.claimed(now)
}

// claimed appends the events that make this activation the owner, before any handler runs. A result that the
// first step gave before the log had begun goes with them.
func (a *Activation) claimed(now time.Time) Action {
	if a.result != nil {
		return a.resume(now)
	}
	return a.append(now)
}

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
