package streams

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// Workers publish the plans of the definitions that they register, for tools that do not have the definitions: one key-value
// bucket for each namespace, one key for each version of a definition.

func (n *Namespace) planBucket() string { return "SAGA_" + n.name + "_PLANS" }

func planKey(definition string, version int) string {
	return consumerName(definition) + "." + strconv.Itoa(version)
}

// PublishPlan makes a plan known, in place of what was known of this version of the definition. It gives the plan that was known
// before where that differs in more than policies; nil where it does not.
func (n *Namespace) PublishPlan(ctx context.Context, p *saga.Plan) (before *saga.Plan, err error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("definition %q, version %d: encoding its plan: %w", p.Name, p.Version, err)
	}
	bucket, err := n.js.KeyValue(ctx, n.planBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		bucket, err = n.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: n.planBucket(), Description: "plans of namespace " + n.name, Replicas: max(n.conf.Replicas, 1),
		})
	}
	if errors.Is(err, jetstream.ErrBucketExists) { // another worker was faster
		bucket, err = n.js.KeyValue(ctx, n.planBucket())
	}
	if err != nil {
		return nil, fmt.Errorf("definition %q, version %d: publishing its plan: %w", p.Name, p.Version, err)
	}
	key := planKey(p.Name, p.Version)
	known, err := bucket.Get(ctx, key)
	switch {
	case err == nil && bytes.Equal(known.Value(), data):
		return nil, nil
	case err == nil:
		// One that cannot be read is of another build, and gives way.
		if old, err := saga.ParsePlan(known.Value()); err == nil && old.Drawing() != p.Drawing() {
			before = old
		}
	case !errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, fmt.Errorf("definition %q, version %d: reading the plan that is known: %w", p.Name, p.Version, err)
	}
	if _, err := bucket.Put(ctx, key, data); err != nil {
		return nil, fmt.Errorf("definition %q, version %d: publishing its plan: %w", p.Name, p.Version, err)
	}
	return before, nil
}

// ErrNoPlan tells that no worker has published the plan of a definition, or of that version.
var ErrNoPlan = errors.New("no such plan")

// Plan gives the plan of a version of a definition as a worker has published it; version 0 is the highest. The error is
// [ErrNoPlan] where there is none.
func (n *Namespace) Plan(ctx context.Context, definition string, version int) (*saga.Plan, error) {
	if err := saga.CheckName("definition", definition); err != nil {
		return nil, err
	}
	missing := fmt.Errorf("definition %q, version %d: %w", definition, version, ErrNoPlan)
	bucket, err := n.js.KeyValue(ctx, n.planBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("definition %q: reading its plan: %w", definition, err)
	}
	if version == 0 {
		if version, err = highest(ctx, bucket, consumerName(definition)); err != nil {
			return nil, fmt.Errorf("definition %q: reading its plan: %w", definition, err)
		}
	}
	known, err := bucket.Get(ctx, planKey(definition, version))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("definition %q: reading its plan: %w", definition, err)
	}
	return saga.ParsePlan(known.Value())
}

// highest gives the highest version of a definition that is published; 0 for none.
func highest(ctx context.Context, bucket jetstream.KeyValue, name string) (version int, err error) {
	keys, err := bucket.ListKeysFiltered(ctx, name+".*")
	if err != nil {
		return 0, err
	}
	for key := range keys.Keys() {
		if v, err := strconv.Atoi(key[len(name)+1:]); err == nil {
			version = max(version, v)
		}
	}
	return version, nil
}
