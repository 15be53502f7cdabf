package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/metric"
)

// Defaults of a [BreakerConfig].
const (
	DefaultBreakerFailures = 5
	DefaultBreakerRest     = time.Second
)

// BreakerConfig says when a breaker opens, and for how long. The zero value is its default.
type BreakerConfig struct {
	// Failures is how many calls in a row have to fail for the breaker to open. Default: [DefaultBreakerFailures].
	Failures int
	// Rest is how long it stays open before one call is let through, to see whether Redis is back. Default:
	// [DefaultBreakerRest].
	Rest time.Duration
	// Logger is told when it opens and when it closes. Default: slog.Default().
	Logger *slog.Logger
	// MeterProvider takes the OpenTelemetry metrics, which docs/metrics.md lists. Default: none are made.
	MeterProvider metric.MeterProvider
}

// BreakerOpenError tells that a command was not sent, since the ones before it have failed: Redis is taken to be away. Read
// models, idempotency keys and views are not to be had meanwhile; sagas go on.
type BreakerOpenError struct {
	// RetryAfter is when a call is let through again, at the earliest.
	RetryAfter time.Duration
}

func (e *BreakerOpenError) Error() string {
	return fmt.Sprintf("Redis does not answer; it is tried again in %v", e.RetryAfter)
}

// NewBreaker gives a hook that stops a Redis client from waiting for a Redis that does not answer: after some failures in a row
// commands fail at once with a [*BreakerOpenError], until one that is let through succeeds. What Redis answers, were it an
// error, is no failure, and neither is a call whose context has ended.
//
//	rdb.AddHook(breaker)
//
// A client has one breaker of its own. The error names each field of the configuration that is wrong.
func NewBreaker(conf BreakerConfig) (redis.Hook, error) {
	var errs []error
	if conf.Failures < 0 {
		errs = append(errs, fmt.Errorf("projections.BreakerConfig.Failures is %d, must be positive", conf.Failures))
	}
	if conf.Rest < 0 {
		errs = append(errs, fmt.Errorf("projections.BreakerConfig.Rest is %v, must be positive", conf.Rest))
	}
	if conf.Failures == 0 {
		conf.Failures = DefaultBreakerFailures
	}
	if conf.Rest == 0 {
		conf.Rest = DefaultBreakerRest
	}
	if conf.Logger == nil {
		conf.Logger = slog.Default()
	}
	b := &breaker{rest: conf.Rest}
	var open metric.Int64Gauge
	if conf.MeterProvider != nil {
		var err error
		open, err = conf.MeterProvider.Meter("github.com/jetsaga/jetsaga/projections").Int64Gauge(
			"jetsaga.redis.away", metric.WithDescription("1 while commands are not sent to Redis, because it does not answer"))
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	b.circuit = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     conf.Rest,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(min(conf.Failures, 1<<30)) }, //nolint:gosec // bounded
		IsExcluded:  func(err error) bool { return errors.Is(err, errOwnEnd) },
		IsSuccessful: func(err error) bool {
			var answered redis.Error
			return err == nil || errors.As(err, &answered)
		},
		OnStateChange: func(_ string, _, to gobreaker.State) {
			away := int64(0)
			switch to {
			case gobreaker.StateOpen:
				away = 1
				b.openedAt.Store(time.Now().UnixNano())
				conf.Logger.Warn("Redis does not answer; commands fail at once", "tried_again_after", conf.Rest)
			case gobreaker.StateClosed:
				conf.Logger.Info("Redis answers again")
			case gobreaker.StateHalfOpen:
				return
			}
			if open != nil {
				open.Record(context.Background(), away)
			}
		},
	})
	return b, nil
}

// errOwnEnd marks the error of a call whose own context has ended.
var errOwnEnd = errors.New("the caller's context has ended")

type breaker struct {
	circuit  *gobreaker.CircuitBreaker[struct{}]
	rest     time.Duration
	openedAt atomic.Int64 // nanoseconds since 1970
}

var _ redis.Hook = (*breaker)(nil)

// DialHook implements [redis.Hook].
func (b *breaker) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements [redis.Hook].
func (b *breaker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := b.call(ctx, func(ctx context.Context) error { return next(ctx, cmd) })
		var open *BreakerOpenError
		if errors.As(err, &open) {
			cmd.SetErr(err)
		}
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (b *breaker) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := b.call(ctx, func(ctx context.Context) error { return next(ctx, cmds) })
		var open *BreakerOpenError
		if errors.As(err, &open) {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// within marks the context of a call that is let through: what it takes to connect is part of it.
type within struct{}

// call calls Redis, unless the breaker is open.
func (b *breaker) call(ctx context.Context, f func(ctx context.Context) error) error {
	if ctx.Value(within{}) != nil {
		return f(ctx)
	}
	var failure error
	_, err := b.circuit.Execute(func() (struct{}, error) {
		failure = f(context.WithValue(ctx, within{}, true))
		if failure != nil && ctx.Err() != nil {
			return struct{}{}, errOwnEnd
		}
		return struct{}{}, failure
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		left := time.Until(time.Unix(0, b.openedAt.Load()).Add(b.rest))
		return &BreakerOpenError{max(left, time.Millisecond)}
	}
	return failure
}
