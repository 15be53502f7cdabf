//go:build long

package streams_test

import (
	"testing"
	"time"
)

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
