//go:build long

package streams_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// Whoever is cut off lets go before the lease passes on to another.
func TestAHolderThatIsCutOffLetsGoWithinTheLease(t *testing.T) {
	server := testutil.NATS(t)
	ns := ensureOn(t, testutil.Connect(t, server, nats.MaxReconnects(-1)), streams.Config{Streams: 1})
	has, _, done := hold(t.Context(), ns, "first")
	await(t, has)
	begun := time.Now()
	server.Stop()
	select {
	case err := <-done:
		if took := time.Since(begun); !errors.Is(err, context.Canceled) || took > 10*time.Second {
			t.Errorf("it ended with %v after %v; the lease is one of ten seconds", err, took)
		}
	case <-time.After(3 * patience):
		t.Fatal("it goes on")
	}
}

func TestTheLeaseOfADeadHolderPassesOn(t *testing.T) {
	ns := ensure(t)
	has, let, done := hold(t.Context(), ns, "first")
	await(t, has)
	let()
	if err := await(t, done); err != nil {
		t.Fatal(err)
	}
	bucket, err := ns.JetStream().KeyValue(t.Context(), "SAGA_default_LEASES")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Create(t.Context(), "work", []byte("dead")); err != nil { // and nobody renews it
		t.Fatal(err)
	}
	has, let, done = hold(t.Context(), ns, "second")
	select {
	case <-has:
	case <-time.After(3 * patience): // the lease is one of ten seconds
		t.Fatal("the lease stays with the dead")
	}
	let()
	if err := await(t, done); err != nil {
		t.Error(err)
	}
}
