package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
	"github.com/jetsaga/jetsaga/testutil"
)

func shardOf(definition, id string) string { return shard.Of(definition, id).String() }

func TestAWorkerOfOneSlotServesEveryStream(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{Slots: 1}, def)
	client := f.client()
	ctx := withPatience(t)
	served := map[string]bool{}
	for i := 0; len(served) < len(client.Namespace().Streams()); i++ {
		id := fmt.Sprintf("t-%d", i)
		home := client.Namespace().Home(saga.Key{Definition: "trip", ID: id})
		if served[home] {
			continue
		}
		served[home] = true
		if _, err := engine.For(client, def).Run(ctx, id, trip{}); err != nil {
			t.Fatalf("%s, on %s: %v", id, home, err)
		}
	}
}

func TestAKnownIDIsRefusedTakenOrRunAgain(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	client := f.client()
	trips := engine.For(client, def)
	ctx := withPatience(t)

	first, err := trips.Start(ctx, "t-1", trip{Note: "first"})
	if err != nil || first.Existing {
		t.Fatal(first, err)
	}
	if s, err := trips.Get(ctx, "t-1"); err != nil || s.Status != saga.StatusPending || s.State.Note != "first" || s.Run != first.Run {
		t.Errorf("before a worker has it, it is %+v, %v", s, err)
	}
	var known *engine.AlreadyStartedError
	if _, err := trips.Start(ctx, "t-1", trip{}); !errors.As(err, &known) || known.Run != first.Run {
		t.Errorf("a second Start: %v", err)
	}
	if again, err := trips.Start(ctx, "t-1", trip{}, engine.OrExisting()); err != nil || !again.Existing || again.Run != first.Run {
		t.Errorf("OrExisting: %+v, %v", again, err)
	}
	if _, err := trips.Start(ctx, "t-1", trip{}, engine.OrAgain()); !errors.As(err, &known) {
		t.Errorf("OrAgain before it has ended: %v", err)
	}

	f.engine(engine.Config{}, def)
	if _, err := trips.Wait(ctx, "t-1"); err != nil {
		t.Fatal(err)
	}
	again, err := trips.Start(ctx, "t-1", trip{Note: "second"}, engine.OrAgain())
	if err != nil || again.Existing || again.Run == first.Run {
		t.Fatalf("OrAgain: %+v, %v", again, err)
	}
	s, err := trips.Wait(ctx, "t-1")
	if err != nil || s.Run != again.Run || s.State.Log != "flight hotel car " || s.State.Note != "second" || s.Version <= 3 {
		t.Errorf("the second run ended as %+v, %v", s, err)
	}
}

func TestBadInputIsRefusedByName(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	client := f.client()
	trips := engine.For(client, def)
	for _, id := range []string{"", "a b", "a.b", "a*", ">", "a\tb", "\x00", strings.Repeat("x", 129), "\xff"} {
		var name *saga.InvalidNameError
		if _, err := trips.Start(t.Context(), id, trip{}); !errors.As(err, &name) || name.Field != "id" {
			t.Errorf("Start(%q): %v", id, err)
		}
		if _, err := trips.Get(t.Context(), id); !errors.As(err, &name) {
			t.Errorf("Get(%q): %v", id, err)
		}
		if _, err := trips.Wait(t.Context(), id); !errors.As(err, &name) {
			t.Errorf("Wait(%q): %v", id, err)
		}
		if err := trips.Cancel(t.Context(), id); !errors.As(err, &name) {
			t.Errorf("Cancel(%q): %v", id, err)
		}
		if _, err := client.History(t.Context(), trips.Key(id)); !errors.As(err, &name) {
			t.Errorf("History(%q): %v", id, err)
		}
	}
	if _, err := client.Start(t.Context(), trips.Key("a"), -1, saga.State{}); err == nil || !strings.Contains(err.Error(), "version -1") {
		t.Errorf("a negative version: %v", err)
	}
	if _, err := trips.Start(t.Context(), "large", trip{Note: strings.Repeat("x", 1<<20)}); !errors.Is(err, engine.ErrStateTooLarge) {
		t.Errorf("a large state: %v", err)
	}
	type unencodable struct{ F func() }
	if _, err := saga.Define("u", 1, saga.Step("s", func(context.Context, *unencodable) error { return nil })); err == nil {
		t.Error("a state that cannot be encoded was accepted")
	}
	if _, err := trips.Get(t.Context(), "large"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("something was stored: %v", err)
	}
}

func TestWhatDoesNotExistIsNotFound(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	client := f.client()
	trips := engine.For(client, def)
	ctx := withPatience(t)
	if _, err := trips.Get(ctx, "nobody"); !errors.Is(err, engine.ErrNotFound) || !strings.Contains(err.Error(), "trip/nobody") {
		t.Errorf("Get: %v", err)
	}
	if _, err := trips.Wait(ctx, "nobody"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("Wait: %v", err)
	}
	if err := trips.Cancel(ctx, "nobody"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("Cancel: %v", err)
	}
	if _, err := client.History(ctx, trips.Key("nobody")); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("History: %v", err)
	}
}

// A saga may be cancelled in any of its situations.
func TestACallThatRunsOutOfTimeTellsOfWhichSagaAndWhy(t *testing.T) {
	t.Parallel()
	s := serve(t, 0, server.Options{StoreDir: t.TempDir()})
	f := &fleet{t, testutil.Connect(t, s, engine.ConnectOptions()...)}
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	trips := engine.For(f.client(), def)
	if _, err := trips.Start(withPatience(t), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	_, err := trips.Wait(short(), "t-1")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "trip/t-1") {
		t.Errorf("waiting for what nobody runs: %v", err)
	}
	if err := s.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	_, err = trips.Start(short(), "t-2", trip{})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "trip/t-2") {
		t.Errorf("starting without JetStream: %v", err)
	}
	if _, err = trips.Get(short(), "t-1"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "trip/t-1") {
		t.Errorf("asking without JetStream: %v", err)
	}
}

func TestCancelUndoesTheSaga(t *testing.T) {
	begun, proceed := make(chan struct{}, 1), make(chan struct{})
	running := func(ctx context.Context, s *trip) error {
		begun <- struct{}{}
		<-proceed
		return does("hotel")(ctx, s)
	}
	failing := func(context.Context, *trip) error {
		select {
		case begun <- struct{}{}:
		default:
		}
		return errors.New("not now")
	}
	for _, c := range []struct {
		name   string
		second saga.Handler[trip]
		rest   time.Duration
		want   string
	}{
		{"while a step runs", running, 0, "flight hotel -hotel -flight "},
		{"while it rests", failing, 4 * time.Second, "flight -flight "},
		{"while it is parked", failing, time.Hour, "flight -flight "},
	} {
		t.Run(c.name, func(t *testing.T) {
			machine := testutil.WatchMachine(t)
			f := newFleet(t)
			def := threeSteps(t, c.second, saga.RetryPolicy{Initial: c.rest, Max: 2 * time.Hour})
			parked := make(chan struct{}, 1)
			f.engine(engine.Config{Hooks: engine.Hooks{Finished: func(saga.Key, saga.Command, saga.ActionKind, error) {
				select {
				case parked <- struct{}{}:
				default:
				}
			}}}, def)
			trips := engine.For(f.client(), def)
			ctx := withPatience(t)
			if _, err := trips.Start(ctx, "t-1", trip{}); err != nil {
				t.Fatal(err)
			}
			receive(t, begun)
			if c.rest > time.Minute {
				receive(t, parked)
			}
			cancelled := time.Now()
			if err := trips.Cancel(ctx, "t-1", engine.Because("changed my mind"), engine.By("me")); err != nil {
				t.Fatal(err)
			}
			if c.rest == 0 {
				awaitCancel(t, f.client(), trips.Key("t-1"))
				close(proceed)
			}
			s, err := trips.Wait(ctx, "t-1")
			if err != nil || s.Status != saga.StatusCompensated || s.Reason != saga.ReasonCancelled ||
				s.State.Log != c.want || s.Error != "changed my mind" {
				t.Errorf("it ended as %+v, %v", s, err)
			}
			if took := time.Since(cancelled); took > time.Second && machine.HoldsTimes(t) {
				t.Errorf("it took %v", took)
			}
			var ended *engine.EndedError
			if err := trips.Cancel(ctx, "t-1"); !errors.As(err, &ended) {
				t.Errorf("cancelled again: %v", err)
			}
		})
	}
}

// awaitCancel returns when the request is in the saga's log.
func awaitCancel(t testing.TB, c *engine.Client, key saga.Key) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		in, err := c.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if in.Cancel != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the request is not in the log")
		}
	}
}

// The first step runs before anything is in the log, so there is nothing yet that the request could be added to.
func TestACancelFindsASagaWhoseFirstStepIsRunning(t *testing.T) {
	f := newFleet(t)
	begun, proceed := make(chan struct{}, 1), make(chan struct{})
	def := saga.Must(saga.Define("trip", 1, saga.Step("flight", func(ctx context.Context, s *trip) error {
		begun <- struct{}{}
		<-proceed
		return does("flight")(ctx, s)
	}).Compensate(does("-flight")), saga.Step("car", does("car"))))
	f.engine(engine.Config{}, def)
	trips := engine.For(f.client(), def)
	ctx := withPatience(t)
	if _, err := trips.Start(ctx, "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	receive(t, begun)
	if err := trips.Cancel(ctx, "t-1"); err != nil {
		t.Fatal(err)
	}
	awaitCancel(t, f.client(), trips.Key("t-1"))
	close(proceed)
	s, err := trips.Wait(ctx, "t-1")
	if err != nil || s.Reason != saga.ReasonCancelled || s.State.Log != "flight -flight " {
		t.Errorf("it ended as %+v, %v", s, err)
	}
}
