package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/examples/order/shop"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

// unfinished are the statuses that no order of a demo may be left in.
var unfinished = []saga.Status{saga.StatusRunning, saga.StatusCompensating, saga.StatusStuck, saga.StatusPending}

// underWay is how many orders are under way at a time.
const underWay = 256

// demoRun is a worker, and the orders that it is given.
type demoRun struct {
	engine *engine.Engine
	client *engine.Client
	sagas  engine.Sagas[shop.Order]
	orders []shop.Order
	ended  chan error // of the engine's Run
	ends   atomic.Int64
}

func newDemoRun(ctx context.Context, conf engine.Config, def *saga.Definition[shop.Order], orders []shop.Order) (*demoRun, error) {
	r := &demoRun{orders: orders, ended: make(chan error, 1)}
	conf.Hooks.Committed = func(_ saga.Key, c *saga.Commit) {
		if c.Ends() {
			r.ends.Add(1)
		}
	}
	client, err := engine.NewClient(ctx, conf)
	if err != nil {
		return nil, err
	}
	r.client, r.sagas = client, engine.For(client, def)
	if r.engine, err = engine.New(conf); err != nil {
		return nil, err
	}
	if err := r.engine.Register(def); err != nil {
		return nil, err
	}
	go func() { r.ended <- r.engine.Run(ctx) }()
	select {
	case <-r.engine.Ready():
		return r, nil
	case err := <-r.ended: // without a worker no order would ever end
		return nil, err
	}
}

func (r *demoRun) stop() error {
	r.engine.Stop()
	if err := <-r.ended; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// all runs every order to its end, takes those that an earlier run has started as they are, and gives their outcomes.
func (r *demoRun) all(ctx context.Context, p *progress) ([]shop.Outcome, error) {
	var known atomic.Int64
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { p.follow(watching, &known) })
	defer watch.Wait()
	defer stop()

	outcomes := make([]shop.Outcome, len(r.orders))
	err := r.each(ctx, func(i int) error {
		o := r.orders[i]
		s, err := r.sagas.Run(ctx, o.ID, o, engine.OrExisting())
		var ended *engine.EndedError
		if err != nil && !errors.As(err, &ended) {
			return err
		}
		outcomes[i] = shop.Outcome{Order: s.State, Status: s.Status, Reason: s.Error}
		known.Add(1)
		return nil
	})
	return outcomes, err
}

// modelsPatience bounds the wait for the read models, which are mostly milliseconds behind.
const modelsPatience = 30 * time.Second

// models counts the orders by status in the read models, once these have got to the end of all orders.
func (r *demoRun) models(ctx context.Context, outcomes []shop.Outcome) (statusCounts, error) {
	ctx, cancel := context.WithTimeout(ctx, modelsPatience)
	defer cancel()
	want := statusCounts{}
	for _, o := range outcomes {
		want[o.Status]++
	}
	var err error
	for ticker := time.NewTicker(10 * time.Millisecond); ; {
		var got statusCounts
		if got, err = r.count(ctx, want); err == nil && maps.Equal(got, want) {
			ticker.Stop()
			return got, nil
		}
		select {
		case <-ctx.Done():
			ticker.Stop()
			return got, fmt.Errorf("the read models do not agree: they have %v, the orders are %v: %w", got, want, cmp.Or(err, ctx.Err()))
		case <-ticker.C:
		}
	}
}

func (r *demoRun) count(ctx context.Context, statuses statusCounts) (statusCounts, error) {
	got := statusCounts{}
	for status := range statuses {
		n, err := r.client.Count(ctx, projections.Query{Definition: r.sagas.Key("").Definition, Statuses: []saga.Status{status}})
		if err != nil {
			return got, err
		}
		got[status] = n
	}
	return got, nil
}

// each calls do with the index of every order, many at a time, and gives the first error.
func (r *demoRun) each(ctx context.Context, do func(int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(underWay, len(r.orders)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(r.orders) {
					return
				}
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
