package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// slowLink gives a JetStream each batch of whose reads takes its time, by another connection.
func slowLink(t *testing.T, nc, by *nats.Conn, takes time.Duration) jetstream.JetStream {
	t.Helper()
	sub, err := by.Subscribe("slow.>", func(m *nats.Msg) {
		api := strings.TrimPrefix(m.Subject, "slow.")
		send := func() { _ = by.PublishRequest("$JS.API."+api, m.Reply, m.Data) }
		if strings.HasPrefix(api, "DIRECT.GET.") {
			time.AfterFunc(takes, send)
		} else {
			send()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := by.Flush(); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, "slow")
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestALongHistoryOverASlowLinkIsReadToItsEnd(t *testing.T) {
	t.Parallel() // it takes longer than one answer may
	server := testutil.NATS(t)
	nc := testutil.Connect(t, server)
	ns, err := streams.Ensure(t.Context(), streams.Config{Conn: nc, Streams: 1})
	if err != nil {
		t.Fatal(err)
	}
	revision := uint64(0)
	const commits = 1100 // more than four batches
	key := saga.Key{Definition: "trip", ID: "t-1"}
	for v := uint64(1); v <= commits; v++ {
		c := &saga.Commit{Version: v, Time: time.Now().UTC(), Events: []saga.Event{saga.ActivationClaimed{}}}
		if v == 1 {
			c.Events = []saga.Event{saga.SagaStarted{Run: "r", Definition: 1}}
		}
		if revision, err = ns.Log().Append(t.Context(), key, revision, c); err != nil {
			t.Fatal(err)
		}
	}
	js := slowLink(t, nc, testutil.Connect(t, server), 1200*time.Millisecond)
	client, err := engine.NewClient(t.Context(), engine.Config{Conn: nc, JetStream: js, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if history, err := client.History(withPatience(t), key); err != nil || len(history) != commits {
		t.Errorf("%d commits, %v", len(history), err)
	}
}
