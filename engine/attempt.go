package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// run carries out a task: on this goroutine where there is nothing else to do meanwhile, or else beside it. A worker that stops
// begins none: what came of it could not be stored any more.
func (a *activation) run(action *saga.Action) (saga.Action, error) {
	if err := a.w.ctx.Err(); err != nil {
		return saga.Action{}, err
	}
	info := a.info(action)
	var undo recall
	if action.Task.Kind == saga.TaskRecall {
		undo.child, undo.cmd, undo.known = a.core.Instance().Recall(action.Task.Step, time.Now())
	}
	if !action.More && action.Until.IsZero() && a.beside == 0 {
		a.trying = true
		r := a.attempt(a.ownRunner(action.Plan), action, info, undo)
		a.trying = false
		return a.ended(r)
	}
	a.runBeside(*action, info, undo)
	if action.More {
		return a.core.Next(time.Now()), nil
	}
	return a.wait(action.Until)
}

// info is what a handler is told of its attempt.
func (a *activation) info(action *saga.Action) saga.Info {
	return saga.Info{
		Key: a.key(), Run: a.core.Instance().Run, DefinitionVersion: action.Plan.Version,
		Step: saga.StepName(action.Task.Step), StepKey: action.Task.Step, Undo: action.Task.Undo, Attempt: action.Task.Attempt,
	}
}

// runBeside carries out a task on a goroutine of its own, which end waits for. It is apart from run, in which nothing has to
// outlive the call.
func (a *activation) runBeside(action saga.Action, info saga.Info, undo recall) {
	if a.results == nil {
		a.results = make(chan saga.Result)
	}
	a.beside++
	go func() {
		r := saga.Result{Task: action.Task, Err: &saga.PanicError{Value: errExited}}
		returns := false
		defer func() { a.results <- r }()
		defer func() {
			if !returns {
				a.conclude(&action, info, &r)
			}
		}()
		r = a.attempt(a.newRunner(action.Plan), &action, info, undo)
		returns = true
	}()
}

// ownRunner gives the runner of what runs on the activation's own goroutine.
func (a *activation) ownRunner(plan *saga.Plan) saga.Runner {
	if a.runs != plan {
		a.runner, a.runs = a.newRunner(plan), plan
	}
	return a.runner
}

func (a *activation) newRunner(plan *saga.Plan) saga.Runner {
	return a.w.registry.runnable(a.key().Definition, plan.Version).NewRunner()
}

// ended takes the result of an attempt, and of those beside it that have ended, too.
func (a *activation) ended(r saga.Result) (saga.Action, error) {
	if a.beside == 0 {
		if a.cutShort(&r) {
			return saga.Action{}, a.w.ctx.Err()
		}
		return a.core.Ran(time.Now(), r), nil
	}
	all := append(make([]saga.Result, 0, 1+a.beside), r)
	for waiting := true; waiting; {
		select {
		case r := <-a.results:
			a.beside--
			all = append(all, r)
		default:
			waiting = false
		}
	}
	for i := range all {
		if a.cutShort(&all[i]) {
			return saga.Action{}, a.w.ctx.Err()
		}
	}
	return a.core.Ran(time.Now(), all...), nil
}

// cutShort tells an attempt that the worker's stop has cut off, which is no failure of the step.
func (a *activation) cutShort(r *saga.Result) bool { return r.Err != nil && a.w.ctx.Err() != nil }

// end cuts off what is still under way, and waits for it: its results are not wanted any more.
func (a *activation) end() {
	a.cutOff(saga.ErrClaimLost)
	if a.beside == 0 {
		return
	}
	a.w.crew.leave()
	defer a.w.crew.comeBack()
	for ; a.beside > 0; a.beside-- {
		<-a.results
	}
}

// ask has the state asked.
func (a *activation) ask(action *saga.Action) saga.Action {
	r := saga.Result{Task: action.Task}
	var answer saga.Answer
	r.State, answer, r.Err = a.ownRunner(action.Plan).Ask(action.Task, action.State, *action.Input)
	r.Answer = &answer
	now := time.Now()
	if r.Err == nil {
		r.Err = a.w.conf.tooLarge(&r, action.State)
	}
	return a.core.Ran(now, r)
}

// attempt makes one attempt of a task.
func (a *activation) attempt(runner saga.Runner, action *saga.Action, info saga.Info, undo recall) saga.Result {
	a.active.Add(1)
	defer a.active.Add(-1)
	task := action.Task
	ctx := saga.NewContext(a.handlers, info)
	if a.w.effects != nil {
		ctx = saga.WithEffects(ctx, effects{a.w.effects})
	}
	r := saga.Result{Task: task}
	begun := time.Now()
	switch task.Kind {
	case saga.TaskStart:
		r.Child, r.Err = a.startChild(ctx, runner, action, info)
	case saga.TaskRecall:
		r.Err = a.recallChild(ctx, info, undo)
	default:
		run := func(ctx context.Context) error {
			ctx, stop := a.limited(ctx, action.Plan.Timeout(task), task, info)
			defer stop()
			r.State, r.Err = runner.Run(ctx, task, action.State)
			r.Emits, r.Attributes = saga.Emitted(ctx), runner.Attributes()
			if r.Err == nil {
				r.Err = saga.Unknown(a.w.conf.tooLarge(&r, action.State)) // the handler has had its effect, which is to be undone
			}
			return r.Err
		}
		if spec := action.Plan.Step(task.Step); spec != nil && spec.Guarded {
			a.guarded(ctx, action, info, &r, run)
		} else {
			_ = run(ctx)
		}
	}
	r.Took = time.Since(begun)
	a.conclude(action, info, &r)
	return r
}

// conclude tells of an attempt that is over, and says how long to rest if it has failed.
func (a *activation) conclude(action *saga.Action, info saga.Info, r *saga.Result) {
	a.w.conf.Hooks.ran(info, r.Took, r.Err)
	if r.Err == nil {
		return
	}
	r.Delay = delay(action.Plan.Policy(action.Task), action.Task.Attempt)
	if saga.IsPutOff(r.Err) {
		r.Delay = putOff(a.w.conf.ParkAfter, action.Task.PutOff)
	}
	if a.w.ctx.Err() == nil {
		a.logFailure(info, r.Err)
	}
}

// limited gives the context of an attempt, which ends when its time is over, or that of the block around it.
func (a *activation) limited(ctx context.Context, timeout time.Duration, t saga.Task, info saga.Info) (context.Context, context.CancelFunc) {
	if timeout == 0 && t.Deadline.IsZero() {
		return ctx, func() {}
	}
	until, cause := t.Deadline, fmt.Errorf("step %q: attempt %d: %w: the deadline of the block around it has passed", info.StepKey, info.Attempt, context.DeadlineExceeded)
	if own := time.Now().Add(timeout); timeout > 0 && (until.IsZero() || own.Before(until)) {
		until, cause = own, fmt.Errorf("step %q: attempt %d: %w after %v", info.StepKey, info.Attempt, context.DeadlineExceeded, timeout)
	}
	return context.WithDeadlineCause(ctx, until, cause)
}

// startChild sends a child its Start. One that has it already is the same child, or the id is taken.
func (a *activation) startChild(ctx context.Context, runner saga.Runner, action *saga.Action, info saga.Info) (*saga.ChildRef, error) {
	_, answer, err := runner.Ask(action.Task, action.State, saga.Input{})
	if err != nil {
		return nil, saga.Permanent(err)
	}
	if err := a.w.conf.stateTooLarge(action.Task.Step, "would start its child with", answer.Items[0]); err != nil {
		return nil, err
	}
	spec := action.Plan.Node(action.Task.Step).Child
	ref := saga.NewChildRef(info.Key, info.Run, action.Task.Step, spec.Definition, answer.Choice)
	start := saga.Start{Run: ref.Run, Definition: spec.Version, State: answer.Items[0], Time: time.Now()}
	if !spec.Detached {
		start.Parent = &saga.Parent{Key: info.Key, Run: info.Run, Step: action.Task.Step}
	}
	err = a.w.ns.Start(ctx, ref.Key, start, 0)
	if !errors.Is(err, streams.ErrExists) {
		return &ref, err
	}
	starts, _, err := a.w.ns.Starts(ctx, ref.Key)
	if err != nil {
		return &ref, err
	}
	if slices.ContainsFunc(starts, func(s saga.Start) bool { return s.Run == ref.Run }) {
		return &ref, nil
	}
	// The Start of one that runs for ever is forgotten in time; its log still tells.
	log, err := a.w.journal.Load(ctx, ref.Key, saga.Latest)
	if err != nil {
		return &ref, err
	}
	child, err := saga.Fold(ref.Key, log.Commits)
	if err != nil {
		return &ref, err
	}
	if child.Run == ref.Run {
		return &ref, nil
	}
	return nil, saga.Permanent(fmt.Errorf("the child %s exists, and was not started by this saga", ref.Key))
}

// recall is what tells a child to undo what it has done.
type recall struct {
	child saga.Key
	cmd   saga.Undo
	known bool // there is a child
}

// recallChild tells a child to undo what it has done.
func (a *activation) recallChild(ctx context.Context, info saga.Info, undo recall) error {
	if !undo.known {
		return saga.Permanent(fmt.Errorf("step %q has no child", info.StepKey))
	}
	return a.w.ns.Send(ctx, undo.child, undo.cmd)
}

func (a *activation) logFailure(info saga.Info, err error) {
	level := slog.LevelWarn
	var panicked *saga.PanicError
	if errors.As(err, &panicked) {
		level = slog.LevelError
	}
	what := "attempt failed"
	if saga.IsPutOff(err) {
		what = "attempt put off"
	}
	a.w.log.Log(a.w.ctx, level, what, "saga", a.key().String(), "step", info.StepKey,
		"undo", info.Undo, "attempt", info.Attempt, "error", err)
}
