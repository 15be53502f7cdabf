package saga

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
// leader is asked, and after it the command is left for later. Nor is "nothing to do now": a saga that is not paused may be
// paused later, one that is stuck may go on, and one that has ended may be run again. Such a command is dismissed: that
// it is not carried out, by any delivery, is in the log before it is answered for.

// admit decides on the saga as loaded.
func (a *Activation) admit(now time.Time) Action {
	if a.in.Owner.Command == a.me.Command && a.me.Command != "" {
		return a.reclaim(now) // it may own the saga long after its id was forgotten
	}
	switch cmd := a.cmd.(type) {
	case Start:
		return a.admitStart(now, cmd)
	case Timer:
		return a.admitTimer(now, cmd)
	case Cancel:
		return a.admitCancel(now, cmd.Run, CancelRequested{ID: cmd.ID, Reason: cmd.Reason, By: cmd.By})
	case Undo:
		return a.admitUndo(now, cmd)
	case Signal:
		return a.admitSignal(now, cmd)
	case ChildDone:
		return a.admitChild(now, cmd)
	case operator:
		return a.admitOrder(now, cmd)
	default:
		return a.reject(fmt.Errorf("saga %s: command type %T cannot be carried out", a.key, cmd))
	}
}

// dismiss notes that a command will not be carried out, and then gives the answer for it.
func (a *Activation) dismiss(now time.Time, reason error, answer func() Action) Action {
	a.record(now, CommandDismissed{ID: a.cmd.CommandID(), Command: CommandName(a.cmd), Reason: clip(reason.Error(), maxErrorText)})
	a.verdict = answer
	return a.append(now)
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
	default:
		return a.wakeUp(now, TimerFired{Name: cmd.Name})
	}
}

// wakeUp records an event that concerns the saga whatever it is doing: an owner is told, and a parked saga taken up.
func (a *Activation) wakeUp(now time.Time, event Event) Action {
	if !a.in.Parked || a.in.Paused {
		a.record(now, event)
		return a.leave(now)
	}
	if retry, ok := a.know(a.in.Definition); !ok {
		return retry
	}
	a.record(now, event)
	return a.claimed(now)
}

func (a *Activation) admitCancel(now time.Time, run string, event CancelRequested) Action {
	var late error
	switch {
	case a.in.over():
		late = errOver
	case a.in.Cancel != nil:
		late = errCancelled
	case a.in.Status == StatusStuck:
		late = errStuck
	}
	switch {
	case a.in.Run != run:
		return a.findRun(run)
	case a.in.Cancel != nil && a.in.Cancel.ID == event.ID, slices.Contains(a.in.Seen, event.ID):
		return a.reclaim(now)
	case late != nil && a.level != Latest:
		return a.load(Latest) // an operator may have taken it back since
	case late != nil:
		return a.dismiss(now, late, a.ack)
	case a.in.Parked:
		if retry, ok := a.know(a.in.Definition); !ok {
			return retry
		}
		a.record(now, event)
		return a.claimed(now)
	default:
		a.record(now, event)
		return a.leave(now)
	}
}

// Why a saga is not cancelled, or takes no signal. A stuck one was cancelled, or it cannot be.
var (
	errOver      = errors.New("the saga has ended")
	errCancelled = errors.New("the saga was cancelled before")
	errStuck     = errors.New("the saga is stuck: it waits for an operator")
)

// findRun looks for a run that is not in the log: it may not have begun.
func (a *Activation) findRun(run string) Action {
	if a.level != Latest {
		return a.load(Latest)
	}
	return Action{Do: ActFindStart, Run: run}
}

// admitUndo undoes a saga on behalf of its parent. While it runs that is to cancel it. That it was to be cancelled before is no
// ground to leave it at that: it may have passed its pivot, and have completed since.
func (a *Activation) admitUndo(now time.Time, cmd Undo) Action {
	switch {
	case a.level != Latest:
		return a.load(Latest) // what the saga is told to be ends its parent's question
	case slices.Contains(a.in.Seen, cmd.ID):
		return a.reclaim(now)
	case a.in.Run != cmd.Run || a.in.Status != StatusCompleted:
		return a.admitCancel(now, cmd.Run, cancelFor(cmd))
	}
	if retry, ok := a.know(a.in.Definition); !ok {
		return retry
	}
	if a.plan.pastPivot(a.in) {
		a.refused = true
		return a.ack()
	}
	a.record(now, UndoRequested(cmd))
	return a.claimed(now)
}

func cancelFor(cmd Undo) CancelRequested {
	return CancelRequested{ID: cmd.ID, Reason: cmd.Reason, By: cmd.By}
}

// runOf gives the run that a command means that can come before the run has begun.
func runOf(c Command) string {
	switch c := c.(type) {
	case Cancel:
		return c.Run
	case Undo:
		return c.Run
	case Signal:
		return c.Run
	case operator:
		return c.order().Run
	default:
		return ""
	}
}

// admitUnstarted carries out a command for a run whose Start has not reached the log. It begins the run in the Start's
// name and leaves it to the Start's own delivery, which may be running the first step this very moment: its result has to
// be undone, not lost.
func (a *Activation) admitUnstarted(now time.Time, start Start) Action {
	if !a.mayBegin(start) {
		early := a.in.Run == start.Previous
		if _, undo := a.cmd.(Undo); undo && !early && start.Parent != nil && !a.told {
			return a.tell(*start.Parent, ChildDone{
				Ref: ChildRef{a.key, start.Run}, Status: StatusTerminated, Error: "it was run again since", Refused: true,
			})
		}
		return a.sure("the run that is meant has not begun", early)
	}
	if retry, ok := a.know(start.Definition); !ok {
		return retry
	}
	a.start(now, start)
	switch cmd := a.cmd.(type) {
	case Cancel:
		a.record(now, CancelRequested{ID: cmd.ID, Reason: cmd.Reason, By: cmd.By})
	case Undo:
		a.record(now, cancelFor(cmd))
	case Pause:
		a.record(now, SagaPaused(cmd))
	default:
		return a.sure("the run that is meant has not begun", true)
	}
	return a.leave(now)
}

func (a *Activation) admitSignal(now time.Time, cmd Signal) Action {
	switch {
	case slices.Contains(a.in.Seen, cmd.ID), cmd.decides() && slices.Contains(a.in.Seen, a.me.decision()):
		return a.reclaim(now)
	case a.in.Version == 0:
		return a.sure("the saga has not begun", true)
	case cmd.Run != "" && cmd.Run != a.in.Run:
		return a.findRun(cmd.Run)
	case a.in.over() && cmd.Run != "":
		return a.sure("", false) // nothing waits for it any more
	case a.in.over():
		return a.dismiss(now, errOver, a.ack)
	}
	if step, approval := strings.CutPrefix(cmd.Name, approvalPrefix); approval && newToken(a.key, a.in.Run, step).Secret != cmd.ID {
		if a.level != Latest {
			return a.load(Latest)
		}
		return a.reject(fmt.Errorf("saga %s: the token does not fit the approval %q of run %s", a.key, step, a.in.Run))
	}
	return a.wakeUp(now, SignalReceived{cmd})
}

func (a *Activation) admitChild(now time.Time, cmd ChildDone) Action {
	if a.in.Run != cmd.Run {
		return a.sure("the run that started the child is not in the log yet", a.in.Version == 0)
	}
	c := a.in.block(cmd.Step).Child
	// A saga that has ended, or has passed the step over, perhaps as it started the child, may be taken back to where it waits for it.
	moot := a.in.over() || a.in.Steps.Get(cmd.Step).Status == StepSkippedOver
	switch {
	case slices.Contains(a.in.Seen, cmd.ID):
		return a.reclaim(now)
	case c == nil && !moot:
		return a.sure("that the child was started is not in the log yet", true)
	case c != nil && (c.Ref != cmd.Ref || c.Version > cmd.Version || c.Version == cmd.Version && !c.news(cmd)):
		return a.sure("", false) // it may have been asked again since
	}
	return a.wakeUp(now, ChildEnded{
		ID: cmd.ID, Ref: cmd.Ref, Step: cmd.Step, Status: cmd.Status, State: cmd.State, Error: cmd.Error, Refused: cmd.Refused, Version: cmd.Version,
	})
}

// news reports whether an answer tells something new of the child at the version that the log knows. It may come before it is in the
// log that the child was asked.
func (c *ChildState) news(cmd ChildDone) bool {
	return c.Recalled || c.Status != cmd.Status || cmd.Refused && !c.Refused
}
