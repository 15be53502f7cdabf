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

// Breaker stops callers from waiting for a Redis that does not answer: after some failures in a row, calls fail at once with a
// [*BreakerOpenError], until one that is let through succeeds. What Redis answers, were it an error, is no failure, and neither is
// a call that its caller has cancelled; one that its deadline has ended is.
//
// As a hook it is on all that a client does, and that client has one of its own:
//
//	rdb.AddHook(breaker)
//
// A worker has one on its own calls without that: see engine.Config.Redis. It is safe for concurrent use.
type Breaker struct {
	circuit  *gobreaker.CircuitBreaker[struct{}]
	rest     time.Duration
	openedAt atomic.Int64 // nanoseconds since 1970
	away     metric.Int64Gauge
	turned   atomic.Pointer[int64] // what the gauge has yet to show
}

var _ redis.Hook = (*Breaker)(nil)

// NewBreaker gives a breaker. The error names each field of the configuration that is wrong.
func NewBreaker(conf BreakerConfig) (*Breaker, error) {
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
	b := &Breaker{rest: conf.Rest}
	if conf.MeterProvider != nil {
		var err error
		b.away, err = conf.MeterProvider.Meter("github.com/jetsaga/jetsaga/projections").Int64Gauge(
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
			b.turned.Store(&away)
		},
	})
	return b, nil
}

// errOwnEnd stands for the error of a call of which nothing is to be learnt: its caller has ended it.
var errOwnEnd = errors.New("the caller has ended the call")

// DialHook implements [redis.Hook].
func (b *Breaker) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements [redis.Hook].
func (b *Breaker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		called := false
		err := b.Call(ctx, func(ctx context.Context) error {
			called = true
			return next(ctx, cmd)
		})
		if !called {
			cmd.SetErr(err)
		}
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (b *Breaker) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		called := false
		err := b.Call(ctx, func(ctx context.Context) error {
			called = true
			return next(ctx, cmds)
		})
		if !called {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// within marks the context of a call that a breaker has let through: what it takes to connect is part of it.
type within struct{ *Breaker }

// Call has f call Redis, with the context that it is given, and gives its error; where the breaker is open, f is not called.
func (b *Breaker) Call(ctx context.Context, f func(ctx context.Context) error) error {
	if ctx.Value(within{b}) != nil {
		return f(ctx)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var failure error
	_, err := b.circuit.Execute(func() (struct{}, error) {
		failure = f(context.WithValue(ctx, within{b}, true))
		switch {
		case failure == nil || answered(failure):
			return struct{}{}, nil
		case errors.Is(ctx.Err(), context.Canceled):
			return struct{}{}, errOwnEnd
		}
		return struct{}{}, failure
	})
	if away := b.turned.Swap(nil); away != nil && b.away != nil {
		b.away.Record(ctx, *away)
	}
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		left := time.Until(time.Unix(0, b.openedAt.Load()).Add(b.rest))
		return &BreakerOpenError{max(left, time.Millisecond)}
	}
	return failure
}

// answered reports whether an error is what Redis has answered.
func answered(err error) bool {
	var refused redis.Error
	return errors.As(err, &refused)
}
