package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestEffectsThatHappenOnceAreNotRepeatedInTheNextAttempt(t *testing.T) {
	f := newFleet(t)
	var reserved, charged atomic.Int64
	def := threeSteps(t, func(ctx context.Context, s *trip) error {
		room, err := saga.Once(ctx, "reserve", func(context.Context) (string, error) {
			reserved.Add(1)
			return "room 7", nil
		})
		if err != nil {
			return err
		}
		_, err = saga.Once(ctx, "charge", func(context.Context) (int, error) {
			if charged.Add(1) == 1 {
				return 0, errors.New("the bank does not answer")
			}
			return 100, nil
		})
		s.Note = room
		return err
	}, saga.RetryPolicy{Initial: 1})
	f.engine(engine.Config{Redis: testutil.Redis(t).Client(t), NoProjector: true}, def)
	state, err := engine.For(f.client(), def).Run(withPatience(t), "t-1", trip{})
	if err != nil || state.State.Note != "room 7" || reserved.Load() != 1 || charged.Load() != 2 {
		t.Errorf("got %+v, %v; reserved %d times, charged %d times; want once, and twice", state, err, reserved.Load(), charged.Load())
	}
}

func TestOnceWithoutRedisSaysWhatIsMissing(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, func(ctx context.Context, _ *trip) error {
		_, err := saga.Once(ctx, "reserve", func(context.Context) (int, error) { return 0, nil })
		return saga.Permanent(err)
	}, saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	if _, err := engine.For(f.client(), def).Run(withPatience(t), "t-1", trip{}); err == nil || !strings.Contains(err.Error(), "engine.Config.Redis") {
		t.Errorf("error %v, want what to do", err)
	}
}

// guardedTrip has a second step that is guarded.
func guardedTrip(second saga.Handler[trip]) *saga.Definition[trip] {
	return saga.Must(saga.Define("trip", 1,
		saga.Step("flight", does("flight")),
		saga.Step("hotel", second).Guarded().Compensate(does("-hotel")),
		saga.Step("car", does("car")),
	))
}

func TestAGuardedStepIsRefusedByAWorkerWithoutRedis(t *testing.T) {
	f := newFleet(t)
	e, err := engine.New(engine.Config{Conn: f.nc, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Register(guardedTrip(does("hotel"))); err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "hotel") || !strings.Contains(err.Error(), "Config.Redis") {
		t.Errorf("error %v, want the step and what to do", err)
	}
}

// A worker that was cut off after the handler had returned, and before its result was in the log: its guard has the result.
func TestAGuardedStepIsNotRunAgainOnceItsGuardKnowsTheResult(t *testing.T) {
	f := newFleet(t)
	rdb := testutil.Redis(t).Client(t)
	var ran atomic.Int64
	def := guardedTrip(func(ctx context.Context, s *trip) error {
		ran.Add(1)
		s.Log += "hotel "
		return saga.Emit(ctx, "booked", "hotel")
	})
	f.engine(engine.Config{Redis: rdb, NoProjector: true}, def)
	ctx := withPatience(t)
	if state, err := engine.For(f.client(), def).Run(ctx, "t-1", trip{}); err != nil || state.State.Log != "flight hotel car " {
		t.Fatalf("got %+v, %v", state, err)
	}
	// As it is after a reset, the log does not know that the step was done; its guard does.
	key := saga.Key{Definition: "trip", ID: "t-1"}
	history, err := f.client().History(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.client().Reset(ctx, key, history[0].Version); err != nil {
		t.Fatal(err)
	}
	in := until(ctx, t, f.client(), key, func(in *saga.Instance) bool { return in.Ended() && in.Version > history[len(history)-1].Version })
	if in.Status != saga.StatusCompleted || ran.Load() != 1 || !strings.Contains(string(in.State.JSON()), "flight hotel car ") {
		t.Errorf("%s with %s; the step ran %d times, want once", in.Status, in.State.JSON(), ran.Load())
	}
}

// What the guard of a step is told of an attempt is told in spite of a stop, so that the next worker neither waits nor repeats it.
func TestAStopTellsTheGuardWhatCameOfTheStep(t *testing.T) {
	for name, result := range map[string]func(ctx context.Context) error{
		"done":   func(context.Context) error { return nil },
		"failed": func(ctx context.Context) error { return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			rdb := testutil.Redis(t).Client(t)
			begun := make(chan struct{})
			var ran atomic.Int64
			def := guardedTrip(func(ctx context.Context, s *trip) error {
				s.Log += "hotel "
				if ran.Add(1) > 1 {
					return nil
				}
				close(begun)
				<-ctx.Done()
				return result(ctx)
			})
			first := f.engine(engine.Config{Redis: rdb, NoProjector: true}, def)
			sagas := engine.For(f.client(), def)
			if _, err := sagas.Start(t.Context(), "t-1", trip{}); err != nil {
				t.Fatal(err)
			}
			receive(t, begun)
			first.Stop()
			f.engine(engine.Config{Redis: rdb, NoProjector: true}, def)
			ctx, cancel := context.WithTimeout(t.Context(), idempotency.DefaultLease/2)
			defer cancel()
			state, err := sagas.Wait(ctx, "t-1")
			if err != nil || state.State.Log != "flight hotel car " || (ran.Load() == 1) != (name == "done") {
				t.Errorf("got %+v, %v; the step ran %d times", state, err, ran.Load())
			}
		})
	}
}

// away are the ways of a Redis to be away.
var away = map[string]struct {
	begin, end func(t *testing.T, s *testutil.RedisServer)
}{
	"down": {
		func(_ *testing.T, s *testutil.RedisServer) { s.Kill() },
		func(t *testing.T, s *testutil.RedisServer) {
			t.Helper()
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	},
	"does not answer": {
		func(t *testing.T, s *testutil.RedisServer) {
			t.Helper()
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
		},
		func(t *testing.T, s *testutil.RedisServer) {
			t.Helper()
			if err := s.Continue(); err != nil {
				t.Fatal(err)
			}
		},
	},
}

// brisk connects to a Redis without much patience.
func brisk(t *testing.T, s *testutil.RedisServer) *redis.Client {
	t.Helper()
	const brief = 100 * time.Millisecond
	rdb := redis.NewClient(&redis.Options{Addr: s.Address(), DialTimeout: brief, ReadTimeout: brief, WriteTimeout: brief, MaxRetries: -1})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// Sagas that need Redis wait for it in nobody's way: they have no slot, however few slots there are.
func TestGuardedStepsThatWaitForRedisKeepNobodyFromRunning(t *testing.T) {
	t.Parallel()
	const slots, waiting, others = 4, 20, 200
	for name, how := range away {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			server := testutil.Redis(t)
			def := saga.Must(saga.Define("trip", 1,
				saga.Step("flight", does("flight")),
				saga.Step("hotel", does("hotel")).Guarded().Retry(saga.RetryPolicy{Attempts: 1}).Compensate(does("-hotel")),
				saga.Step("car", does("car")),
			))
			plain := saga.Must(saga.Define("walk", 1, saga.Step("go", does("go"))))
			f.engine(engine.Config{Redis: brisk(t, server), NoProjector: true, Streams: 1, Slots: slots, ParkAfter: 20 * time.Millisecond}, def, plain)
			ctx := withPatience(t)
			walks, trips := engine.For(f.client(), plain), engine.For(f.client(), def)
			walk := func(prefix string) time.Duration {
				begun := time.Now()
				for i := range others {
					if _, err := walks.Run(ctx, fmt.Sprint(prefix, i), trip{}); err != nil {
						t.Fatalf("a saga without guarded steps does not go on: %v", err)
					}
				}
				return time.Since(begun)
			}
			with := walk("with-")
			how.begin(t, server)
			for i := range waiting {
				if _, err := trips.Start(ctx, fmt.Sprint("t-", i), trip{}); err != nil {
					t.Fatal(err)
				}
			}
			for i := range waiting {
				until(ctx, t, f.client(), trips.Key(fmt.Sprint("t-", i)), func(in *saga.Instance) bool {
					s := in.Steps.Get("hotel")
					return s.PutOff > 0 && s.Attempt == 0 && !s.Doubt
				})
			}
			without := walk("without-")
			for i := range waiting {
				in, err := f.client().Get(ctx, trips.Key(fmt.Sprint("t-", i)))
				if err != nil || in.Ended() {
					t.Fatalf("with Redis away: %v, %v", in, err)
				}
			}
			how.end(t, server)
			t.Logf("%d sagas took %v with Redis, %v while it was away", others, with, without)
			for i := range waiting {
				state, err := trips.Wait(ctx, fmt.Sprint("t-", i))
				if err != nil || state.State.Log != "flight hotel car " {
					t.Errorf("once Redis is back: %+v, %v", state, err)
				}
			}
		})
	}
}

// The step may have one attempt, or ten, as by default: those that Redis has spoilt are none of them.
func TestAnAttemptThatFailsForItsRedisDoesNotCount(t *testing.T) {
	t.Parallel()
	for name, how := range away {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			server := testutil.Redis(t)
			var failed sync.Map
			hooks := engine.Hooks{Ran: func(info saga.Info, _ time.Duration, err error) {
				if err != nil && !saga.IsPutOff(err) {
					failed.Store(info.Key, err)
				}
			}}
			mail := func(ctx context.Context, s *trip) error {
				n, err := saga.Once(ctx, "mail", func(context.Context) (string, error) { return "mail ", nil })
				if err != nil {
					return fmt.Errorf("the mail: %w", err)
				}
				s.Log += n
				return nil
			}
			plain := threeSteps(t, mail, saga.RetryPolicy{})
			strict := saga.Must(saga.Define("strict", 1, saga.Step("flight", does("flight")), saga.Step("hotel", mail).Retry(saga.RetryPolicy{Attempts: 1})))
			f.engine(engine.Config{Redis: brisk(t, server), NoProjector: true, ParkAfter: 20 * time.Millisecond, Hooks: hooks}, plain, strict)
			ctx := withPatience(t)
			how.begin(t, server)
			keys := []saga.Key{engine.For(f.client(), plain).Key("t-1"), engine.For(f.client(), strict).Key("t-1")}
			for i, def := range []*saga.Definition[trip]{plain, strict} {
				if _, err := engine.For(f.client(), def).Start(ctx, keys[i].ID, trip{}); err != nil {
					t.Fatal(err)
				}
			}
			for _, key := range keys {
				until(ctx, t, f.client(), key, func(in *saga.Instance) bool { return in.Steps.Get("hotel").PutOff > 2 })
			}
			how.end(t, server)
			for _, key := range keys {
				in, err := f.client().Wait(ctx, key)
				if err != nil || in.Status != saga.StatusCompleted || in.Steps.Get("hotel").Attempt != 1 || !strings.Contains(string(in.State.JSON()), "flight mail ") {
					t.Errorf("%s: %+v, %v; want it completed with the first attempt", key, in, err)
				}
			}
			failed.Range(func(key, err any) bool { t.Errorf("%v: %v", key, err); return true })
		})
	}
}

// A result that cannot be kept would be made again by each attempt.
func TestAnEffectWhoseResultCannotBeKeptFailsForGood(t *testing.T) {
	f := newFleet(t)
	var ran atomic.Int64
	def := threeSteps(t, func(ctx context.Context, _ *trip) error {
		_, err := saga.Once(ctx, "scan", func(context.Context) (string, error) {
			ran.Add(1)
			return strings.Repeat("x", idempotency.DefaultMaxResult), nil
		})
		return err
	}, saga.RetryPolicy{})
	f.engine(engine.Config{Redis: testutil.Redis(t).Client(t), NoProjector: true}, def)
	in, err := engine.For(f.client(), def).Run(withPatience(t), "t-1", trip{})
	if in == nil || in.Status != saga.StatusCompensated || !strings.Contains(in.Error, "bytes") || ran.Load() != 1 {
		t.Errorf("%+v, %v; the effect happened %d times, want once", in, err, ran.Load())
	}
}

func TestHowLongEffectsAreRememberedIsSettable(t *testing.T) {
	f := newFleet(t)
	rdb := testutil.Redis(t).Client(t)
	const lease, keep = time.Minute, time.Hour
	release := make(chan struct{})
	def := guardedTrip(func(ctx context.Context, _ *trip) error {
		if _, err := saga.Once(ctx, "mail", func(context.Context) (int, error) { return 1, nil }); err != nil {
			return err
		}
		<-release
		return nil
	})
	f.engine(engine.Config{Redis: rdb, NoProjector: true, EffectLease: lease, EffectKeep: keep}, def)
	ctx := withPatience(t)
	if _, err := engine.For(f.client(), def).Start(ctx, "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	kept := func(want ...time.Duration) {
		t.Helper()
		var left []time.Duration
		for !slices.Equal(left, want) {
			keys, err := rdb.Keys(ctx, "jetsaga:*").Result()
			if err != nil {
				t.Fatalf("%v; the keys are kept for %v, want %v", err, left, want)
			}
			left = left[:0]
			for _, key := range keys {
				left = append(left, rdb.PTTL(ctx, key).Val().Round(lease))
			}
			slices.Sort(left)
		}
	}
	kept(keep, lease+keep) // the effect is done, the step is under way
	close(release)
	kept(keep, keep)
	if _, err := engine.New(engine.Config{Conn: f.nc, EffectLease: -1, EffectKeep: time.Microsecond}); err == nil ||
		!strings.Contains(err.Error(), "EffectLease is -1ns") || !strings.Contains(err.Error(), "EffectKeep is 1µs") {
		t.Errorf("error %v, want both fields", err)
	}
}
