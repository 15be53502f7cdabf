package engine_test

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

// strangers measures how much of the machine programs take that are not part of a test. A promise about time is made
// for a machine that is there for it; on one that is shared it is told, but not held, and the log says so.
type strangers struct {
	begun      time.Time
	busy, ours time.Duration
}

// tolerated is the share of the machine that strangers may take before promises about time are not held.
const tolerated = 0.15

func watchStrangers(t testing.TB) *strangers {
	t.Helper()
	return &strangers{begun: time.Now(), busy: busy(t), ours: ours(t, nil)}
}

// share gives what strangers have taken since, as a part of all processors' time. pids are the test's processes that
// are still running.
func (s *strangers) share(t testing.TB, pids []int) float64 {
	t.Helper()
	taken := (busy(t) - s.busy) - (ours(t, pids) - s.ours)
	return float64(taken) / float64(time.Since(s.begun)) / float64(cores(t))
}

// busy gives the time that all processors were not idle, what a hypervisor gave to others included.
func busy(t testing.TB) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Skipf("times can be held only where /proc tells of the machine: %v", err)
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
