package saga

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// admitOrder carries out what an operator wants.
func (a *Activation) admitOrder(now time.Time, cmd operator) Action {
	o := cmd.order()
	switch {
	case slices.Contains(a.in.Seen, o.ID):
		return a.reclaim(now)
	case a.in.Run != o.Run:
		return a.findRun(o.Run)
	}
	if retry, ok := a.know(a.in.Definition); !ok && needsPlan(cmd) {
		return retry
	}
	event, err := a.orders(cmd)
	switch {
	case err != nil && a.level != Latest:
		return a.load(Latest)
	case err != nil:
		return a.dismiss(now, err, func() Action { return a.reject(fmt.Errorf("saga %s: %s: %w", a.key, CommandName(cmd), err)) })
	case event == nil:
		return a.dismiss(now, errors.New("there is nothing to do"), a.ack)
	}
	if ends(event) && len(a.in.Outbox) > 0 {
		return Action{Do: ActPublish, Emissions: a.in.Outbox}
	}
	if reset, ok := event.(SagaReset); ok && !a.in.Parked {
		reset.Unsettled = a.exposed(now) // the attempts under way are cut off
		event = reset
	}
	a.poke = a.in.Owner.Worker
	if ends(event) {
		a.cancelTimers(now, time.Time{})
	}
	a.record(now, event)
	if a.in.Owner == a.me {
		return a.claimed(now)
	}
	return a.append(now)
}

// needsPlan reports whether only a worker that has the saga's definition can carry out what an operator wants.
func needsPlan(cmd operator) bool {
	switch cmd.(type) {
	case Pause, Terminate:
		return false
	default:
		return true
	}
}

// orders gives the event that an operator's command is, nil where there is nothing to do.
func (a *Activation) orders(cmd operator) (Event, error) {
	ended := fmt.Errorf("the saga has ended %s", a.in.Status)
	switch cmd := cmd.(type) {
	case Pause:
		switch {
		case a.in.Ended():
			return nil, ended
		case a.in.Paused:
			return nil, nil
		}
		return SagaPaused(cmd), nil
	case Resume:
		if !a.in.Paused || a.in.Ended() {
			return nil, nil
		}
		return SagaResumed(cmd), nil
	case Terminate:
		if a.in.Ended() && a.in.Status != StatusStuck {
			return nil, ended
		}
		return SagaTerminated(cmd), nil
	case Retry:
		return a.orderRetry(cmd)
	case Skip:
		s := a.in.Steps.Get(cmd.Step)
		switch {
		case a.plan.Step(cmd.Step) == nil:
			return nil, fmt.Errorf("the definition has no step %q", cmd.Step)
		case a.in.Ended() && !a.in.StuckAt(cmd.Step):
			return nil, fmt.Errorf("the saga has ended %s, and not because of step %q", a.in.Status, cmd.Step)
		case s.Status == StepDone || s.Status == StepUndone:
			return nil, fmt.Errorf("step %q is %s already", cmd.Step, s.Status)
		case !a.in.Ended() && a.replaced(cmd.Step, s):
			return nil, fmt.Errorf("what runs in place of step %q has begun: skip a step there", cmd.Step)
		}
		return StepSkipped(cmd), nil
	case Resolve:
		switch s := a.in.Steps.Get(cmd.Step); {
		case a.in.Ended() && !a.in.StuckAt(cmd.Step):
			return nil, fmt.Errorf("the saga has ended %s, and not because of step %q", a.in.Status, cmd.Step)
		case s.Status != StepUndoGaveUp:
			return nil, fmt.Errorf("the compensation of step %q has not failed for good", cmd.Step)
		}
		return StepResolved(cmd), nil
	case Reset:
		if cmd.Saga == nil || cmd.To == 0 || cmd.To > a.in.Version {
			return nil, fmt.Errorf("version %d is not one of the log's %d", cmd.To, a.in.Version)
		}
		return SagaReset{Order: cmd.Order, To: cmd.To, Saga: cmd.Saga}, nil
	default:
		return nil, fmt.Errorf("command type %T cannot be carried out", cmd)
	}
}

// replaced reports whether a fallback has begun in place of a step, or what runs when no signal has come: attempts of it may be under
// way, which a saga that passes the step over would forget.
func (a *Activation) replaced(step string, s StepState) bool {
	return a.in.block(step).Branch == labelTimeout || s.Failure != "" && a.plan.Node(step).branch(labelFallback) != nil
}

func (a *Activation) orderRetry(cmd Retry) (Event, error) {
	steps := cmd.Steps
	if len(steps) == 0 {
		steps = a.in.Stuck
	}
	for _, step := range steps {
		switch s := a.in.Steps.Get(step); s.Status {
		case StepRetrying, StepUndoRetrying, StepGaveUp, StepUndoGaveUp:
			if a.in.Ended() && !a.in.StuckAt(step) {
				return nil, fmt.Errorf("the saga has ended %s, and not because of step %q", a.in.Status, step)
			}
		default:
			if a.in.BlockFailed(step) {
				return nil, fmt.Errorf("%q is a block, which cannot be tried again: reset the saga to before it", step)
			}
			return nil, fmt.Errorf("step %q has not failed", step)
		}
	}
	if len(steps) == 0 {
		return nil, errors.New("no step is given, and the saga is not stuck")
	}
	return StepRetried{cmd.Order, steps}, nil
}
