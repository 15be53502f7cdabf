package streams_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestEnsureCreatesOnceAndVerifiesFromThenOn(t *testing.T) {
	nc := testutil.Connect(t, testutil.NATS(t))
	if _, err := streams.Open(t.Context(), streams.Config{Conn: nc}); !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("before: %v, want ErrNotFound", err)
	}
	first := ensureOn(t, nc, streams.Config{Streams: 3})
	for _, conf := range []streams.Config{{Conn: nc}, {Conn: nc, Streams: 3}, {Conn: nc, Replicas: 1}} {
		again, err := streams.Ensure(t.Context(), conf)
		if err != nil || !slices.Equal(again.Streams(), first.Streams()) {
			t.Errorf("Ensure(%+v) = %v, %v", conf, again, err)
		}
	}
	if again, err := streams.Open(t.Context(), streams.Config{Conn: nc}); err != nil || len(again.Streams()) != 3 {
		t.Errorf("Open: %v, %v", again, err)
	}
}

func TestEnsureMayBeCalledByManyAtOnce(t *testing.T) {
	server := testutil.NATS(t)
	var wg sync.WaitGroup
	for range 8 {
		nc := testutil.Connect(t, server)
		wg.Go(func() {
			if _, err := streams.Ensure(t.Context(), streams.Config{Conn: nc}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestEnsureCompletesWhatAnotherLeftHalfDone(t *testing.T) {
	nc := testutil.Connect(t, testutil.NATS(t))
	ns := ensureOn(t, nc, streams.Config{Streams: 3})
	if err := ns.JetStream().DeleteStream(t.Context(), ns.Streams()[1]); err != nil {
		t.Fatal(err)
	}
	var drift *streams.DriftError
	if _, err := streams.Open(t.Context(), streams.Config{Conn: nc}); !errors.As(err, &drift) {
		t.Errorf("Open: %v, want a DriftError", err)
	}
	if again := ensureOn(t, nc, streams.Config{}); len(again.Streams()) != 3 {
		t.Errorf("streams are %v", again.Streams())
	}
}

func TestDriftIsToldAndNotMended(t *testing.T) {
	nc := testutil.Connect(t, testutil.NATS(t))
	ns := ensureOn(t, nc, streams.Config{})
	for _, c := range []struct {
		want  string
		drift func(*jetstream.StreamConfig)
	}{
		{"max age", func(c *jetstream.StreamConfig) { c.MaxAge = 1e12 }},
		{"max messages is", func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }},
		{"max messages per subject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 }},
		{"max bytes", func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }},
		{"which is no shard", func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "other.>") }},
		{"no stream has shard", func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[1:] }},
		{"lacks the metadata", func(c *jetstream.StreamConfig) { c.Metadata = nil }},
	} {
		stream, err := ns.JetStream().Stream(t.Context(), ns.Streams()[0])
		if err != nil {
			t.Fatal(err)
		}
		was := stream.CachedInfo().Config
		is := was
		is.Subjects = slices.Clone(was.Subjects)
		c.drift(&is)
		if _, err := ns.JetStream().UpdateStream(t.Context(), is); err != nil {
			t.Fatal(err)
		}
		_, err = streams.Ensure(t.Context(), streams.Config{Conn: nc})
		var drift *streams.DriftError
		if !errors.As(err, &drift) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want a DriftError with %q", err, c.want)
		}
		if _, err := ns.JetStream().UpdateStream(t.Context(), was); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := streams.Ensure(t.Context(), streams.Config{Conn: nc, Streams: 5}); err == nil || !strings.Contains(err.Error(), "5") {
		t.Errorf("another number of streams: %v", err)
	}
}

func TestABadConfigurationIsRefusedWhole(t *testing.T) {
	_, err := streams.Ensure(t.Context(), streams.Config{Namespace: "a.b", Streams: 1000, Replicas: 7})
	for _, field := range []string{"Conn", "Namespace", "Streams", "Replicas"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error is %v, want one that names %s", err, field)
		}
	}
	var name *saga.InvalidNameError
	if !errors.As(err, &name) || name.Field != "namespace" {
		t.Errorf("error is %v, want an InvalidNameError", err)
	}
	for _, replicas := range []int{-1, 2, 4, 6} {
		if faults := (streams.Config{Replicas: replicas}).Faults(); !strings.Contains(fmt.Sprint(faults), "Replicas") {
			t.Errorf("%d replicas: the faults are %v", replicas, faults)
		}
	}
}

func TestAServerWithoutJetStreamIsRefused(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	_, err = streams.Ensure(t.Context(), streams.Config{Conn: nc})
	var refused *streams.ServerError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "JetStream") {
		t.Errorf("error is %v, want a ServerError that names JetStream", err)
	}
}
