package saga

import (
	"time"
)

// Evolve applies a commit. It cannot fail: what is in the log is fact, and was checked before it was written.
func (in *Instance) Evolve(c *Commit) {
	if c.Snapshot != nil {
		in.restore(c.Snapshot)
	} else {
		for _, e := range c.Events {
			in.apply(e, stamp{c.Version, c.Time, c.By})
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
}

func (in *Instance) apply(event Event, at stamp) {
	switch e := event.(type) {
	case SagaStarted:
		in.start(e, at)
	case ActivationClaimed:
		in.Owner, in.Unsettled = at.by, in.Status == StatusRunning
	case StepCompleted:
		in.Unsettled = false
		in.update(e.Step, func(s *StepState) { *s = StepState{Status: StepDone, Attempt: e.Attempt} })
		in.State = in.State.Apply(e.Patch)
	case StepFailed:
		if e.GaveUp {
			in.Unsettled = false
		}
		in.update(e.Step, func(s *StepState) {
			*s = StepState{Status: StepRetrying, Attempt: e.Attempt, Error: e.Error, RetryAt: e.RetryAt}
			if e.GaveUp {
				s.Status = StepGaveUp
			}
		})
		if e.GaveUp {
			in.Failed, in.Error = e.Step, e.Error
		}
	case CompensationStarted:
		in.Status, in.Reason, in.Error = StatusCompensating, e.Reason, e.Error
	case StepCompensated:
		in.update(e.Step, func(s *StepState) {
			s.Status, s.UndoAttempt, s.Error, s.RetryAt = StepUndone, e.Attempt, "", time.Time{}
		})
		in.State = in.State.Apply(e.Patch)
	case CompensationFailed:
		in.update(e.Step, func(s *StepState) {
			s.Status, s.UndoAttempt, s.Error, s.RetryAt = StepUndoRetrying, e.Attempt, e.Error, e.RetryAt
			if e.GaveUp {
				s.Status = StepUndoGaveUp
			}
		})
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
		in.unpark(at.by)
	case TimerCancelled:
		delete(in.Timers, e.Name)
	case SagaParked:
		in.Parked, in.Owner = true, Owner{}
	case SagaCompleted:
		in.end(StatusCompleted, at)
	case SagaCompensated:
		in.end(StatusCompensated, at)
	case SagaStuck:
		in.Error = e.Error
		in.end(StatusStuck, at)
	}
}

// start begins a run and forgets the one before. A run that its own Start command begins is owned from there
// on; one that another command had to begin waits for its Start to be delivered. Only the Start's first delivery,
// whose first commit this is, can know that no other has tried the first step.
func (in *Instance) start(e SagaStarted, at stamp) {
	owner := at.by
	if owner.Command != e.Run {
		owner = Owner{Command: e.Run}
	}
	unsettled := owner.Delivery != 1
	*in = Instance{
		Key: in.Key, Version: in.Version,
		Run: e.Run, Definition: e.Definition, Status: StatusRunning, State: e.State, Owner: owner, Unsettled: unsettled,
		StartedAt: at.time,
	}
}

// unpark gives a parked saga to the activation whose event woke it; a saga that runs keeps its owner.
func (in *Instance) unpark(by Owner) {
	if in.Parked {
		in.Parked, in.Owner = false, by
	}
}

// fire takes the timer away. The step that waited for it is due, whatever this worker's clock says.
func (in *Instance) fire(name string) {
	if t, ok := in.Timers[name]; ok && t.Step != "" {
		in.update(t.Step, func(s *StepState) { s.RetryAt = time.Time{} })
	}
	delete(in.Timers, name)
}

func (in *Instance) end(status Status, at stamp) {
	in.Status, in.EndedAt, in.Owner, in.Parked = status, at.time, Owner{}, false
}

func (in *Instance) update(step string, change func(*StepState)) {
	if in.Steps == nil {
		in.Steps = map[string]StepState{}
	}
	s := in.Steps[step]
	change(&s)
	in.Steps[step] = s
}
