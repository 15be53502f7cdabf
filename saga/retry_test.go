package saga_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

func TestAPlanHasEveryDefaultOfARetryPolicyFilledIn(t *testing.T) {
	byDefault := saga.RetryPolicy{
		Initial: 100 * time.Millisecond, Factor: 2, Max: time.Minute, Attempts: 10, Jitter: 0.2,
	}
	with := func(change func(*saga.RetryPolicy)) saga.RetryPolicy {
		p := byDefault
		change(&p)
		return p
	}
	for _, test := range []struct {
		name         string
		policy, want saga.RetryPolicy
	}{
		{"the zero policy", saga.RetryPolicy{}, byDefault},
		{"Initial", saga.RetryPolicy{Initial: time.Second}, with(func(p *saga.RetryPolicy) { p.Initial = time.Second })},
		{"Initial above the default of Max, which follows", saga.RetryPolicy{Initial: time.Hour},
			with(func(p *saga.RetryPolicy) { p.Initial, p.Max = time.Hour, time.Hour })},
		{"Factor", saga.RetryPolicy{Factor: 1}, with(func(p *saga.RetryPolicy) { p.Factor = 1 })},
		{"Max", saga.RetryPolicy{Max: time.Second}, with(func(p *saga.RetryPolicy) { p.Max = time.Second })},
		{"Attempts", saga.RetryPolicy{Attempts: 1}, with(func(p *saga.RetryPolicy) { p.Attempts = 1 })},
		{"Attempts without end", saga.RetryPolicy{Attempts: saga.Unlimited},
			with(func(p *saga.RetryPolicy) { p.Attempts = saga.Unlimited })},
		{"Jitter", saga.RetryPolicy{Jitter: 1}, with(func(p *saga.RetryPolicy) { p.Jitter = 1 })},
		{"no Jitter", saga.RetryPolicy{Jitter: -1}, with(func(p *saga.RetryPolicy) { p.Jitter = 0 })},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := mustPlan(t, saga.Step("a", nothing).Retry(test.policy))
			if got := plan.Policy(saga.Task{Step: "a"}); got != test.want {
				t.Errorf("the policy is %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestAttemptsAreUnlimitedByDefaultWhereNothingCanFollowTheirEnd(t *testing.T) {
	plan := mustPlan(t,
		saga.Step("before", nothing).Compensate(nothing),
		saga.Step("bounded", nothing).Compensate(nothing).CompensateRetry(saga.RetryPolicy{Attempts: 3}),
		saga.Step("pivot", nothing).Pivot(),
		saga.Step("after", nothing),
	)
	for task, want := range map[saga.Task]int{
		{Step: "before"}:              saga.DefaultAttempts,
		{Step: "before", Undo: true}:  saga.Unlimited,
		{Step: "bounded", Undo: true}: 3,
		{Step: "pivot"}:               saga.DefaultAttempts,
		{Step: "after"}:               saga.Unlimited,
	} {
		if got := plan.Policy(task).Attempts; got != want {
			t.Errorf("%+v has %d attempts, want %d", task, got, want)
		}
	}
}

func TestAPolicyIsCheckedFieldByField(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy saga.RetryPolicy
		faults []string
	}{
		{"the zero policy", saga.RetryPolicy{}, nil},
		{"the extremes", saga.RetryPolicy{Initial: 1, Factor: 1, Max: 1, Attempts: 1, Jitter: 1}, nil},
		{"any negative Jitter is none", saga.RetryPolicy{Jitter: -7}, nil},
		{"Initial", saga.RetryPolicy{Initial: -1}, []string{"retry Initial -1ns is negative"}},
		{"Factor", saga.RetryPolicy{Factor: 0.5}, []string{"retry Factor 0.5 is below 1"}},
		{"a negative Factor", saga.RetryPolicy{Factor: -2}, []string{"retry Factor -2 is below 1"}},
		{"a Factor that is no number", saga.RetryPolicy{Factor: math.NaN()}, []string{"retry Factor NaN is below 1"}},
		{"a Factor without bound", saga.RetryPolicy{Factor: math.Inf(1)}, []string{"retry Factor +Inf is not finite"}},
		{"Max", saga.RetryPolicy{Max: -time.Second}, []string{"retry Max -1s is negative"}},
		{"Max below Initial", saga.RetryPolicy{Initial: 2 * time.Second, Max: time.Second},
			[]string{"retry Max 1s is below Initial 2s"}},
		{"Attempts", saga.RetryPolicy{Attempts: -2}, []string{"retry Attempts -2 is neither positive nor Unlimited"}},
		{"Jitter", saga.RetryPolicy{Jitter: 1.5}, []string{"retry Jitter 1.5 is above 1"}},
		{"a Jitter that is no number", saga.RetryPolicy{Jitter: math.NaN()}, []string{"retry Jitter NaN is above 1"}},
		{"all at once", saga.RetryPolicy{Initial: -1, Factor: 0.5, Max: -1, Attempts: -2, Jitter: 2}, []string{
			"retry Initial -1ns is negative",
			"retry Factor 0.5 is below 1",
			"retry Max -1ns is negative",
			"retry Attempts -2 is neither positive nor Unlimited",
			"retry Jitter 2 is above 1",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var ofStep, ofUndo []string
			for _, f := range test.faults {
				ofStep = append(ofStep, `step "a": `+f)
				ofUndo = append(ofUndo, `step "a": compensation `+f)
			}
			checkFaults(t, ofStep, saga.Step("a", nothing).Retry(test.policy))
			checkFaults(t, ofUndo, saga.Step("a", nothing).Compensate(nothing).CompensateRetry(test.policy))
		})
	}
}

func TestAPlanThatWasAcceptedCanBePrinted(t *testing.T) {
	for _, p := range []saga.RetryPolicy{
		{}, {Factor: math.MaxFloat64}, {Factor: math.Inf(1)}, {Jitter: math.Inf(-1)},
	} {
		def, err := saga.Define("d", 1, saga.Step("a", nothing).Retry(p))
		if err != nil {
			continue
		}
		if _, err := json.Marshal(def.Plan()); err != nil {
			t.Errorf("the plan of a step with %+v is accepted and cannot be encoded: %v", p, err)
		}
	}
}

func TestTheDocumentedDefaultsAreTheConstants(t *testing.T) {
	want := saga.RetryPolicy{
		Initial: saga.DefaultInitialDelay, Factor: saga.DefaultFactor, Max: saga.DefaultMaxDelay,
		Attempts: saga.DefaultAttempts, Jitter: saga.DefaultJitter,
	}
	plan := mustPlan(t, saga.Step("a", nothing))
	if got := plan.Policy(saga.Task{Step: "a"}); got != want {
		t.Errorf("the zero policy is taken for %+v, want %+v", got, want)
	}
}
