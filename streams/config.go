package streams

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The defaults of a [Config].
const (
	DefaultNamespace = "default"
	DefaultStreams   = 4
	DefaultReplicas  = 1
)

// Config says where the sagas of a namespace live.
type Config struct {
	// Conn is the connection to NATS. Required; the caller closes it.
	Conn *nats.Conn
	// JetStream is for accounts that reach JetStream through a domain or another API prefix. Default: the
	// connection's own.
	JetStream jetstream.JetStream
	// Namespace keeps the sagas of several applications or environments apart: letters, digits, '-', '_', at
	// most 64. Default: "default".
	Namespace string
	// Streams is over how many streams the namespace's shards are spread when they are created. Default: what
	// exists, else 4.
	Streams int
	// Replicas is how many servers hold each stream: 1, 3 or 5. Default: what exists, else 1.
	Replicas int
	// Compression stores messages S2-compressed. It is chosen when the streams are created. Default: off.
	Compression bool
	// Logger takes what is worth telling an operator. Default: slog.Default().
	Logger *slog.Logger
}

// withDefaults checks the configuration, tells all that is wrong at once, and fills in defaults. Streams and
// Replicas may stay 0, for what exists.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("streams.Config."+format, args...)) }
	if c.Conn == nil {
		fault("Conn is required")
	}
	if c.Namespace == "" {
		c.Namespace = DefaultNamespace
	}
	if err := checkNamespace(c.Namespace); err != nil {
		fault("Namespace: %w", err)
	}
	if c.Streams < 0 || c.Streams > 256 {
		fault("Streams is %d, must be 1 to 256", c.Streams)
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		fault("Replicas is %d, must be 1 to 5", c.Replicas)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if len(errs) == 0 && c.JetStream == nil {
		js, err := jetstream.New(c.Conn)
		if err != nil {
			fault("Conn: %w", err)
		}
		c.JetStream = js
	}
	return c, errors.Join(errs...)
}
