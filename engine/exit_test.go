package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

// exits ends its goroutine at each first attempt.
func exits(ctx context.Context, _ *trip) error {
	if saga.FromContext(ctx).Attempt == 1 {
		runtime.Goexit()
	}
	return nil
}

func TestAHandlerThatEndsItsGoroutineHasFailed(t *testing.T) {
	f := newFleet(t)
	step := func(name string) saga.StepNode[trip] {
		return saga.Step(name, exits).Retry(saga.RetryPolicy{Initial: 1})
	}
	f.engine(engine.Config{}, saga.Must(saga.Define("trip", 1,
		step("alone"), saga.Parallel("both", saga.Branch[trip]("left", step("a")), saga.Branch[trip]("right", step("b"))))))
	client := f.client()
	ctx := withPatience(t)
	var ids []string
	for i := range 4 * runtime.GOMAXPROCS(0) {
		ids = append(ids, fmt.Sprint("completed-", i))
		if _, err := client.Start(ctx, key(ids[i]), 1, saga.State{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		if in, err := client.Wait(ctx, key(id)); err != nil || in.Status != saga.StatusCompleted {
			t.Fatal(in, err)
		}
		history, err := client.History(ctx, key(id))
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for _, c := range history {
			for _, e := range c.Events {
				if e, ok := e.(saga.StepFailed); ok && strings.Contains(e.Error, "ended its goroutine") {
					failed++
				}
			}
		}
		if failed != 3 {
			t.Errorf("%d attempts have failed so, want 3", failed)
		}
	}
}

func TestAHookThatEndsItsGoroutineHoldsNothing(t *testing.T) {
	f := newFleet(t)
	var exited atomic.Bool
	f.engine(engine.Config{Hooks: engine.Hooks{Activated: func(saga.Key, saga.Command, uint64) {
		if exited.CompareAndSwap(false, true) {
			runtime.Goexit()
		}
	}}}, fickle(t))
	travel(withPatience(t), t, f.client(), fickle(t), "completed-1")
}

func TestAWorkerThatStopsBeginsNoHandler(t *testing.T) {
	f := newFleet(t)
	running, stopped := make(chan struct{}), make(chan struct{})
	var begun, late atomic.Int32
	many := int32(runtime.GOMAXPROCS(0))
	e := f.engine(engine.Config{Hooks: engine.Hooks{Activated: func(k saga.Key, _ saga.Command, _ uint64) {
		if k.ID != "first" {
			begun.Add(1)
			<-stopped // so that all others wait for their turn
		}
	}}}, saga.Must(saga.Define("trip", 1, saga.Step("only", func(ctx context.Context, _ *trip) error {
		if ctx.Err() != nil {
			late.Add(1)
		}
		if saga.FromContext(ctx).Key.ID == "first" {
			close(running)
			<-ctx.Done()
			close(stopped)
		}
		return nil
	}))))
	client := f.client()
	ctx := withPatience(t)
	start := func(id string) {
		if _, err := client.Start(ctx, key(id), 1, saga.State{}); err != nil {
			t.Fatal(err)
		}
	}
	start("first")
	<-running
	for i := range 200 {
		start(fmt.Sprint("s-", i))
	}
	for begun.Load() < many {
		rest(time.Millisecond)
	}
	e.Stop()
	if n := late.Load(); n > many { // which had looked just before
		t.Errorf("%d handlers have begun after the worker's end", n)
	}
}
