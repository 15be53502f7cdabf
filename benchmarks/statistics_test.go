package main

import (
	"slices"
	"testing"
	"time"
)

func TestTheMedianIsTheMiddle(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		before := slices.Clone(test.values)
		if got := median(test.values); got != test.want {
			t.Errorf("of %v: %v, want %v", test.values, got, test.want)
		}
		if !slices.Equal(test.values, before) {
			t.Errorf("%v was changed to %v", before, test.values)
		}
	}
}

func TestAPercentileIsOneOfTheValues(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = 100 - i
	}
	for _, test := range []struct {
		values []int
		p      float64
		want   int
	}{
		{nil, 50, 0},
		{[]int{7}, 1, 7},
		{[]int{7}, 99, 7},
		{[]int{2, 1}, 50, 1},
		{hundred, 0, 1},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 100, 100},
	} {
		if got := percentile(test.values, test.p); got != test.want {
			t.Errorf("%v %% of %d values: %d, want %d", test.p, len(test.values), got, test.want)
		}
	}
}

func TestASpreadIsOfTheValuesThereAre(t *testing.T) {
	if got := spreadOf(nil); got != nil {
		t.Errorf("of none: %+v", got)
	}
	if got, want := spreadOf([]float64{2, 1, 4}), (spread{Median: 2, Min: 1, Max: 4}); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	got := ratios([]float64{9, 5, 8, 1}, []float64{10, 0, 4})
	if want := []float64{0.9, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFiguresAreMediansOfTheRounds(t *testing.T) {
	rounds := []measure{
		{Sagas: 100, Elapsed: time.Second, Allocs: 3, CPU: 30, Extra: 1},
		{Sagas: 100, Elapsed: 2 * time.Second, Allocs: 1, CPU: 10},
		{Sagas: 100, Elapsed: 4 * time.Second, Allocs: 2, CPU: 20, Extra: 2},
	}
	f := newFigures(rounds, 3)
	if f.Rate != 50 || f.Steps != 150 || f.Allocs != 2 || f.CPU != 20 || f.Extra != 3 {
		t.Errorf("got %+v", f)
	}
	if newFigures(nil, 3) != nil {
		t.Error("a side that was left out has figures")
	}
}

func TestAPacedVariantComparesLatencyAndTheOthersThroughput(t *testing.T) {
	floor := []measure{{Sagas: 100, Elapsed: time.Second, P50: 100, CPU: 10}}
	engine := []measure{{Sagas: 100, Elapsed: 2 * time.Second, P50: 120, CPU: 15}}
	paced := newResult(variant{paced: true}, 3, floor, engine)
	if paced.Rate != nil || paced.P50.Median != 1.2 || paced.CPU.Median != 1.5 {
		t.Errorf("paced: %+v", paced)
	}
	drained := newResult(variant{}, 3, floor, engine)
	if drained.P50 != nil || drained.Rate.Median != 0.5 {
		t.Errorf("not paced: %+v", drained)
	}
}
