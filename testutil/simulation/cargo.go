package simulation

import (
	"context"
	"encoding/json"

	"github.com/jetsaga/jetsaga/saga"
)

// maxPlanSteps is how many steps Cargo has slots for.
const maxPlanSteps = 6

// Cargo is the state of the simulated sagas. Each step fills its slot and stirs the hash, so that a step which is
// forgotten, done twice, out of order, or on a state that is not the saga's leaves another Cargo.
type Cargo struct {
	Hash  uint64 `json:"hash"`
	Slot0 uint64 `json:"slot0,omitempty"`
	Slot1 uint64 `json:"slot1,omitempty"`
	Slot2 uint64 `json:"slot2,omitempty"`
	Slot3 uint64 `json:"slot3,omitempty"`
	Slot4 uint64 `json:"slot4,omitempty"`
	Slot5 uint64 `json:"slot5,omitempty"`
}

// cargoOf gives the Cargo that a state holds.
func cargoOf(s saga.State) (c Cargo) {
	if err := json.Unmarshal(s.JSON(), &c); err != nil {
		panic(err)
	}
	return c
}

// carry does what the step of that index does, or its undo.
func (c *Cargo) carry(index int, undo bool) {
	slot := [maxPlanSteps]*uint64{&c.Slot0, &c.Slot1, &c.Slot2, &c.Slot3, &c.Slot4, &c.Slot5}[index]
	kind := uint64(index) << 1 //nolint:gosec // the index of a step
	if undo {
		kind |= 1
		*slot = 0
	} else {
		*slot = c.Hash | 1
	}
	c.Hash = (c.Hash ^ kind) * 0x9e3779b97f4a7c15
	c.Hash ^= c.Hash >> 29
}

// handlers are the steps' handlers and their undos, by index.
var handlers = func() (h [maxPlanSteps]struct{ do, undo saga.Handler[Cargo] }) {
	for i := range h {
		h[i].do, h[i].undo = handler(i, false), handler(i, true)
	}
	return h
}()

// handler calls the participant and then changes the state.
func handler(index int, undo bool) saga.Handler[Cargo] {
	return func(ctx context.Context, c *Cargo) error {
		call := ctx.Value(callKey{}).(*call)
		if ctx.Err() != nil && !call.deaf {
			return context.Cause(ctx)
		}
		c.Hash ^= 0xbad // to be forgotten should the call fail
		if err := call.participants.perform(saga.FromContext(ctx), call.lastAttempt); err != nil {
			return err
		}
		c.Hash ^= 0xbad
		c.carry(index, undo)
		return nil
	}
}

// call is one call of a handler.
type call struct {
	participants *participants
	lastAttempt  bool // by the policy
	deaf         bool // the handler does not look at its context
}

type callKey struct{}
