package simulation

import (
	"flag"
	"iter"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

// defaultSeeds take a few seconds on two cores, and reach every situation.
const defaultSeeds = 1500

var (
	seedFlag  = flag.Uint64("simulation.seed", 0, "simulate this one seed; with -v, print all that happens")
	seedsFlag = flag.Uint64("simulation.seeds", defaultSeeds, "simulate the seeds from 1 to this")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSimulation(t *testing.T) { testSeeds(t, Config{}) }

func TestSimulationOfTheLanguage(t *testing.T) { testSeeds(t, Config{Language: true}) }

// testSeeds simulates the seeds that the flags ask for.
func testSeeds(t *testing.T, conf Config) {
	t.Helper()
	if *seedFlag != 0 {
		conf.Seed = *seedFlag
		replay(t, conf)
		return
	}
	var reached [situations]int
	var failed, steps int
	for r := range simulate(conf, *seedsFlag) {
		steps += r.Steps
		for _, s := range AllSituations() {
			if r.Seen.Has(s) {
				reached[s]++
			}
		}
		if len(r.Violations) == 0 {
			continue
		}
		if failed++; failed <= 10 {
			t.Errorf("seed %d: %v\nreplay it with: go test ./testutil/simulation -run '^%s$' -simulation.seed=%d -v",
				r.Seed, r.Violations[0], t.Name(), r.Seed)
		}
	}
	t.Logf("%d seeds, %d failed, %d steps each", *seedsFlag, failed, steps/int(*seedsFlag))
	for _, s := range AllSituations() {
		t.Logf("%-32s %6.2f%% of seeds", s, 100*float64(reached[s])/float64(*seedsFlag))
		if reached[s] == 0 && *seedsFlag >= defaultSeeds && (conf.Language || !s.OfTheLanguage()) {
			t.Errorf("no seed reached the situation %q", s)
		}
	}
}

// replay simulates one seed and tells all that happened.
func replay(t *testing.T, conf Config) {
	t.Helper()
	var transcript strings.Builder
	conf.Transcript = &transcript
	r := Run(conf)
	t.Logf("seed %d:\n%s", conf.Seed, transcript.String())
	t.Logf("%d steps in %v; reached: %v", r.Steps, r.Took, r.Seen)
	for _, v := range r.Violations {
		t.Error(v)
	}
}

// simulate runs the seeds from 1 to last, as many at a time as there are processors, and gives their reports as they
// come.
func simulate(conf Config, last uint64) iter.Seq[Report] {
	return func(yield func(Report) bool) {
		reports := make(chan Report)
		var taken atomic.Uint64
		var workers sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			workers.Go(func() {
				for seed := taken.Add(1); seed <= last; seed = taken.Add(1) {
					conf := conf
					conf.Seed = seed
					reports <- Run(conf)
				}
			})
		}
		go func() {
			workers.Wait()
			close(reports)
		}()
		more := true
		for r := range reports {
			more = more && yield(r)
		}
	}
}

func TestASeedDecidesEverything(t *testing.T) {
	for seed := range uint64(20) {
		var first, second strings.Builder
		Run(Config{Seed: seed, Transcript: &first})
		Run(Config{Seed: seed, Transcript: &second})
		if first.String() != second.String() {
			t.Errorf("seed %d gives two transcripts:\n%s", seed, firstDifference(first.String(), second.String()))
		}
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + "\n" + y[i]
		}
	}
	return "one is longer"
}

func TestASituationHasAName(t *testing.T) {
	names := map[string]bool{}
	for _, s := range AllSituations() {
		if s.String() == "" || names[s.String()] {
			t.Errorf("situation %d has the name %q, which is empty or another's", s, s)
		}
		names[s.String()] = true
	}
}

func BenchmarkSeed(b *testing.B) {
	var seed uint64
	for b.Loop() {
		seed++
		Run(Config{Seed: seed})
	}
}
