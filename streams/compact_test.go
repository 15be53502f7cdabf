package streams_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

const kept = 10 // commits

// emitter is a saga that has emitted once after each of its commits; some have the number of the commit as the payload.
func emitter(t *testing.T, ns *streams.Namespace, commits int) saga.Key {
	t.Helper()
	k := key("o-1")
	start(t, ns, k.ID, "r-1")
	awaitAck(t, ns)
	by, revision := saga.Owner{Worker: "w", Command: "r-1", Delivery: 1}, uint64(0)
	for v := 1; v <= commits; v++ {
		events := []saga.Event{saga.StepCompleted{Step: "one", Attempt: 1}}
		if v == 1 {
			events = []saga.Event{saga.SagaStarted{Run: "r-1", Definition: 1, State: state(t, `{}`)}}
		}
		var err error
		if revision, err = ns.Log().Append(t.Context(), k, revision, &saga.Commit{Version: uint64(v), Time: time.Now().UTC(), By: by, Events: events}); err != nil {
			t.Fatal(err)
		}
		publish(t, ns, subjectOf(k, fmt.Sprintf("out.topic-%d", v%2)), fmt.Append(nil, v))
	}
	return k
}

// awaitAck answers the command that waits.
func awaitAck(t *testing.T, ns *streams.Namespace) {
	t.Helper()
	if err := await(t, pull(t, ns, 1)).Ack(); err != nil {
		t.Fatal(err)
	}
}

// outbox gives how many emissions are stored.
func outbox(t *testing.T, ns *streams.Namespace) (n int) {
	t.Helper()
	return storedBy(t, ns, "saga.default.*.*.*.out.>")
}

// storedBy gives how many messages are stored whose subjects match.
func storedBy(t *testing.T, ns *streams.Namespace, subjects string) (n int) {
	t.Helper()
	stream, err := ns.JetStream().Stream(t.Context(), ns.Streams()[0])
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(subjects))
	if err != nil {
		t.Fatal(err)
	}
	for _, count := range info.State.Subjects {
		n += int(count)
	}
	return n
}

// compact compacts as of some time from now, and checks how many emissions are left.
func compact(t *testing.T, ns *streams.Namespace, k saga.Key, in time.Duration, want int) {
	t.Helper()
	if err := ns.Log().CompactAt(t.Context(), k, kept, time.Now().Add(in)); err != nil {
		t.Fatal(err)
	}
	if left := outbox(t, ns); left != want {
		t.Errorf("%d emissions are left, want %d", left, want)
	}
}

func oneStream(t *testing.T) *streams.Namespace {
	t.Helper()
	return ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Streams: 1})
}

func TestAnOutboxThatNobodyTakesIsCutWithTheLog(t *testing.T) {
	ns := oneStream(t)
	compact(t, ns, emitter(t, ns, 3*kept), 0, kept)
}

func TestAnOutboxIsNotCutBeforeItIsWorthIt(t *testing.T) {
	ns := oneStream(t)
	compact(t, ns, emitter(t, ns, 2*kept), 0, 2*kept)
}

func TestAnOutboxIsCutAsFarAsItsConsumerHasReadIt(t *testing.T) {
	ns := oneStream(t)
	c, err := ns.JetStream().CreateConsumer(t.Context(), ns.Streams()[0], jetstream.ConsumerConfig{
		Durable: "outbox", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "saga.default.*.*.*.out.>",
	})
	if err != nil {
		t.Fatal(err)
	}
	k := emitter(t, ns, 3*kept)
	read := 0
	readTo := func(n int) {
		for ; read < n; read++ {
			m, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Data()) != fmt.Sprint(read+1) {
				t.Fatalf("emission %d is %s", read+1, m.Data())
			}
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	compact(t, ns, k, 0, 3*kept)
	readTo(5)
	compact(t, ns, k, 0, 3*kept-5)
	readTo(3 * kept)
	compact(t, ns, k, 0, kept)
}

func TestALogIsCutAsFarAsItsConsumersHaveReadIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		conf  jetstream.ConsumerConfig
		waits bool
	}{
		{"of commits", jetstream.ConsumerConfig{Durable: "export", AckPolicy: jetstream.AckAllPolicy, FilterSubject: "saga.default.*.*.*.evt"}, true},
		{"of a view", feedConfig("view-revenue-1"), true},
		{"of the read models", feedConfig("models-1"), false},
		{"of outboxes", jetstream.ConsumerConfig{Durable: "outbox", AckPolicy: jetstream.AckAllPolicy, FilterSubject: "saga.default.*.*.*.out.>"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Streams: 1, Ignore: isModels})
			consumer, err := ns.JetStream().CreateConsumer(t.Context(), ns.Streams()[0], c.conf)
			if err != nil {
				t.Fatal(err)
			}
			k := emitter(t, ns, 3*kept)
			left := func(want int) {
				t.Helper()
				if err := ns.Log().CompactAt(t.Context(), k, kept, time.Now()); err != nil {
					t.Fatal(err)
				}
				if n := storedBy(t, ns, subjectOf(k, "evt")); n != want {
					t.Errorf("%d commits are left, want %d", n, want)
				}
			}
			if !c.waits {
				left(kept)
				return
			}
			left(3 * kept)
			read := func(commits int) {
				t.Helper()
				opts := []jetstream.FetchOpt{jetstream.FetchMaxWait(patience)}
				if len(c.conf.PriorityGroups) > 0 {
					opts = append(opts, jetstream.FetchPriorityGroup(c.conf.PriorityGroups[0]))
				}
				for commits > 0 {
					batch, err := consumer.Fetch(1, opts...)
					if err != nil {
						t.Fatal(err)
					}
					got := false
					for m := range batch.Messages() {
						got = true
						if m.Subject() == subjectOf(k, "evt") {
							commits--
						}
						if err := m.DoubleAck(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					if err := batch.Error(); err != nil || !got {
						t.Fatalf("%d commits are not there to be read: %v", commits, err)
					}
				}
			}
			read(5)
			left(3*kept - 5)
			read(3*kept - 5)
			left(kept)
		})
	}
}

func TestAnOutboxThatAStreamTakesIsCutWhenItHasBeenThereForSomeTime(t *testing.T) {
	t.Parallel()
	ns := oneStream(t)
	k := emitter(t, ns, 3*kept)
	conf := jetstream.StreamConfig{
		Name: "EVENTS", Sources: ns.OutboxSources("events"), Storage: jetstream.MemoryStorage, MaxMsgs: 5, Discard: jetstream.DiscardNew,
	}
	events, err := ns.JetStream().CreateStream(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	awaitMessages(ctx, t, events, 5)
	compact(t, ns, k, time.Hour, 3*kept) // it is full
	conf.MaxMsgs = -1
	if events, err = ns.JetStream().UpdateStream(ctx, conf); err != nil {
		t.Fatal(err)
	}
	awaitMessages(ctx, t, events, 3*kept)
	compact(t, ns, k, 0, 3*kept)
	compact(t, ns, k, time.Hour, kept)
}

func awaitMessages(ctx context.Context, t *testing.T, s jetstream.Stream, n uint64) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := s.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs == n {
			return
		}
		<-tick.C
	}
}
