package streams

import "testing"

func TestAConsumerReadsWhatItsFiltersLetPass(t *testing.T) {
	const subject = "saga.default.01.trip.t-1.evt"
	for _, test := range []struct {
		filters []string
		want    bool
	}{
		{nil, true},
		{[]string{">"}, true},
		{[]string{subject}, true},
		{[]string{"saga.default.>"}, true},
		{[]string{"saga.default.*.trip.*.evt"}, true},
		{[]string{"saga.default.*.orders.*.evt", "saga.default.*.trip.*.*"}, true},
		{[]string{"saga.default.*.orders.*.evt"}, false},
		{[]string{"saga.default.*.trip.*.cmd"}, false},
		{[]string{"saga.default.*.trip.*"}, false},
		{[]string{"saga.default.*.trip.*.evt.>"}, false},
		{[]string{"saga.default.*.*.*.out.>"}, false},
	} {
		if got := (&Behind{filters: test.filters}).reads(subject); got != test.want {
			t.Errorf("with the filters %v: %v, want %v", test.filters, got, test.want)
		}
	}
}
