package idempotency_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/projections/idempotency"
)

var (
	modelSeed  = flag.Uint64("idempotency.seed", 0, "the one seed of the random test to run; 0 for all")
	modelSeeds = flag.Uint64("idempotency.seeds", 20, "how many seeds the random test runs")
)

// dumb is what a store is to be: a map.
type dumb struct {
	state  string // "", "held", "done" or "free"
	holder int    // which claim
	until  time.Duration
	result string
}

// TestAnyCourseIsThatOfAMap has some callers do anything with some keys, and compares with a map.
func TestAnyCourseIsThatOfAMap(t *testing.T) {
	const lease, steps, keys = time.Hour, 200, 3
	for _, name := range []string{"miniredis", "redis-server"} {
		t.Run(name, func(t *testing.T) {
			p := places[name](t)
			for seed := uint64(1); seed <= *modelSeeds; seed++ {
				if *modelSeed != 0 && seed != *modelSeed {
					continue
				}
				s := store(t, idempotency.Config{Redis: p.rdb, Lease: lease, Keep: 24 * lease, Namespace: fmt.Sprintf("%s-%d", name, seed)})
				chance := rand.New(rand.NewPCG(seed, 1))
				model := map[string]*dumb{}
				var claims []*idempotency.Claim
				var names []string // of the claims' keys
				var now time.Duration
				highest := map[string]uint64{}
				fault := func(format string, args ...any) {
					t.Fatalf("seed %d: %s; replay it with -idempotency.seed=%d", seed, fmt.Sprintf(format, args...), seed)
				}
				for range steps {
					if name == "miniredis" && chance.IntN(20) == 0 {
						p.pass(lease / 2)
						now += lease / 2
					}
					act := chance.IntN(4)
					if act == 0 || len(claims) == 0 {
						key := fmt.Sprintf("k%d", chance.IntN(keys))
						m := model[key]
						if m == nil {
							m = &dumb{}
							model[key] = m
						}
						claim, result, err := s.Begin(t.Context(), key)
						var held *idempotency.HeldError
						switch {
						case m.state == "done":
							if result == nil || string(result.Data) != m.result {
								fault("%s is done with %q; begin gives %v, %v, %v", key, m.result, claim, result, err)
							}
						case m.state == "held" && now < m.until:
							if !errors.As(err, &held) {
								fault("%s is held; begin gives %v, %v, %v", key, claim, result, err)
							}
						case claim == nil || claim.Token() <= highest[key]:
							fault("%s is free; begin gives %v, %v, %v after token %d", key, claim, result, err, highest[key])
						default:
							highest[key] = claim.Token()
							claims, names = append(claims, claim), append(names, key)
							*m = dumb{state: "held", holder: len(claims), until: now + lease}
						}
						continue
					}
					i := chance.IntN(len(claims))
					m, mine := model[names[i]], model[names[i]].holder == i+1
					var err error
					var valid bool
					switch act {
					case 1:
						valid = mine && m.state != "free"
						result := fmt.Sprint(chance.Uint32())
						err = claims[i].Complete(t.Context(), []byte(result))
						if valid {
							m.state, m.result = "done", result
						}
					case 2:
						valid = mine && m.state != "done"
						err = claims[i].Release(t.Context())
						if valid {
							m.state = "free"
						}
					case 3:
						valid = mine && m.state == "held"
						err = claims[i].Extend(t.Context())
						if valid {
							m.until = now + lease
						}
					}
					if valid && err != nil || !valid && !isLost(err) {
						fault("claim %d of %s, which is %+v: action %d gives %v", i+1, names[i], *m, act, err)
					}
				}
			}
		})
	}
}
