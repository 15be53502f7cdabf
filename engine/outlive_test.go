package engine_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

// ranOnce checks that steps ran as often as they should. Each claim in the sagas' logs may have had one run again: all the workers
// live, so there is a claim only where one was not given the time to tell that it does, which is held against the code where
// times are.
func (f *fleet) ranOnce(machine *testutil.Machine, runs, want int, keys []saga.Key, pids ...int) {
	f.t.Helper()
	claims := 0
	c := f.client()
	for _, key := range keys {
		for _, e := range events(f.t, c, key) {
			if _, ok := e.(saga.ActivationClaimed); ok {
				claims++
			}
		}
	}
	if runs < want || runs > want+claims || claims > 0 && machine.HoldsTimes(f.t, pids...) {
		f.t.Errorf("steps ran %d times, want %d; %d claims", runs, want, claims)
	}
}

// The server is killed again and again while workers, which live, have results to store.
func TestResultsOutliveTheServerUnderLoad(t *testing.T) {
	sagas, kills := 300, 2
	if long {
		sagas, kills = 3000, 5
	}
	machine := testutil.WatchMachine(t)
	server := testutil.StartServerProcess(t, t.TempDir())
	var runs, left atomic.Int64
	left.Store(int64(3 * sagas))
	takes := func(name string) func(context.Context, *trip) error {
		return func(ctx context.Context, s *trip) error {
			runs.Add(1)
			rest(20 * time.Millisecond)
			left.Add(-1)
			return does(name)(ctx, s)
		}
	}
	def := saga.Must(saga.Define("trip", 1,
		saga.Step("flight", takes("flight")), saga.Step("hotel", takes("hotel")), saga.Step("car", takes("car"))))
	f := &fleet{t: t}
	for range 3 {
		f.nc = testutil.Connect(t, server, engine.ConnectOptions()...)
		f.engine(engine.Config{Slots: 20}, def)
	}
	trips := engine.For(f.client(), def)
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var keys []saga.Key
	var started sync.WaitGroup
	for i := range sagas {
		keys = append(keys, trips.Key("t-"+strconv.Itoa(i)))
		started.Go(func() {
			if _, err := trips.Start(ctx, "t-"+strconv.Itoa(i), trip{}); err != nil {
				t.Error(err)
			}
		})
	}
	for kill := range kills {
		for left.Load() > int64(3*sagas*(kills-kill)/(kills+1)) {
			rest(time.Millisecond)
		}
		server.Kill()
		rest(300 * time.Millisecond)
		server.Restart()
	}
	started.Wait()
	for _, key := range keys {
		if s, err := trips.Wait(ctx, key.ID); err != nil || s.State.Log != "flight hotel car " {
			t.Errorf("it ended as %+v, %v", s, err)
		}
	}
	f.ranOnce(machine, int(runs.Load()), 3*sagas, keys, server.PID())
}

// The result of a step that could not be stored is kept by its worker, and the step is not run again.
func TestAResultOutlivesTheServer(t *testing.T) {
	t.Parallel()
	machine := testutil.WatchMachine(t)
	server := testutil.StartServerProcess(t, t.TempDir())
	f := &fleet{t, testutil.Connect(t, server, engine.ConnectOptions()...)}
	begun, proceed := make(chan struct{}, 1), make(chan struct{})
	runs := 0
	def := threeSteps(t, func(ctx context.Context, s *trip) error {
		runs++
		begun <- struct{}{}
		<-proceed
		return does("hotel")(ctx, s)
	}, saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	trips := engine.For(f.client(), def)
	ctx := withPatience(t)
	if _, err := trips.Start(ctx, "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	receive(t, begun)
	server.Kill()
	close(proceed) // the step is done while there is no server
	rest(2 * time.Second)
	server.Restart()
	s, err := trips.Wait(ctx, "t-1")
	if err != nil || s.State.Log != "flight hotel car " {
		t.Errorf("it ended as %+v, %v", s, err)
	}
	f.ranOnce(machine, runs, 1, []saga.Key{s.Key}, server.PID())
}

// A step that outlasts the server is left to its worker, which is alive, though the server has forgotten who that is.
func TestALongStepOutlivesTheServer(t *testing.T) {
	t.Parallel()
	machine := testutil.WatchMachine(t)
	server := testutil.StartServerProcess(t, t.TempDir())
	begun, proceed := make(chan struct{}, 10), make(chan struct{})
	var runs atomic.Int64
	def := threeSteps(t, func(ctx context.Context, s *trip) error {
		runs.Add(1)
		begun <- struct{}{}
		<-proceed
		return does("hotel")(ctx, s)
	}, saga.RetryPolicy{})
	f := &fleet{t: t}
	for range 3 {
		f.nc = testutil.Connect(t, server, engine.ConnectOptions()...)
		f.engine(engine.Config{}, def)
	}
	trips := engine.For(f.client(), def)
	ctx := withPatience(t)
	const sagas = 20
	for i := range sagas {
		if _, err := trips.Start(ctx, "t-"+strconv.Itoa(i), trip{}); err != nil {
			t.Fatal(err)
		}
		receive(t, begun)
	}
	server.Kill()
	server.Restart()
	rest(4 * time.Second)
	close(proceed)
	var keys []saga.Key
	for i := range sagas {
		s, err := trips.Wait(ctx, "t-"+strconv.Itoa(i))
		if err != nil || s.State.Log != "flight hotel car " {
			t.Errorf("it ended as %+v, %v", s, err)
		}
		keys = append(keys, trips.Key("t-"+strconv.Itoa(i)))
	}
	f.ranOnce(machine, int(runs.Load()), sagas, keys, server.PID())
}
