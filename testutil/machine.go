//go:build linux

package testutil

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tick is the unit of the times in /proc: 1/100 s on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// tolerated is the share of the machine that strangers may take before promises about time are not held.
const tolerated = 0.15

// holdTimes names the environment variable that has promises about time held. It is not set by default: whoever runs
// the tests beside other work is not to be stopped by what that work does to times.
const holdTimes = "JETSAGA_HOLD_TIMES"

// Machine tells how much of the machine programs take that are not part of a test. A promise about time is made for a
// machine that is there for it; on one that is shared it is told, but not held, and the log says so.
type Machine struct {
	begun      time.Time
	busy, ours time.Duration
}

// WatchMachine begins to measure.
func WatchMachine(t testing.TB) *Machine {
	t.Helper()
	return &Machine{begun: time.Now(), busy: busy(t), ours: ours(t, nil)}
}

// HoldsTimes reports whether a promise about time that was not kept is to be held against the code: not under the race
// detector, which slows it several times over, and not on a machine that strangers use. It logs why not. pids are the
// test's processes that are still running.
func (m *Machine) HoldsTimes(t testing.TB, pids ...int) bool {
	t.Helper()
	taken := (busy(t) - m.busy) - (ours(t, pids) - m.ours)
	share := float64(taken) / float64(time.Since(m.begun)) / float64(cores(t))
	switch {
	case os.Getenv(holdTimes) == "":
		t.Logf("times are told and not held: set %s to have them held, on a machine that is idle otherwise", holdTimes)
	case raced:
		t.Log("times are not held under the race detector")
	case share > tolerated:
		t.Logf("times are not held: programs that are not part of the test took %.0f %% of the machine", 100*share)
	default:
		return true
	}
	return false
}

// busy gives the time that all processors were not idle, what a hypervisor gave to others included.
func busy(t testing.TB) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatalf("testutil: %v", err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	var sum time.Duration
	for i, field := range strings.Fields(line)[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if i != 3 && i != 4 {
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

func cores(t testing.TB) int {
	t.Helper()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(stat), "\ncpu")
}

// ours gives the processor time of this process, of its children that have ended, and of those still running.
func ours(t testing.TB, pids []int) time.Duration {
	t.Helper()
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if err := syscall.Getrusage(who, &r); err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		// The fields after the name in parentheses: utime and stime are the 12th and 13th.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, field := range fields[11:13] {
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum
}
