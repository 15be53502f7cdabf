//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuTime gives the processor time that the process has used, or 0 where the system does not tell.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
