package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/examples/order/shop"
	"github.com/jetsaga/jetsaga/saga"
)

// unfinished are the statuses that no order of a demo may be left in.
var unfinished = []saga.Status{saga.StatusRunning, saga.StatusCompensating, saga.StatusStuck, saga.StatusPending}

// clerks is how many orders are started at a time.
const clerks = 64

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
	var err error
	if r.client, err = engine.NewClient(ctx, conf); err != nil {
		return nil, err
	}
	r.sagas = engine.For(r.client, def)
	if r.engine, err = engine.New(conf); err != nil {
		return nil, err
	}
	if err := r.engine.Register(def); err != nil {
		return nil, err
	}
	go func() { r.ended <- r.engine.Run(ctx) }()
	return r, nil
}

func (r *demoRun) stop() error {
	r.engine.Stop()
	if err := <-r.ended; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// all starts every order, takes those that an earlier run has started as they are, and gives their outcomes when all
// have ended.
func (r *demoRun) all(ctx context.Context, p *progress) ([]shop.Outcome, error) {
	var started atomic.Int64
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { p.follow(watching, &started, &r.ends) })
	defer watch.Wait()
	defer stop()

	if err := r.each(ctx, func(o shop.Order) error {
		defer started.Add(1)
		_, err := r.sagas.Start(ctx, o.ID, o, engine.OrExisting())
		return err
	}); err != nil {
		return nil, err
	}
	outcomes := make([]shop.Outcome, len(r.orders))
	index := make(map[string]int, len(r.orders))
	for i, o := range r.orders {
		index[o.ID] = i
	}
	err := r.each(ctx, func(o shop.Order) error {
		in, err := r.client.Wait(ctx, r.sagas.Key(o.ID))
		if err != nil {
			return err
		}
		outcome := shop.Outcome{Status: in.Status, Reason: in.Error}
		if err := json.Unmarshal(in.State.JSON(), &outcome.Order); err != nil {
			return fmt.Errorf("order %s: %w", o.ID, err)
		}
		outcomes[index[o.ID]] = outcome
		return nil
	})
	return outcomes, err
}

// each calls do for every order, many at a time, and gives the first error.
func (r *demoRun) each(ctx context.Context, do func(shop.Order) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clerks {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(r.orders) {
					return
				}
				if err := do(r.orders[i]); err != nil {
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

// refresh is how often the progress is shown anew.
const refresh = 100 * time.Millisecond
