package engine

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/jetsaga/jetsaga/saga"
)

// delay gives the rest after a failed attempt, counted from 1, under a retry policy, jitter included.
func delay(p saga.RetryPolicy, attempt int) time.Duration {
	initial := p.Initial
	for i := 1; i < attempt && initial < p.Max; i++ {
		initial = time.Duration(float64(initial) * p.Factor)
		if initial <= 0 { // past what a Duration can hold
			initial = p.Max
		}
	}
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(initial, p.Max)),
		backoff.WithMultiplier(p.Factor),
		backoff.WithRandomizationFactor(p.Jitter),
		backoff.WithMaxInterval(p.Max),
		backoff.WithMaxElapsedTime(0),
	)
	return b.NextBackOff()
}

// How long an attempt is put off, jitter apart.
const (
	putOffLeast = 100 * time.Millisecond
	putOffMost  = time.Minute
)

// putOff gives the rest before an attempt that does not count comes again, as so many have before it: long enough for the saga
// to be parked, and longer each time.
func putOff(parkAfter time.Duration, before int) time.Duration {
	rest := max(parkAfter, putOffLeast)
	for ; before > 0 && rest < putOffMost; before-- {
		rest *= 2
	}
	rest = min(rest, putOffMost)
	return rest + 1 + rand.N(rest/4) //nolint:gosec // nobody gains from guessing it
}

// untilDone retries f, which talks to the server, until it succeeds, fails for good (backoff.Permanent) or ctx
// ends.
func untilDone(ctx context.Context, f func() error, notify func(err error, rest time.Duration)) error {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(10*time.Millisecond),
		backoff.WithMaxInterval(250*time.Millisecond),
		backoff.WithMaxElapsedTime(0),
	)
	return backoff.RetryNotify(f, backoff.WithContext(b, ctx), notify)
}
