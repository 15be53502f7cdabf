package engine

import (
	"errors"
	"fmt"

	"github.com/jetsaga/jetsaga/saga"
)

// ErrStateTooLarge is what a step fails with that leaves a state larger than [Config.MaxState].
var ErrStateTooLarge = errors.New("state too large")

// ErrOutcomeTooLarge is what a step fails with if what it changed of the state and what it emitted do not go into one commit
// together, and a ForEach whose items do not. A commit takes fifteen sixteenths of the server's max_payload.
var ErrOutcomeTooLarge = errors.New("outcome too large")

// maxCommit is how many bytes of what the user has made go into a commit: the rest is for what is around them.
func (c Config) maxCommit() int {
	limit := int(c.Conn.MaxPayload())
	return limit - limit/16
}

// tooLarge tells of what came of an attempt, or of asking the state, and cannot be kept. No retry can mend that.
func (c Config) tooLarge(r *saga.Result, given saga.State) error {
	if err := c.stateTooLarge(r.Task.Step, "left", r.State); err != nil {
		return err
	}
	changed, emitted, items := r.State.Size(), 0, 0
	for i := range r.Emits {
		emitted += r.Emits[i].Size()
	}
	if r.Answer != nil {
		for i := range r.Answer.Items {
			items += r.Answer.Items[i].Size() + 1
		}
	}
	most := c.maxCommit()
	if changed+emitted > most {
		changed = given.Diff(r.State).Set.Size()
	}
	switch {
	case changed+emitted > most:
		return saga.Permanent(fmt.Errorf("step %q changed %d bytes of the state and emitted %d events of %d bytes, at most %d bytes are kept together: %w",
			r.Task.Step, changed, len(r.Emits), emitted, most, ErrOutcomeTooLarge))
	case items > most:
		return saga.Permanent(fmt.Errorf("%q found %d items of %d bytes, at most %d are kept: %w",
			r.Task.Step, len(r.Answer.Items), items, most, ErrOutcomeTooLarge))
	default:
		return nil
	}
}

func (c Config) stateTooLarge(step, what string, state saga.State) error {
	if size := state.Size(); size > c.MaxState {
		return saga.Permanent(fmt.Errorf("step %q %s a state of %d bytes, at most %d are kept: %w", step, what, size, c.MaxState, ErrStateTooLarge))
	}
	return nil
}
