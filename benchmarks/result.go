package main

import (
	"runtime"
	"time"
)

// report is everything that a run has measured.
type report struct {
	Time     time.Time `json:"time"`
	Machine  machine   `json:"machine"`
	Results  []result  `json:"results,omitempty"`
	Soak     []reading `json:"soak,omitempty"`
	Failures []string  `json:"failures,omitempty"` // the thresholds that were missed; only with -check
}

// machine is what the figures were taken on.
type machine struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	CPUs   int    `json:"cpus"`
	Go     string `json:"go"`
	Server string `json:"server"` // where the server ran
}

func thisMachine(o options) machine {
	return machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), Go: runtime.Version(), Server: o.whereServer(),
	}
}

// result is what was measured of one variant. The ratios are engine to floor, of each round: of sagas a second, where
// more is better, or of the median latency, where less is.
type result struct {
	Variant string   `json:"variant"`
	About   string   `json:"about"`
	Skipped string   `json:"skipped,omitempty"` // why it was not measured
	Sagas   int      `json:"sagas,omitempty"`   // a round
	Rounds  int      `json:"rounds,omitempty"`
	Commits int      `json:"commits_per_saga,omitempty"`
	Paced   bool     `json:"paced"` // latency is compared, not throughput
	Floor   *figures `json:"floor,omitempty"`
	Engine  *figures `json:"engine,omitempty"`
	Rate    *spread  `json:"rate_ratio,omitempty"`
	P50     *spread  `json:"p50_ratio,omitempty"`
	CPU     *spread  `json:"cpu_ratio,omitempty"`
}

// figures are the medians over the rounds of one side, and the rounds themselves.
type figures struct {
	Rate   float64       `json:"sagas_per_second"`
	Steps  float64       `json:"step_messages_per_second"` // commits
	P50    time.Duration `json:"p50_ns,omitempty"`
	P99    time.Duration `json:"p99_ns,omitempty"`
	Allocs float64       `json:"allocs_per_saga"`
	Bytes  float64       `json:"bytes_per_saga"`
	CPU    time.Duration `json:"cpu_per_saga_ns"`
	Heap   uint64        `json:"heap_bytes"`
	Sent   float64       `json:"sent_per_saga"`
	Extra  int           `json:"extra_messages"` // of all rounds together
	Rounds []measure     `json:"rounds"`
}

func newResult(v variant, commits int, floors, engines []measure) result {
	r := result{
		Variant: v.name, About: v.about, Sagas: v.sagas, Rounds: v.rounds, Commits: commits, Paced: v.paced,
		Floor: newFigures(floors, commits), Engine: newFigures(engines, commits),
	}
	if v.paced {
		p50 := func(m measure) float64 { return float64(m.P50) }
		r.P50 = spreadOf(ratios(each(engines, p50), each(floors, p50)))
	} else {
		r.Rate = spreadOf(ratios(each(engines, measure.rate), each(floors, measure.rate)))
	}
	cpu := func(m measure) float64 { return float64(m.CPU) }
	r.CPU = spreadOf(ratios(each(engines, cpu), each(floors, cpu)))
	return r
}

// newFigures gives nil for a side that was left out.
func newFigures(rounds []measure, commits int) *figures {
	if len(rounds) == 0 {
		return nil
	}
	of := func(f func(measure) float64) float64 { return median(each(rounds, f)) }
	rate := of(measure.rate)
	f := &figures{
		Rate: rate, Steps: rate * float64(commits),
		P50:    time.Duration(of(func(m measure) float64 { return float64(m.P50) })),
		P99:    time.Duration(of(func(m measure) float64 { return float64(m.P99) })),
		Allocs: of(func(m measure) float64 { return m.Allocs }),
		Bytes:  of(func(m measure) float64 { return m.Bytes }),
		CPU:    time.Duration(of(func(m measure) float64 { return float64(m.CPU) })),
		Heap:   uint64(of(func(m measure) float64 { return float64(m.Heap) })),
		Sent:   of(func(m measure) float64 { return m.Sent }),
		Rounds: rounds,
	}
	for _, m := range rounds {
		f.Extra += m.Extra
	}
	return f
}

// each gives one figure of every round.
func each(rounds []measure, f func(measure) float64) []float64 {
	values := make([]float64, len(rounds))
	for i, m := range rounds {
		values[i] = f(m)
	}
	return values
}
