package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Effects has an effect happen once for a key, and gives what came of it to whoever asks again. The engine's are in Redis;
// see [Once].
type Effects interface {
	// Do runs fn unless the key's effect has happened, and gives its result, or that of before. An error of fn is given as it
	// is, and the effect has not happened.
	Do(ctx context.Context, key string, fn func(ctx context.Context) ([]byte, error)) ([]byte, error)
}

// WithEffects gives a handler's context that [Once] works with. The engine calls it before each handler; a handler's own unit
// test may.
func WithEffects(ctx context.Context, e Effects) context.Context {
	if c, ok := ctx.(*handlerContext); ok {
		c.effects = e
		return c
	}
	return &handlerContext{Context: ctx, info: FromContext(ctx), effects: e}
}

// ErrNoEffects is what [Once] gives where there is nothing that remembers effects.
var ErrNoEffects = errors.New("nothing remembers effects here: give the worker a Redis (engine.Config.Redis)")

// Once has one of several effects of a step happen once, and gives what came of it: in an attempt that follows one that
// failed after it, fn is not run again. The name is the effect's own within the step, and one token: see [CheckName]. T is kept
// as JSON.
//
// An error of fn is returned as it is, and fn runs again in the next attempt. Further errors are [ErrNoEffects], and those of
// the store, which are marked by [PutOff]: return them, wrapped or not, and the attempt is repeated and does not count. Where fn
// has run and that could not be kept, they are marked by [Unknown], too. It is not to be called outside a handler.
func Once[T any](ctx context.Context, name string, fn func(ctx context.Context) (T, error)) (T, error) {
	var result T
	fail := func(err error) (T, error) { return *new(T), err }
	c, ok := ctx.Value(handlerKey{}).(*handlerContext)
	if err := CheckName("effect", name); err != nil {
		return fail(Permanent(err))
	}
	if !ok || c.effects == nil {
		return fail(fmt.Errorf("effect %q of step %q: %w", name, FromContext(ctx).Step, ErrNoEffects))
	}
	var ran bool
	var failed error // that of fn
	data, err := c.effects.Do(ctx, "once/"+c.info.IdempotencyKey()+"/"+name, func(ctx context.Context) (data []byte, err error) {
		ran = true
		made, err := fn(ctx)
		if err == nil {
			if data, err = json.Marshal(made); err != nil {
				err = Permanent(fmt.Errorf("effect %q: its result cannot be encoded: %w", name, err))
			}
		}
		failed = err
		return data, err
	})
	switch {
	case err == nil:
	case failed != nil:
		return fail(err)
	case ran || ctx.Err() != nil: // while another was at it, who may be still
		return fail(PutOff(Unknown(err)))
	default:
		return fail(PutOff(err))
	}
	if err := json.Unmarshal(data, &result); err != nil {
		return fail(Permanent(fmt.Errorf("effect %q: its result does not decode as %T: %w", name, result, err)))
	}
	return result, nil
}
