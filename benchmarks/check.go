package main

import (
	"fmt"
)

// What -check demands.
const (
	minRateRatio    = 0.9    // engine to floor, sagas a second, of throughputVariant
	maxP50Ratio     = 1.3    // engine to floor, median latency, of latencyVariant
	minStepMessages = 10_000 // of the engine, a second, of throughputVariant
	maxHeapGrowth   = 0.10   // of the worker's heap over a soak, beside heapSlack
	heapSlack       = 1 << 20
)

// check gives the thresholds that were missed. One whose variant was not measured is missed, too: a check that looked
// at nothing has not passed.
func (r *report) check() (failures []string) {
	fail := func(format string, args ...any) { failures = append(failures, fmt.Sprintf(format, args...)) }
	if len(r.Soak) > 0 {
		if first, most := heapsOf(r.Soak); float64(most) > float64(first)*(1+maxHeapGrowth)+heapSlack {
			fail("the worker's heap grew from %s to %s", megabytes(first), megabytes(most))
		}
		return failures
	}
	switch rate := r.result(throughputVariant); {
	case rate == nil || rate.Rate == nil:
		fail("%s: not measured", throughputVariant)
	default:
		if rate.Rate.Median < minRateRatio {
			fail("%s: the engine has %.2f of the floor's throughput, at least %.2f is demanded",
				throughputVariant, rate.Rate.Median, minRateRatio)
		}
		if rate.Engine.Steps < minStepMessages {
			fail("%s: %.0f step messages a second, at least %d are demanded", throughputVariant, rate.Engine.Steps, minStepMessages)
		}
	}
	switch latency := r.result(latencyVariant); {
	case latency == nil || latency.P50 == nil:
		fail("%s: not measured", latencyVariant)
	case latency.P50.Median > maxP50Ratio:
		fail("%s: the engine's median latency is %.2f times the floor's, at most %.2f is demanded",
			latencyVariant, latency.P50.Median, maxP50Ratio)
	}
	return failures
}

func (r *report) result(variant string) *result {
	for i := range r.Results {
		if r.Results[i].Variant == variant {
			return &r.Results[i]
		}
	}
	return nil
}
