package engine_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

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

func TestAGuardedStepWaitsWhileRedisIsAway(t *testing.T) {
	f := newFleet(t)
	server := testutil.Redis(t)
	def := guardedTrip(does("hotel"))
	plain := saga.Must(saga.Define("walk", 1, saga.Step("go", does("go"))))
	f.engine(engine.Config{Redis: server.Client(t), NoProjector: true}, def, plain)
	ctx := withPatience(t)
	server.Kill()
	sagas := engine.For(f.client(), def)
	if _, err := sagas.Start(ctx, "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.For(f.client(), plain).Run(ctx, "w-1", trip{}); err != nil {
		t.Errorf("a saga without guarded steps does not go on: %v", err)
	}
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if state, err := sagas.Wait(ctx, "t-1"); err != nil || state.State.Log != "flight hotel car " {
		t.Errorf("got %+v, %v", state, err)
	}
}
