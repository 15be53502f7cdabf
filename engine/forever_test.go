package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

// meter is the state of a saga that reads a meter for ever.
type meter struct {
	Readings int `json:"readings"`
}

func TestALoopWithoutAnEndStaysBounded(t *testing.T) {
	const keep, readings = 130, 600
	nc := testutil.Connect(t, testutil.NATS(t), engine.ConnectOptions()...)
	f := &fleet{t, nc}
	enough := make(chan struct{})
	def := saga.Must(saga.Define("read-meter", 1,
		saga.Loop("readings", func(*meter) bool { return true },
			saga.Step("read", func(_ context.Context, m *meter) error {
				if m.Readings++; m.Readings == readings {
					close(enough)
				}
				return nil
			}),
			saga.Sleep("rest", func(m *meter) time.Duration {
				if m.Readings%100 == 0 {
					return 300 * time.Millisecond // long enough to park, so that there are timers
				}
				return 0
			}),
		).Max(saga.Unlimited).Keep(keep),
	))
	f.engine(engine.Config{ParkAfter: 10 * time.Millisecond}, def)
	client := f.client()
	meters := engine.For(client, def)
	ctx := withPatience(t)
	if _, err := meters.Start(ctx, "m-1", meter{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Fatal("it has not read the meter often enough")
	}
	key := saga.Key{Definition: "read-meter", ID: "m-1"}
	history, err := client.History(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(history); n > keep+saga.SnapshotEvery || history[0].Snapshot == nil {
		t.Errorf("%d commits are left, of which the first is version %d (snapshot: %v)", n, history[0].Version, history[0].Snapshot != nil)
	}
	in, err := client.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if in.Steps.Len() > 3 || len(in.Blocks) > 3 {
		t.Errorf("it remembers %d steps and %d blocks", in.Steps.Len(), len(in.Blocks))
	}
	if _, err := meters.Start(ctx, "m-1", meter{}); err == nil {
		t.Error("it was started again while it runs")
	}
	if commands := stored(t, client, "*.cmd"); commands > 5 {
		t.Errorf("%d commands are stored", commands)
	}
}

// stored counts the messages of all sagas whose subjects end so.
func stored(t *testing.T, client *engine.Client, end string) (n uint64) {
	t.Helper()
	ns := client.Namespace()
	for _, name := range ns.Streams() {
		stream, err := ns.JetStream().Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter("saga.*.*.*."+end))
		if err != nil {
			t.Fatal(err)
		}
		for _, count := range info.State.Subjects {
			n += count
		}
	}
	return n
}
