package saga

import (
	"fmt"
	"math"
	"time"
)

// Unlimited as [RetryPolicy.Attempts] retries until the step succeeds, fails permanently or is cut off.
const Unlimited = -1

// The retry policy's defaults.
const (
	DefaultInitialDelay = 100 * time.Millisecond
	DefaultFactor       = 2.0
	DefaultMaxDelay     = time.Minute
	DefaultAttempts     = 10
	DefaultJitter       = 0.2
)

// RetryPolicy says how often a step, or an undo, is tried, and how long it rests in between. The zero value is
// the default of each field.
type RetryPolicy struct {
	// Initial is the rest after the first failed attempt. Default: 100 ms.
	Initial time.Duration `json:"initial,omitempty"`
	// Factor multiplies the rest after each further attempt; at least 1. Default: 2.
	Factor float64 `json:"factor,omitempty"`
	// Max caps the rest. Default: one minute, or Initial where that is longer.
	Max time.Duration `json:"max,omitempty"`
	// Attempts is how many attempts there are in all; [Unlimited] for no end. Default: 10 for a step;
	// unlimited for an undo and for every step after a pivot, since nothing can follow their failure.
	Attempts int `json:"attempts,omitempty"`
	// Jitter spreads each rest at random by this share of it to either side, at most 1; negative for none.
	// Default: 0.2.
	Jitter float64 `json:"jitter,omitempty"`
}

// withDefaults fills what was left zero; attempts is the default number of attempts.
func (p RetryPolicy) withDefaults(attempts int) RetryPolicy {
	if p.Initial == 0 {
		p.Initial = DefaultInitialDelay
	}
	if p.Factor == 0 {
		p.Factor = DefaultFactor
	}
	if p.Max == 0 {
		p.Max = max(DefaultMaxDelay, p.Initial)
	}
	if p.Attempts == 0 {
		p.Attempts = attempts
	}
	switch {
	case p.Jitter == 0:
		p.Jitter = DefaultJitter
	case p.Jitter < 0:
		p.Jitter = 0
	}
	return p
}

// check gives the policy's faults, each with the field's name.
func (p RetryPolicy) check() (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if p.Initial < 0 {
		fault("retry Initial %v is negative", p.Initial)
	}
	if p.Factor != 0 && !(p.Factor >= 1) {
		fault("retry Factor %v is below 1", p.Factor)
	}
	if math.IsInf(p.Factor, 1) {
		fault("retry Factor %v is not finite", p.Factor)
	}
	if p.Max < 0 {
		fault("retry Max %v is negative", p.Max)
	}
	if p.Max > 0 && p.Initial > p.Max {
		fault("retry Max %v is below Initial %v", p.Max, p.Initial)
	}
	if p.Attempts < Unlimited {
		fault("retry Attempts %d is neither positive nor Unlimited", p.Attempts)
	}
	if p.Jitter > 1 || math.IsNaN(p.Jitter) {
		fault("retry Jitter %v is above 1", p.Jitter)
	}
	return faults
}

// spent reports whether no attempt is left after this many.
func (p RetryPolicy) spent(attempts int) bool {
	return p.Attempts != Unlimited && attempts >= p.Attempts
}
