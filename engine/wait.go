package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// How often Wait looks at a saga. A hint that it has ended comes before the commit is stored, so after one it looks
// soon and again; without one it looks seldom, since a hint may be lost.
const (
	lookSoon   = time.Millisecond
	lookSeldom = 5 * time.Second
)

// Wait returns when the saga has ended, in whatever way, and gives it. A saga that does not exist gives
// [ErrNotFound].
func (c *Client) Wait(ctx context.Context, key saga.Key) (*saga.Instance, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	w, err := c.watch(key)
	if err != nil {
		return nil, err
	}
	defer w.stop()
	in, err := c.Get(ctx, key)
	if err != nil || in.Ended() {
		return in, err
	}
	return w.await(ctx, in.Run)
}

// run starts a saga and waits for its end.
func (c *Client) run(ctx context.Context, key saga.Key, start func() (Started, error)) (*saga.Instance, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	w, err := c.watch(key) // before the start, so that no hint is missed
	if err != nil {
		return nil, err
	}
	defer w.stop()
	started, err := start()
	if err != nil {
		return nil, err
	}
	if started.Existing {
		return c.Wait(ctx, key)
	}
	return w.await(ctx, started.Run)
}

// watch is a subscription to the hints that a saga has ended.
type watch struct {
	c    *Client
	key  saga.Key
	ends chan struct{}
	stop func()
}

func (c *Client) watch(key saga.Key) (*watch, error) {
	w := &watch{c: c, key: key, ends: make(chan struct{}, 1)}
	sub, err := c.ns.OnEnd(key, func() {
		select {
		case w.ends <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	w.stop = func() { _ = sub.Unsubscribe() }
	return w, nil
}

// await returns when the run, or one that has followed it, has ended.
func (w *watch) await(ctx context.Context, run string) (*saga.Instance, error) {
	rest := lookSeldom
	timer := time.NewTimer(seldom())
	defer timer.Stop()
	for begun := false; ; {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("saga %s: waiting for its end: %w", w.key, ctx.Err())
		case <-w.ends:
			rest = 0
		case <-timer.C:
		}
		in, err := w.look(ctx)
		if err != nil {
			return nil, err
		}
		begun = begun || in.Run == run // any other is an earlier one before, and a later one afterwards
		if begun && in.Ended() {
			return in, nil
		}
		if rest = max(2*rest, lookSoon); rest > lookSeldom {
			rest = seldom()
		}
		timer.Reset(rest)
	}
}

// look reads the saga's log from any replica: one that is behind is asked again.
func (w *watch) look(ctx context.Context) (in *saga.Instance, err error) {
	err = w.c.retry(ctx, func(ctx context.Context) error {
		log, err := w.c.log.Load(ctx, w.key, saga.Any)
		if err == nil {
			in, err = w.c.fold(ctx, w.key, log)
		}
		return err
	})
	return in, err
}

// seldom spreads the looks of many that wait.
func seldom() time.Duration {
	return lookSeldom/2 + rand.N(lookSeldom) //nolint:gosec // nobody gains from guessing it
}
