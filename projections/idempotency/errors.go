package idempotency

import (
	"fmt"
	"time"
)

// HeldError tells that another holds the key at the moment.
type HeldError struct {
	Key string
	// For is how long its lease runs at most, unless it is extended.
	For time.Duration
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("idempotency key %q is held by another for %v; try again then", e.Key, e.For)
}

// LostError tells that a claim is not valid any more: its lease ran out and another has taken the key, or Redis has lost it.
// What was done under it may be done again.
type LostError struct {
	Key   string
	Token uint64
}

func (e *LostError) Error() string {
	return fmt.Sprintf("idempotency key %q: the claim with token %d is not valid any more: another may have taken its place", e.Key, e.Token)
}

// InvalidError tells what is wrong with an argument. Nothing was done.
type InvalidError struct {
	Field, Reason string
}

func (e *InvalidError) Error() string { return fmt.Sprintf("idempotency: %s %s", e.Field, e.Reason) }
