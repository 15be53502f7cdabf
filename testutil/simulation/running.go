package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// errStoreAway is what puts an attempt off.
var errStoreAway = errors.New("what remembers effects is away")

// running is a handler under way.
type running struct {
	action saga.Action
	script script
	begun  time.Time
	ctx    context.Context //nolint:containedctx // the handler's own, while it is under way in virtual time
	cancel context.CancelCauseFunc
	called bool // the handler has had its effect, or failed to
}

// interrupt looks at the log, and cuts the handlers off if another has taken the saga over.
func (a *activation) interrupt() {
	a.w.after(a.w.latency(), func() {
		log, err := a.w.store.load(a.m.subject.key, saga.Latest)
		if err != nil {
			return // the owner will notice at its next append
		}
		in, err := saga.Fold(a.m.subject.key, log.Commits)
		if err != nil {
			return
		}
		a.later(a.w.latency(), func() {
			if !saga.Superseded(a.core.Owner(), in) {
				return
			}
			a.w.say("%s: cuts its handlers off", a)
			for _, r := range slices.Clone(a.runs) {
				a.cutOff(r, saga.ErrClaimLost)
			}
		})
	})
}

// cutOff ends a handler's context.
func (a *activation) cutOff(r *running, cause error) {
	r.cancel(cause)
	if !r.script.deaf {
		a.perform(r)
	}
}

// runTask begins an attempt, and goes on with what else there is to do.
func (a *activation) runTask(action saga.Action) {
	a.m.subject.handlerStarts(a, action.Task)
	a.w.say("%s: runs %s", a, taskName(action.Task))
	beside := len(a.runs) > 0 || action.More || !action.Until.IsZero()
	switch action.Task.Kind {
	case saga.TaskStart, saga.TaskRecall:
		a.runMessage(action)
	default:
		a.runHandler(action)
	}
	switch {
	case action.More:
		a.w.sight(SeveralAtOnce)
		a.do(a.core.Next(a.on.clock()))
	case beside:
		a.wait(action.Until, true)
	default:
		a.wait(time.Time{}, false)
	}
}

func (a *activation) info(action saga.Action) saga.Info {
	task := action.Task
	return saga.Info{
		Key: a.m.subject.key, Run: a.core.Instance().Run, DefinitionVersion: action.Plan.Version,
		Step: saga.StepName(task.Step), StepKey: task.Step, Undo: task.Undo, Attempt: task.Attempt,
	}
}

// runHandler runs a handler: it takes its time and has its effect somewhere within it.
func (a *activation) runHandler(action saga.Action) {
	task, info := action.Task, a.info(action)
	if a.w.conf.Broken == WrongScope {
		action.State = a.core.Instance().State
	}
	r := &running{action: action, script: a.w.participants.find(info).script, begun: a.on.clock()}
	r.ctx, r.cancel = context.WithCancelCause(context.WithValue(saga.NewContext(context.Background(), info), callKey{}, &call{
		participants: a.w.participants, lastAttempt: task.Attempt == action.Plan.Policy(task).Attempts, deaf: r.script.deaf,
	}))
	a.runs = append(a.runs, r)
	if !task.Deadline.IsZero() {
		a.later(task.Deadline.Sub(a.on.clock()), func() {
			a.cutOff(r, fmt.Errorf("the deadline of the block around the step: %w", context.DeadlineExceeded))
		})
	}
	a.laterThan(a.w.between(0, r.script.took+1), func() { a.perform(r) }, func() { a.performInVain(r) })
}

// laterThan has something happen later, or something else if the activation is over by then and its worker lives: what has
// begun goes on.
func (a *activation) laterThan(d time.Duration, do, inVain func()) {
	incarnation := a.on.incarnation
	a.w.after(d, func() {
		switch {
		case !a.dead:
			a.later(0, do)
		case a.on.alive && a.on.incarnation == incarnation:
			inVain()
		}
	})
}

// performInVain lets a handler have its effect whose activation is over.
func (a *activation) performInVain(r *running) {
	if r.called || !r.script.deaf {
		return
	}
	r.called = true
	a.w.sight(EffectInVain)
	_, _ = a.on.definition(a.m.subject.key.Definition, r.action.Plan.Version).NewRunner().Run(r.ctx, r.action.Task, r.action.State)
	r.cancel(nil)
}

// perform has the handler's effect happen.
func (a *activation) perform(r *running) {
	if r.called {
		return
	}
	r.called = true
	task, plan := r.action.Task, r.action.Plan
	if owner := a.m.subject.shadow.owner; owner != a.core.Owner() && owner.Worker != "" {
		a.w.sight(ZombieRan)
	}
	result := saga.Result{Task: task}
	if a.w.strikes(storeAway) {
		result.Err = saga.PutOff(errStoreAway)
	} else {
		runner := a.runnerOf(plan)
		result.State, result.Err = runner.Run(r.ctx, task, r.action.State)
		if result.Err == nil {
			result.Emits, result.Attributes = saga.Emitted(r.ctx), runner.Attributes()
		}
		if result.Err == nil && a.w.conf.Language && a.w.strikes(storeAwayAfter) {
			result = saga.Result{Task: task, Err: saga.PutOff(saga.Unknown(errStoreAway))}
		}
	}
	a.w.say("%s: %s gives %v", a, taskName(task), errorText(result.Err))
	rest := a.w.between(0, r.script.took+1)
	switch {
	case result.Err == nil && a.w.strikes(crashAfterEffect):
		a.w.sight(EffectWithoutCommit)
		a.on.crash()
		return
	case result.Err != nil && r.ctx.Err() != nil:
		a.w.sight(HandlerInterrupted)
		rest = 0
	}
	a.later(rest, func() {
		r.cancel(nil)
		a.ended(r, result)
	})
}

// runnerOf gives what runs handlers. Those that run at once have one each.
func (a *activation) runnerOf(plan *saga.Plan) saga.Runner {
	if len(a.runs) > 1 {
		return a.on.definition(a.m.subject.key.Definition, plan.Version).NewRunner()
	}
	if a.runner == nil || a.runnerPlan != plan {
		a.runnerPlan = plan
		a.runner = a.on.definition(a.m.subject.key.Definition, plan.Version).NewRunner()
	}
	return a.runner
}

// ended takes the result of an attempt. Now and then it waits for another to end, too.
func (a *activation) ended(r *running, result saga.Result) {
	a.runs = slices.DeleteFunc(a.runs, func(other *running) bool { return other == r })
	result.Took = a.on.clock().Sub(r.begun)
	if result.Err != nil {
		result.Delay = a.w.rest(r.action.Plan.Policy(r.action.Task), r.action.Task.Attempt)
	}
	if saga.IsPutOff(result.Err) {
		a.w.sight(PutOff)
		result.Delay = a.w.between(0, 20*time.Second)
	}
	a.ready = append(a.ready, result)
	switch {
	case !a.waiting:
	case len(a.runs) > 0 && a.w.chance(0.3):
		a.later(a.w.between(0, 50*time.Millisecond), func() {
			if a.waiting && len(a.ready) > 0 {
				a.takeResults()
			}
		})
	default:
		a.takeResults()
	}
}

func taskName(t saga.Task) string {
	switch {
	case t.Kind == saga.TaskStart:
		return fmt.Sprintf("start of %s, attempt %d", t.Step, t.Attempt)
	case t.Kind == saga.TaskRecall:
		return fmt.Sprintf("recall of %s, attempt %d", t.Step, t.Attempt)
	case t.Undo:
		return fmt.Sprintf("undo of %s, attempt %d", t.Step, t.Attempt)
	}
	return fmt.Sprintf("%s, attempt %d", t.Step, t.Attempt)
}

func errorText(err error) string {
	if err == nil {
		return "success"
	}
	return err.Error()
}
