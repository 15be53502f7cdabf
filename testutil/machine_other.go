//go:build !linux

package testutil

import (
	"os"
	"testing"
)

// Machine tells, on Linux, how much of the machine programs take that are not part of a test. Elsewhere it cannot: times are
// held where JETSAGA_HOLD_TIMES asks for it, whatever else the machine does.
type Machine struct{}

// WatchMachine begins to measure.
func WatchMachine(testing.TB) *Machine { return &Machine{} }

// HoldsTimes reports whether a promise about time that was not kept is to be held against the code: not under the race
// detector, which slows it several times over, and not where JETSAGA_HOLD_TIMES is not set.
func (*Machine) HoldsTimes(testing.TB, ...int) bool {
	return !raced && os.Getenv("JETSAGA_HOLD_TIMES") != ""
}
