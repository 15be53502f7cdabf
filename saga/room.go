package saga

import (
	"fmt"
)

// This file is about how much goes into a commit, which is one message of a bounded size. What the core reckons with are
// estimates, and cheap; the journal has the last word, see [Activation.TooLarge].

// What fits into the 1 MiB that a server takes by default.
const (
	// DefaultMaxCommit leaves a sixteenth for what estimates leave out.
	DefaultMaxCommit = 1<<20 - 1<<16
	// DefaultMaxState is a third, since a commit may carry a state twice.
	DefaultMaxState = 1 << 20 / 3
)

// usualEvent is what an event takes beside what the user puts into it, and rather more.
const usualEvent = 200

// eventSize estimates the length of an event's JSON, in bytes.
func eventSize(e Event) int {
	n := usualEvent
	switch e := e.(type) {
	case StepCompleted:
		n += e.Set.Size() + emitted(e.Emits)
	case SagaStarted:
		n += e.State.Size()
	case StepCompensated:
		n += e.Set.Size() + emitted(e.Emits)
	case StepFailed:
		n += len(e.Error) + len(e.Stack)
	case CompensationFailed:
		n += len(e.Error) + len(e.Stack)
	case CompensationStarted:
		n += len(e.Error)
	case BlockFailed:
		n += len(e.Error)
	case ItemsFound:
		for i := range e.Items {
			n += e.Items[i].Size() + 1
		}
	case ItemEnded:
		n += len(e.Error)
	case ItemsCollected:
		n += e.Set.Size()
	case ChildEnded:
		n += e.State.Size()
	case SignalReceived:
		n += len(e.Payload)
	case SagaReset:
		n += e.Saga.size()
	}
	return n
}

func emitted(emissions []Emission) (n int) {
	for i := range emissions {
		n += emissions[i].Size()
	}
	return n
}

func eventsSize(events []Event) (n int) {
	for _, e := range events {
		n += eventSize(e)
	}
	return n
}

// full reports whether the commit under way has no room for a further event of this size. A commit without events takes any.
func (a *Activation) full(size int) bool { return len(a.events) > 0 && a.size+size > a.room }

// TooLarge takes that the commit is not in the log, because it is larger than the journal takes: err, which tells the sizes. From
// here on each decision of this activation has a commit of its own, without a snapshot. What is too large even so is what came
// of one attempt, which thereby fails for good; its effect is undone, as far as that can be. Where it is the command itself, as
// with a signal, that is set aside, and the saga is as it was.
func (a *Activation) TooLarge(err error) Action {
	switch {
	case a.room > 0:
		a.room = 0
	case a.taken > 0 && a.results[a.taken-1].Err == nil:
		r := &a.results[a.taken-1]
		r.Err = fmt.Errorf("what came of %q is too much for one commit: %w", r.Task.Step, err)
		if !r.Task.Kind.Asks() {
			r.Err = Unknown(r.Err)
		}
		r.Err = Permanent(r.Err)
	default:
		return a.reject(err)
	}
	return a.load(Latest)
}
