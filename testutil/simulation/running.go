package simulation

import (
	"context"
	"fmt"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// running is a handler under way.
type running struct {
	action saga.Action
	script script
	begun  time.Time
	ctx    context.Context //nolint:containedctx // the handler's own, while it is under way in virtual time
	cancel context.CancelCauseFunc
	called bool // the handler has had its effect, or failed to
}

func (a *activation) interrupt(r *running) {
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
			a.w.say("%s: cuts its handler off", a)
			r.cancel(saga.ErrClaimLost)
			if !r.script.deaf {
				a.perform(r)
			}
		})
	})
}

// runHandler runs a handler: it takes its time and has its effect somewhere within it.
func (a *activation) runHandler(action saga.Action) {
	task := action.Task
	info := saga.Info{
		Key: a.m.subject.key, Run: a.core.Instance().Run, DefinitionVersion: action.Plan.Version,
		Step: task.Step, Undo: task.Undo, Attempt: task.Attempt,
	}
	a.m.subject.handlerStarts(a, task)
	r := &running{action: action, script: a.w.participants.find(info).script, begun: a.on.clock()}
	r.ctx, r.cancel = context.WithCancelCause(context.WithValue(saga.NewContext(context.Background(), info), callKey{}, &call{
		participants: a.w.participants, lastAttempt: task.Attempt == action.Plan.Policy(task).Attempts, deaf: r.script.deaf,
	}))
	a.run = r
	a.w.say("%s: runs %s", a, taskName(task))
	a.later(a.w.between(0, r.script.took+1), func() { a.perform(r) })
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
	if a.runner == nil {
		a.runner = a.on.definition(a.m.subject.key.Definition, plan.Version).NewRunner()
	}
	result := saga.Result{Task: task}
	result.State, result.Err = a.runner.Run(r.ctx, task, r.action.State)
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
	if result.Err != nil {
		result.Delay = a.w.rest(plan.Policy(task), task.Attempt)
	}
	a.later(rest, func() {
		a.run = nil
		r.cancel(nil)
		result.Took = a.on.clock().Sub(r.begun)
		a.do(a.core.Ran(a.on.clock(), result))
	})
}

func taskName(t saga.Task) string {
	if t.Undo {
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
