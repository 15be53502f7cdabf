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
	testMutations(t, Config{}, mutations)
}

func TestEverySafetyRuleOfTheLanguageThatIsBrokenIsTold(t *testing.T) {
	mutations := []Mutation{
		ForgetUnsettled, AckSignals, AckChildDone, SkipTell, SkipPublish, SkipSchedules, SkipRecall, SkipChildStart, WrongScope, DropResult,
		WakeEarly, FailureIsSuccess, FailureIsFinal, PutOffCounts, UndoIsDone, ChildHasDone, NothingIsUnknown, FirstWins, ScopeIsLost, OutboxIsLost,
		SignalsAreNew, NoTimeouts,
	}
	for _, event := range []string{
		"BranchTaken", "TurnStarted", "LoopEnded", "BranchesJoined", "BlockFailed", "ItemsFound", "ItemEnded", "ItemsCollected",
		"WaitStarted", "WaitEnded", "SignalReceived", "SignalTaken", "SignalRefused", "ChildStarted", "ChildEnded", "ChildRecalled",
		"SagaPaused", "SagaResumed", "SagaTerminated", "UndoRequested", "StepRetried", "StepSkipped", "StepResolved", "EmissionsPublished",
	} {
		mutations = append(mutations, Forget(event))
	}
	testMutations(t, Config{Language: true}, mutations)
}

// testMutations shows of each mutation that some seed tells.
func testMutations(t *testing.T, conf Config, mutations []Mutation) {
	t.Helper()
	for _, m := range mutations {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seedsToTell) {
				conf := conf
				conf.Seed, conf.Broken = seed+1, m
				if r := Run(conf); len(r.Violations) > 0 {
					t.Logf("seed %d tells: %s", r.Seed, r.Violations[0].Invariant)
					return
				}
			}
			t.Errorf("none of %d seeds tells that %s", seedsToTell, m)
		})
	}
}
