package saga_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// storyTime is when every story begins. Times are printed as what has passed since.
var storyTime = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// theSaga is the one that all stories are about.
var theSaga = saga.Key{Definition: "order", ID: "o-1"}

// cargo is the state of the plans in stories. Handlers are never called: a story says what they did.
type cargo struct{}

// world is what surrounds the activations of a story: workers, a log, stored commands and schedules.
type world struct {
	t           *testing.T
	now         time.Time
	plans       map[int]*saga.Plan
	workers     map[string][]int // the versions that a worker knows; one that is not listed knows all
	log         [][]byte         // encoded commits; a revision is a place in it, from 1 on
	commands    map[string]*stored
	schedules   map[string]saga.Timer
	activations map[string]*driven
}

// stored is a command in the stream.
type stored struct {
	saga.Command
	sequence   uint64
	deliveries uint64
}

// driven is an activation and what it waits for.
type driven struct {
	*saga.Activation
	name   string
	action saga.Action
}

func newWorld(t *testing.T) *world {
	return &world{
		t: t, now: storyTime, plans: map[int]*saga.Plan{}, workers: map[string][]int{},
		commands: map[string]*stored{}, schedules: map[string]saga.Timer{}, activations: map[string]*driven{},
	}
}

// carryOut carries out a directive and gives what it prints. An error is a mistake in the story. Any directive may
// say at=DURATION, which sets the clock; it stands still otherwise.
func (w *world) carryOut(d directive) (string, error) {
	directives := map[string]func(directive) (string, error){
		// plan VERSION: defines a version of the definition, a step a line: NAME [undo] [pivot] [attempts=N]
		// [undo-attempts=N].
		"plan": w.plan,
		// worker NAME knows=V,V: says which versions a worker knows.
		"worker": w.worker,
		// send NAME start|cancel|timer ...: stores a command under a name of the story's own.
		"send": w.send,
		// fire NAME TIMER: has the server send the command of a schedule, given by the beginning of its name.
		"fire": w.fire,
		// deliver NAME COMMAND to=WORKER [count=N] [doubtful]: begins an activation under a name.
		"deliver": w.deliver,
		// load NAME [upto=VERSION]: answers a load; by a replica that lags, where upto is given.
		"load": w.load,
		// append NAME [lost|ambiguous|conflict]: answers an append. One that is lost has no effect, and one that is
		// ambiguous has, but the caller is not told and will repeat it. A conflict may be given for nothing.
		"append": w.append,
		// drive NAME: answers loads and appends until something else is asked for.
		"drive": w.drive,
		// ran NAME [state=JSON] [error=TEXT [permanent] [put-off] [after=D] [panic]] [delay=D]: answers a run.
		"ran": w.ran,
		// woken NAME [poked]: ends a wait.
		"woken": w.woken,
		// found NAME: answers a search for a Start.
		"found": w.found,
		// commit BY: appends events that others wrote, one a line: TYPE JSON. BY is WORKER/COMMAND#DELIVERY.
		"commit": w.commit,
		// raw: appends each line to the log as it is.
		"raw": w.raw,
		// log [from=VERSION], instance, machine, schedules: print.
		"log":       w.printLog,
		"instance":  w.printInstance,
		"machine":   w.printMachine,
		"schedules": w.printSchedules,
		// superseded NAME: whether the log shows that an activation has lost the saga.
		"superseded": w.superseded,
	}
	do, ok := directives[d.name]
	if !ok {
		return "", errors.New("no such directive")
	}
	if _, timed := d.args["at"]; timed {
		passed, err := d.duration("at")
		if err != nil {
			return "", err
		}
		w.now = storyTime.Add(passed)
	}
	return do(d)
}

func (w *world) plan(d directive) (string, error) {
	version, err := strconv.Atoi(d.word(0))
	if err != nil {
		return "", err
	}
	none := func(context.Context, *cargo) error { return nil }
	var nodes []saga.Node[cargo]
	for _, line := range d.input {
		s, _, err := parseDirective([]string{line})
		if err != nil {
			return "", err
		}
		step := saga.Step(s.name, none)
		if n := s.args["attempts"]; n != "" {
			step = step.Retry(saga.RetryPolicy{Attempts: mustAtoi(n)})
		}
		if s.says("undo") {
			step = step.Compensate(none)
		}
		if n := s.args["undo-attempts"]; n != "" {
			step = step.CompensateRetry(saga.RetryPolicy{Attempts: mustAtoi(n)})
		}
		if s.says("pivot") {
			step = step.Pivot()
		}
		nodes = append(nodes, step)
	}
	def, err := saga.Define(theSaga.Definition, version, nodes...)
	if err != nil {
		return "", err
	}
	w.plans[version] = def.Plan()
	return "", nil
}

func mustAtoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func (w *world) worker(d directive) (string, error) {
	w.workers[d.word(0)] = []int{}
	for v := range strings.SplitSeq(d.args["knows"], ",") {
		if v != "" {
			w.workers[d.word(0)] = append(w.workers[d.word(0)], mustAtoi(v))
		}
	}
	return "", nil
}

// known gives the plans as a worker knows them.
func (w *world) known(worker string) func(string, int) *saga.Plan {
	return func(_ string, version int) *saga.Plan {
		versions, limited := w.workers[worker]
		if !limited {
			versions = slices.Collect(maps.Keys(w.plans))
		}
		if version == 0 && len(versions) > 0 {
			version = slices.Max(versions)
		}
		if !slices.Contains(versions, version) {
			return nil
		}
		return w.plans[version]
	}
}

func (w *world) send(d directive) (string, error) {
	name := d.word(0)
	var c saga.Command
	switch d.word(1) {
	case "start":
		definition, err := d.number("definition")
		if err != nil {
			return "", err
		}
		state, err := saga.ParseState([]byte(cmp.Or(d.args["state"], "{}")))
		if err != nil {
			return "", err
		}
		c = saga.Start{Run: d.args["run"], Definition: int(definition), Previous: d.args["previous"], State: state, Time: w.now}
	case "cancel":
		c = saga.Cancel{ID: d.args["id"], Run: d.args["run"], Reason: d.args["reason"], By: d.args["by"], Time: w.now}
	case "timer":
		version, err := d.number("version")
		if err != nil {
			return "", err
		}
		c = saga.Timer{Name: d.args["name"], Version: version}
	default:
		return "", fmt.Errorf("no command %q", d.word(1))
	}
	return "", w.store(name, c)
}

// store keeps a command as it comes off the wire.
func (w *world) store(name string, c saga.Command) error {
	data, err := saga.EncodeCommand(c)
	if err != nil {
		return err
	}
	if c, err = saga.DecodeCommand(data); err != nil {
		return err
	}
	w.commands[name] = &stored{Command: c, sequence: uint64(len(w.commands) + 1)}
	return nil
}

func (w *world) fire(d directive) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(w.schedules)) {
		if strings.HasPrefix(name, d.word(1)) {
			return fmt.Sprintf("%s\n", name), w.store(d.word(0), w.schedules[name])
		}
	}
	return "", fmt.Errorf("no schedule begins with %q; there are %v", d.word(1), slices.Sorted(maps.Keys(w.schedules)))
}

func (w *world) deliver(d directive) (string, error) {
	c := w.commands[d.word(1)]
	if c == nil {
		return "", fmt.Errorf("no command was sent as %q", d.word(1))
	}
	count, err := d.number("count")
	if err != nil {
		return "", err
	}
	c.deliveries++
	a := &driven{name: d.word(0)}
	a.Activation = saga.NewActivation(
		saga.ActivationConfig{Worker: d.args["to"], Plan: w.known(d.args["to"])},
		saga.Delivery{
			Key: theSaga, Command: c.Command, Count: cmp.Or(count, c.deliveries),
			Stream: "S", Sequence: c.sequence, Doubtful: d.says("doubtful"),
		},
	)
	w.activations[a.name] = a
	return w.next(a, a.Begin(w.now)), nil
}

// waiting gives the activation that a directive is about, provided it waits for such an answer.
func (w *world) waiting(d directive, kind saga.ActionKind) (*driven, error) {
	a := w.activations[d.word(0)]
	switch {
	case a == nil:
		return nil, fmt.Errorf("no activation is named %q", d.word(0))
	case a.action.Do != kind:
		return nil, fmt.Errorf("%s is to %v", a.name, a.action.Do)
	}
	return a, nil
}

func (w *world) load(d directive) (string, error) {
	a, err := w.waiting(d, saga.ActLoad)
	if err != nil {
		return "", err
	}
	upto, err := d.number("upto")
	if err != nil {
		return "", err
	}
	if d.args["upto"] == "" {
		upto = uint64(len(w.log))
	} else if a.action.Consistency == saga.Latest {
		return "", errors.New("the leader does not lag")
	}
	return w.answerLoad(a, upto), nil
}

func (w *world) answerLoad(a *driven, upto uint64) string {
	log, err := w.read(upto)
	if err != nil {
		return w.next(a, a.Unreadable(err))
	}
	return w.next(a, a.Loaded(w.now, log))
}

func (w *world) append(d directive) (string, error) {
	a, err := w.waiting(d, saga.ActAppend)
	if err != nil {
		return "", err
	}
	switch {
	case d.says("lost"):
		return "", nil
	case d.says("ambiguous"):
		_, err := w.put(a)
		return "", err
	case d.says("conflict"):
		return w.next(a, a.Conflicted()), nil
	}
	return w.answerAppend(a)
}

func (w *world) answerAppend(a *driven) (string, error) {
	revision, err := w.put(a)
	switch {
	case errors.Is(err, saga.ErrConflict):
		return w.next(a, a.Conflicted()), nil
	case err != nil:
		return "", err
	}
	w.checkBelief(a)
	poke := a.action.Poke
	printed := w.next(a, a.Appended(w.now, revision))
	if poke != "" {
		printed = fmt.Sprintf("%s: pokes %s\n%s", a.name, poke, printed)
	}
	return printed, nil
}

func (w *world) drive(d directive) (string, error) {
	a := w.activations[d.word(0)]
	if a == nil {
		return "", fmt.Errorf("no activation is named %q", d.word(0))
	}
	var out strings.Builder
	for {
		var printed string
		var err error
		switch a.action.Do {
		case saga.ActLoad:
			printed = w.answerLoad(a, uint64(len(w.log)))
		case saga.ActAppend:
			printed, err = w.answerAppend(a)
		default:
			return out.String(), nil
		}
		if err != nil {
			return "", err
		}
		out.WriteString(printed)
	}
}

func (w *world) ran(d directive) (string, error) {
	a, err := w.waiting(d, saga.ActRun)
	if err != nil {
		return "", err
	}
	r := saga.Result{Task: a.action.Task, State: a.action.State, Took: time.Millisecond}
	if r.Delay, err = d.duration("delay"); err != nil {
		return "", err
	}
	if text := d.args["state"]; text != "" {
		if r.State, err = saga.ParseState([]byte(text)); err != nil {
			return "", err
		}
	}
	if text, failed := d.args["error"]; failed {
		r.State = saga.State{}
		r.Err = errors.New(text)
	}
	if d.says("permanent") {
		r.Err = saga.Permanent(r.Err)
	}
	if d.says("put-off") {
		r.Err = saga.PutOff(r.Err)
	}
	if d.says("panic") {
		r.Err = &saga.PanicError{Value: d.args["error"], Stack: "the stack"}
	}
	if d.args["after"] != "" {
		after, err := d.duration("after")
		if err != nil {
			return "", err
		}
		r.Err = saga.RetryAfter(r.Err, after)
	}
	return w.next(a, a.Ran(w.now, r)), nil
}

func (w *world) woken(d directive) (string, error) {
	a, err := w.waiting(d, saga.ActWait)
	if err != nil {
		return "", err
	}
	return w.next(a, a.Woken(w.now, d.says("poked"))), nil
}

func (w *world) found(d directive) (string, error) {
	a, err := w.waiting(d, saga.ActFindStart)
	if err != nil {
		return "", err
	}
	for _, c := range w.commands {
		if start, ok := c.Command.(saga.Start); ok && start.Run == a.action.Run {
			return w.next(a, a.StartFound(w.now, &start)), nil
		}
	}
	return w.next(a, a.StartFound(w.now, nil)), nil
}

// next notes what an activation is to do and prints it.
func (w *world) next(a *driven, action saga.Action) string {
	a.action = action
	if action.Do == saga.ActAck {
		for name, timer := range action.Rearm {
			w.schedules[name] = saga.Timer{Name: name, Version: timer.Version}
		}
	}
	return fmt.Sprintf("%s: %s\n", a.name, printAction(action))
}

func (w *world) printSchedules(directive) (string, error) {
	if len(w.schedules) == 0 {
		return "none\n", nil
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.schedules)) {
		fmt.Fprintf(&out, "%s of version %d\n", name, w.schedules[name].Version)
	}
	return out.String(), nil
}

func (w *world) superseded(d directive) (string, error) {
	a := w.activations[d.word(0)]
	if a == nil {
		return "", fmt.Errorf("no activation is named %q", d.word(0))
	}
	in, err := w.fold()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%v\n", saga.Superseded(a.Owner(), in)), nil
}
