package streams

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
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
	// Streams is over how many streams the namespace's shards are spread when they are created, 1 to 256.
	// Default: what exists, else 4.
	Streams int
	// Replicas is how many servers hold each stream: 1, 3 or 5. Default: what exists, else 1.
	Replicas int
	// Compression stores messages S2-compressed. It is chosen when the streams are created. Default: off.
	Compression bool
	// Ignore is true of the feeds that nothing is kept for which they have not read yet. Default: none.
	Ignore func(feed string) bool
	// Logger takes what is worth telling an operator. Default: slog.Default().
	Logger *slog.Logger
}

// Faults gives all that is wrong, each error beginning with the name of its field, for a configuration that has these
// fields among others.
func (c Config) Faults() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Conn == nil {
		fault("Conn is required")
	}
	if c.Namespace != "" {
		if err := saga.CheckNamespace(c.Namespace); err != nil {
			fault("Namespace: %w", err)
		}
	}
	if c.Streams < 0 || c.Streams > shard.Count {
		fault("Streams is %d, must be 1 to %d", c.Streams, shard.Count)
	}
	switch c.Replicas {
	case 0, 1, 3, 5:
	default: // an even number survives no more failures than the odd one below it
		fault("Replicas is %d, must be 1, 3 or 5", c.Replicas)
	}
	return faults
}

// withDefaults checks the configuration, tells all that is wrong at once, and fills in defaults. Streams and
// Replicas may stay 0, for what exists.
func (c Config) withDefaults() (Config, error) {
	faults := c.Faults()
	for i, err := range faults {
		faults[i] = fmt.Errorf("streams.Config.%w", err)
	}
	if len(faults) > 0 {
		return c, errors.Join(faults...)
	}
	if c.Namespace == "" {
		c.Namespace = DefaultNamespace
	}
	if c.Ignore == nil {
		c.Ignore = func(string) bool { return false }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.JetStream == nil {
		// Of an answer that is lost with a server, the connection need not hear: without a timeout it would be waited for for ever.
		js, err := jetstream.New(c.Conn, jetstream.WithPublishAsyncTimeout(publishTimeout))
		if err != nil {
			return c, fmt.Errorf("streams.Config.Conn: %w", err)
		}
		c.JetStream = js
	}
	return c, nil
}
