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
// status or state than without the crash, or where other effects or emissions came of it, or the same in another order. Only what a
// definition has happen at once may come in any order.
//
// The scenario starts sagas, sends signals and lets time pass; it is played by a new [Kit] each time, and must be the same each
// time. What it checks with the methods of the kit and of its sagas has to hold with every crash.
func EveryCrash(t testing.TB, definitions []saga.Runnable, play func(k *Kit)) {
	t.Helper()
	whole := New(t, definitions...)
	play(whole)
	want := whole.outcome()
	for n := 1; n <= whole.Commits(); n++ {
		for _, after := range []bool{false, true} {
			when := fmt.Sprintf("with a crash before commit %d", n)
			if after {
				when = fmt.Sprintf("with a crash after commit %d", n)
			}
			k := New(&occasion{t, when}, definitions...)
			if after {
				k.CrashAfter(n)
			} else {
				k.CrashBefore(n)
			}
			play(k)
			if got := k.outcome(); got != want {
				t.Errorf("%s it ends as\n%s\nwithout one as\n%s", when, got, want)
			}
		}
	}
}

// occasion is a test that tells of each failure when it was.
type occasion struct {
	testing.TB
	when string
}

func (o *occasion) Error(args ...any) {
	o.Helper()
	o.TB.Error(o.when + ": " + fmt.Sprint(args...))
}

func (o *occasion) Errorf(format string, args ...any) {
	o.Helper()
	o.TB.Error(o.when + ": " + fmt.Sprintf(format, args...))
}

func (o *occasion) Fatal(args ...any) {
	o.Helper()
	o.TB.Fatal(o.when + ": " + fmt.Sprint(args...))
}

func (o *occasion) Fatalf(format string, args ...any) {
	o.Helper()
	o.TB.Fatal(o.when + ": " + fmt.Sprintf(format, args...))
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

// outcome tells how all sagas have ended, and what came of them on the way.
func (k *Kit) outcome() string {
	var b strings.Builder
	for _, key := range k.w.keys() {
		in := k.w.fold(key)
		fmt.Fprintf(&b, "%s: %s (%s: %s) %s %v\n", key, in.Status, in.Reason, in.Error, in.State.JSON(), in.Attributes)
	}
	for _, e := range k.w.sequence(k.w.distinct()) {
		fmt.Fprintf(&b, "  %s\n", e.name())
	}
	for _, e := range k.w.sequence(k.w.emitters()) {
		for _, emission := range k.w.emissions {
			if k.w.emitted[emission.ID].id == e.id {
				fmt.Fprintf(&b, "  %s emits %s %s %s\n", e.name(), emission.ID, emission.Topic, emission.Payload)
			}
		}
	}
	fmt.Fprintf(&b, "refused %v\n", slices.Sorted(maps.Keys(k.w.refused)))
	return b.String()
}
