package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// worker is a virtual worker process.
type worker struct {
	w           *world
	index       int
	incarnation int
	id          string // of this start
	alive       bool
	newest      int           // the highest version of any definition that it knows
	oldest      int           // the lowest
	outdated    bool          // its build does not know all types of events
	skew        time.Duration // of its clock
	slots       int
	taken       int // slots that hold a command, or wait for one on the way
	frozen      time.Duration
	thaws       time.Duration
	held        []*activation
}

// hireWorkers starts the workers. The first knows every version and is up to date; the others may lack the newest
// version, or the oldest, or be of an older build.
func (w *world) hireWorkers() {
	w.skewed = w.chance(0.3)
	for i := range 2 + w.rng.IntN(3) {
		wk := &worker{w: w, index: i, newest: 2, oldest: 1, slots: 1 + w.rng.IntN(4)}
		if i > 0 {
			switch w.rng.IntN(4) {
			case 0:
				wk.newest = 1
			case 1:
				wk.oldest = 2
			}
			wk.outdated = w.chance(0.1)
		}
		if w.skewed {
			wk.skew = w.between(-2*time.Second, 2*time.Second)
		}
		w.workers = append(w.workers, wk)
		wk.start()
	}
}

func (wk *worker) start() {
	wk.incarnation++
	wk.id = fmt.Sprintf("w%d.%d", wk.index, wk.incarnation)
	wk.alive, wk.taken, wk.held = true, 0, nil
	wk.w.say("%s starts", wk.id)
	wk.w.after(wk.w.latency(), wk.w.consumer.pump)
}

// clock is the worker's own.
func (wk *worker) clock() time.Time { return wk.w.clock().Add(wk.skew) }

// definition gives what the worker knows of a version, or nil; version 0 is the highest that it knows.
func (wk *worker) definition(name string, version int) *definition {
	versions := wk.w.catalog[name]
	if version == 0 {
		version = min(len(versions), wk.newest)
	}
	if version > wk.newest || version < min(wk.oldest, len(versions)) {
		return nil
	}
	return versions[version]
}

// plan is the worker's [saga.ActivationConfig.Plan].
func (wk *worker) plan(name string, version int) *saga.Plan {
	if d := wk.definition(name, version); d != nil {
		return d.Plan()
	}
	wk.w.sight(VersionUnknown)
	return nil
}

// understands gives the error of a log that holds what the worker's build does not know.
func (wk *worker) understands(log saga.Log) error {
	if !wk.outdated {
		return nil
	}
	for _, c := range log.Commits {
		for _, e := range c.Events {
			if _, unknown := e.(saga.StepFailed); unknown {
				wk.w.sight(LogUnknown)
				return &saga.UnknownError{What: "event type", Name: saga.EventName(e)}
			}
		}
	}
	return nil
}

// receive takes a delivery.
func (wk *worker) receive(m *message, count uint64, doubtful bool, incarnation int) {
	if !wk.alive || wk.incarnation != incarnation {
		return // the connection is gone, and the delivery with it
	}
	if wk.thaws > wk.w.now {
		wk.w.after(wk.thaws-wk.w.now, func() { wk.receive(m, count, doubtful, incarnation) })
		return
	}
	for _, a := range m.holders {
		if a.on == wk && !a.dead {
			wk.w.sight(Adopted)
			wk.w.say("%s: delivery %d to %s, which holds it", m, count, wk.id)
			wk.release()
			return
		}
	}
	newActivation(wk, m, count, doubtful).begin()
}

// release frees a slot.
func (wk *worker) release() {
	wk.taken--
	wk.w.after(wk.w.latency(), wk.w.consumer.pump)
}

// letGo ends the keeping of an activation that is over.
func (wk *worker) letGo(a *activation) {
	a.dead = true
	wk.held = slices.DeleteFunc(wk.held, func(h *activation) bool { return h == a })
	a.m.holders = slices.DeleteFunc(a.m.holders, func(h *activation) bool { return h == a })
	wk.release()
}

// crash ends the process. What it has sent still arrives.
func (wk *worker) crash() {
	wk.w.sight(WorkerCrashed)
	wk.w.say("%s crashes", wk.id)
	wk.end()
}

// stop ends the process in good order: it gives back what it holds.
func (wk *worker) stop() {
	wk.w.sight(WorkerStopped)
	wk.w.say("%s stops", wk.id)
	held := wk.held
	wk.end()
	for _, a := range held {
		wk.w.consumer.retry(a.m, 0)
	}
}

func (wk *worker) end() {
	for _, a := range wk.held {
		a.dead = true
		a.m.holders = slices.DeleteFunc(a.m.holders, func(h *activation) bool { return h == a })
	}
	wk.alive, wk.held, wk.thaws = false, nil, 0
	wk.w.after(wk.w.between(time.Millisecond, 3*time.Second), wk.start)
}

// freeze has the process stand still, most times for longer than its commands are kept for it.
func (wk *worker) freeze() {
	d := wk.w.between(ackWait/2, 5*ackWait)
	wk.w.sight(WorkerFroze)
	wk.w.say("%s stands still for %v", wk.id, d)
	wk.frozen, wk.thaws = wk.w.now, wk.w.now+d
}

// lastHeartbeat is when the worker last showed that it lives.
func (wk *worker) lastHeartbeat() time.Duration {
	if wk.thaws > wk.w.now {
		return wk.frozen
	}
	return wk.w.now
}

// poked wakes what the worker holds of a saga.
func (wk *worker) poked(id string, s *subject) {
	if !wk.alive || wk.id != id {
		return
	}
	if wk.thaws > wk.w.now {
		wk.w.after(wk.thaws-wk.w.now, func() { wk.poked(id, s) })
		return
	}
	for _, a := range slices.Clone(wk.held) {
		if a.m.subject == s {
			a.poke()
		}
	}
}

// poke sends word to the worker with that id that a saga's log has moved on.
func (w *world) poke(id string, s *subject) {
	if w.strikes(losePoke) {
		w.sight(PokeLost)
		return
	}
	w.after(w.latency(), func() {
		for _, wk := range w.workers {
			wk.poked(id, s)
		}
	})
}
