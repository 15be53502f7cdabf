package simulation

import (
	"slices"
	"strings"

	"github.com/jetsaga/jetsaga/saga"
)

// Mutation is a safety rule that is broken on purpose, at the boundary between the machine and the world around
// it, to show that the invariants would tell. The zero value breaks nothing.
type Mutation string

// The mutations.
const (
	SkipClaim          Mutation = "a commit that only claims is not written"
	StaleLatest        Mutation = "a load that asks for the latest is answered by a lagging replica"
	AckForRetry        Mutation = "a command that is to be delivered again is acknowledged"
	AckForDrop         Mutation = "a command that is left to another delivery is acknowledged"
	AckEarly           Mutation = "a command is acknowledged when it arrives"
	AckBeforeRearm     Mutation = "a command is acknowledged before its timers are set again"
	BlindAppend        Mutation = "an append does not compare revisions"
	ConflictIsSuccess  Mutation = "a conflict is taken for success"
	ErrorIsSuccess     Mutation = "an append whose outcome is unknown is taken for success"
	ForgetRearm        Mutation = "timers are not set again before an acknowledgement"
	ForgetDeliveries   Mutation = "every delivery counts as the first"
	ForgetWhereStored  Mutation = "a delivery does not tell where its command is stored"
	ForgetTimerVersion Mutation = "a timer does not tell the version of its commit"
	UnconditionalStart Mutation = "a Start is stored whether or not there was one before"
	StartNotFound      Mutation = "the Start of a run is never found"
	NoRedelivery       Mutation = "a command is delivered once"
)

// The mutations of what only plans of all constructs need.
const (
	ForgetUnsettled  Mutation = "a claim keeps one open attempt, and forgets the others"
	AckSignals       Mutation = "a signal is acknowledged when it arrives"
	AckChildDone     Mutation = "a child's answer is acknowledged when it arrives"
	SkipTell         Mutation = "a parent is not told of its child's end"
	SkipPublish      Mutation = "emissions are not published"
	SkipSchedules    Mutation = "a saga is parked, and its timer is not set"
	SkipRecall       Mutation = "a child is not told to undo what it has done"
	SkipChildStart   Mutation = "a child is not sent its Start"
	WrongScope       Mutation = "a handler works on the whole state in place of its branch's"
	DropResult       Mutation = "of several results that come together, one is dropped"
	WakeEarly        Mutation = "a wait is over before its time"
	FailureIsSuccess Mutation = "a failed attempt counts as done"
	FailureIsFinal   Mutation = "a failed attempt counts as the last"
	PutOffCounts     Mutation = "an attempt that was put off counts"
	UndoIsDone       Mutation = "a failed undo counts as done"
	ChildHasDone     Mutation = "a child that has failed counts as completed"
	NothingIsUnknown Mutation = "an attempt of which nothing is known counts as failed"
	FirstWins        Mutation = "the first branch counts as the winner of every race"
	ScopeIsLost      Mutation = "what a branch has changed counts as a change of the whole state"
	OutboxIsLost     Mutation = "what a step has emitted is forgotten"
	SignalsAreNew    Mutation = "the id of a signal is not remembered"
	NoTimeouts       Mutation = "a wait without an end"
)

// misreadings are the mutations that read an event of the log for another.
var misreadings = map[Mutation]func(saga.Event) saga.Event{
	FailureIsSuccess: func(e saga.Event) saga.Event {
		if f, ok := e.(saga.StepFailed); ok && !f.GaveUp {
			return saga.StepCompleted{Step: f.Step, Attempt: f.Attempt}
		}
		return e
	},
	FailureIsFinal: func(e saga.Event) saga.Event {
		if f, ok := e.(saga.StepFailed); ok {
			f.GaveUp = true
			return f
		}
		return e
	},
	PutOffCounts: func(e saga.Event) saga.Event {
		if f, ok := e.(saga.StepFailed); ok && f.PutOff > 0 {
			f.Attempt++
			return f
		}
		return e
	},
	UndoIsDone: func(e saga.Event) saga.Event {
		if f, ok := e.(saga.CompensationFailed); ok {
			return saga.StepCompensated{Step: f.Step, Attempt: f.Attempt}
		}
		return e
	},
	ChildHasDone: func(e saga.Event) saga.Event {
		if c, ok := e.(saga.ChildEnded); ok {
			c.Status = saga.StatusCompleted
			return c
		}
		return e
	},
	NothingIsUnknown: func(e saga.Event) saga.Event {
		if f, ok := e.(saga.StepFailed); ok {
			f.Unknown = false
			return f
		}
		return e
	},
	FirstWins: func(e saga.Event) saga.Event {
		if b, ok := e.(saga.BranchTaken); ok && strings.HasPrefix(b.Branch, "b") && len(b.Branch) == 2 {
			b.Branch = "b0"
			return b
		}
		return e
	},
	ScopeIsLost: func(e saga.Event) saga.Event {
		if c, ok := e.(saga.StepCompleted); ok {
			c.Scope = ""
			return c
		}
		return e
	},
	OutboxIsLost: func(e saga.Event) saga.Event {
		if c, ok := e.(saga.StepCompleted); ok {
			c.Emits = nil
			return c
		}
		return e
	},
	SignalsAreNew: func(e saga.Event) saga.Event {
		if s, ok := e.(saga.SignalReceived); ok {
			s.ID += "'"
			return s
		}
		return e
	},
	NoTimeouts: func(e saga.Event) saga.Event {
		if s, ok := e.(saga.WaitStarted); ok {
			s.Until = s.Until.AddDate(100, 0, 0)
			return s
		}
		return e
	},
}

// forget begins the mutations that [Forget] makes.
const forget = "an event is forgotten: "

// Forget breaks evolve: events of the type with that wire name are not applied.
func Forget(event string) Mutation { return Mutation(forget + event) }

// isForget reports whether the mutation is of those that [Forget] makes.
func (m Mutation) isForget() bool { return strings.HasPrefix(string(m), forget) }

// acksEarly reports whether a command is acknowledged when it arrives.
func (m Mutation) acksEarly(c saga.Command) bool {
	switch c.(type) {
	case saga.Signal:
		return m == AckSignals || m == AckEarly
	case saga.ChildDone:
		return m == AckChildDone || m == AckEarly
	default:
		return m == AckEarly
	}
}

// rewrites reports whether the mutation reads the log for another than it is.
func (m Mutation) rewrites() bool { return m.isForget() || misreadings[m] != nil }

// read gives the events of a commit as they are read.
func (m Mutation) read(events []saga.Event) []saga.Event {
	events = slices.DeleteFunc(events, m.forgets)
	if misread := misreadings[m]; misread != nil {
		for i, e := range events {
			events[i] = misread(e)
		}
	}
	return events
}

// forgets reports whether the mutation forgets events of e's type.
func (m Mutation) forgets(e saga.Event) bool { return m == Forget(saga.EventName(e)) }
