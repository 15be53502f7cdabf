package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/testutil"
)

const holderLease = 500 * time.Millisecond

// holder is a process that claims a key and does not come back.
func holder(ctx context.Context, args []string) error {
	opts, err := redis.ParseURL(args[0])
	if err != nil {
		return err
	}
	rdb := redis.NewClient(opts)
	defer func() { _ = rdb.Close() }()
	s, err := idempotency.New(idempotency.Config{Redis: rdb, Lease: holderLease})
	if err != nil {
		return err
	}
	_, err = s.Do(ctx, "k", func(ctx context.Context) ([]byte, error) {
		fmt.Println("ready")
		<-ctx.Done()
		return nil, ctx.Err()
	})
	return err
}

func TestTheClaimOfAProcessThatIsKilledPassesOn(t *testing.T) {
	server := testutil.Redis(t)
	s := store(t, idempotency.Config{Redis: server.Client(t), Lease: holderLease})
	p := testutil.StartProcess(t, "holder", server.URL())
	var held *idempotency.HeldError
	for range 3 { // for as long as it lives, its lease is extended
		time.Sleep(holderLease / 2)
		if _, _, err := s.Begin(t.Context(), "k"); !errors.As(err, &held) {
			t.Fatalf("error %v, want a HeldError", err)
		}
	}
	p.Kill()
	began := time.Now()
	got, err := s.Do(t.Context(), "k", func(context.Context) ([]byte, error) { return []byte("by the next"), nil })
	if err != nil || string(got) != "by the next" {
		t.Fatalf("got %q, %v", got, err)
	}
	t.Logf("the next took over %v after the kill; the lease is %v", time.Since(began).Round(time.Millisecond), holderLease)
}
