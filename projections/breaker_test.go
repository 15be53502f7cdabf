package projections_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/projections"
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
