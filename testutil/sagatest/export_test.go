package sagatest

import "testing"

// Outcome tells how all sagas have ended, and what came of them on the way.
func (k *Kit) Outcome() string { return k.outcome() }

// TB is the test that the kit is for; within [EveryCrash] it tells of each failure where the crash was.
func (k *Kit) TB() testing.TB { return k.t }

// Distinct gives what the handlers of all sagas have done, each effect once.
func (k *Kit) Distinct() []Effect { return k.w.distinct() }
