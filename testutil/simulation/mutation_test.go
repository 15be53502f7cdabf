package simulation

import (
	"testing"
)

// seedsToTell is how many seeds it may take to tell that a rule is broken.
const seedsToTell = 3000

func TestEverySafetyRuleThatIsBrokenIsTold(t *testing.T) {
	mutations := []Mutation{
		SkipClaim, StaleLatest, AckForRetry, AckForDrop, AckEarly, AckBeforeRearm, BlindAppend, ConflictIsSuccess,
		ErrorIsSuccess, ForgetRearm, ForgetDeliveries, ForgetWhereStored, ForgetTimerVersion, UnconditionalStart,
		StartNotFound, NoRedelivery,
	}
	for _, event := range []string{
		"ActivationClaimed", "StepCompleted", "StepFailed", "CompensationStarted", "StepCompensated", "CompensationFailed",
		"CancelRequested", "TimerSet", "TimerFired", "TimerCancelled", "SagaParked", "SagaCompleted", "SagaCompensated", "SagaStuck",
	} {
		mutations = append(mutations, Forget(event))
	}
	for _, m := range mutations {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seedsToTell) {
				if r := Run(Config{Seed: seed + 1, Broken: m}); len(r.Violations) > 0 {
					t.Logf("seed %d tells: %s", r.Seed, r.Violations[0].Invariant)
					return
				}
			}
			t.Errorf("none of %d seeds tells that %s", seedsToTell, m)
		})
	}
}
