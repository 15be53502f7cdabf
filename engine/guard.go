package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/saga"
)

// newEffects gives what remembers effects; nil where the worker has no Redis, which definitions with guarded steps are
// refused for.
func newEffects(conf Config, namespace string, r *registry) (*idempotency.Store, error) {
	if conf.Redis != nil {
		return idempotency.New(idempotency.Config{
			Redis: conf.Redis, Namespace: namespace, Lease: conf.EffectLease, Keep: conf.EffectKeep, Breaker: conf.breaker,
			MeterProvider: conf.MeterProvider,
		})
	}
	var errs []error
	for _, p := range r.plans() {
		if steps := p.GuardedSteps(); len(steps) > 0 {
			errs = append(errs, fmt.Errorf("engine: definition %s version %d has guarded steps (%s): set Config.Redis",
				p.Name, p.Version, strings.Join(steps, ", ")))
		}
	}
	return nil, errors.Join(errs...)
}

// guarded makes an attempt of a step under its guard. Where that is held by another for long, or cannot be asked, no attempt is
// made: it is put off, and the saga's slot is for others. A result that the guard knows is not made again. What the guard is
// told of a new one goes beside the commit, and is not waited for: without it, the step may run again, as it would without a guard.
func (a *activation) guarded(ctx context.Context, action *saga.Action, info saga.Info, r *saga.Result, run func(ctx context.Context) error) {
	claim, before, err := a.claim(ctx, action.Task, info)
	r.Err = saga.PutOff(err)
	switch {
	case r.Err != nil:
	case before != nil:
		if r.Err = r.Recall(action.State, before.Data); r.Err != nil {
			r.Err = saga.Permanent(r.Err)
		}
	default:
		if r.Err = claim.While(ctx, run); r.Err != nil {
			a.w.spawn(func() { a.w.tellGuard(a.key(), claim.Release) }) //nolint:contextcheck // the worker's: it outlives the attempt
			return
		}
		record, err := r.Record(action.State)
		if err != nil {
			r.Err = saga.Permanent(err)
			return
		}
		a.w.spawn(func() { //nolint:contextcheck // the worker's: it outlives the attempt
			a.w.tellGuard(a.key(), func(ctx context.Context) error { return claim.Complete(ctx, record) })
		})
	}
}

// claim claims the guard of a step, or gives what it knows.
func (a *activation) claim(ctx context.Context, t saga.Task, info saga.Info) (*idempotency.Claim, *idempotency.Result, error) {
	ctx, stop := a.limited(ctx, 0, t, info)
	defer stop()
	const least = time.Second // for Redis to answer at all
	ctx, cancel := context.WithTimeoutCause(ctx, max(a.w.conf.ParkAfter, least), errGuardHeld)
	defer cancel()
	return a.w.effects.Await(ctx, info.GuardKey())
}

var errGuardHeld = errors.New("the step may be under way elsewhere; it is waited for")

// effects is what remembers effects as handlers see it.
type effects struct{ store *idempotency.Store }

// Do implements [saga.Effects]. A result that cannot be kept fails the step for good: the next attempt would have the effect again.
func (e effects) Do(ctx context.Context, key string, fn func(ctx context.Context) ([]byte, error)) ([]byte, error) {
	var failed error
	data, err := e.store.Do(ctx, key, func(ctx context.Context) (data []byte, err error) {
		data, failed = fn(ctx)
		return data, failed
	})
	var invalid *idempotency.InvalidError
	if failed == nil && errors.As(err, &invalid) {
		return nil, saga.Permanent(err)
	}
	return data, err
}

// permanent marks an error of the guard that another try cannot change.
func permanent(err error) error {
	var lost *idempotency.LostError
	var invalid *idempotency.InvalidError
	if errors.As(err, &lost) || errors.As(err, &invalid) {
		return backoff.Permanent(err)
	}
	return err
}

// guardFarewell is how long a stop waits for the guard at most: whoever goes on with the saga would have to wait for the lease's
// end, and then repeat the effect.
const guardFarewell = 3 * time.Second

// tellGuard tells the guard what came of an attempt, until it has heard, refuses, or the lease has run out.
func (w *worker) tellGuard(key saga.Key, tell func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), w.conf.EffectLease)
	defer cancel()
	defer context.AfterFunc(w.ctx, func() { time.AfterFunc(guardFarewell, cancel) })()
	err := untilDone(ctx, func() error { return permanent(tell(ctx)) }, nil)
	if err != nil {
		w.log.Warn("the guard of a step does not know what came of it; should the step run again, it will have its effect again",
			"saga", key.String(), "error", err)
	}
}
