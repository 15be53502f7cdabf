package simulation

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil/journaltest"
)

// store is the journal as the world's workers reach it: it lags, fails and loses answers as the hazards have it,
// and shows each commit that gets in to the saga's shadow.
type store struct {
	w      *world
	memory *journaltest.Memory
	faulty saga.Journal
	lag    time.Duration // replicas are behind by at most this
	fired  map[string]bool
}

func newStore(w *world) *store {
	st := &store{
		w: w, memory: new(journaltest.Memory), fired: map[string]bool{},
		lag: pick(w.rng, 0, 0, 20*time.Millisecond, time.Second, 5*time.Second),
	}
	st.memory.Behind = st.behind
	hazard := func(h hazard) func(journaltest.Call) bool {
		return func(journaltest.Call) bool { return w.strikes(h) }
	}
	st.faulty = journaltest.Faulty(observed{st},
		journaltest.On(journaltest.Append).If(hazard(loseRequest)).Fail(),
		journaltest.On(journaltest.Append).If(hazard(refuseAppend)).Fail().With(saga.ErrConflict),
		journaltest.On(journaltest.Load).If(hazard(loseRequest)).Fail(),
		journaltest.On(journaltest.Append).If(hazard(loseAnswer)).Drop(),
		journaltest.On(journaltest.Append).If(hazard(repeatRequest)).Duplicate(),
	)
	return st
}

// behind gives how many of a saga's newest commits the replica lacks that happens to answer.
func (st *store) behind(key saga.Key, commits int) int {
	if st.lag == 0 || commits == 0 {
		return 0
	}
	shown := st.w.now - st.w.between(0, st.lag)
	storedAt := st.w.byKey[key].storedAt
	lacks := 0
	for lacks < commits && storedAt[commits-1-lacks] > shown {
		lacks++
	}
	if lacks > 0 {
		st.w.sight(StaleRead)
	}
	return lacks
}

// observed is the memory journal with an eye on what gets in.
type observed struct{ *store }

func (o observed) Append(ctx context.Context, key saga.Key, at uint64, c *saga.Commit) (uint64, error) {
	revision, err := o.memory.Append(ctx, key, at, c)
	if errors.Is(err, saga.ErrConflict) && o.w.conf.Broken == BlindAppend {
		var log saga.Log
		if log, err = o.memory.Load(ctx, key, saga.Latest); err == nil {
			revision, err = o.memory.Append(ctx, key, log.Revision, c)
		}
	}
	if err == nil {
		o.w.byKey[key].stored(c)
	}
	return revision, err
}

func (o observed) Load(ctx context.Context, key saga.Key, c saga.Consistency) (saga.Log, error) {
	if o.w.conf.Broken == StaleLatest {
		c = saga.Any
	}
	log, err := o.memory.Load(ctx, key, c)
	if err != nil || len(log.Commits) == 0 || !o.w.conf.Broken.isForget() {
		return log, err
	}
	return o.forgetful(ctx, key, log)
}

// forgetful gives a log without the events that are to be forgotten. Snapshots would remember them, so it is given
// from its beginning, without any.
func (o observed) forgetful(ctx context.Context, key saga.Key, log saga.Log) (saga.Log, error) {
	history, err := o.memory.History(ctx, key)
	if err != nil {
		return saga.Log{}, err
	}
	log.Commits = history[:lastVersion(log)]
	for i := range log.Commits {
		c := &log.Commits[i]
		c.Events = slices.DeleteFunc(c.Events, o.w.conf.Broken.forgets)
		c.Snapshot = nil
	}
	return log, nil
}

// load carries out a read.
func (st *store) load(key saga.Key, c saga.Consistency) (saga.Log, error) {
	return st.faulty.Load(context.Background(), key, c)
}

// append carries out a write that has arrived at the server.
func (st *store) append(key saga.Key, at uint64, c *saga.Commit) (uint64, error) {
	revision, err := st.faulty.Append(context.Background(), key, at, c)
	st.settleTimers(key, c)
	return revision, err
}

// appendLate carries out a write whose caller has long given up waiting.
func (st *store) appendLate(key saga.Key, at uint64, c *saga.Commit) {
	if _, err := observed.Append(observed{st}, context.Background(), key, at, c); err == nil {
		st.w.sight(ArrivedLate)
	}
	st.settleTimers(key, c)
}

// settleTimers makes the journal's timers what they are where a schedule is a message of its own: one that fired
// while its commit was on the way is not set by it, and one that the commit takes back may fire all the same.
func (st *store) settleTimers(key saga.Key, c *saga.Commit) {
	for _, e := range c.Events {
		switch e := e.(type) {
		case saga.TimerSet:
			if st.fired[e.Name] {
				st.memory.LoseTimer(key, e.Name)
			}
		case saga.TimerCancelled:
			if st.w.strikes(keepTimer) {
				st.setTimer(key, e.Name, saga.PendingTimer{At: st.w.clock().Add(time.Second), Version: c.Version})
			}
		}
	}
}

// setTimer stores a schedule, in the place of one of the same name.
func (st *store) setTimer(key saga.Key, name string, t saga.PendingTimer) {
	st.memory.SetTimers(key, map[string]saga.PendingTimer{name: t})
	late := time.Duration(0)
	if st.w.strikes(delayTimer) {
		late = st.w.between(0, 10*time.Second)
	}
	st.w.after(t.At.Sub(st.w.clock())+late, st.fire)
}

// fire sends the timers whose time has come.
func (st *store) fire() {
	for _, due := range st.memory.Due(st.w.clock()) {
		st.fired[due.Fire.Name] = true
		if st.w.conf.Broken == ForgetTimerVersion {
			due.Fire.Version = 0
		}
		s := st.w.byKey[due.Key]
		s.timerFired(due.Fire)
		s.send(due.Fire)
		if st.w.strikes(repeatTimer) {
			st.w.sight(TimerTwice)
			st.w.after(st.w.between(0, 2*time.Second), func() { s.send(due.Fire) })
		}
	}
}
