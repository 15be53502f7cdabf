package engine

import (
	"context"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// How often Wait looks at a saga: soon after a hint that it has ended, since the hint comes before the commit is
// stored; and now and then without one, since a hint may be lost.
const (
	lookSoon   = time.Millisecond
	lookSeldom = time.Second
)

// Wait returns when the saga has ended, in whatever way, and gives it. A saga that does not exist gives
// [ErrNotFound].
func (c *Client) Wait(ctx context.Context, key saga.Key) (*saga.Instance, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	ends := make(chan struct{}, 1)
	sub, err := c.ns.OnEnd(key, func() {
		select {
		case ends <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	return c.awaitEnd(ctx, key, ends)
}

// awaitEnd looks at the saga at once, soon after each hint, and at growing intervals up to lookSeldom.
func (c *Client) awaitEnd(ctx context.Context, key saga.Key, ends <-chan struct{}) (*saga.Instance, error) {
	rest := lookSeldom
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ends:
			rest = 0
		case <-timer.C:
		}
		var in *saga.Instance
		err := c.retry(ctx, func() (err error) {
			in, err = c.Get(ctx, key)
			return err
		})
		if err != nil || in.Ended() {
			return in, err
		}
		timer.Reset(rest)
		rest = min(max(2*rest, lookSoon), lookSeldom)
	}
}
