package sagatest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil/journaltest"
)

// epoch is when virtual time begins.
var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// redelivered is how long a command goes without a sign of life before it is delivered again.
const redelivered = 750 * time.Millisecond

// world is an installation in memory: a log, a queue, and workers, of which each drives one activation. Everything happens
// on one goroutine, one thing at a time.
type world struct {
	journal  *journaltest.Memory
	registry map[string]map[int]saga.Runnable
	now      time.Time
	messages []*message
	actors   []*actor
	workers  int // for their ids

	// choose picks one of n things that can happen next. The first is what happens first where nothing is up to chance.
	choose func(n int) int
	// crash is asked before and after each commit whether the worker is gone.
	crash func(w *world, c *saga.Commit, stored bool) bool
	// replaced are what runs in the place of handlers, by [attemptNames].
	replaced map[string]*replacement
	// call runs a handler.
	call func(a *actor, action saga.Action, info saga.Info) saga.Result

	effects []Effect
	// remembered is what Once and guarded steps have kept.
	remembered effects
	emissions  []saga.Emission
	emitted    map[string]Effect // what the emissions belong to, by their ids
	rejected   []error
	refused    map[string]bool // the commands that were not carried out, by their ids
	commits    int             // appended so far
	steps      int
	// load reads a log; by default what is there.
	load func(key saga.Key, c saga.Consistency) (saga.Log, error)
	// watch is told what becomes of commands; nil for nobody.
	watch func(format string, args ...any)
	// meddle is asked before each thing that happens; nil for nobody.
	meddle func()
}

// message is a stored command.
type message struct {
	key        saga.Key
	command    saga.Command
	sequence   uint64
	deliveries uint64
	done       bool
	holder     *actor
	due        time.Time // not to be delivered before
}

func newWorld(definitions []saga.Runnable) *world {
	w := &world{
		journal: &journaltest.Memory{}, replaced: map[string]*replacement{}, remembered: effects{}, emitted: map[string]Effect{}, refused: map[string]bool{},
		registry: map[string]map[int]saga.Runnable{}, now: epoch,
		choose: func(int) int { return 0 },
		crash:  func(*world, *saga.Commit, bool) bool { return false },
	}
	w.call = (*actor).attempt
	w.load = func(key saga.Key, c saga.Consistency) (saga.Log, error) {
		return w.journal.Load(context.Background(), key, c)
	}
	for _, d := range definitions {
		p := d.Plan()
		if w.registry[p.Name] == nil {
			w.registry[p.Name] = map[int]saga.Runnable{}
		}
		w.registry[p.Name][p.Version] = d
	}
	return w
}

// runnable gives a definition; version 0 is the highest.
func (w *world) runnable(name string, version int) saga.Runnable {
	if version == 0 {
		for v := range w.registry[name] {
			version = max(version, v)
		}
	}
	return w.registry[name][version]
}

func (w *world) plan(name string, version int) *saga.Plan {
	if d := w.runnable(name, version); d != nil {
		return d.Plan()
	}
	return nil
}

// send stores a command.
func (w *world) send(key saga.Key, c saga.Command) {
	data, err := saga.EncodeCommand(c)
	if err == nil {
		c, err = saga.DecodeCommand(data)
	}
	if err != nil {
		panic(fmt.Sprintf("sagatest: saga %s: command %T: %v", key, c, err))
	}
	w.messages = append(w.messages, &message{key: key, command: c, sequence: uint64(len(w.messages) + 1), due: w.now})
}

// start stores a Start, unless the saga has commands; it reports whether this run is stored.
func (w *world) start(key saga.Key, s saga.Start) bool {
	for _, m := range w.messages {
		if m.key == key {
			have, ok := m.command.(saga.Start)
			return ok && have.Run == s.Run
		}
	}
	w.send(key, s)
	return true
}

// possible gives what can happen now, in an order of its own: what is under way, then what is delivered, then tasks that end.
func (w *world) possible() (things []func()) {
	for _, a := range w.actors {
		if !a.waiting {
			things = append(things, a.step)
		}
	}
	for _, m := range w.messages {
		if !m.done && m.holder == nil && !m.due.After(w.now) {
			things = append(things, func() { w.deliver(m) })
		}
	}
	for _, a := range w.actors {
		if !a.waiting {
			continue
		}
		for i := range a.tasks {
			things = append(things, func() { a.finish(i) })
		}
		if a.poked || !a.until.IsZero() && !a.until.After(w.now) {
			things = append(things, a.wake)
		}
	}
	return things
}

// maxSteps is how many things happen before a world counts as one that does not come to rest.
const maxSteps = 1_000_000

// settle lets everything happen that can happen now.
func (w *world) settle() error {
	for {
		for _, due := range w.journal.Due(w.now) {
			w.send(due.Key, due.Fire)
		}
		if w.meddle != nil {
			w.meddle()
		}
		things := w.possible()
		if len(things) == 0 {
			return nil
		}
		if w.steps++; w.steps > maxSteps {
			return fmt.Errorf("after %d steps and %v there is still something to do", maxSteps, w.now.Sub(epoch))
		}
		things[w.choose(len(things))]()
	}
}

// next gives the time at which something is to happen next.
func (w *world) next() (at time.Time, ok bool) {
	soonest := func(t time.Time) {
		if !t.IsZero() && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	for _, a := range w.actors {
		if a.waiting {
			soonest(a.until)
		}
	}
	for _, m := range w.messages {
		if !m.done && m.holder == nil {
			soonest(m.due)
		}
	}
	if due, pending := w.journal.NextDue(); pending {
		soonest(due)
	}
	return at, ok
}

// run lets time pass until nothing is left to happen, or until a time, if one is given.
func (w *world) run(until time.Time) error {
	for {
		if err := w.settle(); err != nil {
			return err
		}
		at, ok := w.next()
		if !ok || !until.IsZero() && at.After(until) {
			break
		}
		w.now = at
	}
	if w.now.Before(until) {
		w.now = until
	}
	return nil
}

// deliver hands a command to a worker.
func (w *world) deliver(m *message) {
	m.deliveries++
	w.workers++
	a := &actor{w: w, m: m, id: fmt.Sprintf("w%d", w.workers)}
	a.core = saga.NewActivation(saga.ActivationConfig{Worker: a.id, Plan: w.plan}, saga.Delivery{
		Key: m.key, Command: m.command, Count: m.deliveries, Stream: "S", Sequence: m.sequence,
	})
	m.holder = a
	w.tell("%s takes message %d, %s %s of %s, delivery %d", a.id, m.sequence, saga.CommandName(m.command), m.command.CommandID(), m.key, m.deliveries)
	w.actors = append(w.actors, a)
	a.action = a.core.Begin(w.now)
}

func (w *world) tell(format string, args ...any) {
	if w.watch != nil {
		w.watch(format, args...)
	}
}

// poke tells a worker that the log of a saga has moved on.
func (w *world) poke(worker string) {
	for _, a := range w.actors {
		if a.id == worker {
			a.poked = true
		}
	}
}

// fold gives a saga as its log tells it.
func (w *world) fold(key saga.Key) *saga.Instance {
	log, err := w.journal.Load(context.Background(), key, saga.Latest)
	if err != nil {
		panic(fmt.Sprintf("sagatest: saga %s: %v", key, err))
	}
	in, err := saga.Fold(key, log.Commits)
	if err != nil {
		panic(fmt.Sprintf("sagatest: saga %s: %v", key, err))
	}
	return in
}

// keys gives the sagas that there are, in the order of their names.
func (w *world) keys() (keys []saga.Key) {
	for _, m := range w.messages {
		if !slices.Contains(keys, m.key) {
			keys = append(keys, m.key)
		}
	}
	slices.SortFunc(keys, func(a, b saga.Key) int {
		return cmp.Or(cmp.Compare(a.Definition, b.Definition), cmp.Compare(a.ID, b.ID))
	})
	return keys
}
