package main

import (
	"runtime"
	"time"
)

// costs is what the process has used since it began.
type costs struct {
	allocs, bytes uint64
	cpu           time.Duration
}

// readCosts collects garbage first, so that what one measurement leaves behind is not charged to the next.
func readCosts() costs {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return costs{allocs: stats.Mallocs, bytes: stats.TotalAlloc, cpu: cpuTime()}
}

// since gives the costs of one saga out of a number.
func (c costs) since(before costs, sagas int) measure {
	n := float64(sagas)
	return measure{
		Allocs: float64(c.allocs-before.allocs) / n,
		Bytes:  float64(c.bytes-before.bytes) / n,
		CPU:    (c.cpu - before.cpu) / time.Duration(sagas),
	}
}
