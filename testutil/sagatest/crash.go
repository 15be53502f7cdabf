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
// time.
func EveryCrash(t testing.TB, definitions []saga.Runnable, play func(k *Kit)) {
	t.Helper()
	whole := New(t, definitions...)
	play(whole)
	want := whole.outcome()
	for n := 1; n <= whole.Commits(); n++ {
		for _, after := range []bool{false, true} {
			k := New(t, definitions...)
			when := "before"
			if after {
				when = "after"
				k.CrashAfter(n)
			} else {
				k.CrashBefore(n)
			}
			play(k)
			if got := k.outcome(); got != want {
				t.Errorf("with a crash %s commit %d it ends as\n%s\nwithout one as\n%s", when, n, got, want)
			}
		}
	}
}

// Commits gives how many commits were stored so far, of all sagas together.
func (k *Kit) Commits() int { return k.w.commits }

// CrashBefore has the worker vanish that is about to store commit n, of all sagas together and counted from 1: what it has done
// since the commit before is not in the log. The command is delivered to another worker.
func (k *Kit) CrashBefore(n int) { k.crash(n-1, false) }

// CrashAfter has the worker vanish that has just stored commit n: it neither knows that, nor has its command acknowledged.
func (k *Kit) CrashAfter(n int) { k.crash(n, true) }

// crash has the next worker vanish that stands before, or after, the commit by which so many are stored.
func (k *Kit) crash(stored int, after bool) {
	others, crashed := k.w.crash, false
	k.w.crash = func(w *world, c *saga.Commit, isStored bool) bool {
		if !crashed && isStored == after && w.commits == stored {
			crashed = true
			return true
		}
		return others(w, c, isStored)
	}
}

// Interrupt has a function called as soon as n commits are stored, of all sagas together: to send a saga something at a moment
// of its life that no waiting could hit.
func (k *Kit) Interrupt(n int, f func()) {
	others, called := k.w.crash, false
	k.w.crash = func(w *world, c *saga.Commit, stored bool) bool {
		if !called && stored && w.commits == n {
			called = true
			f()
		}
		return others(w, c, stored)
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
