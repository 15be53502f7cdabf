package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/projections/idempotency"
)

var errAway = errors.New("nobody answers")

// leaves is a Redis that is asked nothing: it grants a claim, and then is away until some time.
type leaves struct {
	asked  int
	before time.Time // it is back
}

func (l *leaves) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *leaves) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l *leaves) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		l.asked++
		answer := cmd.(*redis.Cmd)
		switch {
		case l.asked == 1:
			answer.SetVal([]any{"claimed", "1", ""})
		case time.Now().Before(l.before):
			answer.SetErr(errAway)
		default:
			answer.SetVal(int64(1))
		}
		return answer.Err()
	}
}

// Time is virtual: what takes as long as a lease takes none.
func TestARedisThatIsAwayIsTriedForALeaseOrAFarewell(t *testing.T) {
	const lease, farewell, rest = 30 * time.Second, 3 * time.Second, 400 * time.Millisecond
	no := errors.New("no")
	for name, c := range map[string]struct {
		ends        time.Duration // the caller's context, where it does
		away        time.Duration // Redis, after the claim
		fails       error         // of the work
		least, most time.Duration
		want        []error // none: the result is kept
	}{
		"the context lives":                         {away: time.Hour, least: lease, most: lease, want: []error{errAway, context.DeadlineExceeded}},
		"the context lives, and the work failed":    {away: time.Hour, fails: no, least: lease, most: lease, want: []error{no}},
		"Redis is back late in the lease":           {away: 28 * time.Second, least: 28 * time.Second, most: 28*time.Second + rest},
		"the context ended before":                  {ends: -1, away: time.Hour, least: farewell, most: farewell, want: []error{errAway, context.Canceled}},
		"the context ended before, the work failed": {ends: -1, away: time.Hour, fails: no, least: farewell, most: farewell, want: []error{no}},
		"the context ends meanwhile":                {ends: 10 * time.Second, away: time.Hour, least: 10*time.Second + farewell, most: 10*time.Second + farewell, want: []error{errAway, context.Canceled}},
		"the context ends shortly before the lease": {ends: 29 * time.Second, away: time.Hour, least: lease, most: lease, want: []error{errAway, context.Canceled}},
		"the context ended, and Redis is there":     {ends: -1},
		"the context ended, and Redis is back":      {ends: -1, away: 2 * time.Second, least: 2 * time.Second, most: 2*time.Second + rest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // a name would be looked up
				defer func() { _ = rdb.Close() }()
				begun := time.Now()
				rdb.AddHook(&leaves{before: begun.Add(c.away)})
				s := store(t, idempotency.Config{Redis: rdb, Lease: lease})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.ends > 0 {
					defer time.AfterFunc(c.ends, cancel).Stop()
				}
				got, err := s.Do(ctx, "k", func(context.Context) ([]byte, error) {
					if c.ends < 0 {
						cancel()
					}
					return []byte("done"), c.fails
				})
				if took := time.Since(begun); took < c.least || took > c.most {
					t.Errorf("it took %v, want %v to %v", took, c.least, c.most)
				}
				if (err == nil) != (c.want == nil) || c.fails == nil && string(got) != "done" {
					t.Errorf("got %q, error %v", got, err)
				}
				for _, want := range c.want {
					if !errors.Is(err, want) {
						t.Errorf("error %v, want %v", err, want)
					}
				}
			})
		})
	}
}
