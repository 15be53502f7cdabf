package saga

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// Evolve applies a commit. It cannot fail: what is in the log is fact, and was checked before it was written.
func (in *Instance) Evolve(c *Commit) {
	if c.Snapshot != nil {
		in.restore(c.Snapshot)
	} else {
		for _, e := range c.Events {
			in.apply(e, stamp{version: c.Version, time: c.Time, by: c.By})
		}
	}
	in.Version, in.UpdatedAt = c.Version, c.Time
}

// restore takes the snapshot's place without sharing what may change.
func (in *Instance) restore(snapshot *Instance) {
	key := in.Key
	*in = *snapshot.clone()
	in.Key = key
}

// stamp is what an event takes from its commit.
type stamp struct {
	version uint64
	time    time.Time
	by      Owner
	left    State // what the handler left whose result the event is, where that is known
}

func (in *Instance) apply(event Event, at stamp) {
	switch e := event.(type) {
	case SagaStarted:
		in.start(e, at)
	case ActivationClaimed:
		in.Owner, in.Unsettled = at.by, e.Unsettled
	case StepCompleted:
		in.complete(e, at)
	case StepFailed:
		in.fail(e)
	case CompensationStarted:
		in.Status, in.Reason, in.Failed, in.Error = StatusCompensating, e.Reason, e.Step, e.Error
	case StepCompensated:
		s := in.Steps.at(e.Step)
		s.Status, s.UndoAttempt, s.Error, s.RetryAt, s.Doubt, s.PutOff = StepUndone, e.Attempt, "", time.Time{}, false, 0
		in.patch(e.Scope, e.Patch, at.left)
		in.Outbox = append(in.Outbox, e.Emits...)
	case CompensationFailed:
		s := in.Steps.at(e.Step)
		s.Status, s.UndoAttempt, s.Error, s.RetryAt, s.PutOff = StepUndoRetrying, e.Attempt, e.Error, e.RetryAt, e.PutOff
		if e.GaveUp {
			s.Status = StepUndoGaveUp
		}
	case CancelRequested:
		if in.Cancel == nil {
			in.Cancel = &e
		}
		in.unpark(at.by)
	case TimerSet:
		if in.Timers == nil {
			in.Timers = map[string]PendingTimer{}
		}
		in.Timers[e.Name] = PendingTimer{At: e.At, Version: at.version, Step: e.Step}
	case TimerFired:
		in.fire(e.Name)
		in.wake(at.by)
	case TimerCancelled:
		delete(in.Timers, e.Name)
	case SagaParked:
		in.Parked, in.Owner = true, Owner{}
	case SagaCompleted:
		in.end(StatusCompleted, at)
	case SagaCompensated:
		in.end(StatusCompensated, at)
	case SagaStuck:
		in.Error, in.Stuck = e.Error, e.Steps
		if in.Reason == "" && len(e.Steps) > 0 {
			in.Failed = e.Steps[0] // past the pivot
		}
		in.end(StatusStuck, at)
	default:
		in.flow(event, at)
	}
}

// complete takes note of a step that has completed.
func (in *Instance) complete(e StepCompleted, at stamp) {
	in.settled(e.Step)
	*in.Steps.at(e.Step) = StepState{Status: StepDone, Attempt: e.Attempt}
	in.patch(e.Scope, e.Patch, at.left)
	if e.Signal != "" {
		in.dropSignal(e.Step)
	}
	in.Outbox = append(in.Outbox, e.Emits...)
}

// fail takes note of a failed attempt. One that gave up has settled what the attempts before it left open. What nobody knows
// about an attempt stays unknown until another succeeds, or is refused for good.
func (in *Instance) fail(e StepFailed) {
	s := in.Steps.at(e.Step)
	doubt := e.Unknown || s.Doubt && !e.Permanent
	*s = StepState{Status: StepRetrying, Attempt: e.Attempt, Error: e.Error, RetryAt: e.RetryAt, Doubt: doubt, PutOff: e.PutOff}
	if e.GaveUp {
		s.Status, s.Failure = StepGaveUp, cmp.Or(e.Error, noReason)
		in.settled(e.Step)
	}
}

// noReason stands for the error of a step that failed for good without one.
const noReason = "no reason was given"

// flow is apply for the events of blocks.
func (in *Instance) flow(event Event, at stamp) {
	switch e := event.(type) {
	case BranchTaken:
		in.change(e.Node).Branch = e.Branch
	case TurnStarted:
		in.change(e.Node).Turn = e.Turn
		in.forget(e.Forget, e.Node, e.Turn)
	case LoopEnded:
		in.change(e.Node).Done = true
	case BranchesJoined:
		in.change(e.Node).Done = true
		in.join(e)
		in.unturn(e.Node, "")
	case BlockFailed:
		b := in.change(e.Node)
		b.Failed, b.Reason = e.Error, e.Reason
	case ItemsFound:
		in.change(e.Node).find(e.Items)
	case BranchTurned:
		in.Turned = append(slices.Clip(in.Turned), e.Scope)
	case ItemEnded:
		in.change(e.Node).endItem(e)
		in.unturn(e.Node, strconv.Itoa(e.Index))
	case ItemsCollected:
		b := in.change(e.Node)
		b.Done = true
		in.patch(e.Scope, e.Patch, State{})
		if len(e.Forget) > 0 {
			in.forget(e.Forget, e.Node, len(b.Items))
			b.Items = nil
		}
	case WaitStarted:
		in.change(e.Node).Until = e.Until
	case WaitEnded:
		in.change(e.Node).Done = true
	default:
		in.exchange(event, at)
	}
}

// exchange is apply for the events of what comes from other sagas and from outside, and goes there.
func (in *Instance) exchange(event Event, at stamp) {
	switch e := event.(type) {
	case SignalReceived:
		in.Signals = append(in.Signals, e.Signal)
		in.see(e.ID)
		if e.decides() {
			in.see(at.by.decision())
		}
		in.wake(at.by)
	case SignalTaken:
		in.change(e.Node).Signal = in.takeSignal(e.ID)
	case SignalRefused:
		in.settled(e.Node)
		in.dropSignal(e.Node)
	case ChildStarted:
		in.settled(e.Node)
		in.change(e.Node).Child = &ChildState{Ref: e.Ref}
	case ChildEnded:
		in.endChild(e)
		in.see(e.ID)
		in.wake(at.by)
	case ChildRecalled:
		if c := in.block(e.Node).Child; c != nil {
			c.Recalled = true
		}
	case AttributesChanged:
		in.Attributes = e.Values
	case EmissionsPublished:
		in.Outbox = nil
	default:
		in.operate(event, at)
	}
}

// endChild takes note of how a child has ended.
func (in *Instance) endChild(e ChildEnded) {
	b := in.block(e.Step)
	if b.Child == nil && (in.over() || in.Steps.Get(e.Step).Status == StepSkippedOver) { // it took no note of the start any more
		b = in.change(e.Step)
		b.Child = &ChildState{Ref: e.Ref}
	}
	if b.Child == nil || b.Child.Ref != e.Ref {
		return
	}
	if !e.Refused || b.Child.Status == "" { // else it is known how it has ended
		b.Child.Status, b.Child.State = e.Status, e.State
	}
	b.Child.Error = e.Error
	b.Child.Recalled, b.Child.Refused, b.Child.Version = false, e.Refused, e.Version
}

// operate is apply for the events that operators cause.
func (in *Instance) operate(event Event, at stamp) {
	switch e := event.(type) {
	case CommandDismissed:
		in.see(e.ID)
	case SagaPaused:
		in.see(e.ID)
		in.Paused = true
	case SagaResumed:
		in.see(e.ID)
		in.Paused = false
		in.unpark(at.by)
	case SagaTerminated:
		in.see(e.ID)
		in.Error = e.Reason
		in.end(StatusTerminated, at)
	case UndoRequested:
		in.see(e.ID)
		in.Reason = ReasonUndone
		in.reopen(at.by)
		in.Error = e.Order.Reason //nolint:staticcheck // beside the reason for undoing, which is another
	case StepRetried:
		in.see(e.ID)
		for _, step := range e.Steps {
			in.retry(step)
		}
		in.Turned = nil // a branch that was undone may go on
		in.reopen(at.by)
	case StepSkipped:
		in.see(e.ID)
		in.settled(e.Step)
		*in.Steps.at(e.Step) = StepState{Status: StepSkippedOver}
		in.reopen(at.by)
	case StepResolved:
		in.see(e.ID)
		in.Steps.at(e.Step).Status = StepResolvedByOp
		in.reopen(at.by)
	case SagaReset:
		in.reset(e, at)
	}
}

// retry gives a step that has failed for good, or whose undo has, another round of attempts, and cuts the rest short before the next
// one of a step that has not.
func (in *Instance) retry(step string) {
	s := in.Steps.at(step)
	switch s.Status {
	case StepGaveUp:
		s.Status, s.Attempt, s.RetryAt, s.Failure = StepRetrying, 0, time.Time{}, ""
	case StepUndoGaveUp:
		s.Status, s.UndoAttempt, s.RetryAt = StepUndoRetrying, 0, time.Time{}
		if c := in.block(step).Child; c != nil {
			c.Status, c.Recalled, c.Refused = "", false, false // it is asked again
		}
	default:
		s.RetryAt = time.Time{}
	}
}

// reopen lets a saga go on that had ended, or was parked, in the direction that it had.
func (in *Instance) reopen(by Owner) {
	for _, b := range in.Blocks {
		b.high = 0
	}
	if in.Ended() {
		in.Status, in.EndedAt, in.Error, in.Stuck, in.Owner = StatusRunning, time.Time{}, "", nil, by
		if in.Reason == "" {
			in.Failed = ""
		}
		if in.Reason != "" {
			in.Status = StatusCompensating
		}
	}
	in.unpark(by)
}

// reset takes the saga back. What has come to it since stays: signals, answers of children, and the ids of commands. So do
// the attempts of which nobody knows how they ended.
func (in *Instance) reset(e SagaReset, at stamp) {
	was := e.Saga.clone()
	was.Key, was.Version, was.Run, was.StartedAt = in.Key, in.Version, in.Run, in.StartedAt
	was.Seen, was.Outbox, was.Clock, was.Timers = in.Seen, in.Outbox, in.Clock, in.Timers
	was.Parent, was.Attributes = in.Parent, in.Attributes
	was.Status, was.Reason, was.Error, was.Failed, was.EndedAt, was.Stuck = StatusRunning, "", "", "", time.Time{}, nil
	was.Cancel, was.Parked, was.Paused, was.Owner = nil, false, false, at.by
	was.Unsettled = in.Unsettled
	for _, step := range e.Unsettled {
		if !slices.Contains(was.Unsettled, step) {
			was.Unsettled = append(slices.Clip(was.Unsettled), step)
		}
	}
	was.keepSignals(in)
	was.keepChildren(in)
	if in.Cancel != nil {
		was.see(in.Cancel.ID) // its command may still be delivered
	}
	*in = *was
	in.see(e.ID)
}

// keepSignals takes over the signals that have come since the saga was as it is. What was there is there again, and an approval
// whose decision was taken since can be decided again, but not by the command that decided it.
func (in *Instance) keepSignals(since *Instance) {
	has := func(id string) bool {
		return slices.ContainsFunc(in.Signals, func(s Signal) bool { return s.ID == id })
	}
	for _, s := range since.Signals {
		if !has(s.ID) {
			in.Signals = append(in.Signals, s)
		}
	}
	for key := range since.Blocks {
		decision := newToken(in.Key, in.Run, key).Secret
		if in.Steps.Get(key).Status == StepPending && in.block(key).Signal == nil && !has(decision) {
			in.Seen = slices.DeleteFunc(slices.Clone(in.Seen), func(id string) bool { return id == decision })
		}
	}
}

// keepChildren takes over what has become of children since the saga was as it is: one that is started again is the same child,
// and does not answer again.
func (in *Instance) keepChildren(since *Instance) {
	for key, b := range since.Blocks {
		if b.Child != nil {
			child := *b.Child
			in.change(key).Child = &child
		}
	}
}

// wake gives a parked saga to the activation whose event woke it, unless it is paused.
func (in *Instance) wake(by Owner) {
	if !in.Paused {
		in.unpark(by)
	}
}

// start begins a run and forgets the one before, but for the ids of commands that it has seen: a signal is for no particular
// run. A run that its own Start command begins is owned from there
// on; one that another command had to begin waits for its Start to be delivered.
func (in *Instance) start(e SagaStarted, at stamp) {
	owner := at.by
	if owner.Command != e.Run {
		owner = Owner{Command: e.Run}
	}
	var steps Steps
	if in.Version == 0 {
		steps = in.Steps // for the room
	}
	*in = Instance{
		Key: in.Key, Version: in.Version,
		Run: e.Run, Definition: e.Definition, Status: StatusRunning, State: e.State, Owner: owner, Unsettled: e.Unsettled,
		Deadline: e.Deadline, Parent: e.Parent, Attributes: e.Attributes,
		Steps: steps, Seen: in.Seen, StartedAt: at.time,
	}
}

// unpark gives a parked saga to the activation whose event woke it; a saga that runs keeps its owner.
func (in *Instance) unpark(by Owner) {
	if in.Parked {
		in.Parked, in.Owner = false, by
	}
}

// fire takes the timer away, and its time for the present.
func (in *Instance) fire(name string) {
	if t, ok := in.Timers[name]; ok && t.At.After(in.Clock) {
		in.Clock = t.At
	}
	delete(in.Timers, name)
}

func (in *Instance) end(status Status, at stamp) {
	in.Status, in.EndedAt, in.Owner, in.Parked = status, at.time, Owner{}, false
}
