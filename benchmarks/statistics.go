package main

import (
	"cmp"
	"math"
	"slices"
)

// median gives the middle of the values, or of the two in the middle the mean; 0 for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile gives the smallest value that at least p percent of the values do not exceed (nearest rank); zero for
// none.
func percentile[T cmp.Ordered](values []T, p float64) T {
	if len(values) == 0 {
		var none T
		return none
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// spread is the median of some values and how far they lie apart.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf gives the spread of the values; nil for none.
func spreadOf(values []float64) *spread {
	if len(values) == 0 {
		return nil
	}
	return &spread{Median: median(values), Min: slices.Min(values), Max: slices.Max(values)}
}

// ratios gives the quotient of each pair, leaving out those without a divisor.
func ratios(dividends, divisors []float64) []float64 {
	var quotients []float64
	for i := range min(len(dividends), len(divisors)) {
		if divisors[i] != 0 {
			quotients = append(quotients, dividends[i]/divisors[i])
		}
	}
	return quotients
}
