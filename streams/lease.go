package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The times of a lease. One that was not renewed for leaseFor passes on to the next that asks.
const (
	leaseFor     = 10 * time.Second
	leaseRenewal = 3 * time.Second
	leaseAsking  = time.Second
)

func (n *Namespace) leaseBucket() string { return "SAGA_" + n.name + "_LEASES" }

// Hold waits until this process holds a lease of the namespace, and then does something, under a context that ends when the
// lease is lost. It returns what do returns, with the lease given back. A lease keeps many from doing the same work; for a
// moment two may hold it, so that it makes nothing safe that would not be without.
func (n *Namespace) Hold(ctx context.Context, name, holder string, do func(ctx context.Context) error) error {
	fault := func(err error) error { return fmt.Errorf("namespace %q: lease %s: %w", n.name, name, err) }
	bucket, err := n.leases(ctx)
	if err != nil {
		return fault(err)
	}
	for {
		revision, err := bucket.Create(ctx, name, []byte(holder))
		if err == nil {
			return n.holding(ctx, bucket, name, holder, revision, do)
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return fault(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leaseAsking):
		}
	}
}

// holding does something while the lease is renewed.
func (n *Namespace) holding(
	ctx context.Context, bucket jetstream.KeyValue, name, holder string, revision uint64, do func(context.Context) error,
) error {
	held, lose := context.WithCancel(ctx)
	defer lose()
	done := make(chan error, 1)
	go func() { done <- do(held) }()
	ticker := time.NewTicker(leaseRenewal)
	defer ticker.Stop()
	renewed := time.Now()
	for {
		select {
		case err := <-done:
			release(ctx, bucket, name, revision)
			return err
		case <-ticker.C:
			begun := time.Now()
			next, err := renew(ctx, bucket, name, holder, revision)
			switch {
			case err == nil:
				revision, renewed = next, begun
			case isConflict(err) || time.Since(renewed) > leaseFor-leaseRenewal:
				lose()
				return <-done
			}
		}
	}
}

// renew renews a lease, or finds in time that it cannot.
func renew(ctx context.Context, bucket jetstream.KeyValue, name, holder string, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenewal)
	defer cancel()
	return bucket.Update(ctx, name, []byte(holder), revision)
}

// release gives a lease back. Where it cannot, the lease runs out.
func release(ctx context.Context, bucket jetstream.KeyValue, name string, revision uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseAsking)
	defer cancel()
	_ = bucket.Delete(ctx, name, jetstream.LastRevision(revision))
}

// leases gives the bucket of the namespace's leases.
func (n *Namespace) leases(ctx context.Context) (jetstream.KeyValue, error) {
	bucket, err := n.js.KeyValue(ctx, n.leaseBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		bucket, err = n.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: n.leaseBucket(), Description: "leases of namespace " + n.name, TTL: leaseFor,
			Storage: jetstream.MemoryStorage, Replicas: max(n.conf.Replicas, 1),
		})
	}
	if errors.Is(err, jetstream.ErrBucketExists) { // another process was faster
		bucket, err = n.js.KeyValue(ctx, n.leaseBucket())
	}
	return bucket, err
}
