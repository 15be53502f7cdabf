package saga

import (
	"time"
)

// ActionKind is what the caller of an [Activation] is to do.
type ActionKind uint8

// The kinds of action. The comment says which fields of the [Action] matter, and which method of the
// [Activation] takes the outcome.
const (
	// ActLoad: load the saga with Consistency. Then Loaded.
	ActLoad ActionKind = iota + 1
	// ActAppend: append Commit at Revision; once it is in, poke the worker named by Poke, if any, and forget what is older
	// than the last Keep commits, unless that is zero, but nothing from Commit on, which has a snapshot then: others may append to
	// the log meanwhile. Then Appended or Conflicted; any other failure is the caller's to retry.
	ActAppend
	// ActRun: run the handler of Task on State, under Plan; a TaskStart or TaskRecall is a message to a child. Then Ran.
	// With More, there is more to do while it runs: call Next at once. Until is when the activation wants to be Woken,
	// should the task take that long; zero for never.
	ActRun
	// ActAsk: ask State on behalf of Task, with Input, under Plan: at once, and without any effect. Then Ran.
	ActAsk
	// ActWait: hold the activation until Until, or for as long as it takes where that is zero; until it is poked; or until one
	// of the tasks under way has a result. Then Woken, or Ran.
	ActWait
	// ActPublish: publish Emissions on the outbox's topics. Then Published.
	ActPublish
	// ActTell: send Word. Then Told.
	ActTell
	// ActFindStart: find the Start command of the run Run among the saga's commands. Then StartFound.
	ActFindStart
	// ActAck: the command is done; set the timers in Rearm again first, then acknowledge it. The activation
	// is over.
	ActAck
	// ActRetry: have the command delivered again after Delay, for Reason. The activation is over.
	ActRetry
	// ActReject: the command can never be carried out, for Reason; keep it aside for an operator. The
	// activation is over.
	ActReject
	// ActDrop: another delivery of this command owns the saga. Leave the command to it: no acknowledgement of
	// any kind. The activation is over.
	ActDrop
)

var actionNames = [...]string{
	ActLoad: "load", ActAppend: "append", ActRun: "run", ActAsk: "ask", ActWait: "wait", ActPublish: "publish",
	ActTell: "tell", ActFindStart: "find-start",
	ActAck: "ack", ActRetry: "retry", ActReject: "reject", ActDrop: "drop",
}

// String gives the kind's name in lower case.
func (k ActionKind) String() string {
	if k == 0 || int(k) >= len(actionNames) {
		return "unknown"
	}
	return actionNames[k]
}

// Action is the one thing to do next. See [ActionKind] for which fields matter.
type Action struct {
	Do ActionKind

	Consistency Consistency
	Commit      *Commit
	Revision    uint64
	Poke        string
	Keep        uint64
	Plan        *Plan
	Task        Task
	State       State
	Input       *Input
	More        bool
	Until       time.Time
	Emissions   []Emission
	Word        *Word
	Run         string
	Rearm       map[string]PendingTimer
	Delay       time.Duration
	Reason      error
}

// Word is what a saga's parent is told.
type Word struct {
	To   Key
	Done ChildDone
}

// Stateless gives the word without the state that the child ended with, for one that cannot be sent for its size, say; reason is
// that. A parent that wants the state fails with it.
func (w *Word) Stateless(reason error) *Word {
	without := *w
	without.Done.State = State{}
	if w.Done.Status == StatusCompleted {
		without.Done.Error = clip(reason.Error(), maxErrorText)
	}
	return &without
}

// Final reports whether the activation is over once the action is carried out.
func (a Action) Final() bool {
	switch a.Do {
	case ActAck, ActRetry, ActReject, ActDrop:
		return true
	default:
		return false
	}
}
