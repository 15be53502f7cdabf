package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/metric"

	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// After a lost connection the server may have been restarted. It has then kept what it acknowledged, but may have
// forgotten its last deliveries, and the workers that hold those may still be reconnecting.
const (
	// holdBack is how long a worker that reconnected takes no commands, so that whoever is alive can say so and can
	// store the results that it has kept.
	holdBack = streams.AckWait
	// handBack is how long after a reconnect a command that was delivered before is given back. A restarted server
	// delivers some at once, whatever sign of life their workers give; given back, a command waits for one again.
	handBack = 2 * holdBack
	// doubt is how long after a reconnect a first delivery is not taken for the first.
	doubt = 10 * time.Second
)

// worker is a running engine: it holds commands, keeps them with heartbeats, and drives an activation for each.
type worker struct {
	conf     Config
	registry *registry
	id       string // unique to this start
	ns       *streams.Namespace
	journal  *streams.Log
	log      *slog.Logger
	slots    *slots
	crew     *crew
	cores    sync.Pool           // of *saga.Activation, whose activations are over
	effects  *idempotency.Store  // nil without Redis
	gauges   metric.Registration // nil without metrics
	pullers  []*streams.Puller

	ctx      context.Context //nolint:containedctx // of all activations; ends with stop
	cancel   context.CancelFunc
	tasks    sync.WaitGroup // every goroutine of the worker
	pokes    *nats.Subscription
	statuses chan nats.Status
	link     *link
	cut      chan struct{} // closed when the connection is closed for good
	told     atomic.Int64  // when a call that goes on failing was last told of, in nanoseconds since 1970

	mu       sync.Mutex
	held     map[command]*activation
	draining bool          // no further command is taken
	closed   bool          // no further goroutine is started
	drained  chan struct{} // closed when draining and nothing is held
}

// command identifies a command by where it is stored, so that a second delivery is recognised.
type command struct {
	stream   string
	sequence uint64
}

func newWorker(conf Config, r *registry, ns *streams.Namespace) (*worker, error) {
	id := conf.Name + "-" + uuid.Must(uuid.NewV7()).String()
	w := &worker{
		conf: conf, registry: r, id: id, ns: ns, journal: ns.Log(),
		log:     conf.Logger.With("worker", id),
		held:    map[command]*activation{},
		drained: make(chan struct{}),
		cut:     make(chan struct{}),
	}
	w.crew = newCrew(w.spawn)
	var err error
	if w.effects, err = newEffects(conf, ns.Name(), r); err != nil {
		return nil, err
	}
	w.slots = newSlots(conf.Slots, func(p *streams.Puller, n int, expires time.Duration) {
		if err := p.Request(n, expires); err != nil {
			w.log.Error("asking for commands", "stream", p.Stream(), "error", err)
		}
	})
	if conf.MeterProvider == nil {
		return w, nil
	}
	i, err := newInstruments(conf.MeterProvider)
	if err != nil {
		return nil, err
	}
	w.conf.Hooks = i.hooks(conf.Hooks)
	w.gauges, err = i.watchSlots(conf.MeterProvider, w.slots)
	return w, err
}

// start begins to take commands. With an error nothing is left running.
func (w *worker) start(ctx context.Context) (err error) {
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.link = newLink(w.ctx, w.ns.Conn()) //nolint:contextcheck // ends with stop, not with the caller's context
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	w.pokes, err = w.ns.OnPoke(w.id, w.poked)
	if err != nil {
		return err
	}
	handlers := streams.PullHandlers{Delivered: w.delivered, Returned: w.returned}
	w.publishPlans(ctx)
	for _, name := range w.registry.names() {
		pullers, err := w.ns.Pull(ctx, name, handlers)
		if err != nil {
			return err
		}
		for _, p := range pullers {
			w.pullers = append(w.pullers, p)
			w.slots.add(p)
		}
	}
	w.statuses = w.ns.Conn().StatusChanged(nats.CONNECTED)
	w.spawn(w.keep)
	w.slots.lend()
	w.log.Info("worker runs", "namespace", w.ns.Name(), "definitions", w.registry.names(), "slots", w.conf.Slots)
	return nil
}

// drain takes no further commands; drained is closed when none is held.
func (w *worker) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining {
		return
	}
	w.draining = true
	w.slots.close()
	if len(w.held) == 0 {
		close(w.drained)
	}
}

// stop drops everything and waits until nothing of the worker is left.
func (w *worker) stop() {
	w.slots.close()
	for _, p := range w.pullers {
		p.Abandon(nil)
		p.Stop()
	}
	if w.pokes != nil {
		_ = w.pokes.Unsubscribe()
	}
	w.drain()
	w.cancel()
	<-w.drained // all are told of the end, whether or not they wait for something
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.crew.close()
	w.tasks.Wait()
	w.link.close()
	if w.gauges != nil {
		_ = w.gauges.Unregister() // it cannot fail twice, and once is enough
	}
	if w.statuses != nil {
		w.ns.Conn().RemoveStatusListener(w.statuses)
	}
	w.log.Info("worker has stopped")
}

// publishPlans makes the plans known to tools. The worker does without if it fails.
func (w *worker) publishPlans(ctx context.Context) {
	for _, p := range w.registry.plans() {
		before, err := w.ns.PublishPlan(ctx, p)
		switch {
		case err != nil:
			w.log.Warn("plan not published; tools cannot show it", "definition", p.Name, "version", p.Version, "error", err)
		case before != nil:
			w.log.Warn("the plan of a definition has changed without a new version: sagas that are under way may not fit it",
				"definition", p.Name, "version", p.Version, "was", before.Drawing(), "is", p.Drawing())
		}
	}
}

// spawn runs f on a goroutine that stop waits for; not at all once the worker has stopped and holds nothing any more.
func (w *worker) spawn(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.tasks.Go(f)
	}
}

// delivered takes a command from a puller.
func (w *worker) delivered(p *streams.Puller, d *streams.Delivery) {
	w.slots.filled(p)
	c, err := saga.DecodeCommand(d.Data)
	a := newActivation(w, d, c)
	if err != nil {
		a.turn.goOn = func() { a.refuse(err) }
	}
	switch w.hold(a) {
	case heldNow:
		w.crew.push(&a.turn)
	case heldBefore: // its earlier delivery goes on
		w.slots.release()
	case heldNotYet:
		w.slots.release()
		_ = d.Retry(holdBack)
	case heldNoMore:
		w.slots.release()
		_ = d.Retry(0)
	}
}

// holding is what hold has done with a delivery.
type holding int

const (
	heldNow    holding = iota
	heldBefore         // with an earlier delivery
	heldNotYet         // the connection has only just come back
	heldNoMore         // the worker drains
)

// hold puts an activation among those that the worker keeps. If it has one for the same command, that one takes
// the new delivery over: it is alive, and there is nothing to claim.
func (w *worker) hold(a *activation) holding {
	w.mu.Lock()
	defer w.mu.Unlock()
	if earlier := w.held[a.command()]; earlier != nil {
		earlier.delivery.Adopt(a.delivery)
		return heldBefore
	}
	switch {
	case w.draining:
		return heldNoMore
	case w.link.backWithin(holdBack, a.since),
		a.delivery.Count > 1 && w.link.backWithin(handBack, a.since):
		return heldNotYet
	}
	w.held[a.command()] = a
	return heldNow
}

// letGo ends the keeping of an activation.
func (w *worker) letGo(a *activation) {
	w.mu.Lock()
	delete(w.held, a.command())
	if w.draining && len(w.held) == 0 {
		select {
		case <-w.drained:
		default:
			close(w.drained)
		}
	}
	w.mu.Unlock()
	w.slots.release()
}

// unknownCommandDelay is how long a command that this build does not know waits for its next delivery, and asideDelay one that
// could not be put among the dead letters: their stream is gone, full or without a leader.
const (
	unknownCommandDelay = 5 * time.Second
	asideDelay          = 5 * time.Second
)

// setAside puts a command among the dead letters. If that fails, the command is given back for some time: it may fail for as
// long as nobody mends it, and is to keep no slot meanwhile.
func (w *worker) setAside(d *streams.Delivery, reason error) {
	log := w.log.With("saga", d.Key.String(), "stream", d.Stream, "sequence", d.Sequence, "reason", reason)
	if err := w.ns.SetAside(w.link.context(), d, reason); err != nil {
		log.Error("command not set aside; it will be delivered again", "after", asideDelay, "error", err)
		_ = d.Retry(asideDelay)
		return
	}
	log.Error("command set aside")
	w.conf.Hooks.setAside(d.Key, reason)
}

// returned takes slots that found no command.
func (w *worker) returned(p *streams.Puller, n int, reason error) {
	w.slots.returned(p, n)
	if reason != nil {
		// The next heartbeat lends them again; at once would be a tight loop against a server in trouble.
		w.log.Debug("slots returned", "stream", p.Stream(), "slots", n, "reason", reason)
		return
	}
	w.slots.lend()
}

// keep is the worker's pulse: one ticker for all that is held, and the connection's comings and its end.
func (w *worker) keep() {
	ticker := time.NewTicker(streams.HeartbeatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-ticker.C:
			now := time.Now()
			w.heartbeat(now.Add(-streams.HeartbeatEvery / 2))
			for _, p := range w.pullers {
				p.CheckSilence(now)
				if p.Orphaned(now) {
					w.spawn(func() { w.mend(p) })
				}
			}
			w.slots.lend()
			if w.ns.Conn().IsClosed() {
				close(w.cut)
				return
			}
		case <-w.statuses:
			w.reconnected()
		}
	}
}

// mend has a puller's consumer made anew if it is gone. It may be that its stream has no leader for a moment.
func (w *worker) mend(p *streams.Puller) {
	gone, err := p.Mend(w.ctx)
	switch {
	case err != nil && w.ctx.Err() == nil:
		w.log.Warn("nobody answers requests for commands", "stream", p.Stream(), "error", err)
	case gone:
		w.log.Warn("the consumer of a definition's commands was gone, and is made anew", "stream", p.Stream())
	}
}

// heartbeat keeps the commands that have been held since before a moment. Most sagas are done before their first.
func (w *worker) heartbeat(before time.Time) {
	w.mu.Lock()
	var due []*streams.Delivery
	for _, a := range w.held {
		if a.since.Before(before) {
			due = append(due, a.delivery)
		}
	}
	w.mu.Unlock()
	for _, d := range due {
		if err := d.InProgress(); err != nil {
			w.log.Warn("heartbeat", "saga", d.Key.String(), "error", err)
			return // the connection is at fault, and all share it
		}
	}
}

// reconnected tells the server first of all that what is held is alive, then has the calls repeated whose answers
// were lost. Commands are asked for after holdBack.
func (w *worker) reconnected() {
	w.log.Info("reconnected", "server", w.ns.Conn().ConnectedUrlRedacted())
	now := time.Now()
	w.heartbeat(now)
	w.link.renew()
	w.slots.holdBack(now.Add(holdBack))
	for _, p := range w.pullers {
		p.Abandon(errReconnected)
	}
}

var errReconnected = errors.New("the connection was replaced")

// call talks to the server until it has answered, f has failed for good (see backoff.Permanent), or the worker
// stops. A call whose connection is lost is repeated over the next.
func (w *worker) call(f func(ctx context.Context) error) error {
	err := f(w.link.context())
	var final *backoff.PermanentError
	switch {
	case err == nil || w.ctx.Err() != nil:
		return err
	case errors.As(err, &final):
		return final.Err
	}
	return w.again(f)
}

// again goes on with a call that has failed once.
func (w *worker) again(f func(ctx context.Context) error) error {
	begun := time.Now()
	return untilDone(w.ctx, func() error { return f(w.link.context()) }, func(err error, _ time.Duration) {
		w.failing(time.Since(begun), err)
	})
}

// failing tells of a call that goes on failing: of one in failingEvery, since where one does, many do.
func (w *worker) failing(since time.Duration, err error) {
	now, told := time.Now().UnixNano(), w.told.Load()
	if since >= failingEvery && now-told >= int64(failingEvery) && w.told.CompareAndSwap(told, now) {
		w.log.Warn("a call to the server goes on failing, and is repeated", "since", since, "error", err)
	}
}

const failingEvery = 10 * time.Second

// poked wakes the activations of a saga whose log has moved on.
func (w *worker) poked(key saga.Key) {
	w.conf.Hooks.poked(key)
	var poked []*activation
	w.mu.Lock()
	for _, a := range w.held {
		if a.key() == key {
			poked = append(poked, a)
		}
	}
	w.mu.Unlock()
	for _, a := range poked {
		a.poke()
	}
}

// unreachable describes an outcome that the core never asks for.
func unreachable(a *saga.Action) error {
	return fmt.Errorf("engine: action %v cannot be carried out", a.Do)
}
