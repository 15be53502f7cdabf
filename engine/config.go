package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// DefaultSlots is how many sagas a worker drives at a time.
const DefaultSlots = 1000

// Config says where the sagas live and how a worker runs them. Conn is required; the zero value of every other
// field is its default.
type Config struct {
	// Conn is the connection to NATS, which the caller closes after the engine has stopped. See [ConnectOptions].
	Conn *nats.Conn
	// JetStream is for accounts that reach JetStream through a domain or another API prefix. Default: the
	// connection's own.
	JetStream jetstream.JetStream
	// Namespace keeps the sagas of several applications or environments apart: letters, digits, '-', '_', at
	// most 64. Default: "default".
	Namespace string
	// Streams is over how many streams a new namespace is spread, 1 to 256; it is fixed from then on. Default: what
	// exists, else 4.
	Streams int
	// Replicas is how many servers hold each stream of a new namespace: 1, 3 or 5. Default: what exists, else 1.
	Replicas int
	// Compression has a new namespace's streams store messages S2-compressed; it is fixed from then on. Default: off.
	Compression bool

	// Name is how the worker is shown to people; the worker's id is made of it and of the moment of its start.
	// Default: the host's name.
	Name string
	// Slots is how many sagas the worker drives at a time, sagas that rest between two attempts included, parked
	// ones not. A worker never holds a command that it has no slot for. Default: [DefaultSlots].
	Slots int
	// ParkAfter is the longest rest between two attempts that a saga spends in its slot; for a longer one it
	// parks, and a timer on the server wakes it. Default: [saga.DefaultParkAfter]. An attempt that is put off rests for
	// longer, so that it has no slot meanwhile, but not for much longer than a minute.
	ParkAfter time.Duration
	// MaxState is the largest state a step may leave, in bytes of JSON; a larger one fails the step. Default,
	// and at most: a third of the server's max_payload, since a commit may carry a state twice.
	MaxState int

	// Redis is where the read models are, and what guarded steps and [saga.Once] remember; the caller closes it after the
	// engine has stopped. Sagas run without it, and when it is away; what needs it says so. A worker's own calls go through a
	// [projections.Breaker]. Default: none.
	Redis redis.UniversalClient
	// EffectLease is how long another worker waits before it takes over a guarded step, or an effect of [saga.Once], of one that
	// has died.
	// Default: [idempotency.DefaultLease], 30 seconds.
	EffectLease time.Duration
	// EffectKeep is for how long Redis remembers that a guarded step, or an effect of [saga.Once], was done: a step that is run
	// again later than that, after a long rest or pause, has its effect again. Default: [idempotency.DefaultKeep], 24 hours.
	EffectKeep time.Duration
	// NoProjector leaves the read models to other workers, or to projectors in processes of their own. Default: a worker
	// with Redis keeps them up, beside all others, of which one at a time is active on each stream.
	NoProjector bool

	// Retention says which sagas are purged after they have ended. Any number of workers may have it; one is at work at a
	// time. Default: all are kept for ever.
	Retention Retention

	// Logger takes what the engine has to tell. Default: slog.Default().
	Logger *slog.Logger
	// Hooks are called as things happen. Default: none.
	Hooks Hooks
	// MeterProvider takes the engine's OpenTelemetry metrics, which docs/metrics.md lists. Default: none are made.
	MeterProvider metric.MeterProvider

	breaker *projections.Breaker // for what is done with Redis; nil without
}

// withDefaults checks the configuration, tells all that is wrong at once, and fills in defaults.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("engine.Config."+format, args...)) }
	for _, err := range c.streams().Faults() {
		fault("%w", err)
	}
	if c.Slots < 0 {
		fault("Slots is %d, must be positive", c.Slots)
	}
	if c.ParkAfter < 0 {
		fault("ParkAfter is %v, must be positive", c.ParkAfter)
	}
	for _, d := range []struct {
		field string
		value *time.Duration
		or    time.Duration
	}{{"EffectLease", &c.EffectLease, idempotency.DefaultLease}, {"EffectKeep", &c.EffectKeep, idempotency.DefaultKeep}} {
		switch {
		case *d.value == 0:
			*d.value = d.or
		case *d.value < time.Millisecond:
			fault("%s is %v, must be a millisecond at least", d.field, *d.value)
		}
	}
	if c.MaxState < 0 {
		fault("MaxState is %d, must be positive", c.MaxState)
	}
	if c.Name != "" {
		if err := saga.CheckName("Name", c.Name); err != nil {
			fault("Name: %w", err)
		}
	}
	retention, err := c.Retention.withDefaults()
	if err != nil {
		errs = append(errs, err)
	}
	if c.Redis != nil && c.breaker == nil {
		c.breaker, err = projections.NewBreaker(projections.BreakerConfig{Logger: c.Logger, MeterProvider: c.MeterProvider})
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return c, errors.Join(errs...)
	}
	c.Retention = retention
	if c.Name == "" {
		c.Name = hostName()
	}
	if c.Slots == 0 {
		c.Slots = DefaultSlots
	}
	if c.ParkAfter == 0 {
		c.ParkAfter = saga.DefaultParkAfter
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	limit := int(c.Conn.MaxPayload() / 3)
	if c.MaxState == 0 || c.MaxState > limit {
		c.MaxState = limit
	}
	return c, nil
}

// hostName gives the host's name as one token of a subject.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "worker"
	}
	clean := []rune(name)
	for i, r := range clean {
		if saga.CheckName("host", string(r)) != nil {
			clean[i] = '-'
		}
	}
	if name = string(clean); saga.CheckName("host", name) != nil {
		return "worker"
	}
	return name
}

func (c Config) streams() streams.Config {
	return streams.Config{
		Conn: c.Conn, JetStream: c.JetStream, Namespace: c.Namespace,
		Streams: c.Streams, Replicas: c.Replicas, Compression: c.Compression, Logger: c.Logger,
		Ignore: projections.IsFeed,
	}
}

// ConnectOptions gives the connection options that suit a worker: it reconnects without end, even while it is refused its
// credentials, and fast, so that it can tell that it is alive before its commands are given to others.
func ConnectOptions() []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // else the second refusal closes the connection for good
		nats.ReconnectWait(50 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.PingInterval(10 * time.Second),
	}
}
