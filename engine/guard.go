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
		return idempotency.New(idempotency.Config{Redis: conf.Redis, Namespace: namespace, MeterProvider: conf.MeterProvider})
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

// guarded makes an attempt of a step under its guard, which it waits for: while another is at the step, and while Redis is
// away. A result that the guard knows is not made again. What the guard is told of a new one goes beside the commit, and is not
// waited for: without it, the step may run again, as it would without a guard.
func (a *activation) guarded(ctx context.Context, action *saga.Action, info saga.Info, r *saga.Result, run func(ctx context.Context) error) {
	var claim *idempotency.Claim
	var before *idempotency.Result
	waiting, stop := a.limited(ctx, 0, action.Task, info)
	defer stop()
	r.Err = untilDone(waiting, func() (err error) {
		claim, before, err = a.w.effects.Await(waiting, info.GuardKey())
		return err
	}, func(err error, _ time.Duration) {
		a.w.log.Warn("guarded step waits", "saga", a.key().String(), "step", info.StepKey, "error", err)
	})
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

// permanent marks an error of the guard that another try cannot change.
func permanent(err error) error {
	var lost *idempotency.LostError
	var invalid *idempotency.InvalidError
	if errors.As(err, &lost) || errors.As(err, &invalid) {
		return backoff.Permanent(err)
	}
	return err
}

// guardPatience bounds what the guard is told: after it, the lease has run out. A stop waits for guardFarewell at most: whoever
// goes on with the saga would have to wait for the lease's end, and then repeat the effect.
const (
	guardPatience = idempotency.DefaultLease
	guardFarewell = 3 * time.Second
)

// tellGuard tells the guard what came of an attempt, until it has heard, refuses, or it is too late.
func (w *worker) tellGuard(key saga.Key, tell func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), guardPatience)
	defer cancel()
	defer context.AfterFunc(w.ctx, func() { time.AfterFunc(guardFarewell, cancel) })()
	err := untilDone(ctx, func() error { return permanent(tell(ctx)) }, nil)
	if err != nil {
		w.log.Warn("the guard of a step does not know what came of it; should the step run again, it will have its effect again",
			"saga", key.String(), "error", err)
	}
}
