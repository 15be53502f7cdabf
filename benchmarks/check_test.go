package main

import (
	"strings"
	"testing"
)

func TestAThresholdThatIsMissedIsTold(t *testing.T) {
	throughput := func(ratio, steps float64) result {
		return result{Variant: throughputVariant, Rate: &spread{Median: ratio}, Engine: &figures{Steps: steps}}
	}
	latency := func(ratio float64) result {
		return result{Variant: latencyVariant, Paced: true, P50: &spread{Median: ratio}}
	}
	heap := func(bytes ...uint64) (readings []reading) {
		for _, b := range bytes {
			readings = append(readings, reading{Heap: b})
		}
		return readings
	}
	for _, test := range []struct {
		name   string
		report report
		want   []string // a part of each failure
	}{
		{"all is well", report{Results: []result{throughput(0.9, 10_000), latency(1.3)}}, nil},
		{"too slow", report{Results: []result{throughput(0.89, 9_999), latency(1.31)}},
			[]string{"0.89 of the floor", "9999 step messages", "1.31 times"}},
		{"nothing was measured", report{}, []string{"success: not measured", "one-at-a-time: not measured"}},
		{"a heap that stays flat", report{Soak: heap(2_000_000, 3_000_000, 2_100_000)}, nil},
		{"a heap that grows", report{Soak: heap(2_000_000, 3_000_000, 4_000_000)}, []string{"from 2.0 MB to 4.0 MB"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.report.check()
			if len(got) != len(test.want) {
				t.Fatalf("got %q, want %q", got, test.want)
			}
			for i := range got {
				if !strings.Contains(got[i], test.want[i]) {
					t.Errorf("got %q, want it to tell %q", got[i], test.want[i])
				}
			}
		})
	}
}
