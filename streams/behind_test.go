package streams_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// send publishes a message with headers.
func send(t *testing.T, ns *streams.Namespace, subject string, header map[string][]string, data []byte) {
	t.Helper()
	if _, err := ns.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: header, Data: data}); err != nil {
		t.Fatal(err)
	}
}

// isModels is true of the feeds that are ignored.
func isModels(feed string) bool { return strings.HasPrefix(feed, "models-") }

// feedConfig is what the consumer of a feed is made with.
func feedConfig(name string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckAllPolicy, PriorityPolicy: jetstream.PriorityPolicyPinned,
		PriorityGroups: []string{"active"}, PinnedTTL: time.Minute}
}

func TestWhoHasNotReadAStreamIsNamed(t *testing.T) {
	ns := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Streams: 1, Ignore: isModels})
	stream := ns.Streams()[0]
	behind := func() map[string]streams.Behind {
		found, err := ns.Behind(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		byName := map[string]streams.Behind{}
		for _, b := range found {
			byName[b.Name] = b
		}
		return byName
	}
	pull(t, ns, 1)
	js := ns.JetStream()
	for _, conf := range []jetstream.ConsumerConfig{
		{Durable: "all", AckPolicy: jetstream.AckExplicitPolicy},
		feedConfig("models-feed"),
		{Durable: "models-export", AckPolicy: jetstream.AckExplicitPolicy},
		{Durable: "outbox", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "saga.default.*.*.*.out.>"},
		{Name: "passing", AckPolicy: jetstream.AckExplicitPolicy, InactiveThreshold: time.Minute},
	} {
		if _, err := js.CreateConsumer(t.Context(), stream, conf); err != nil {
			t.Fatal(err)
		}
	}
	if found := behind(); len(found) != 0 {
		t.Errorf("of an empty stream are behind: %v", found)
	}
	ended(t, ns, "o-1")
	found := behind()
	for end := time.Now().Add(patience); len(found) < 3 && time.Now().Before(end); { // the server counts what is pending beside storing it
		found = behind()
	}
	if len(found) != 3 || found["consumer all"].OutboxOnly || found["consumer models-export"].OutboxOnly || !found["consumer outbox"].OutboxOnly {
		t.Errorf("behind are: %v", found)
	}
	c, err := js.Consumer(t.Context(), stream, "outbox")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := behind(); len(found) != 2 {
		t.Errorf("behind are: %v", found)
	}
}

func TestAStreamThatHasNotTakenAnOutboxIsNamed(t *testing.T) {
	ns := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Streams: 1})
	ended(t, ns, "o-1")
	_, err := ns.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Sources: ns.OutboxSources("events"), Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		found, err := ns.Behind(ctx, ns.Streams()[0])
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			return
		}
		if found[0].Name != "stream EVENTS" || !found[0].OutboxOnly {
			t.Fatalf("behind are: %v", found)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Where the only server that has a consumer is away, another tells of it, with nothing but zeros.
func TestAConsumerWhoseServerIsAwayIsBehind(t *testing.T) {
	t.Parallel()
	cluster := testutil.NATSCluster(t, 3)
	ns := ensureOn(t, testutil.Connect(t, cluster, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond)), streams.Config{Streams: 1, Replicas: 3})
	stream := ns.Streams()[0]
	ended(t, ns, "o-1")
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	c, err := ns.JetStream().CreateConsumer(ctx, stream, jetstream.ConsumerConfig{Durable: "export", AckPolicy: jetstream.AckExplicitPolicy, Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if testutil.Connect(t, cluster.Server(i)).ConnectedServerName() == c.CachedInfo().Cluster.Leader {
			cluster.Stop(i)
		}
	}
	for {
		soon, cancel := context.WithTimeout(ctx, patience/4) // what was asked of the server that is away is asked again
		found, err := ns.Behind(soon, stream)
		cancel()
		if err == nil {
			if len(found) != 1 || found[0].Name != "consumer export" {
				t.Errorf("behind are %v", found)
			}
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
