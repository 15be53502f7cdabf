package streams_test

import (
	"os"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.NoLeaks(m.Run)()) }

// ensure gives a namespace on a server of its own.
func ensure(t *testing.T) *streams.Namespace {
	t.Helper()
	return ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{})
}

func ensureOn(t *testing.T, nc *nats.Conn, conf streams.Config) *streams.Namespace {
	t.Helper()
	conf.Conn = nc
	ns, err := streams.Ensure(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func key(id string) saga.Key { return saga.Key{Definition: "place-order", ID: id} }

func state(t *testing.T, json string) saga.State {
	t.Helper()
	s, err := saga.ParseState([]byte(json))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
