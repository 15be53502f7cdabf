package engine_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// faulty is a worker of a build with a fault: it sets aside the first command that it gets, having done do.
func faulty(t *testing.T, c *engine.Client, definition string, do func(*streams.Delivery)) {
	t.Helper()
	deliveries := make(chan *streams.Delivery, 1)
	pullers, err := c.Namespace().Pull(t.Context(), definition, streams.PullHandlers{
		Delivered: func(_ *streams.Puller, d *streams.Delivery) { deliveries <- d },
		Returned:  func(*streams.Puller, int, error) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, p := range pullers {
			p.Abandon(nil)
			p.Stop()
		}
	}()
	for _, p := range pullers {
		if err := p.Request(1, patience); err != nil {
			t.Fatal(err)
		}
	}
	d := receive(t, deliveries)
	if do != nil {
		do(d)
	}
	if err := c.Namespace().SetAside(t.Context(), d, errors.New("a fault")); err != nil {
		t.Fatal(err)
	}
}

func TestARedrivenCommandRunsItsSagaOnceTheFaultIsMended(t *testing.T) {
	f := newFleet(t)
	var ran atomic.Int32
	def := threeSteps(t, func(ctx context.Context, s *trip) error {
		ran.Add(1)
		return does("hotel")(ctx, s)
	}, saga.RetryPolicy{})
	client := f.client()
	trips := engine.For(client, def)
	if _, err := trips.Start(t.Context(), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	faulty(t, client, "trip", nil)
	f.engine(engine.Config{}, def)
	letters, err := client.DeadLetters(t.Context(), engine.LetterQuery{})
	if err != nil || len(letters) != 1 || letters[0].Command != "Start" || letters[0].Undecodable != nil {
		t.Fatalf("the dead letters are %+v, %v", letters, err)
	}
	if s, err := trips.Get(t.Context(), "t-1"); err != nil || s.Status != saga.StatusPending {
		t.Fatalf("before, the saga is %+v, %v", s, err)
	}
	if _, err := client.Redrive(t.Context(), letters[0].Number); err != nil {
		t.Fatal(err)
	}
	if s, err := trips.Wait(withPatience(t), "t-1"); err != nil || s.State.Log != "flight hotel car " || ran.Load() != 1 {
		t.Errorf("it ended as %+v, %v; its step ran %d times", s, err, ran.Load())
	}
	if _, err := client.Redrive(t.Context(), letters[0].Number); !errors.Is(err, streams.ErrNoLetter) {
		t.Errorf("redriven again: %v, want ErrNoLetter", err)
	}
}

func TestARedrivenCommandGoesOnWhereItWasSetAside(t *testing.T) {
	f := newFleet(t)
	var flights atomic.Int32
	def := saga.Must(saga.Define("trip", 1,
		saga.Step("flight", func(ctx context.Context, s *trip) error {
			flights.Add(1)
			return does("flight")(ctx, s)
		}),
		saga.Step("car", does("car"))))
	client := f.client()
	trips := engine.For(client, def)
	started, err := trips.Start(t.Context(), "t-1", trip{})
	if err != nil {
		t.Fatal(err)
	}
	faulty(t, client, "trip", func(d *streams.Delivery) {
		patch := saga.Patch{}
		if patch.Set, err = saga.ParseState([]byte(`{"log":"flown "}`)); err != nil {
			t.Fatal(err)
		}
		c := &saga.Commit{
			Version: 1, Time: time.Now().UTC(), By: saga.Owner{Worker: "faulty", Command: started.Run, Delivery: d.Count},
			Events: []saga.Event{
				saga.SagaStarted{Run: started.Run, Definition: 1},
				saga.StepCompleted{Step: "flight", Attempt: 1, Patch: patch},
			},
		}
		if _, err := client.Namespace().Log().Append(t.Context(), d.Key, 0, c); err != nil {
			t.Fatal(err)
		}
	})
	f.engine(engine.Config{}, def)
	if _, err := client.Redrive(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if s, err := trips.Wait(withPatience(t), "t-1"); err != nil || s.State.Log != "flown car " || flights.Load() != 0 {
		t.Errorf("it ended as %+v, %v; its first step ran %d times more", s, err, flights.Load())
	}
}

func TestGarbageIsShownAndDropped(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	told := make(chan saga.Key, 1)
	f.engine(engine.Config{Hooks: engine.Hooks{SetAside: func(key saga.Key, _ error) { told <- key }}}, def)
	client := f.client()
	subject := "saga.default." + shardOf("trip", "g-1") + ".trip.g-1.cmd"
	if _, err := client.Namespace().JetStream().Publish(t.Context(), subject, []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	if key := receive(t, told); key.ID != "g-1" {
		t.Errorf("the hook was told of %v", key)
	}
	letter, err := client.DeadLetter(t.Context(), 1)
	if err != nil || string(letter.Data) != "garbage" || letter.Undecodable == nil || letter.Command != "" {
		t.Fatalf("the letter is %+v, %v", letter, err)
	}
	if _, err := client.DropDeadLetter(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if letters, err := client.DeadLetters(t.Context(), engine.LetterQuery{}); err != nil || len(letters) != 0 {
		t.Errorf("the dead letters are %+v, %v", letters, err)
	}
	if _, err := client.DeadLetters(t.Context(), engine.LetterQuery{Limit: -1}); err == nil {
		t.Error("a negative limit was taken")
	}
}
