package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// activation carries out what a [saga.Activation] decides: it does the reading, writing, waiting and running, and
// decides nothing itself.
type activation struct {
	w        *worker
	delivery *streams.Delivery
	cmd      saga.Command
	core     *saga.Activation // nil before it has begun
	owner    saga.Owner       // as which its commits are made; set before its first handler runs
	since    time.Time
	doubtful bool // the command may have been delivered before, whatever the server's count says
	runner   saga.Runner
	runs     *saga.Plan    // what the runner is for: a Start that leaves its version open may be another's by the time it is in the log
	wake     chan struct{} // a poke

	turn     turn        // in the crew's row
	action   saga.Action // to carry out next; while a commit is on its way, that commit
	revision uint64      // at which it was stored; 0 where that is not known

	trying bool         // this goroutine makes an attempt
	failed *saga.Result // of an attempt whose handler has ended its goroutine

	// Handlers run under one context, which ends with the activation's claim.
	handlers context.Context //nolint:containedctx // of all attempts; ends with the activation
	cutOff   context.CancelCauseFunc
	active   atomic.Int32     // attempts under way
	results  chan saga.Result // of attempts that run beside others; nil until there are some
	beside   int              // how many of those there are
}

func newActivation(w *worker, d *streams.Delivery, c saga.Command) *activation {
	now := time.Now()
	a := &activation{w: w, delivery: d, cmd: c, since: now, wake: make(chan struct{}, 1)}
	a.turn.goOn = a.goOn
	a.doubtful = d.Redriven != "" || d.Repeated || w.link.backWithin(doubt, now)
	return a
}

// begin has the core decide what to do first.
func (a *activation) begin() saga.Action {
	a.handlers, a.cutOff = context.WithCancelCause(a.w.ctx)
	d := saga.Delivery{
		Key: a.delivery.Key, Command: a.cmd, Stream: a.delivery.Stream, Sequence: a.delivery.Sequence,
		Count: a.delivery.Count, Doubtful: a.doubtful,
	}
	if a.delivery.Redriven != "" {
		// It is the command that was set aside, in another place. As a copy beside it, it would wait for that one.
		d.Stream = a.delivery.Redriven
	}
	if core, ok := a.w.cores.Get().(*saga.Activation); ok {
		core.Reset(d)
		a.core = core
	} else {
		a.core = saga.NewActivation(saga.ActivationConfig{
			Worker: a.w.id, Plan: a.w.registry.plan, ParkAfter: a.w.conf.ParkAfter,
			MaxCommit: a.w.conf.maxCommit(), MaxState: a.w.conf.MaxState,
		}, d)
	}
	a.owner = a.core.Owner()
	a.w.conf.Hooks.activated(a.key(), a.cmd, a.delivery.Count)
	return a.core.Begin(time.Now())
}

func (a *activation) command() command { return command{a.delivery.Stream, a.delivery.Sequence} }

func (a *activation) key() saga.Key { return a.delivery.Key }

// goOn carries out one action after another until the activation is over, the worker stops, or a commit is on its way: when
// that has arrived, the activation goes on, on whichever goroutine is free.
func (a *activation) goOn() {
	returns := false
	defer func() {
		if !returns {
			a.exited()
		}
	}()
	next, err := a.take()
	for err == nil && !next.Final() {
		a.action = next
		if next.Do == saga.ActAppend && a.post() {
			returns = true // and it may be going on elsewhere already
			return
		}
		next, err = a.step(&a.action)
	}
	if err != nil {
		a.abandon(err)
	} else {
		a.finish(&next)
	}
	returns = true
	a.end()
	a.w.cores.Put(a.core)
	a.w.letGo(a)
}

// refuse deals with a command that does not decode: one that is newer than this build is left to a newer worker, anything
// else is set aside.
func (a *activation) refuse(reason error) {
	defer a.w.letGo(a)
	a.w.crew.leave()
	defer a.w.crew.comeBack()
	var unknown *saga.UnknownError
	if errors.As(reason, &unknown) {
		a.w.log.Warn("command left to a newer worker", "saga", a.key().String(), "reason", reason)
		_ = a.delivery.Retry(unknownCommandDelay)
		return
	}
	a.w.setAside(a.delivery, reason)
}

// errExited is what a handler or a hook has failed with that does not return.
var errExited = errors.New("it has ended its goroutine, as runtime.Goexit does, and with it FailNow and Fatal of a test")

// exited deals with a handler that has ended the goroutine under it: as a failed attempt. After anything else of the user's that
// does, such as a hook, the command is given back.
func (a *activation) exited() {
	if a.trying {
		a.trying = false
		a.failed = &saga.Result{Task: a.action.Task, Err: &saga.PanicError{Value: errExited}}
		defer a.w.crew.push(&a.turn)
		a.conclude(&a.action, a.info(&a.action), a.failed)
		return
	}
	a.abandon(errExited)
	a.end()
	a.w.letGo(a)
}

// take gives the action with which to go on.
func (a *activation) take() (saga.Action, error) {
	switch {
	case a.core == nil:
		return a.begin(), nil
	case a.failed != nil:
		r := *a.failed
		a.failed = nil
		return a.ended(r)
	case a.revision == 0:
		return a.step(&a.action) // the commit may be in, or not: to append it tells
	}
	if a.action.Keep > 0 {
		a.w.crew.leave() // it is going to be compacted
		defer a.w.crew.comeBack()
	}
	return a.appended(&a.action, a.revision), nil
}

// post sends the commit off, and reports whether it is on its way.
func (a *activation) post() bool {
	return a.w.journal.Post(a.w.link.context(), a.key(), a.action.Revision, a.action.Commit, a.stored)
}

// stored takes the revision of the commit that was on its way, and has the activation go on.
func (a *activation) stored(revision uint64) {
	a.revision = revision
	a.w.crew.push(&a.turn)
}

// step carries out one action that is not the last, however long it takes. An error means that the worker is stopping.
func (a *activation) step(action *saga.Action) (saga.Action, error) {
	a.w.crew.leave()
	defer a.w.crew.comeBack()
	switch action.Do {
	case saga.ActLoad:
		return a.load(action)
	case saga.ActAppend:
		return a.append(action)
	case saga.ActRun:
		return a.run(action)
	case saga.ActAsk:
		return a.ask(action), nil
	case saga.ActWait:
		return a.wait(action.Until)
	case saga.ActPublish:
		return a.publish(action)
	case saga.ActTell:
		return a.tell(action)
	case saga.ActFindStart:
		return a.findStart(action)
	default:
		return saga.Action{}, unreachable(action)
	}
}

// abandon gives the command back at once when the worker stops, for another to take up.
func (a *activation) abandon(reason error) {
	if !errors.Is(reason, context.Canceled) {
		a.w.log.Error("activation abandoned", "saga", a.key().String(), "error", reason)
	}
	_ = a.delivery.Retry(0)
}

func (a *activation) load(action *saga.Action) (saga.Action, error) {
	var log saga.Log
	consistency := action.Consistency
	err := a.w.call(func(ctx context.Context) (err error) {
		log, err = a.w.journal.Load(ctx, a.key(), consistency)
		if unreadable(err) {
			return backoff.Permanent(err)
		}
		return err
	})
	switch {
	case unreadable(err):
		return a.core.Unreadable(err), nil
	case err != nil:
		return saga.Action{}, err
	}
	return a.core.Loaded(time.Now(), log), nil
}

// unreadable tells a log that was found and cannot be read from one that could not be asked for.
func unreadable(err error) bool {
	var unknown *saga.UnknownError
	var corrupt *saga.CorruptError
	return errors.As(err, &unknown) || errors.As(err, &corrupt)
}

// append stores the commit, however long the server is away: what a handler has done is not to be forgotten
// while this worker lives.
func (a *activation) append(action *saga.Action) (saga.Action, error) {
	revision, err := a.w.journal.Append(a.w.link.context(), a.key(), action.Revision, action.Commit)
	if err != nil {
		revision, err = a.appendAgain(err, action)
	}
	var large *streams.TooLargeError
	switch {
	case errors.As(err, &large):
		return a.core.TooLarge(err), nil
	case errors.Is(err, saga.ErrConflict):
		a.w.conf.Hooks.conflicted(a.key(), action.Commit.Version)
		return a.core.Conflicted(), nil
	case err != nil && a.w.ctx.Err() == nil:
		return saga.Action{Do: saga.ActReject, Reason: err}, nil
	case err != nil:
		return saga.Action{}, err
	}
	return a.appended(action, revision), nil
}

// appended goes on after a commit.
func (a *activation) appended(action *saga.Action, revision uint64) saga.Action {
	a.w.conf.Hooks.committed(a.key(), action.Commit)
	if action.Keep > 0 {
		a.compact(action.Keep, action.Commit.Version)
	}
	if action.Poke != "" && action.Poke != a.w.id {
		if err := a.w.ns.Poke(action.Poke, a.key()); err != nil {
			a.w.log.Debug("poke", "saga", a.key().String(), "error", err)
		}
	} else if action.Poke != "" {
		a.w.poked(a.key())
	}
	return a.core.Appended(time.Now(), revision)
}

// appendAgain goes on with an append that has failed once, unless it was refused.
func (a *activation) appendAgain(err error, action *saga.Action) (revision uint64, _ error) {
	if refused(err) || a.w.ctx.Err() != nil {
		return 0, err
	}
	at, commit := action.Revision, action.Commit
	err = a.w.again(func(ctx context.Context) (err error) {
		revision, err = a.w.journal.Append(ctx, a.key(), at, commit)
		if refused(err) {
			return backoff.Permanent(err)
		}
		return err
	})
	return revision, err
}

// compact has the log forget what a saga that never ends does not need. If that fails, the next snapshot tries again.
func (a *activation) compact(keep, snapshot uint64) {
	ctx, cancel := context.WithTimeout(a.w.ctx, compactTimeout)
	defer cancel()
	if err := a.w.ns.Log().Compact(ctx, a.key(), keep, snapshot); err != nil {
		a.w.log.Debug("log not compacted", "saga", a.key().String(), "error", err)
	}
}

// compactTimeout bounds what is only housekeeping.
const compactTimeout = time.Second

// refused tells a commit that will not be stored from one that has not been stored yet.
func refused(err error) bool { return errors.Is(err, saga.ErrConflict) || unsendable(err) }

// unsendable tells a message that no server will ever be sent.
func unsendable(err error) bool {
	var large *streams.TooLargeError
	return errors.As(err, &large) || errors.Is(err, streams.ErrEncoding)
}

// wait holds the activation until a time, if one is given, until it is poked, or until an attempt that runs beside has ended.
func (a *activation) wait(until time.Time) (saga.Action, error) {
	var due <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		return a.core.Woken(time.Now(), false), nil
	case <-a.wake:
		return a.core.Woken(time.Now(), true), nil
	case r := <-a.results:
		a.beside--
		return a.ended(r)
	case <-a.w.ctx.Done():
		return saga.Action{}, a.w.ctx.Err()
	}
}

// publish puts what steps have emitted on the outbox's topics, however long the server is away.
func (a *activation) publish(action *saga.Action) (saga.Action, error) {
	emissions := action.Emissions
	err := a.w.call(func(ctx context.Context) error { return a.w.ns.Emit(ctx, a.key(), emissions) })
	if err != nil {
		return saga.Action{}, err
	}
	return a.core.Published(time.Now()), nil
}

// tell sends the saga's parent word of its end; without the state, where that cannot be sent.
func (a *activation) tell(action *saga.Action) (saga.Action, error) {
	err := a.send(action.Word)
	if unsendable(err) {
		a.w.log.Error("the parent is told the saga's end without its state", "saga", a.key().String(), "error", err)
		err = a.send(action.Word.Stateless(err))
	}
	switch {
	case err != nil && a.w.ctx.Err() == nil:
		return saga.Action{Do: saga.ActReject, Reason: err}, nil
	case err != nil:
		return saga.Action{}, err
	}
	return a.core.Told(time.Now()), nil
}

// send sends the saga's parent a word, however long the server is away.
func (a *activation) send(word *saga.Word) error {
	return a.w.call(func(ctx context.Context) error {
		err := a.w.ns.Send(ctx, word.To, word.Done)
		if unsendable(err) {
			return backoff.Permanent(err)
		}
		return err
	})
}

func (a *activation) findStart(action *saga.Action) (saga.Action, error) {
	var found *saga.Start
	run := action.Run
	err := a.w.call(func(ctx context.Context) error {
		starts, _, err := a.w.ns.Starts(ctx, a.key())
		for i := range starts {
			if starts[i].Run == run {
				found = &starts[i]
			}
		}
		return err
	})
	if err != nil {
		return saga.Action{}, err
	}
	return a.core.StartFound(time.Now(), found), nil
}

// finish answers for the command.
func (a *activation) finish(action *saga.Action) {
	a.w.conf.Hooks.finished(a.key(), a.cmd, action.Do, action.Reason)
	if action.Do != saga.ActAck || len(action.Rearm) > 0 {
		a.w.crew.leave()
		defer a.w.crew.comeBack()
	}
	var err error
	switch action.Do {
	case saga.ActAck:
		if timers := action.Rearm; len(timers) > 0 {
			err = a.w.call(func(ctx context.Context) error { return a.w.ns.SetTimers(ctx, a.key(), timers) })
		}
		if err == nil {
			err = a.delivery.Ack()
		}
	case saga.ActRetry:
		a.w.log.Warn("command left for later", "saga", a.key().String(), "after", action.Delay, "reason", action.Reason)
		err = a.delivery.Retry(action.Delay)
	case saga.ActReject:
		a.w.setAside(a.delivery, action.Reason)
	case saga.ActDrop:
		a.w.log.Info("saga left to another worker", "saga", a.key().String())
	default:
		err = unreachable(action)
	}
	if err != nil {
		a.w.log.Warn("command not answered; it will be delivered again",
			"saga", a.key().String(), "action", action.Do.String(), "error", err)
	}
}

// poke wakes a wait, and has a running handler's saga looked at. It does not block.
func (a *activation) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
	if a.active.Load() > 0 {
		a.w.spawn(a.look)
	}
}

// look cuts the handlers off if the log shows that their saga was taken over.
func (a *activation) look() {
	log, err := a.w.journal.Load(a.w.link.context(), a.key(), saga.Latest)
	if err != nil {
		return // the append that follows the handler will tell
	}
	in, err := saga.Fold(a.key(), log.Commits)
	if err == nil && saga.Superseded(a.owner, in) {
		a.cutOff(saga.ErrClaimLost)
	}
}
