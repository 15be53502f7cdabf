package idempotency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Do has the work of a key done once, and gives its result: by fn, or by whoever did it before. While another is at it, Do
// waits for its result, or takes its place when its lease runs out. fn's context ends when the claim is lost.
//
// An error of fn is returned as it is, and the key is free again; what fn returned with it is not kept. A
// [*LostError] tells that fn has run and another may have, too. Further errors are those of ctx and of [Store.Begin]. Where
// Redis is away when fn has ended, it is tried for a lease, and for 3 seconds more once ctx has ended.
func (s *Store) Do(ctx context.Context, key string, fn func(ctx context.Context) ([]byte, error)) ([]byte, error) {
	claim, result, err := s.Await(ctx, key)
	switch {
	case claim != nil:
		return claim.do(ctx, fn)
	case result != nil:
		return result.Data, nil
	default:
		return nil, err
	}
}

// Await is [Store.Begin] that waits while another holds the key.
func (s *Store) Await(ctx context.Context, key string) (*Claim, *Result, error) {
	for rest := s.rests(); ; {
		claim, result, err := s.Begin(ctx, key)
		var held *HeldError
		if !errors.As(err, &held) {
			return claim, result, err
		}
		timer := time.NewTimer(min(rest.NextBackOff(), held.For+time.Millisecond))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, errors.Join(context.Cause(ctx), err)
		}
	}
}

// rests gives how long to wait between two looks at a key that is held.
func (s *Store) rests() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(5*time.Millisecond),
		backoff.WithMaxInterval(max(s.conf.Lease/20, 100*time.Millisecond)),
		backoff.WithMaxElapsedTime(0),
	)
}

// do does the work under the claim.
func (c *Claim) do(ctx context.Context, fn func(ctx context.Context) ([]byte, error)) (result []byte, err error) {
	done := false
	defer func() {
		if !done { // it failed, or panicked
			_ = c.settle(ctx, c.Release)
		}
	}()
	err = c.While(ctx, func(ctx context.Context) (err error) {
		result, err = fn(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	done = true
	return result, c.settle(ctx, func(ctx context.Context) error { return c.Complete(ctx, result) })
}

// While runs fn and extends the lease meanwhile. fn's context ends when the claim is lost, with a [*LostError] as its cause.
// The error is fn's. The claim is the caller's to complete or to release.
func (c *Claim) While(ctx context.Context, fn func(ctx context.Context) error) error {
	working, lose := context.WithCancelCause(ctx)
	extended := make(chan struct{})
	go func() {
		defer close(extended)
		c.hold(working, lose)
	}()
	defer func() {
		lose(nil)
		<-extended
	}()
	return fn(working)
}

// hold extends the lease until ctx ends, and ends the work where the claim is lost.
func (c *Claim) hold(ctx context.Context, lose context.CancelCauseFunc) {
	ticker := time.NewTicker(max(c.store.conf.Lease/3, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var lost *LostError
		if err := c.Extend(ctx); errors.As(err, &lost) {
			lose(err)
			return
		}
	}
}

// farewell is how long Redis is still tried once the caller's context has ended: whoever comes next would have to wait for the
// lease's end, and then repeat the work. A call that is under way then ends as the client has it.
const farewell = 3 * time.Second

// settle talks to Redis until it has answered, but not for longer than the lease, and only for a farewell once ctx has ended.
func (c *Claim) settle(ctx context.Context, f func(ctx context.Context) error) error {
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.store.conf.Lease)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		leaving, left := context.WithTimeout(settling, farewell)
		defer left()
		<-leaving.Done()
		cancel()
	})()
	again := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(10*time.Millisecond),
		backoff.WithMaxInterval(250*time.Millisecond),
		backoff.WithMaxElapsedTime(0),
	)
	var away error
	ended := backoff.Retry(func() error {
		err := f(settling)
		if away == nil || settling.Err() == nil { // a call that the end has cut short tells nothing of Redis
			away = err
		}
		var lost *LostError
		var invalid *InvalidError
		if errors.As(err, &lost) || errors.As(err, &invalid) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(again, settling))
	if ended != nil && ended == settling.Err() { //nolint:errorlint // the bare one, which does not tell what it waited for
		return fmt.Errorf("%w: %w", away, cmp.Or(context.Cause(ctx), ended))
	}
	return ended
}
