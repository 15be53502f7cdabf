package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// patience bounds one measurement; one that takes longer has failed.
const patience = 10 * time.Minute

// measure is what one side did in one round.
type measure struct {
	Sagas   int           `json:"sagas"`
	Elapsed time.Duration `json:"elapsed_ns"` // from the first command delivered to the last saga ended
	// P50 and P99 are from before a saga's Start is sent until it has ended; zero where a backlog was waiting.
	P50 time.Duration `json:"p50_ns,omitempty"`
	P99 time.Duration `json:"p99_ns,omitempty"`
	// Allocs, Bytes and CPU are of the whole process, and of one saga.
	Allocs float64       `json:"allocs_per_saga"`
	Bytes  float64       `json:"bytes_per_saga"`
	CPU    time.Duration `json:"cpu_per_saga_ns"`
	Heap   uint64        `json:"heap_bytes"` // live when all sagas have ended and the worker still runs
	// Sent is how many messages the worker's connection sent for one saga: commits, acknowledgements, requests.
	Sent float64 `json:"sent_per_saga"`
	// Extra is how many messages were stored beyond those of the script, such as claims after a redelivery.
	Extra int `json:"extra_messages,omitempty"`
}

// rate is sagas a second.
func (m measure) rate() float64 { return float64(m.Sagas) / m.Elapsed.Seconds() }

// contest is one measurement of one side: a number of sagas in an arena.
type contest struct {
	side   side
	arena  *arena
	script *script
	sagas  int
	atOnce bool // of the variant
}

// drain measures how fast a backlog of waiting Starts is worked off.
func (c *contest) drain(ctx context.Context) (measure, error) {
	if err := c.arena.fill(ctx, 0, c.sagas); err != nil {
		return measure{}, err
	}
	return c.run(ctx, func(context.Context, *recorder) error { return nil })
}

// startFrom measures how fast sagas end that a number of goroutines start, on the same cores, as fast as they can.
func (c *contest) startFrom(ctx context.Context, clients int) (measure, error) {
	return c.run(ctx, func(ctx context.Context, r *recorder) error {
		start, err := c.side.starter(ctx, c.arena)
		if err != nil {
			return err
		}
		var next atomic.Int64
		var wg sync.WaitGroup
		errs := make(chan error, clients)
		for range clients {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < c.sagas; i = int(next.Add(1)) - 1 {
					if err := r.start(ctx, i, start); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		return <-errs
	})
}

// oneAtATime starts each saga when the one before has ended.
func (c *contest) oneAtATime(ctx context.Context) (measure, error) {
	return c.run(ctx, func(ctx context.Context, r *recorder) error {
		start, err := c.side.starter(ctx, c.arena)
		if err != nil {
			return err
		}
		for i := range c.sagas {
			if err := r.start(ctx, i, start); err != nil {
				return err
			}
			if err := r.wait(ctx, i+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// atRate starts sagas at a fixed rate, whether or not those before have ended. A saga counts from the moment at which
// it was due, so that a start held up by the load counts as waiting.
func (c *contest) atRate(ctx context.Context, perSecond int) (measure, error) {
	return c.run(ctx, func(ctx context.Context, r *recorder) error {
		start, err := c.side.starter(ctx, c.arena)
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		errs := make(chan error, c.sagas)
		begin := r.now()
		for i := range c.sagas {
			r.starts[i] = begin + int64(i)*int64(time.Second)/int64(perSecond)
			time.Sleep(time.Duration(r.starts[i] - r.now()))
			wg.Go(func() {
				if err := start(ctx, sagaID(i)); err != nil {
					errs <- err
				}
			})
		}
		wg.Wait()
		close(errs)
		return <-errs
	})
}

// run sets the side to work, has the sagas started, and waits until all have ended.
func (c *contest) run(ctx context.Context, feed func(context.Context, *recorder) error) (_ measure, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := newRecorder(c.sagas)
	before := readCosts()
	stop, err := c.side.work(ctx, c.arena, r.observer())
	if err != nil {
		return measure{}, err
	}
	defer stop()
	if err := feed(ctx, r); err != nil {
		return measure{}, err
	}
	if err := r.wait(ctx, c.sagas); err != nil {
		return measure{}, err
	}
	m := readCosts().since(before, c.sagas)
	m.Sagas, m.Elapsed = c.sagas, r.elapsed()
	m.P50, m.P99 = r.latency()
	m.Sent = float64(c.arena.worker.Stats().OutMsgs) / float64(c.sagas)
	m.Heap = liveHeap()
	stored, err := c.arena.stored(ctx)
	if err != nil {
		return measure{}, err
	}
	m.Extra = stored - c.sagas*c.script.messages()
	if c.atOnce {
		m.Extra = 0
	}
	if m.Extra < 0 {
		return m, fmt.Errorf("%d messages are missing from the streams", -m.Extra)
	}
	return m, nil
}

// liveHeap gives the bytes of the heap that a full collection leaves.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool holds for reuse goes with the second: it is as much as was ever under way at once, not kept
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// recorder notes when the sagas of one measurement start and end. Times are nanoseconds from its making, never 0.
type recorder struct {
	made   time.Time
	starts []int64        // written by what starts the sagas
	ends   []atomic.Int64 // 0 for a saga that has not ended
	first  atomic.Int64   // of the first command
	count  atomic.Int64   // of sagas that have ended
	target atomic.Int64   // the count that wait waits for
	wake   chan struct{}
}

func newRecorder(sagas int) *recorder {
	return &recorder{
		made: time.Now(), starts: make([]int64, sagas), ends: make([]atomic.Int64, sagas), wake: make(chan struct{}, 1),
	}
}

func (r *recorder) now() int64 { return max(1, int64(time.Since(r.made))) }

func (r *recorder) observer() observer { return observer{begun: r.begun, ended: r.ended} }

func (r *recorder) begun() {
	if r.first.Load() == 0 {
		r.first.CompareAndSwap(0, r.now())
	}
}

// ended takes the end of a saga; a second one, after a redelivery, does not count.
func (r *recorder) ended(id string) {
	i := sagaNumber(id)
	if i < 0 || i >= len(r.ends) || !r.ends[i].CompareAndSwap(0, r.now()) {
		return
	}
	if r.count.Add(1) >= r.target.Load() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// start starts the i-th saga.
func (r *recorder) start(ctx context.Context, i int, start func(context.Context, string) error) error {
	r.starts[i] = r.now()
	return start(ctx, sagaID(i))
}

// wait returns when that many sagas have ended.
func (r *recorder) wait(ctx context.Context, sagas int) error {
	r.target.Store(int64(sagas))
	for int(r.count.Load()) < sagas {
		select {
		case <-r.wake:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d sagas have ended: %w", r.count.Load(), len(r.ends), ctx.Err())
		}
	}
	return nil
}

// elapsed is from the first command to the last end.
func (r *recorder) elapsed() time.Duration {
	var last int64
	for i := range r.ends {
		last = max(last, r.ends[i].Load())
	}
	return time.Duration(last - r.first.Load())
}

// latency gives the median and the 99th percentile from start to end, or zeros where nothing was started.
func (r *recorder) latency() (p50, p99 time.Duration) {
	var all []time.Duration
	for i, start := range r.starts {
		if start > 0 {
			all = append(all, time.Duration(r.ends[i].Load()-start))
		}
	}
	return percentile(all, 50), percentile(all, 99)
}
