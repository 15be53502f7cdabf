package projections_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestABreakerStopsWaitingForARedisThatDoesNotAnswer(t *testing.T) {
	const readTimeout, rest, failures = 200 * time.Millisecond, 300 * time.Millisecond, 3
	server := testutil.Redis(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Address(), ReadTimeout: readTimeout, DialTimeout: readTimeout, MaxRetries: -1})
	t.Cleanup(func() { _ = rdb.Close() })
	hook, err := projections.NewBreaker(projections.BreakerConfig{Failures: failures, Rest: rest, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	rdb.AddHook(hook)
	ctx := t.Context()

	for range 2 * failures { // what it answers is no failure
		if err := rdb.Get(ctx, "nothing").Err(); !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		if err := rdb.Do(ctx, "NOSUCH").Err(); err == nil || isOpen(err) {
			t.Fatalf("error %v, want the server's", err)
		}
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	for range failures {
		if err := rdb.Ping(ctx).Err(); err == nil || isOpen(err) {
			t.Errorf("error %v, want that it does not answer", err)
		}
	}
	began := time.Now()
	if err := rdb.Ping(ctx).Err(); !isOpen(err) {
		t.Errorf("error %v, want a BreakerOpenError", err)
	}
	pipe := rdb.Pipeline()
	cmd := pipe.Get(ctx, "k")
	if _, err := pipe.Exec(ctx); !isOpen(err) || !isOpen(cmd.Err()) {
		t.Errorf("a pipeline: %v, its command: %v, want a BreakerOpenError", err, cmd.Err())
	}
	if _, err := projections.NewReader(rdb, "default").Count(ctx, projections.Query{}); !isOpen(err) {
		t.Errorf("a count: %v, want a BreakerOpenError", err)
	}
	if took := time.Since(began); took > readTimeout {
		t.Errorf("an open breaker took %v", took)
	}
	if err := server.Continue(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Redis is asked again", func() bool { return rdb.Ping(ctx).Err() == nil })
	if err := rdb.Ping(ctx).Err(); err != nil {
		t.Errorf("once it is back: %v", err)
	}
}

// A caller that has less patience than the client is told by its own deadline that Redis does not answer.
func TestABreakerCountsTheCallsThatADeadlineHasEnded(t *testing.T) {
	const failures = 3
	server := testutil.Redis(t)
	b, err := projections.NewBreaker(projections.BreakerConfig{Failures: failures, Rest: time.Hour, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Address(), ReadTimeout: 30 * time.Millisecond, MaxRetries: -1})
	t.Cleanup(func() { _ = rdb.Close() })
	rdb.AddHook(b)
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Continue() })
	over, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	for range 2 * failures { // they tell nothing of Redis
		cancelled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if err := rdb.Ping(cancelled).Err(); err == nil || isOpen(err) {
			t.Fatalf("a call that was cancelled: %v", err)
		}
		if err := rdb.Ping(over).Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a call that came too late: %v", err)
		}
		pipe := rdb.Pipeline()
		cmd := pipe.Get(over, "k")
		if _, err := pipe.Exec(over); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(cmd.Err(), context.DeadlineExceeded) {
			t.Fatalf("a pipeline that came too late: %v, its command: %v", err, cmd.Err())
		}
	}
	for range failures {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := rdb.Ping(ctx).Err(); err == nil || isOpen(err) {
			t.Errorf("error %v, want that it does not answer", err)
		}
		cancel()
	}
	if err := rdb.Ping(t.Context()).Err(); !isOpen(err) {
		t.Errorf("error %v, want a BreakerOpenError", err)
	}
}

// tried counts what a client tries to send, but for what it takes to connect.
type tried struct{ n atomic.Int64 }

func (c *tried) see(cmd redis.Cmder) {
	if cmd.Name() != "hello" && cmd.Name() != "client" {
		c.n.Add(1)
	}
}

func (c *tried) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *tried) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { c.see(cmd); return next(ctx, cmd) }
}

func (c *tried) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { c.see(cmds[0]); return next(ctx, cmds) }
}

// A worker's breaker is for what the worker does, whatever of it fails; the user's client is as it was.
func TestAWorkerStopsCallingARedisThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	f := newFrail(t)
	var calls tried
	f.rdb.AddHook(&calls)
	done := &effects{done: map[string]int{}}
	def := careful(done)
	s := f.site(def)
	s.start(0, 5)
	s.caughtUp()
	if err := f.server.Stop(); err != nil {
		t.Fatal(err)
	}
	const waiting = 50
	for i := range waiting {
		if _, err := engine.For(s.client, def).Start(t.Context(), fmt.Sprint("c-", i), order{}); err != nil {
			t.Fatal(err)
		}
	}
	s.start(5, 10) // for the projector
	for i := range waiting {
		key := saga.Key{Definition: "careful", ID: fmt.Sprint("c-", i)}
		eventually(t, "its step is put off", func() bool {
			in, err := s.client.Get(t.Context(), key)
			return err == nil && in.Steps.Get("print").PutOff > 0
		})
	}
	const more = 4 // calls, of which each tells that Redis has not come back
	before, since := calls.n.Load(), time.Now()
	eventually(t, "Redis is tried again", func() bool { return calls.n.Load() >= before+more })
	if took := time.Since(since); took < (more-1)*projections.DefaultBreakerRest {
		t.Errorf("%d calls within %v, with %v between two", more, took, projections.DefaultBreakerRest)
	}
	if err := f.rdb.Ping(t.Context()).Err(); err == nil || isOpen(err) {
		t.Errorf("another caller of the client: %v, want that Redis does not answer", err)
	}
	if err := f.server.Continue(); err != nil {
		t.Fatal(err)
	}
	for i := range waiting {
		if in, err := engine.For(s.client, def).Wait(t.Context(), fmt.Sprint("c-", i)); err != nil || in.Status != saga.StatusCompleted {
			t.Fatal(in, err)
		}
	}
	s.caughtUp()
}

func isOpen(err error) bool {
	var open *projections.BreakerOpenError
	return errors.As(err, &open) && open.RetryAfter > 0
}

func TestABreakerThatCannotBeIsRefused(t *testing.T) {
	_, err := projections.NewBreaker(projections.BreakerConfig{Failures: -1, Rest: -1})
	for _, field := range []string{"Failures", "Rest"} {
		if err == nil || !strings.Contains(err.Error(), "BreakerConfig."+field) {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
}
