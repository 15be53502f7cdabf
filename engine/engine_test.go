package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestASagaRunsItsStepsInOrder(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	trips := engine.For(f.client(), def)
	s, err := trips.Run(withPatience(t), "t-1", trip{Note: "n"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != saga.StatusCompleted || s.State.Log != "flight hotel car " || s.State.Note != "n" || s.Version != 3 {
		t.Errorf("it ended as %+v", s)
	}
}

func TestAPermanentFailureUndoesWhatWasDone(t *testing.T) {
	f := newFleet(t)
	full := errors.New("no room")
	def := threeSteps(t, func(_ context.Context, s *trip) error {
		s.Log = "must not be kept"
		return saga.Permanent(full)
	}, saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	s, err := engine.For(f.client(), def).Run(withPatience(t), "t-1", trip{})
	var ended *engine.EndedError
	if !errors.As(err, &ended) || ended.Status != saga.StatusCompensated || ended.Reason != saga.ReasonFailed || ended.Detail != "no room" {
		t.Fatalf("error is %v", err)
	}
	if s.State.Log != "flight -flight " || s.Error != "no room" {
		t.Errorf("it ended as %+v", s)
	}
}

func TestAShortRestIsSatOutAndALongOneParks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		park   time.Duration
		parked bool
	}{
		{"short", time.Minute, false},
		{"long", time.Millisecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t)
			var attempts atomic.Int64
			def := threeSteps(t, func(ctx context.Context, s *trip) error {
				if n := attempts.Add(1); n < 4 {
					return fmt.Errorf("attempt %d", n)
				}
				return does(fmt.Sprint("hotel@", saga.FromContext(ctx).Attempt))(ctx, s)
			}, saga.RetryPolicy{Initial: 50 * time.Millisecond, Factor: 1, Jitter: -1})
			f.engine(engine.Config{ParkAfter: c.park}, def)
			client := f.client()
			s, err := engine.For(client, def).Run(withPatience(t), "t-1", trip{})
			if err != nil || s.State.Log != "flight hotel@4 car " {
				t.Fatalf("it ended as %+v, %v", s, err)
			}
			parked := 0
			for _, e := range events(t, client, s.Key) {
				if _, ok := e.(saga.SagaParked); ok {
					parked++
				}
			}
			if want := map[bool]int{false: 0, true: 3}[c.parked]; parked != want {
				t.Errorf("it parked %d times, want %d", parked, want)
			}
			if took := s.EndedAt.Sub(s.StartedAt); took < 150*time.Millisecond {
				t.Errorf("it took %v, three rests are 150 ms", took)
			}
		})
	}
}

func events(t testing.TB, c *engine.Client, key saga.Key) (all []saga.Event) {
	t.Helper()
	commits, err := c.History(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commits {
		all = append(all, c.Events...)
	}
	return all
}

func TestAPanicIsAFailedAttemptWithItsStack(t *testing.T) {
	f := newFleet(t)
	var attempts atomic.Int64
	def := threeSteps(t, func(ctx context.Context, s *trip) error {
		if attempts.Add(1) == 1 {
			panic("what now")
		}
		return does("hotel")(ctx, s)
	}, saga.RetryPolicy{Initial: time.Millisecond})
	f.engine(engine.Config{}, def)
	client := f.client()
	s, err := engine.For(client, def).Run(withPatience(t), "t-1", trip{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events(t, client, s.Key) {
		if failed, ok := e.(saga.StepFailed); ok {
			if failed.Error != "panic: what now" || !strings.Contains(failed.Stack, "engine_test") {
				t.Errorf("the failure is %q with the stack %q", failed.Error, failed.Stack)
			}
			return
		}
	}
	t.Error("there is no failed attempt in the history")
}

func TestATimeoutEndsTheHandlersContext(t *testing.T) {
	f := newFleet(t)
	var cause error
	def := saga.Must(saga.Define("trip", 1, saga.Step("slow", func(ctx context.Context, _ *trip) error {
		if saga.FromContext(ctx).Attempt > 1 {
			return nil
		}
		<-ctx.Done()
		cause = context.Cause(ctx)
		return cause
	}).Timeout(20*time.Millisecond).Retry(saga.RetryPolicy{Initial: time.Millisecond})))
	f.engine(engine.Config{}, def)
	if _, err := engine.For(f.client(), def).Run(withPatience(t), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(cause, context.DeadlineExceeded) || !strings.Contains(cause.Error(), "slow") {
		t.Errorf("the cause was %v", cause)
	}
}

func TestAStateThatIsTooLargeFailsItsStepAndNotTheSaga(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, func(_ context.Context, s *trip) error {
		s.Note = strings.Repeat("x", 1<<20)
		return nil
	}, saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	s, err := engine.For(f.client(), def).Run(withPatience(t), "t-1", trip{})
	var ended *engine.EndedError
	if !errors.As(err, &ended) || !strings.Contains(ended.Detail, `step "hotel" left a state of`) {
		t.Fatalf("error is %v", err)
	}
	if s.State.Log != "flight -hotel -flight " {
		t.Errorf("it ended as %+v", s)
	}
}

func TestAStateThatCannotBeEncodedFailsItsStep(t *testing.T) {
	type odd struct {
		F float64 `json:"f"`
	}
	f := newFleet(t)
	def := saga.Must(saga.Define("odd", 1, saga.Step("divide", func(_ context.Context, o *odd) error {
		zero := 0.0
		o.F /= zero
		return nil
	})))
	f.engine(engine.Config{}, def)
	_, err := engine.For(f.client(), def).Run(withPatience(t), "o-1", odd{F: 1})
	var ended *engine.EndedError
	if !errors.As(err, &ended) || !strings.Contains(ended.Detail, "cannot be encoded") {
		t.Errorf("error is %v", err)
	}
}

func TestAVersionThatNoWorkerKnowsWaitsForOneThatDoes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	v1, err := saga.Define("trip", 1, saga.Step("a", does("one")))
	if err != nil {
		t.Fatal(err)
	}
	v2, err := saga.Define("trip", 2, saga.Step("a", does("two")))
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan error, 100)
	f.engine(engine.Config{Hooks: engine.Hooks{
		Finished: func(_ saga.Key, _ saga.Command, action saga.ActionKind, reason error) {
			if action == saga.ActRetry {
				left <- reason
			}
		},
	}}, v1)
	client := f.client()
	if _, err := engine.For(client, v2).Start(t.Context(), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	if reason := receive(t, left); !strings.Contains(reason.Error(), "version 2") {
		t.Errorf("the reason is %v", reason)
	}
	f.engine(engine.Config{}, v1, v2)
	if s, err := engine.For(client, v2).Wait(withPatience(t), "t-1"); err != nil || s.State.Log != "two " {
		t.Errorf("it ended as %+v, %v", s, err)
	}
}

func TestGarbageAmongTheCommandsIsSetAside(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	client := f.client()
	for i, garbage := range []string{"", "{", "null", `{"f":1}`, `{"f":1,"type":"Start"}`, `{"f":1,"type":"Cancel","data":{}}`, "\x00\xff"} {
		subject := fmt.Sprintf("saga.default.%s.trip.g-%d.cmd", shardOf("trip", fmt.Sprintf("g-%d", i)), i)
		if _, err := client.Namespace().JetStream().Publish(t.Context(), subject, []byte(garbage)); err != nil {
			t.Fatal(err)
		}
		awaitDeadLetters(t, client, uint64(i)+1)
	}
	if s, err := engine.For(client, def).Run(withPatience(t), "t-1", trip{}); err != nil || s.Status != saga.StatusCompleted {
		t.Errorf("afterwards a saga ended as %+v, %v", s, err)
	}
}

func awaitDeadLetters(t testing.TB, c *engine.Client, want uint64) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		n, err := c.Namespace().DeadLetters(t.Context())
		if err != nil || n > want {
			t.Fatalf("%d dead letters, %v", n, err)
		}
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d dead letters, want %d", n, want)
		}
	}
}

func TestDrainFinishesWhatIsUnderWay(t *testing.T) {
	f := newFleet(t)
	begun, proceed := make(chan struct{}), make(chan struct{})
	def := threeSteps(t, func(ctx context.Context, s *trip) error {
		close(begun)
		<-proceed
		return does("hotel")(ctx, s)
	}, saga.RetryPolicy{})
	e := f.engine(engine.Config{}, def)
	client := f.client()
	if _, err := engine.For(client, def).Start(t.Context(), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	receive(t, begun)
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := e.Drain(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Drain while a handler runs: %v", err)
	}
	close(proceed)
	if err := e.Drain(withPatience(t)); err != nil {
		t.Fatal(err)
	}
	if s, err := engine.For(client, def).Get(t.Context(), "t-1"); err != nil || s.Status != saga.StatusCompleted {
		t.Errorf("it stands as %+v, %v", s, err)
	}
}

func TestStopGivesTheSagaToAnotherWorkerAtOnce(t *testing.T) {
	f := newFleet(t)
	begun := make(chan struct{}, 10)
	var stopped atomic.Bool
	def := threeSteps(t, func(ctx context.Context, s *trip) error {
		begun <- struct{}{}
		if !stopped.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		return does("hotel")(ctx, s)
	}, saga.RetryPolicy{})
	e := f.engine(engine.Config{}, def)
	client := f.client()
	if _, err := engine.For(client, def).Start(t.Context(), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	receive(t, begun)
	stopped.Store(true)
	e.Stop()
	f.engine(engine.Config{}, def)
	s, err := engine.For(client, def).Wait(withPatience(t), "t-1")
	if err != nil || s.State.Log != "flight hotel car " {
		t.Fatalf("it ended as %+v, %v", s, err)
	}
	for _, e := range events(t, client, s.Key) {
		if failed, ok := e.(saga.StepFailed); ok {
			t.Errorf("the stop was taken for a failure: %+v", failed)
		}
	}
}

func TestASlowStepIsNotTakenFromItsWorker(t *testing.T) {
	t.Parallel()
	machine := testutil.WatchMachine(t)
	f := newFleet(t)
	var runs atomic.Int64
	def := threeSteps(t, func(ctx context.Context, s *trip) error {
		runs.Add(1)
		timer := time.NewTimer(2500 * time.Millisecond) // more than three times AckWait
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		return does("hotel")(ctx, s)
	}, saga.RetryPolicy{})
	server := testutil.NATS(t)
	for range 2 {
		f.nc = testutil.Connect(t, server)
		f.engine(engine.Config{}, def)
	}
	s, err := engine.For(f.client(), def).Run(withPatience(t), "t-1", trip{})
	if err != nil || s.State.Log != "flight hotel car " {
		t.Errorf("it ended as %+v, %v", s, err)
	}
	f.ranOnce(machine, int(runs.Load()), 1, []saga.Key{s.Key})
}

func TestAnEngineIsRunOnceAndWithDefinitions(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	e, err := engine.New(engine.Config{Conn: f.nc, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); !errors.Is(err, engine.ErrNothingRegistered) {
		t.Errorf("Run without definitions: %v", err)
	}
	if err := e.Register(def, nil, (*saga.Definition[trip])(nil), def); err == nil ||
		!strings.Contains(err.Error(), "definition 2 is nil") || !strings.Contains(err.Error(), "definition 3 is nil") || !strings.Contains(err.Error(), "twice") {
		t.Errorf("Register of bad definitions: %v", err)
	}
	if err := e.Register(def); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ended) }()
	receive(t, e.Ready())
	if err := e.Register(def); !errors.Is(err, engine.ErrRunning) {
		t.Errorf("Register while it runs: %v", err)
	}
	cancel()
	if err := receive(t, done); err != nil {
		t.Errorf("Run ended with %v", err)
	}
	if err := e.Run(t.Context()); !errors.Is(err, engine.ErrRunning) {
		t.Errorf("Run again: %v", err)
	}
	e.Stop() // does nothing
}

func TestABadConfigurationIsRefusedWhole(t *testing.T) {
	wrong := engine.Config{Namespace: "a.b", Streams: 257, Replicas: 2, Slots: -1, ParkAfter: -1, MaxState: -1, Name: "a b"}
	_, err := engine.New(wrong)
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, field := range []string{"Conn", "Namespace", "Streams", "Replicas", "Slots", "ParkAfter", "MaxState", "Name"} {
		if !strings.Contains("\n"+err.Error(), "\nengine.Config."+field) {
			t.Errorf("error is %v, want one that names %s", err, field)
		}
	}
	if _, err := engine.OpenClient(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "engine.Config.Replicas is 2, must be 1, 3 or 5") {
		t.Errorf("a client's error is %v", err)
	}
}

func TestANewNamespaceIsStoredCompressed(t *testing.T) {
	nc := testutil.Connect(t, testutil.NATS(t))
	c, err := engine.NewClient(t.Context(), engine.Config{Conn: nc, Compression: true, Streams: 1})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := c.Namespace().JetStream().Stream(t.Context(), c.Namespace().Streams()[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().Config.Compression; got != jetstream.S2Compression {
		t.Errorf("compression is %v", got)
	}
}
