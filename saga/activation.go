package saga

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// DefaultParkAfter is how long a rest an activation sits out before it parks the saga instead.
const DefaultParkAfter = 5 * time.Second

// Delivery is one delivery of a command to a worker.
type Delivery struct {
	Key     Key
	Command Command
	Count   uint64 // how many times the command has been delivered, this time included
	// Stream and Sequence are where the command is stored, so that one that was stored twice is not taken for one
	// that was delivered twice.
	Stream   string
	Sequence uint64
	// Doubtful: the server may have forgotten deliveries, so the count may be too low. The activation then looks
	// at the log before it runs anything.
	Doubtful bool
}

// ActivationConfig is what an [Activation] knows of its worker.
type ActivationConfig struct {
	// Worker is the worker's instance id; no two starts of a process share one. Required.
	Worker string
	// Plan gives the plan of a definition's version, nil where the worker does not know it; version 0 asks for
	// the highest. Required.
	Plan func(definition string, version int) *Plan
	// ParkAfter is the longest rest between two attempts that the activation holds on for; a longer one parks
	// the saga on a timer. Default: [DefaultParkAfter].
	ParkAfter time.Duration
	// MaxCommit is up to how many bytes, as estimated, a commit takes more than one decision, and a snapshot. Default:
	// [DefaultMaxCommit].
	MaxCommit int
	// MaxState is how many bytes a state may have that the branches of a parallel block leave together; a larger one fails the
	// block. Default: [DefaultMaxState].
	MaxState int
}

// Activation is one worker driving one saga forward, from the delivery of a command until the saga ends or
// parks. It decides and does nothing itself: each method takes what has happened and gives the [Action] to
// carry out next, until one is [Action.Final]. Call Begin first, then the method that the last action names.
//
// Safety rests on the log alone. An activation owns the saga once a commit of its own that claims it is in the
// log; it runs no handler before, except on the first delivery of a first Start, where there is nothing yet to
// own and its first commit competes for the log's beginning. Every commit is appended at the revision that the
// decision was made on; on a conflict the activation loads, folds and decides again.
//
// An Activation is not safe for concurrent use.
type Activation struct {
	conf ActivationConfig
	key  Key
	cmd  Command
	me   Owner

	doubtful bool

	in        *Instance
	spare     *Instance // nobody's any more; nil for none
	plan      *Plan
	tasks     []Task // those of the last walk, and room for those of the next
	stands    bool   // what the last walk has found holds for as long as no event is applied, whatever the time
	rev, base uint64
	tail      int         // bytes of the events in the log after its base, as estimated
	snapped   bool        // the commit under way has a snapshot
	level     Consistency // of the last load

	opening  bool          // nothing is in the log yet, and the first step may run before anything is
	events   []Event       // decided, applied to in, and not yet in the log
	size     int           // bytes of those, as estimated
	room     int           // bytes that a commit takes; 0: no more than one decision
	results  []Result      // of tasks, not yet known to be in the log
	taken    int           // how many of the results the events have made use of
	underWay []Task        // given out to be run, and without a result
	given    []State       // the state that each of those was given
	poke     string        // the worker to poke once the events are in
	verdict  func() Action // the answer for a command that is dismissed, once that is in the log
	told     bool          // the parent knows how the saga has ended
	refused  bool          // the parent is to be told that the saga cannot be undone
}

// NewActivation prepares an activation for a delivery.
func NewActivation(conf ActivationConfig, d Delivery) *Activation {
	if conf.ParkAfter == 0 {
		conf.ParkAfter = DefaultParkAfter
	}
	if conf.MaxCommit == 0 {
		conf.MaxCommit = DefaultMaxCommit
	}
	if conf.MaxState == 0 {
		conf.MaxState = DefaultMaxState
	}
	a := &Activation{conf: conf}
	a.Reset(d)
	return a
}

// Reset prepares the activation anew, for another delivery to the same worker: it is as if made for it, in the room that it
// has. The caller has done with all that it was given before; only commits and states stay what they are.
func (a *Activation) Reset(d Delivery) {
	me := Owner{Worker: a.conf.Worker, Command: d.Command.CommandID(), Delivery: d.Count}
	if _, ok := d.Command.(Start); !ok {
		me.Stream, me.Sequence = d.Stream, d.Sequence
	}
	spare := a.spare
	if a.in != nil {
		spare = a.in
	}
	clear(a.tasks[:cap(a.tasks)])
	clear(a.results[:cap(a.results)])
	clear(a.underWay[:cap(a.underWay)])
	clear(a.given[:cap(a.given)])
	*a = Activation{
		conf: a.conf, key: d.Key, cmd: d.Command, me: me, doubtful: d.Doubtful, spare: spare, room: a.conf.MaxCommit,
		tasks: a.tasks[:0], results: a.results[:0], underWay: a.underWay[:0], given: a.given[:0],
	}
}

// blank gives a saga without commits.
func (a *Activation) blank() *Instance {
	in := a.spare
	a.spare = nil
	if in == nil {
		return NewInstance(a.key)
	}
	in.empty(a.key)
	return in
}

// Owner is the activation's identity, as its commits bear it.
func (a *Activation) Owner() Owner { return a.me }

// Instance is the saga as the activation last knew it; nil before anything was loaded. The caller must not
// change it, nor keep it over the next call.
func (a *Activation) Instance() *Instance { return a.in }

// Begin gives the first action.
func (a *Activation) Begin(now time.Time) Action {
	start, ok := a.cmd.(Start)
	if !ok || a.me.Delivery != 1 || a.doubtful || start.Previous != "" {
		return a.load(Any)
	}
	a.in = a.blank()
	if retry, ok := a.know(start.Definition); !ok {
		return retry
	}
	// Which version an open Start is taken for has to be in the log before anything runs under it: another worker
	// may take it for another, whose steps are not those that would have to be undone. So has a state that may be too large to
	// get in.
	a.opening = start.Definition != 0 && start.State.Size() <= a.conf.MaxState
	a.start(now, start)
	return a.proceed(now)
}

// Loaded takes the end of the saga's log.
func (a *Activation) Loaded(now time.Time, log Log) Action {
	in, err := Fold(a.key, log.Commits)
	if err != nil {
		return a.Unreadable(err)
	}
	a.in, a.rev, a.base, a.tail = in, log.Revision, log.Base, 0
	for _, c := range log.Commits[min(1, len(log.Commits)):] {
		a.tail += eventsSize(c.Events)
	}
	switch {
	case in.Owner != a.me:
		return a.admit(now)
	case a.level != Latest:
		// A delivery that the server has forgotten comes again under the same count: the activation of the first may have ended,
		// which a replica need not show.
		return a.load(Latest)
	default:
		return a.resume(now)
	}
}

// Unreadable takes the error of a load that found the log, but could not read it: an [*UnknownError] leaves
// the saga to a newer worker; anything else sets the command aside.
func (a *Activation) Unreadable(err error) Action {
	var unknown *UnknownError
	if errors.As(err, &unknown) {
		return a.retry(err)
	}
	return a.reject(err)
}

// Appended takes that the commit is in the log, at the revision given.
func (a *Activation) Appended(now time.Time, revision uint64) Action {
	if a.snapped || a.in.Version == 1 {
		a.base, a.tail = revision, 0
	} else {
		a.tail += a.size
	}
	a.rev = revision
	a.results = slices.Delete(a.results, 0, a.taken)
	a.events, a.size, a.taken, a.poke = nil, 0, 0, ""
	switch {
	case a.verdict != nil:
		return a.verdict()
	case a.in.Owner != a.me:
		return a.ack() // ended, parked, or left to the owner
	case len(a.results) > 0:
		return a.resume(now) // they had no room in the commit
	case a.stands:
		return a.next(now, &walk{in: a.in, now: latest(now, a.in.Clock), tasks: a.tasks})
	default:
		return a.proceed(now)
	}
}

// Conflicted takes that the log had moved on and the commit is not in it, or is already.
func (a *Activation) Conflicted() Action {
	a.results = slices.DeleteFunc(a.results, func(r Result) bool { return r.Task.Kind.Asks() }) // nor could it answer then
	return a.load(Latest)
}

// Ran takes the results of tasks: all that there are at the moment, so that they get into the log together, as far as a commit
// has room for them.
func (a *Activation) Ran(now time.Time, results ...Result) Action {
	a.results = append(a.results, results...)
	fresh := a.results[len(a.results)-len(results):]
	for i := range fresh {
		t := &fresh[i].Task
		if at := slices.IndexFunc(a.underWay, func(u Task) bool { return u.same(t) }); at >= 0 {
			fresh[i].Given = a.given[at]
			a.underWay, a.given = slices.Delete(a.underWay, at, at+1), slices.Delete(a.given, at, at+1)
		}
		if !t.Kind.Asks() {
			a.opening = false
		}
	}
	return a.resume(now)
}

// Next gives what else there is to do while tasks are under way, after an action that was [Action.More].
func (a *Activation) Next(now time.Time) Action { return a.proceed(now) }

// Published takes that what was emitted is on the outbox's topics.
func (a *Activation) Published(now time.Time) Action {
	a.record(now, EmissionsPublished{})
	if a.in.Owner != a.me {
		return a.admit(now) // to end the saga
	}
	return a.proceed(now)
}

// Told takes that the parent was sent word of how the saga has ended.
func (a *Activation) Told(time.Time) Action {
	a.told = true
	return a.ack()
}

// Woken takes that a wait is over; poked says that it was cut short because the log has moved on.
func (a *Activation) Woken(now time.Time, poked bool) Action {
	if poked {
		return a.load(Latest)
	}
	return a.proceed(now)
}

// StartFound takes the Start command that was asked for; nil where there is none.
func (a *Activation) StartFound(now time.Time, start *Start) Action {
	if start == nil {
		return a.reject(fmt.Errorf("saga %s has no run %s to %s", a.key, runOf(a.cmd), strings.ToLower(CommandName(a.cmd))))
	}
	return a.admitUnstarted(now, *start)
}

// load drops whatever was decided on the log as it was before, and what the state was asked and has answered: it may be another.
// What handlers have done is kept.
func (a *Activation) load(c Consistency) Action {
	a.results = slices.DeleteFunc(a.results, func(r Result) bool { return r.Task.Kind.Asks() && r.Err == nil })
	a.events, a.size, a.taken, a.poke = nil, 0, 0, ""
	a.opening, a.refused, a.stands, a.verdict = false, false, false, nil
	a.level = c
	return Action{Do: ActLoad, Consistency: c}
}

// resume goes on as the owner, with what came of tasks. What the commit has no room for waits until that is in the log.
func (a *Activation) resume(now time.Time) Action {
	if retry, ok := a.know(a.in.Definition); !ok {
		return retry
	}
	for ; a.taken < len(a.results); a.taken++ {
		if a.full(0) {
			return a.append(now)
		}
		r := &a.results[a.taken]
		if a.stands && isAmong(&r.Task, a.tasks) || calledFor(a.tasks, a.plan, a.in, &r.Task, now) {
			before := len(a.events)
			events := decide(a.events, a.plan, a.in, r, now)
			if a.full(eventsSize(events[before:])) {
				return a.append(now)
			}
			a.events = events
			a.apply(now, events[before:], r.State)
		}
	}
	return a.proceed(now)
}

// maxEvents is how many events a commit holds before it is appended, whatever else would follow by itself.
const maxEvents = 100

// proceed goes on as the owner: it settles what follows by itself and gives the next thing to do. What was
// decided is in the log before the next handler runs.
func (a *Activation) proceed(now time.Time) Action {
	for {
		w := walk{p: a.plan, in: a.in, now: now, most: a.conf.MaxState, busy: a.underWay, tasks: a.tasks[:0]}
		w.run()
		a.tasks, a.stands = w.tasks, w.stands()
		switch {
		case w.fact == nil:
			return a.next(now, &w)
		case len(a.events) >= maxEvents || a.full(eventSize(w.fact)):
			return a.append(now)
		case ends(w.fact):
			a.cancelTimers(now, time.Time{})
			a.record(now, w.fact)
			return a.append(now)
		}
		a.record(now, w.fact)
	}
}

// next gives the next thing to do where nothing follows by itself.
func (a *Activation) next(now time.Time, w *walk) Action {
	var run *Task
	more := false
	wake := w.until
	for i := range w.tasks {
		t := &w.tasks[i]
		switch {
		case isAmong(t, a.underWay):
		case t.Kind.Asks():
			return Action{Do: ActAsk, Plan: a.plan, Task: *t, State: a.in.View(t.Scope), Input: a.in.input(t)}
		case t.NotBefore.After(w.now):
			if wake.IsZero() || t.NotBefore.Before(wake) {
				wake, w.waits = t.NotBefore, t.Step
			}
		case run == nil:
			run = t
		default:
			more = true
		}
	}
	switch {
	case len(a.events) == 0 && len(a.in.Outbox) > 0:
		return Action{Do: ActPublish, Emissions: a.in.Outbox}
	case run != nil && a.mustAppend():
		return a.append(now)
	case run != nil:
		state := a.in.View(run.Scope)
		a.underWay, a.given = append(a.underWay, *run), append(a.given, state)
		return Action{Do: ActRun, Plan: a.plan, Task: *run, State: state, More: more, Until: wake}
	case len(a.underWay) > 0 || len(a.in.Outbox) > 0:
		if a.mustAppend() {
			return a.append(now)
		}
		return Action{Do: ActWait, Until: wake}
	case wake.IsZero() && !w.waiting:
		return a.reject(&CorruptError{Key: a.key, Version: a.in.Version,
			Err: fmt.Errorf("the log does not fit version %d of the definition", a.in.Definition)})
	case wake.IsZero() || wake.Sub(now) > a.conf.ParkAfter:
		return a.park(now, wake, w.waits)
	case a.mustAppend():
		return a.append(now)
	default:
		return Action{Do: ActWait, Until: wake}
	}
}

// park leaves the saga to whatever comes next: a command, or the timer that is set for when the first wait is over.
func (a *Activation) park(now, wake time.Time, waits string) Action {
	a.cancelTimers(now, wake)
	if !wake.IsZero() && len(a.in.Timers) == 0 {
		a.record(now, TimerSet{Name: a.timerName(wake), At: wake, Step: waits})
	}
	a.record(now, SagaParked{})
	return a.append(now)
}

// cancelTimers takes back all timers but one for the time that is wanted.
func (a *Activation) cancelTimers(now, wanted time.Time) {
	for _, name := range slices.Sorted(maps.Keys(a.in.Timers)) {
		if wanted.IsZero() || !a.in.Timers[name].At.Equal(wanted) {
			a.record(now, TimerCancelled{Name: name})
		}
	}
}

// mustAppend reports whether something was decided that has to be in the log before a handler runs. On the first
// delivery of a first Start nothing has: there is nothing yet to own. That emissions are published can wait: they
// are published again if it is forgotten.
func (a *Activation) mustAppend() bool {
	for i, e := range a.events {
		if _, begins := e.(SagaStarted); begins && a.opening && i == 0 {
			continue
		}
		if _, published := e.(EmissionsPublished); !published {
			return true
		}
	}
	return false
}

// ends reports whether an event ends a run.
func ends(e Event) bool {
	switch e.(type) {
	case SagaCompleted, SagaCompensated, SagaStuck, SagaTerminated:
		return true
	default:
		return false
	}
}

// exposed gives the steps of which an activation that is gone may have made an attempt.
func (a *Activation) exposed(now time.Time) []string {
	if a.in.Status != StatusRunning {
		return nil
	}
	w := walk{p: a.plan, in: a.in, now: now, any: true}
	w.forward(a.plan.Root, frame{})
	steps := slices.Clone(a.in.Unsettled)
	for _, t := range w.tasks {
		if !t.Undo && !t.Kind.Asks() && !slices.Contains(steps, t.Step) {
			steps = append(steps, t.Step)
		}
	}
	return steps
}

// start records the beginning of a run.
func (a *Activation) start(now time.Time, s Start) {
	definition := s.Definition
	if definition == 0 && a.plan != nil {
		definition = a.plan.Version
	}
	e := SagaStarted{
		Run: s.Run, Definition: definition, State: s.State,
		Deadline: s.Deadline, Parent: s.Parent, Attributes: s.Attributes,
	}
	if e.Attributes == nil && a.plan != nil && a.plan.attributes != nil {
		e.Attributes = a.plan.attributes(s.State) // who sent the Start did not know of them
	}
	a.record(now, e)
	if a.me.Command == s.Run && a.me.Delivery == 1 && !a.doubtful {
		return // only a Start's first delivery knows that no other has tried the first step
	}
	if e.Unsettled = a.exposed(now); len(e.Unsettled) > 0 {
		a.events[len(a.events)-1], a.in.Unsettled = e, e.Unsettled
	}
}

// record applies events, to be appended with the next commit.
func (a *Activation) record(now time.Time, events ...Event) {
	if a.events == nil {
		a.events = make([]Event, 0, fewEvents)
	}
	a.events = append(a.events, events...)
	a.apply(now, events, State{})
}

// fewEvents is for how many events a commit has room from the beginning.
const fewEvents = 2

// apply has events change the saga. left is the state that a handler left, where they are what came of it.
func (a *Activation) apply(now time.Time, events []Event, left State) {
	a.stands = a.stands && len(events) == 0
	a.size += eventsSize(events)
	for _, e := range events {
		a.in.apply(e, stamp{a.in.Version + 1, now, a.me, left})
	}
	a.index(now, events, left)
}

// append makes a commit of what was recorded.
func (a *Activation) append(now time.Time) Action {
	a.in.Version++
	a.in.UpdatedAt = now
	if _, begins := a.events[0].(SagaStarted); begins {
		a.in.StartedAt = now // the log knows of no time but the commit's
	}
	c := &Commit{Version: a.in.Version, Time: now, By: a.me, Base: a.base, Events: a.events}
	if a.snapped = a.snapshotDue(); a.snapped {
		c.Snapshot = a.in.clone()
	}
	action := Action{Do: ActAppend, Commit: c, Revision: a.rev, Poke: a.poke}
	if a.snapped && a.plan != nil {
		c.Keep = a.plan.keep
		if c.Version > c.Keep {
			action.Keep = c.Keep
		}
	}
	return action
}

// snapshotDue reports whether the commit of the present version carries a snapshot: when it parks the saga, since the next
// activation loads it, and every so often. A large one has to be worth it: it is no larger than the events that readers need not
// read any more. So a log holds less in snapshots than in events, and a reader reads, beside the commit where it begins, less than
// the saga's size and what was appended since a snapshot was last considered.
func (a *Activation) snapshotDue() bool {
	if a.room == 0 || !a.in.Parked && a.in.Version%SnapshotEvery != 0 {
		return false
	}
	size := a.in.size()
	return size <= smallSnapshot || a.size+size <= a.room && a.tail >= size
}

// smallSnapshot is how large a snapshot is, in bytes, that is always worth it.
const smallSnapshot = 16 << 10

// timerName gives a name that no other timer can have: it bears the version that the commit will have; the activation, since
// two may compete for a version; and the time, since an activation whose commit met a conflict may set another, while the
// schedule of the first is on the server and fires.
func (a *Activation) timerName(at time.Time) string {
	who := uuid.NewSHA1(timerSpace, fmt.Appendf(nil, "%s\x00%s\x00%d\x00%d", a.me.Worker, a.me.Command, a.me.Delivery, at.UnixNano()))
	return fmt.Sprintf("wake-%d-%x", a.in.Version+1, who[:6])
}

// timerSpace is the UUIDv5 namespace of the activation's mark in timer names.
var timerSpace = uuid.MustParse("0b5f8a52-6f0e-5d1b-8a57-74696d657273")

// know finds the plan. Where the worker lacks it, the command is left to one that has it.
func (a *Activation) know(version int) (retry Action, ok bool) {
	a.plan = a.conf.Plan(a.key.Definition, version)
	if a.plan == nil {
		return a.retry(fmt.Errorf("saga %s: this worker does not know version %d of definition %q",
			a.key, version, a.key.Definition)), false
	}
	return Action{}, true
}

// ack is allowed only on grounds that no later event can take away; see admit.go. Whatever command finds that a saga with a
// parent has ended sees to it that the parent knows: the activation that ended it may have died before it could tell.
func (a *Activation) ack() Action {
	if a.told || a.in == nil || !a.in.Ended() || a.in.Parent == nil {
		return Action{Do: ActAck}
	}
	done := ChildDone{Ref: ChildRef{a.key, a.in.Run}, Status: a.in.Status, Error: a.in.Error, Refused: a.refused}
	if done.Status == StatusCompleted {
		done.State = a.in.State
	}
	return a.tell(*a.in.Parent, done)
}

// tell has the parent of a run know how that has ended.
func (a *Activation) tell(p Parent, done ChildDone) Action {
	done.Run, done.Step, done.Version = p.Run, p.Step, a.in.Version
	done.ID = fmt.Sprintf("%s-%d-%s", done.Ref.Run, done.Version, a.me.Command)
	return Action{Do: ActTell, Word: &Word{To: p.Key, Done: done}}
}

func (a *Activation) retry(reason error) Action {
	return Action{Do: ActRetry, Delay: a.redeliverAfter(), Reason: reason}
}

func (a *Activation) reject(reason error) Action { return Action{Do: ActReject, Reason: reason} }

// redeliverAfter doubles from half a second, for the first delivery, up to half a minute.
func (a *Activation) redeliverAfter() time.Duration {
	const first, longest = 250 * time.Millisecond, 30 * time.Second
	return min(first<<min(a.me.Delivery, 10), longest)
}
