package simulation

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestTheAgendaKeepsTheOrderOfTimeAndThenOfEntry(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var a agenda
	const entries = 1000
	for range entries {
		a.enter(time.Duration(rng.IntN(50)), func() {})
	}
	var last entry
	for range entries {
		next, ok := a.next()
		if !ok {
			t.Fatal("the agenda has lost an entry")
		}
		if next.before(last) {
			t.Fatalf("entry %d of %v comes after entry %d of %v", next.order, next.at, last.order, last.at)
		}
		last = next
	}
	if _, ok := a.next(); ok {
		t.Error("the agenda gives more than was entered")
	}
}
