package testutil

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/streams/embedded"
)

// Option changes the server that [NATS] starts.
type Option func(*embedded.Config)

// StoreDir keeps the server's store in dir, rather than in a directory that goes with the test.
func StoreDir(dir string) Option { return func(c *embedded.Config) { c.StoreDir = dir } }

// SyncAlways has the server sync before each acknowledgement.
func SyncAlways() Option { return func(c *embedded.Config) { c.SyncAlways = true } }

// NATS starts a server with JetStream on a free port of the loopback interface. It is gone when the test ends.
func NATS(t testing.TB, opts ...Option) *embedded.Server {
	t.Helper()
	conf := embedded.Config{Port: -1}
	for _, opt := range opts {
		opt(&conf)
	}
	if conf.StoreDir == "" {
		conf.StoreDir = t.TempDir()
	}
	s, err := embedded.Start(t.Context(), conf)
	if err != nil {
		t.Fatalf("testutil: %v", err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Connect connects to a server over TCP, until the test ends.
func Connect(t testing.TB, s interface{ ClientURL() string }, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), opts...)
	if err != nil {
		t.Fatalf("testutil: connecting to %s: %v", s.ClientURL(), err)
	}
	t.Cleanup(nc.Close)
	return nc
}
