package sagatest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

// EveryCrash plays a scenario once as it is, and then again for each of its commits: once with the worker gone before the commit is
// stored, and once after. Each time the command is delivered to another worker. It fails the test where a saga ends with another
// status or state, or with other effects, than without the crash. Effects are compared without regard to their order, which is up to chance
// for what happens at once.
//
// The scenario starts sagas, sends signals and lets time pass; it is played by a new [Kit] each time, and must be the same each
// time. It is given the number of the commit at which it crashes, for messages; 0 for none.
func EveryCrash(t testing.TB, definitions []saga.Runnable, play func(k *Kit)) {
	t.Helper()
	whole := New(t, definitions...)
	play(whole)
	want := whole.outcome()
	for n := 1; n <= whole.w.commits; n++ {
		for _, stored := range []bool{false, true} {
			k := New(t, definitions...)
			crashed := false
			k.w.crash = func(w *world, _ *saga.Commit, after bool) bool {
				at := w.commits
				if !after {
					at++
				}
				if crashed || after != stored || at != n {
					return false
				}
				crashed = true
				return true
			}
			play(k)
			when := map[bool]string{false: "before", true: "after"}[stored]
			if got := k.outcome(); got != want {
				t.Errorf("with a crash %s commit %d it ends as\n%s\nwithout one as\n%s", when, n, got, want)
			}
		}
	}
}

// outcome tells how all sagas have ended.
func (k *Kit) outcome() string {
	var b strings.Builder
	for _, key := range k.w.keys() {
		in := k.w.fold(key)
		fmt.Fprintf(&b, "%s: %s (%s) %s\n", key, in.Status, in.Reason, in.State.JSON())
		effects := slices.Sorted(slices.Values(k.w.effectsOf(key)))
		fmt.Fprintf(&b, "  %s\n", strings.Join(effects, ", "))
	}
	emitted := map[string]bool{}
	for _, e := range k.w.emissions {
		emitted[fmt.Sprintf("%s %s", e.Topic, e.Payload)] = true
	}
	fmt.Fprintf(&b, "emitted %q, rejected %d\n", slices.Sorted(maps.Keys(emitted)), len(k.w.rejected))
	return b.String()
}
