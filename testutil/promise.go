package testutil

import (
	"fmt"
	"testing"
)

// measurements is how often a promise about time is measured at most.
const measurements = 3

// Promised measures what is promised about times, in a subtest that tells what it missed, if anything that is to be held against
// the code ([Machine.HoldsTimes]). It measures anew where something was missed, and fails where that was so each time: whatever
// else happens on a machine makes times longer and never shorter, so one measurement that keeps the promise shows it. A
// measurement that fails for any other reason is not repeated.
func Promised(t *testing.T, measure func(t *testing.T) (missed string)) {
	t.Helper()
	var missed string
	for i := range measurements {
		sound := t.Run(fmt.Sprintf("measurement %d", i+1), func(t *testing.T) { missed = measure(t) })
		if !sound || missed == "" {
			return
		}
		t.Logf("measurement %d: %s", i+1, missed)
	}
	t.Errorf("missed %d times, at last: %s", measurements, missed)
}
