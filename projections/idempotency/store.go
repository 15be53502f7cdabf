package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/jetsaga/jetsaga/saga"
)

// Defaults of a [Config].
const (
	DefaultNamespace = "default"
	DefaultLease     = 30 * time.Second
	DefaultKeep      = 24 * time.Hour
	DefaultMaxResult = 1 << 20
)

// maxKey is how long a key may be, in bytes.
const maxKey = 512

// Config says where keys are kept, and for how long. Redis is required; the zero value of every other field is its default.
type Config struct {
	// Redis is where the keys are: one server, Sentinel, or a cluster. The caller closes it.
	Redis redis.UniversalClient
	// Namespace keeps the keys of several applications apart: 1 to 64 letters, digits, '-' and '_'. Default:
	// [DefaultNamespace].
	Namespace string
	// Lease is how long a claim stands without a sign of life from its holder; the time after which the work of one that is
	// gone is done by another. Default: [DefaultLease].
	Lease time.Duration
	// Keep is how long a result is kept, and with it the promise that the work is not done again. Default: [DefaultKeep].
	Keep time.Duration
	// MaxResult is the largest result, in bytes. Default: [DefaultMaxResult].
	MaxResult int
	// Breaker, if any, is what each call of Redis goes through: see projections.Breaker. Default: none.
	Breaker Breaker
	// MeterProvider takes the OpenTelemetry metrics, which docs/metrics.md lists. Default: none are made.
	MeterProvider metric.MeterProvider
}

// Breaker stops callers from waiting for a Redis that is known to be away.
type Breaker interface {
	// Call gives the error of f, or one of its own where f was not called.
	Call(ctx context.Context, f func(ctx context.Context) error) error
}

// Store keeps idempotency keys in Redis. It is safe for concurrent use.
type Store struct {
	conf   Config
	calls  *calls
	claims metric.Int64Counter // nil without metrics
}

// New gives a store. The error names each field of the configuration that is wrong.
func New(conf Config) (*Store, error) {
	var errs []error
	fault := func(field, reason string) { errs = append(errs, &InvalidError{"Config." + field, reason}) }
	if conf.Redis == nil {
		fault("Redis", "is required")
	}
	if conf.Namespace == "" {
		conf.Namespace = DefaultNamespace
	} else if err := saga.CheckNamespace(conf.Namespace); err != nil {
		fault("Namespace", "is refused: "+err.Error())
	}
	for _, d := range []struct {
		field string
		value *time.Duration
		or    time.Duration
	}{{"Lease", &conf.Lease, DefaultLease}, {"Keep", &conf.Keep, DefaultKeep}} {
		switch {
		case *d.value == 0:
			*d.value = d.or
		case *d.value < time.Millisecond:
			fault(d.field, fmt.Sprintf("is %v, must be a millisecond at least", *d.value))
		}
	}
	switch {
	case conf.MaxResult == 0:
		conf.MaxResult = DefaultMaxResult
	case conf.MaxResult < 0:
		fault("MaxResult", fmt.Sprintf("is %d, must be positive", conf.MaxResult))
	}
	s := &Store{conf: conf, calls: newCalls()}
	if conf.MeterProvider != nil {
		var err error
		s.claims, err = conf.MeterProvider.Meter("github.com/jetsaga/jetsaga/projections/idempotency").Int64Counter(
			"jetsaga.idempotency.begun", metric.WithUnit("{claim}"), metric.WithDescription("attempts to claim a key, by their outcome"))
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// Result is what came of work that was done before.
type Result struct {
	Data []byte
}

// Begin claims a key. One of three comes of it: a claim, whose holder does the work and then calls [Claim.Complete], or
// [Claim.Release] where it could not; the result of the work, which was done before; or a [*HeldError], where another is at it.
// Further errors are those of Redis, after which it may be called again: a claim whose answer was lost is given to the next
// call of this store. And [*InvalidError] for a key that is empty or longer than 512 bytes.
func (s *Store) Begin(ctx context.Context, key string) (*Claim, *Result, error) {
	if key == "" || len(key) > maxKey {
		return nil, nil, &InvalidError{"key", fmt.Sprintf("has %d bytes, must have 1 to %d", len(key), maxKey)}
	}
	c := &Claim{store: s, key: key, redisKey: s.redisKey(key)}
	call := s.calls.begin(key)
	answer, err := s.run(ctx, beginScript, c.redisKey, s.conf.Lease.Milliseconds(), s.conf.Keep.Milliseconds(), call).StringSlice()
	if err == nil && len(answer) != 3 {
		err = fmt.Errorf("the script answered %q", answer)
	}
	if err != nil {
		s.calls.failed(key, call)
		return nil, nil, fmt.Errorf("idempotency key %q: claiming: %w", key, err)
	}
	s.count(ctx, answer[0])
	switch answer[0] {
	case "done":
		return nil, &Result{[]byte(answer[2])}, nil
	case "held":
		ms, err := strconv.ParseInt(answer[2], 10, 64)
		if err != nil {
			return nil, nil, fmt.Errorf("idempotency key %q: its lease: %w", key, err)
		}
		return nil, nil, &HeldError{key, time.Duration(ms) * time.Millisecond}
	}
	c.token, err = strconv.ParseUint(answer[1], 10, 64)
	if err != nil {
		return nil, nil, fmt.Errorf("idempotency key %q: its token: %w", key, err)
	}
	return c, nil, nil
}

// run has Redis run a script on a key.
func (s *Store) run(ctx context.Context, script *redis.Script, key string, args ...any) (cmd *redis.Cmd) {
	if s.conf.Breaker == nil {
		return script.Run(ctx, s.conf.Redis, []string{key}, args...)
	}
	err := s.conf.Breaker.Call(ctx, func(ctx context.Context) error {
		cmd = script.Run(ctx, s.conf.Redis, []string{key}, args...)
		return cmd.Err()
	})
	if cmd == nil { // it was not called
		cmd = redis.NewCmd(ctx)
		cmd.SetErr(err)
	}
	return cmd
}

func (s *Store) count(ctx context.Context, outcome string) {
	if s.claims != nil {
		s.claims.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome)))
	}
}

// redisKey gives the name under which a key is kept: jetsaga:{<ns>:i:<key>}. What is between braces decides the slot in a
// cluster, so a key that is not plain, or long, is kept by its hash.
func (s *Store) redisKey(key string) string {
	const longest = 128
	plain := len(key) <= longest
	for i := 0; plain && i < len(key); i++ {
		c := key[i]
		plain = c == '-' || c == '_' || c == '.' || c == ':' || c == '/' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	if !plain {
		sum := sha256.Sum256([]byte(key))
		key = "~" + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return "jetsaga:{" + s.conf.Namespace + ":i:" + key + "}"
}
