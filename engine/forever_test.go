package engine_test

import (
	"context"
	"strconv"
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
	t.Parallel()
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
	if n := len(history); n > keep+keep/8+saga.SnapshotEvery || history[0].Snapshot == nil {
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

func TestALoopThatEmitsForEverStaysBoundedAndLosesNothing(t *testing.T) {
	const keep, readings = 70, 500
	server := testutil.NATS(t)
	f := &fleet{t, testutil.Connect(t, server, engine.ConnectOptions()...)}
	doomed := testutil.Connect(t, server, engine.ConnectOptions()...)
	enough := make(chan struct{})
	ahead := make(chan struct{}, keep/2) // how far the loop may be ahead of whoever is told
	def := saga.Must(saga.Define("read-meter", 1,
		saga.Loop("readings", func(*meter) bool { return true },
			saga.Step("read", func(ctx context.Context, m *meter) error {
				select {
				case ahead <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
				m.Readings++
				switch m.Readings {
				case readings / 2:
					doomed.Close() // and nobody hears of its worker any more
				case readings:
					close(enough)
				case readings + 1:
					<-ctx.Done() // what is stored is looked at meanwhile
					return ctx.Err()
				}
				return saga.Emit(ctx, "reading", m.Readings)
			}),
		).Max(saga.Unlimited).Keep(keep),
	))
	crashed, err := engine.New(engine.Config{Conn: doomed, Streams: 1, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := crashed.Register(def); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- crashed.Run(context.Background()) }()
	<-crashed.Ready()
	client := f.client()
	ctx := withPatience(t)
	told, err := client.Namespace().JetStream().CreateConsumer(ctx, client.Namespace().Streams()[0], jetstream.ConsumerConfig{
		Durable: "outbox", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "saga.default.*.*.*.out.>",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.For(client, def).Start(ctx, "m-1", meter{}); err != nil {
		t.Fatal(err)
	}
	heard := make(chan int, readings)
	reading, err := told.Consume(func(m jetstream.Msg) {
		n, err := strconv.Atoi(string(m.Data()))
		if err != nil || m.Ack() != nil {
			t.Errorf("emitted was %s: %v", m.Data(), err)
		}
		heard <- n
		select {
		case <-ahead:
		default: // it was told twice
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Stop()
	if err := receive(t, ended); err == nil {
		t.Error("the worker whose connection was closed has ended without an error")
	}
	f.engine(engine.Config{}, def)
	for want := 1; want <= readings; {
		switch n := receive(t, heard); {
		case n > want:
			t.Fatalf("reading %d was told of after %d", n, want-1)
		case n == want:
			want++
		}
	}
	receive(t, enough)
	history, err := client.History(ctx, saga.Key{Definition: "read-meter", ID: "m-1"})
	if err != nil || len(history) > keep+keep/8+saga.SnapshotEvery || history[0].Snapshot == nil {
		t.Errorf("%d commits are left, %v", len(history), err)
	}
	if emitted := stored(t, client, "*.out.>"); emitted > 2*(keep+keep/8)+saga.SnapshotEvery {
		t.Errorf("%d emissions are stored", emitted)
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
