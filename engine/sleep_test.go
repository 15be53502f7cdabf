package engine_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

// nap is the state of a saga that sleeps until a time.
type nap struct {
	Until time.Time `json:"until"`
}

// Sagas that sleep cost their workers nothing: they are woken by the server, in time, however many there are, and those
// that run meanwhile run as ever.
func TestManySleepersWakeInTimeAndKeepNobodyFromRunning(t *testing.T) {
	sleepers, window, lead := 3_000, 2*time.Second, 3*time.Second
	if long {
		sleepers, window, lead = 100_000, time.Minute, 40*time.Second
	}
	server := testutil.StartServerProcess(t, t.TempDir()) // so that the heap is the worker's and the client's
	f := &fleet{t, testutil.Connect(t, server, engine.ConnectOptions()...)}
	var mu sync.Mutex
	late := make([]time.Duration, 0, sleepers)
	woken := make(chan struct{})
	napping := saga.Must(saga.Define("nap", 1,
		saga.SleepUntil("sleep", func(n *nap) time.Time { return n.Until }),
		saga.Step("wake", func(_ context.Context, n *nap) error {
			mu.Lock()
			defer mu.Unlock()
			late = append(late, time.Since(n.Until))
			if len(late) == sleepers {
				close(woken)
			}
			return nil
		}),
	))
	trips := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{ParkAfter: 10 * time.Millisecond}, napping, trips)
	client := f.client()
	machine := testutil.WatchMachine(t)

	const maxGrowth = 16 << 20 // for buffers and what is pooled; less than 170 bytes for each of 100,000
	before := liveHeap()
	begin := time.Now().Add(lead)
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			naps := engine.For(client, napping)
			for i := w; i < sleepers && failed.Load() == nil; i += 32 {
				until := begin.Add(time.Duration(i) * window / time.Duration(sleepers))
				if _, err := naps.Start(t.Context(), fmt.Sprintf("n-%d", i), nap{Until: until}); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	if rest := time.Until(begin); rest < 0 {
		t.Logf("the last was started %v after the first was due", -rest)
	}
	asleep := liveHeap()
	t.Logf("%d sagas sleep; the heap has grown by %d kB", sleepers, (int64(asleep)-int64(before))/1024)
	if grown := int64(asleep) - int64(before); grown > maxGrowth {
		t.Errorf("the heap has grown by %d bytes with %d sagas asleep", grown, sleepers)
	}
	if _, err := engine.For(client, trips).Run(withPatience(t), "t-1", trip{}); err != nil {
		t.Errorf("beside the sleepers: %v", err)
	}
	select {
	case <-woken:
	case <-time.After(window + lead + time.Minute):
		mu.Lock()
		t.Errorf("%d of %d have woken", len(late), sleepers)
		mu.Unlock()
		return
	}
	slices.Sort(late)
	p99 := late[len(late)*99/100]
	t.Logf("late: p50 %v, p99 %v, most %v", late[len(late)/2], p99, late[len(late)-1])
	if late[0] < -time.Millisecond {
		t.Errorf("one woke %v early", -late[0])
	}
	if p99 > 2*time.Second && machine.HoldsTimes(t, server.PID()) {
		t.Errorf("the 99th percentile woke %v late, at most 2s are promised", p99)
	}
}

func TestASleepUntilATimeThatCannotBeRecordedFailsTheSaga(t *testing.T) {
	f := newFleet(t)
	def := saga.Must(saga.Define("nap", 1,
		saga.Step("bed", func(context.Context, *nap) error { return nil }),
		saga.SleepUntil("sleep", func(n *nap) time.Time { return time.Unix(n.Until.UnixMilli(), 0) }),
	))
	f.engine(engine.Config{}, def)
	_, err := engine.For(f.client(), def).Run(withPatience(t), "n-1", nap{Until: time.Now()})
	var ended *engine.EndedError
	if !errors.As(err, &ended) || !strings.Contains(ended.Detail, `sleep "sleep" until the year`) {
		t.Errorf("error is %v", err)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
