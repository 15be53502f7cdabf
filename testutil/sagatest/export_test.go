package sagatest

import (
	"context"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

// Outcome tells how all sagas have ended, and what came of them on the way.
func (k *Kit) Outcome() string { return k.outcome() }

// TB is the test that the kit is for; within [EveryCrash] it tells of each failure where the crash was.
func (k *Kit) TB() testing.TB { return k.t }

// Distinct gives what the handlers of all sagas have done, each effect once.
func (k *Kit) Distinct() []Effect { return k.w.distinct() }

// History gives the log of a saga.
func (k *Kit) History(key saga.Key) ([]saga.Commit, error) {
	return k.w.journal.History(context.Background(), key)
}

// InSequence puts steps of a saga that were undone in an order that is the same for all that the definition allows.
func (k *Kit) InSequence(key saga.Key, run string, undone []string) (steps []string) {
	effects := make([]Effect, len(undone))
	for i, step := range undone {
		effects[i] = Effect{Key: key, Run: run, Step: step, Undo: true, id: step}
	}
	for _, e := range k.w.sequence(effects) {
		steps = append(steps, e.Step)
	}
	return steps
}
