package streams_test

import (
	"context"
	"errors"
	"testing"
	"time"
)

// hold holds a lease until let is called, or its context ends; held is closed once it does.
func hold(ctx context.Context, ns interface {
	Hold(ctx context.Context, name, holder string, do func(context.Context) error) error
}, holder string) (held <-chan struct{}, let func(), done <-chan error) {
	begun, end, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		result <- ns.Hold(ctx, "work", holder, func(ctx context.Context) error {
			close(begun)
			select {
			case <-end:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return begun, func() { close(end) }, result
}

func TestALeaseHasOneHolderAtATime(t *testing.T) {
	t.Parallel()
	ns := ensure(t)
	firstHas, letFirst, first := hold(t.Context(), ns, "first")
	await(t, firstHas)
	secondHas, letSecond, second := hold(t.Context(), ns, "second")
	select {
	case <-secondHas:
		t.Fatal("two hold it")
	case <-time.After(100 * time.Millisecond):
	}
	letFirst()
	if err := await(t, first); err != nil {
		t.Error(err)
	}
	await(t, secondHas)
	letSecond()
	if err := await(t, second); err != nil {
		t.Error(err)
	}
}

func TestWhoWaitsForALeaseMayGiveUp(t *testing.T) {
	ns := ensure(t)
	has, let, first := hold(t.Context(), ns, "first")
	await(t, has)
	ctx, cancel := context.WithCancel(t.Context())
	_, _, second := hold(ctx, ns, "second")
	cancel()
	if err := await(t, second); !errors.Is(err, context.Canceled) {
		t.Errorf("who has given up got %v", err)
	}
	let()
	if err := await(t, first); err != nil {
		t.Error(err)
	}
}

func TestALostLeaseEndsWhatIsDoneUnderIt(t *testing.T) {
	t.Parallel()
	ns := ensure(t)
	has, _, done := hold(t.Context(), ns, "first")
	await(t, has)
	bucket, err := ns.JetStream().KeyValue(t.Context(), "SAGA_default_LEASES")
	if err != nil {
		t.Fatal(err)
	}
	if err := bucket.Delete(t.Context(), "work"); err != nil {
		t.Fatal(err)
	}
	if err := await(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
