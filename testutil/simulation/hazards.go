package simulation

import (
	"math/rand/v2"
)

// hazard is something that may go wrong.
type hazard int

const (
	crash            hazard = iota // a worker dies between two actions
	crashAfterEffect               // ... with its handler's effect out
	crashAfterCommit               // ... with its commit in and its command not acknowledged
	freeze                         // a worker stands still, and goes on as if nothing had happened
	stop                           // a worker stops in good order
	loseRequest                    // an append or a load does not get there
	refuseAppend                   // an append is told that it lost a race that nobody has won
	loseAnswer                     // an append is stored, its answer is lost
	repeatRequest                  // an append arrives twice, its caller sees the second answer
	delayRequest                   // an append arrives long after its caller has given up waiting, and repeated it
	delayCommit                    // a commit arrives long after the schedules that go with it
	loseTimer                      // a worker dies with its commit stored and the schedule lost
	keepTimer                      // a schedule that a commit takes back fires all the same
	repeatTimer                    // a schedule fires twice
	delayTimer                     // a schedule fires late
	loseAck                        // an acknowledgement of any kind does not get there
	losePoke                       // a poke does not get there
	loseHeartbeat                  // a command is delivered again although its worker is alive
	restartServer                  // the server forgets how often commands were delivered
	storeAway                      // what remembers effects is away when a handler is to run
	storeAwayAfter                 // ... or when it has had its effect
	hazardKinds      = iota
)

// hazards is how likely each is, and how many there may still be: after the last, everything must come right.
type hazards struct {
	odds [hazardKinds]float64
	left int
}

// newHazards leaves out about half of the kinds, a different half each time: what hides behind a common fault shows
// where that fault is missing.
func newHazards(rng *rand.Rand) hazards {
	h := hazards{left: rng.IntN(16)}
	for i := range h.odds {
		switch {
		case rng.IntN(2) == 0:
		case seldomPossible[i]:
			h.odds[i] = pick(rng, 0.1, 0.3, 0.8)
		default:
			h.odds[i] = pick(rng, 0.02, 0.1, 0.3)
		}
	}
	return h
}

// seldomPossible are the hazards for which there is an occasion now and then only.
var seldomPossible = [hazardKinds]bool{
	crashAfterEffect: true, crashAfterCommit: true, delayCommit: true, loseTimer: true, keepTimer: true,
	repeatTimer: true, delayTimer: true, losePoke: true, restartServer: true,
}

// strikes decides whether a hazard happens here and now.
func (w *world) strikes(h hazard) bool {
	if w.hazards.left == 0 || w.hazards.odds[h] == 0 || w.rng.Float64() >= w.hazards.odds[h] {
		return false
	}
	w.hazards.left--
	return true
}
