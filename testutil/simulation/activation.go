package simulation

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// activation carries out what a [saga.Activation] asks for, as the engine does, one action after another.
type activation struct {
	w          *world
	on         *worker
	m          *message
	count      uint64 // of the delivery
	core       *saga.Activation
	runner     saga.Runner
	runnerPlan *saga.Plan    // what the runner is for
	runs       []*running    // the handlers under way
	ready      []saga.Result // of handlers that have ended
	waiting    bool
	wakeable   bool // by a poke; not while it runs a handler itself
	waits      int  // so far; a wait that was cut short must not end the next
	woken      bool // poked while it was not waiting
	committed  bool // something of its own is in the log
	dead       bool // over, or its worker is
}

func newActivation(wk *worker, m *message, count uint64, doubtful bool) *activation {
	cmd, err := saga.DecodeCommand(m.data)
	if err != nil {
		panic(err)
	}
	a := &activation{w: wk.w, on: wk, m: m, count: count}
	d := saga.Delivery{
		Key: m.subject.key, Command: cmd, Stream: "stream", Sequence: m.sequence, Count: count, Doubtful: doubtful,
	}
	switch wk.w.conf.Broken {
	case ForgetDeliveries:
		d.Count = 1
	case ForgetWhereStored:
		d.Stream, d.Sequence = "", 0
	default: // the others break something else
	}
	a.core = saga.NewActivation(saga.ActivationConfig{
		Worker: wk.id, Plan: wk.plan, ParkAfter: wk.w.parkAfter, MaxCommit: wk.w.maxCommit,
	}, d)
	wk.held = append(wk.held, a)
	m.holders = append(m.holders, a)
	return a
}

func (a *activation) String() string { return fmt.Sprintf("%s %s#%d", a.on.id, a.m, a.count) }

func (a *activation) begin() {
	a.w.say("%s: delivered", a)
	if a.w.conf.Broken.acksEarly(a.m.command) {
		a.w.consumer.answer(a.m, acknowledged, nil)
		if a.w.conf.Broken != AckEarly {
			a.on.letGo(a)
			return
		}
	}
	a.do(a.core.Begin(a.on.clock()))
}

// later has the activation go on after d, if it is still there then; a worker that stands still makes it wait.
func (a *activation) later(d time.Duration, do func()) {
	a.w.after(d, func() {
		switch {
		case a.dead:
		case a.on.thaws > a.w.now:
			a.later(a.on.thaws-a.w.now, do)
		default:
			do()
		}
	})
}

// do carries out an action. Between any two the worker may die, stop, or stand still.
func (a *activation) do(action saga.Action) {
	if a.dead {
		return
	}
	switch {
	case a.w.strikes(crash):
		a.on.crash()
		return
	case action.Final() && a.committed && a.w.strikes(crashAfterCommit):
		a.w.sight(CommitWithoutAck)
		a.on.crash()
		return
	case a.w.strikes(stop):
		a.on.stop()
		return
	case a.w.strikes(freeze):
		a.on.freeze()
		a.later(0, func() { a.carryOut(action) })
		return
	}
	a.carryOut(action)
}

func (a *activation) carryOut(action saga.Action) {
	switch action.Do {
	case saga.ActLoad:
		a.load(action)
	case saga.ActAppend:
		a.append(action)
	case saga.ActRun:
		a.runTask(action)
	case saga.ActAsk:
		a.ask(action)
	case saga.ActPublish:
		a.publish(action)
	case saga.ActTell:
		a.tell(action)
	case saga.ActWait:
		a.wait(action.Until, true)
	case saga.ActFindStart:
		a.findStart(action)
	default:
		a.finish(action)
	}
}

func (a *activation) load(action saga.Action) {
	a.w.after(a.w.latency(), func() {
		log, err := a.w.store.load(a.m.subject.key, action.Consistency)
		a.later(a.w.latency(), func() {
			if err == nil {
				err = a.on.understands(log)
			}
			var unknown *saga.UnknownError
			switch {
			case errors.As(err, &unknown):
				a.do(a.core.Unreadable(err))
			case err != nil:
				a.w.say("%s: load fails: %v", a, err)
				a.later(10*time.Millisecond, func() { a.load(action) })
			default:
				a.w.say("%s: loads up to version %d", a, lastVersion(log))
				a.do(a.core.Loaded(a.on.clock(), log))
			}
		})
	})
}

func lastVersion(log saga.Log) uint64 {
	if len(log.Commits) == 0 {
		return 0
	}
	return log.Commits[len(log.Commits)-1].Version
}

// append sends a commit, the schedules of its timers first. The requests are under way from here on, whatever
// becomes of the worker.
func (a *activation) append(action saga.Action) {
	if a.w.conf.Broken == SkipClaim && onlyClaims(action.Commit) {
		a.appended(action, action.Revision)
		return
	}
	s, c := a.m.subject, action.Commit
	if a.w.conf.Broken == ForgetUnsettled {
		forgetUnsettled(c)
	}
	lose := setsTimer(c) && a.w.strikes(loseTimer)
	if a.w.strikes(delayRequest) {
		a.w.after(a.w.between(0, 10*time.Second), func() {
			a.sendTimers(c)
			a.w.store.appendLate(s.key, action.Revision, c)
		})
		a.later(a.w.between(0, time.Second), func() { a.append(action) })
		return
	}
	a.w.after(a.w.latency(), func() {
		if !lose {
			a.sendTimers(c)
		}
		gap := time.Duration(0)
		if setsTimer(c) && a.w.strikes(delayCommit) {
			gap = a.w.between(0, 10*time.Second)
		}
		a.w.after(gap, func() {
			revision, err := a.w.store.append(s.key, action.Revision, c)
			if lose && err == nil {
				a.loseTimers(c)
				return
			}
			a.later(a.w.latency(), func() { a.answered(action, revision, err) })
		})
	})
}

// forgetUnsettled leaves a claim one open attempt.
func forgetUnsettled(c *saga.Commit) {
	for i, e := range c.Events {
		if claim, ok := e.(saga.ActivationClaimed); ok && len(claim.Unsettled) > 1 {
			claim.Unsettled = claim.Unsettled[:1]
			c.Events[i] = claim
		}
	}
}

func setsTimer(c *saga.Commit) bool {
	return slices.ContainsFunc(c.Events, func(e saga.Event) bool { _, ok := e.(saga.TimerSet); return ok })
}

func onlyClaims(c *saga.Commit) bool {
	_, claims := c.Events[0].(saga.ActivationClaimed)
	return claims && len(c.Events) == 1
}

func (a *activation) sendTimers(c *saga.Commit) {
	if a.w.conf.Broken == SkipSchedules {
		return
	}
	for _, e := range c.Events {
		if t, ok := e.(saga.TimerSet); ok {
			a.w.store.setTimer(a.m.subject.key, t.Name, saga.PendingTimer{At: t.At, Version: c.Version, Step: t.Step})
		}
	}
}

// loseTimers loses the schedules of a commit together with the worker, which is the only way to lose them: a worker
// that lives sends a schedule again until it is stored.
func (a *activation) loseTimers(c *saga.Commit) {
	for _, e := range c.Events {
		if t, ok := e.(saga.TimerSet); ok && a.w.store.memory.LoseTimer(a.m.subject.key, t.Name) {
			a.w.sight(TimerLost)
			a.m.subject.lost[t.Name] = true
			a.w.say("%s: schedule %s is lost", a, t.Name)
		}
	}
	if !a.dead {
		a.on.crash()
	}
}

// answered takes the server's answer to an append.
func (a *activation) answered(action saga.Action, revision uint64, err error) {
	stored := a.m.subject.shadow.has(action.Commit)
	conflict := errors.Is(err, saga.ErrConflict)
	switch {
	case err == nil:
		a.appended(action, revision)
	case conflict && a.w.conf.Broken == ConflictIsSuccess,
		!conflict && a.w.conf.Broken == ErrorIsSuccess:
		a.appended(action, action.Revision)
	case conflict:
		a.sightConflict(action.Commit.Version, stored)
		a.w.say("%s: version %d: %v", a, action.Commit.Version, err)
		a.do(a.core.Conflicted())
	default:
		if stored {
			a.w.sight(Ambiguous)
		}
		a.w.say("%s: version %d: %v", a, action.Commit.Version, err)
		a.later(10*time.Millisecond, func() { a.append(action) })
	}
}

func (a *activation) sightConflict(version uint64, stored bool) {
	a.w.sight(Conflicted)
	switch {
	case stored:
		a.w.sight(SawItselfInTheLog)
	case a.m.subject.shadow.version < version:
		a.w.sight(ConflictedWithNobody)
	}
}

func (a *activation) appended(action saga.Action, revision uint64) {
	a.committed = true
	if action.Poke != "" {
		a.w.poke(action.Poke, a.m.subject)
	}
	a.do(a.core.Appended(a.on.clock(), revision))
}

// wait waits for a time, if one is given, for a handler's end, and for a poke where the activation runs no handler itself.
func (a *activation) wait(until time.Time, wakeable bool) {
	switch {
	case len(a.ready) > 0:
		a.takeResults()
		return
	case a.woken && wakeable:
		a.woken = false
		a.do(a.core.Woken(a.on.clock(), true))
		return
	}
	a.waiting, a.wakeable = true, wakeable
	a.waits++
	if until.IsZero() {
		return
	}
	wait := a.waits
	if a.w.conf.Broken == WakeEarly {
		a.later(0, func() {
			if a.waits == wait && a.waiting {
				a.waiting = false
				a.do(a.core.Woken(until, false))
			}
		})
		return
	}
	a.later(until.Sub(a.on.clock()), func() {
		if a.waits == wait {
			a.wake(false)
		}
	})
}

// wake ends a wait, if one is under way.
func (a *activation) wake(poked bool) {
	if a.waiting {
		a.waiting = false
		a.do(a.core.Woken(a.on.clock(), poked))
	}
}

// takeResults hands over the results of handlers that have ended.
func (a *activation) takeResults() {
	results := a.ready
	a.waiting, a.ready = false, nil
	if len(results) > 1 {
		a.w.sight(ResultsTogether)
		if a.w.conf.Broken == DropResult {
			results = results[1:]
		}
	}
	a.do(a.core.Ran(a.on.clock(), results...))
}

// poke tells the activation that the log has moved on: a wait ends, and a running handler's saga is looked at.
func (a *activation) poke() {
	if len(a.runs) > 0 {
		a.interrupt()
	}
	if a.waiting && a.wakeable {
		a.w.sight(WaitCutShort)
		a.wake(true)
		return
	}
	a.woken = true
}

func (a *activation) findStart(action saga.Action) {
	a.later(2*a.w.latency(), func() {
		start := a.m.subject.findStart(action.Run)
		if a.w.conf.Broken == StartNotFound {
			start = nil
		}
		a.do(a.core.StartFound(a.on.clock(), start))
	})
}

// finish answers for the command.
func (a *activation) finish(action saga.Action) {
	a.w.say("%s: %v %v", a, action.Do, errorText(action.Reason))
	a.m.subject.finishes(a, action)
	do := action.Do
	switch broken := a.w.conf.Broken; {
	case do == saga.ActRetry && broken == AckForRetry, do == saga.ActDrop && broken == AckForDrop:
		do = saga.ActAck
	}
	switch do {
	case saga.ActAck:
		a.acknowledge(action)
		return
	case saga.ActRetry:
		a.w.consumer.retry(a.m, action.Delay)
	case saga.ActReject:
		a.w.consumer.answer(a.m, rejected, action.Reason)
	case saga.ActDrop:
	default:
		a.w.violate(NoPanic, a.m.subject.key, "action %v is not one to finish with", action.Do)
	}
	a.on.letGo(a)
}

// acknowledge sets timers again, where that is asked for, before the command is taken off.
func (a *activation) acknowledge(action saga.Action) {
	broken := a.w.conf.Broken
	if len(action.Rearm) == 0 || broken == ForgetRearm {
		a.w.consumer.answer(a.m, acknowledged, nil)
		a.on.letGo(a)
		return
	}
	if broken == AckBeforeRearm {
		a.w.consumer.answer(a.m, acknowledged, nil)
	}
	a.later(a.w.latency(), func() {
		if a.w.strikes(crashAfterCommit) {
			a.on.crash()
			return
		}
		a.rearm(action.Rearm)
		a.later(a.w.latency(), func() {
			a.w.consumer.answer(a.m, acknowledged, nil)
			a.on.letGo(a)
		})
	})
}

func (a *activation) rearm(timers map[string]saga.PendingTimer) {
	s := a.m.subject
	for _, name := range slices.Sorted(maps.Keys(timers)) {
		if s.lost[name] {
			delete(s.lost, name)
			a.w.sight(TimerRearmed)
		}
		a.w.store.setTimer(s.key, name, timers[name])
	}
}
