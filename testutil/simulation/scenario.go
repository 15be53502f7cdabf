package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// catalog is the definitions of a world, by name and version.
type catalog map[string]map[int]*definition

// newCatalog makes one or two definitions at random, some in two versions whose steps have nothing in common.
func newCatalog(rng *rand.Rand) catalog {
	c := catalog{}
	for d := range 1 + rng.IntN(2) {
		name := fmt.Sprintf("d%d", d)
		c[name] = map[int]*definition{}
		versions := 1
		if rng.IntN(3) == 0 {
			versions = 2
		}
		for v := 1; v <= versions; v++ {
			c[name][v] = &definition{Runnable: newDefinition(rng, name, v)}
		}
	}
	return c
}

func newDefinition(rng *rand.Rand, name string, version int) *saga.Definition[Cargo] {
	steps := 1 + rng.IntN(4)
	if rng.IntN(4) == 0 {
		steps = 1 + rng.IntN(maxPlanSteps)
	}
	pivot := steps // none
	if rng.IntN(3) == 0 {
		pivot = rng.IntN(steps)
	}
	nodes := make([]saga.Node[Cargo], steps)
	for i := range nodes {
		step := saga.Step(stepName(version, i), handlers[i].do)
		if i < pivot {
			step = step.Retry(retryPolicy(rng, 1, 2, 3, 5, saga.Unlimited))
			if rng.IntN(4) > 0 {
				step = step.Compensate(handlers[i].undo).CompensateRetry(retryPolicy(rng, saga.Unlimited, saga.Unlimited, saga.Unlimited, 2))
			}
		}
		if i == pivot {
			step = step.Retry(retryPolicy(rng, 1, 3, saga.Unlimited)).Pivot()
		}
		if i > pivot {
			step = step.Retry(retryPolicy(rng, saga.Unlimited))
		}
		nodes[i] = step
	}
	return saga.Must(saga.Define(name, version, nodes...))
}

func stepName(version, index int) string { return fmt.Sprintf("v%d-s%d", version, index) }

func retryPolicy(rng *rand.Rand, attempts ...int) saga.RetryPolicy {
	return saga.RetryPolicy{
		Initial:  pick(rng, 10*time.Millisecond, 100*time.Millisecond, time.Second, 8*time.Second),
		Factor:   pick(rng, 1.0, 2.0),
		Max:      20 * time.Second,
		Attempts: pick(rng, attempts...),
		Jitter:   -1,
	}
}

// rest is what a policy has a worker rest after a failed attempt.
func (w *world) rest(p saga.RetryPolicy, attempt int) time.Duration {
	d := float64(p.Initial)
	for range attempt - 1 {
		d = min(d*p.Factor, float64(p.Max))
	}
	return time.Duration(d * (0.8 + 0.4*w.rng.Float64()))
}
