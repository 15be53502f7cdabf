package engine

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/jetsaga/jetsaga/saga"
)

// scope is the instrumentation scope of the engine's metrics.
const scope = "github.com/jetsaga/jetsaga/engine"

// instruments are the engine's metrics. docs/metrics.md lists them; a test holds the two together.
type instruments struct {
	started   metric.Int64Counter
	ended     metric.Int64Counter
	parked    metric.Int64Counter
	claimed   metric.Int64Counter
	attempts  metric.Float64Histogram
	conflicts metric.Int64Counter
	commands  metric.Int64Counter
	setAside  metric.Int64Counter
	attrs     sets
}

func newInstruments(p metric.MeterProvider) (*instruments, error) {
	m := p.Meter(scope)
	i := &instruments{attrs: sets{byKey: map[setKey]metric.MeasurementOption{}}}
	var errs [8]error
	i.started, errs[0] = m.Int64Counter("jetsaga.sagas.started", metric.WithUnit("{saga}"),
		metric.WithDescription("runs whose beginning this worker has written"))
	i.ended, errs[1] = m.Int64Counter("jetsaga.sagas.ended", metric.WithUnit("{saga}"),
		metric.WithDescription("runs whose end this worker has written, by status and reason"))
	i.parked, errs[2] = m.Int64Counter("jetsaga.sagas.parked", metric.WithUnit("{saga}"),
		metric.WithDescription("times that a saga was parked: until a timer, a signal or a child wakes it"))
	i.claimed, errs[3] = m.Int64Counter("jetsaga.sagas.claimed", metric.WithUnit("{saga}"),
		metric.WithDescription("sagas taken over from a worker that was gone or late"))
	i.attempts, errs[4] = m.Float64Histogram("jetsaga.step.duration", metric.WithUnit("s"),
		metric.WithDescription("how long attempts of steps and undos took, by outcome"))
	i.conflicts, errs[5] = m.Int64Counter("jetsaga.conflicts", metric.WithUnit("{append}"),
		metric.WithDescription("appends that found that the log had moved on"))
	i.commands, errs[6] = m.Int64Counter("jetsaga.commands", metric.WithUnit("{command}"),
		metric.WithDescription("commands answered, by kind and answer"))
	i.setAside, errs[7] = m.Int64Counter("jetsaga.deadletters", metric.WithUnit("{command}"),
		metric.WithDescription("commands put among the dead letters"))
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("engine: metrics: %w", err)
		}
	}
	return i, nil
}

// watchSlots adds the gauge of a worker's slots, until the registration is ended.
func (i *instruments) watchSlots(p metric.MeterProvider, s *slots) (metric.Registration, error) {
	m := p.Meter(scope)
	gauge, err := m.Int64ObservableGauge("jetsaga.slots", metric.WithUnit("{slot}"),
		metric.WithDescription("the worker's slots, by state: taken by a saga, lent to a stream, or free"))
	if err != nil {
		return nil, fmt.Errorf("engine: metrics: %w", err)
	}
	state := func(name string) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(attribute.String("state", name)))
	}
	free, lent, taken := state("free"), state("lent"), state("taken")
	return m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		f, l, t := s.counts()
		o.ObserveInt64(gauge, int64(f), free)
		o.ObserveInt64(gauge, int64(l), lent)
		o.ObserveInt64(gauge, int64(t), taken)
		return nil
	}, gauge)
}

// hooks gives hooks that count, and then call those of the user.
func (i *instruments) hooks(user Hooks) Hooks {
	h := user
	h.Ran = func(info saga.Info, took time.Duration, err error) {
		i.ran(info, took, err)
		user.ran(info, took, err)
	}
	h.Committed = func(key saga.Key, c *saga.Commit) {
		i.committed(key, c)
		user.committed(key, c)
	}
	h.Conflicted = func(key saga.Key, version uint64) {
		i.conflicts.Add(context.Background(), 1, i.attrs.get(setKey{definition: key.Definition}))
		user.conflicted(key, version)
	}
	h.Finished = func(key saga.Key, command saga.Command, action saga.ActionKind, reason error) {
		i.commands.Add(context.Background(), 1,
			i.attrs.get(setKey{definition: key.Definition, command: saga.CommandName(command), action: action.String()}))
		user.finished(key, command, action, reason)
	}
	h.SetAside = func(key saga.Key, reason error) {
		i.setAside.Add(context.Background(), 1, i.attrs.get(setKey{definition: key.Definition}))
		user.setAside(key, reason)
	}
	return h
}

func (i *instruments) ran(info saga.Info, took time.Duration, err error) {
	outcome, direction := "completed", "do"
	switch {
	case saga.IsPermanent(err):
		outcome = "permanent"
	case saga.IsPutOff(err):
		outcome = "put-off"
	case err != nil:
		outcome = "failed"
	}
	if info.Undo {
		direction = "undo"
	}
	i.attempts.Record(context.Background(), took.Seconds(),
		i.attrs.get(setKey{definition: info.Key.Definition, step: info.Step, direction: direction, outcome: outcome}))
}

func (i *instruments) committed(key saga.Key, c *saga.Commit) {
	ctx, of := context.Background(), setKey{definition: key.Definition}
	for _, event := range c.Events {
		switch e := event.(type) {
		case saga.SagaStarted:
			i.started.Add(ctx, 1, i.attrs.get(of))
		case saga.ActivationClaimed:
			i.claimed.Add(ctx, 1, i.attrs.get(of))
		case saga.SagaParked:
			i.parked.Add(ctx, 1, i.attrs.get(of))
		case saga.SagaCompleted:
			i.ended.Add(ctx, 1, i.attrs.get(setKey{definition: key.Definition, status: saga.StatusCompleted}))
		case saga.SagaCompensated:
			i.ended.Add(ctx, 1, i.attrs.get(setKey{definition: key.Definition, status: saga.StatusCompensated, reason: e.Reason}))
		case saga.SagaStuck:
			i.ended.Add(ctx, 1, i.attrs.get(setKey{definition: key.Definition, status: saga.StatusStuck}))
		case saga.SagaTerminated:
			i.ended.Add(ctx, 1, i.attrs.get(setKey{definition: key.Definition, status: saga.StatusTerminated}))
		}
	}
}
