package sagatest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// actor is a worker that drives one activation.
type actor struct {
	w      *world
	m      *message
	id     string
	core   *saga.Activation
	action saga.Action

	tasks   []saga.Action // given out, and not ended
	waiting bool
	until   time.Time // zero: for as long as it takes
	poked   bool
	lost    []func() // what to do should it leave before the results of its attempts are stored, the last first
}

// step carries out one action.
func (a *actor) step() {
	w := a.w
	switch action := a.action; action.Do {
	case saga.ActLoad:
		log, err := w.load(a.m.key, action.Consistency)
		if err != nil {
			a.action = a.core.Unreadable(err)
			return
		}
		a.action = a.core.Loaded(w.now, log)
	case saga.ActAppend:
		a.append(action)
	case saga.ActRun:
		a.tasks = append(a.tasks, action)
		if action.More {
			a.action = a.core.Next(w.now)
			return
		}
		a.wait(action.Until)
	case saga.ActAsk:
		state, answer, err := w.runnable(a.m.key.Definition, action.Plan.Version).NewRunner().Ask(action.Task, action.State, *action.Input)
		a.action = a.core.Ran(w.now, saga.Result{Task: action.Task, State: state, Answer: &answer, Err: err})
	case saga.ActWait:
		a.wait(action.Until)
	case saga.ActPublish:
		for _, e := range action.Emissions {
			if !slices.ContainsFunc(w.emissions, func(known saga.Emission) bool { return known.ID == e.ID }) {
				w.emissions = append(w.emissions, e)
			}
		}
		a.action = a.core.Published(w.now)
	case saga.ActTell:
		w.send(action.Word.To, action.Word.Done)
		a.action = a.core.Told(w.now)
	case saga.ActFindStart:
		a.action = a.core.StartFound(w.now, w.findStart(a.m.key, action.Run))
	default:
		a.finalise(action)
	}
}

func (a *actor) wait(until time.Time) { a.waiting, a.until = true, until }

func (a *actor) wake() {
	poked := a.poked
	a.waiting, a.poked = false, false
	if poked && len(a.tasks) > 0 && saga.Superseded(a.core.Owner(), a.w.fold(a.m.key)) {
		a.tasks = nil // cut off: what they give is not wanted any more
	}
	a.action = a.core.Woken(a.w.now, poked)
}

func (a *actor) append(action saga.Action) {
	w := a.w
	if w.crash(w, action.Commit, false) {
		a.die()
		return
	}
	revision, err := w.journal.Append(context.Background(), a.m.key, action.Revision, action.Commit)
	switch {
	case errors.Is(err, saga.ErrConflict):
		a.action = a.core.Conflicted()
		return
	case err != nil:
		panic(fmt.Sprintf("sagatest: saga %s: %v", a.m.key, err))
	}
	w.commits++
	a.lost = nil
	for _, e := range action.Commit.Events {
		if dismissed, ok := e.(saga.CommandDismissed); ok && dismissed.Command != "Cancel" && dismissed.Command != "Undo" {
			w.refused[dismissed.ID] = true // a saga is cancelled once, and which of several requests that was is no matter
		}
	}
	if action.Poke != "" {
		w.poke(action.Poke)
	}
	if w.crash(w, action.Commit, true) {
		a.die()
		return
	}
	if action.Keep > 0 {
		w.journal.Compact(a.m.key, action.Keep, action.Commit.Version)
	}
	a.action = a.core.Appended(w.now, revision)
}

// finish ends one of the tasks.
func (a *actor) finish(i int) {
	action := a.tasks[i]
	a.tasks = slices.Delete(a.tasks, i, i+1)
	a.waiting = false
	a.action = a.core.Ran(a.w.now, a.perform(action))
}

// perform carries out a task.
func (a *actor) perform(action saga.Action) saga.Result {
	t := action.Task
	info := saga.Info{
		Key: a.m.key, Run: a.core.Instance().Run, DefinitionVersion: action.Plan.Version,
		Step: saga.StepName(t.Step), StepKey: t.Step, Undo: t.Undo, Attempt: t.Attempt,
	}
	r := a.w.call(a, action, info)
	r.Task, r.Delay = t, delay(action.Plan.Policy(t), t.Attempt)
	return r
}

// attempt carries out a task as the engine does.
func (a *actor) attempt(action saga.Action, info saga.Info) (r saga.Result) {
	w := a.w
	def := w.runnable(a.m.key.Definition, action.Plan.Version)
	runner := def.NewRunner()
	switch action.Task.Kind {
	case saga.TaskStart:
		r.Child, r.Err = a.startChild(runner, action, info)
		return r
	case saga.TaskRecall:
		child, undo, _ := a.core.Instance().Recall(action.Task.Step, w.now)
		w.send(child, undo)
		return r
	default:
	}
	ctx := saga.WithEffects(saga.NewContext(context.Background(), info), w.remembered)
	guarded := action.Plan.Step(action.Task.Step).Guarded
	if record, known := w.remembered[info.GuardKey()]; guarded && known {
		r.Err = r.Recall(action.State, record)
		return r
	}
	if replaced := w.replacement(def, info); replaced != nil {
		r = replaced.run(ctx, def, action.State)
	} else {
		r.State, r.Err = runner.Run(ctx, action.Task, action.State)
		r.Attributes = runner.Attributes()
	}
	r.Emits = saga.Emitted(ctx)
	if r.Err == nil && guarded {
		w.remembered[info.GuardKey()], r.Err = r.Record(action.State)
	}
	if r.Err == nil {
		e := Effect{Key: info.Key, Run: info.Run, Step: info.StepKey, Undo: info.Undo, id: info.IdempotencyKey()}
		w.effects = append(w.effects, e)
		for _, emission := range r.Emits {
			w.emitted[emission.ID] = e
		}
	}
	return r
}

func (a *actor) startChild(runner saga.Runner, action saga.Action, info saga.Info) (*saga.ChildRef, error) {
	_, answer, err := runner.Ask(action.Task, action.State, saga.Input{})
	if err != nil {
		return nil, saga.Permanent(err)
	}
	spec := action.Plan.Node(action.Task.Step).Child
	ref := saga.NewChildRef(info.Key, info.Run, action.Task.Step, spec.Definition, answer.Choice)
	start := saga.Start{Run: ref.Run, Definition: spec.Version, State: answer.Items[0], Time: a.w.now}
	if !spec.Detached {
		start.Parent = &saga.Parent{Key: info.Key, Run: info.Run, Step: action.Task.Step}
	}
	if !a.w.start(ref.Key, start) {
		return nil, saga.Permanent(fmt.Errorf("the child %s exists, and was not started by this saga", ref.Key))
	}
	return &ref, nil
}

// delay gives the rest before an attempt, without jitter.
func delay(p saga.RetryPolicy, attempt int) time.Duration {
	d := float64(p.Initial) * math.Pow(p.Factor, float64(attempt-1))
	return time.Duration(min(d, float64(p.Max)))
}

// finalise answers for the command.
func (a *actor) finalise(action saga.Action) {
	w := a.w
	w.tell("%s: message %d: %v %v", a.id, a.m.sequence, action.Do, action.Reason)
	switch action.Do {
	case saga.ActAck:
		w.journal.SetTimers(a.m.key, action.Rearm)
		a.m.done = true
	case saga.ActRetry:
		a.m.due = w.now.Add(action.Delay)
	case saga.ActReject:
		w.rejected = append(w.rejected, action.Reason)
		w.refused[a.m.command.CommandID()] = true
		a.m.done = true
	case saga.ActDrop:
		a.m.due = w.now.Add(redelivered)
	default:
		panic(fmt.Sprintf("sagatest: action %v is not one to finish with", action.Do))
	}
	a.leave()
}

// die is the end of the worker. Its command is delivered to another.
func (a *actor) die() {
	a.m.due = a.w.now.Add(redelivered)
	a.leave()
}

func (a *actor) leave() {
	for _, restore := range slices.Backward(a.lost) {
		restore()
	}
	if a.m.holder == a {
		a.m.holder = nil
	}
	a.w.actors = slices.DeleteFunc(a.w.actors, func(other *actor) bool { return other == a })
}

// findStart looks a Start up among the stored commands.
func (w *world) findStart(key saga.Key, run string) *saga.Start {
	for _, m := range w.messages {
		if start, ok := m.command.(saga.Start); ok && m.key == key && start.Run == run {
			return &start
		}
	}
	return nil
}
