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
	kept   map[saga.Key][]keptCommit
}

// keptCommit is a commit as it reads, so that it is decoded once and not by every load.
type keptCommit struct {
	commit   saga.Commit
	revision uint64
}

// keep reads a commit that was stored, as a load would.
func (st *store) keep(key saga.Key, c *saga.Commit, revision uint64) {
	data, err := saga.EncodeCommit(c)
	if err != nil {
		panic(err)
	}
	read, err := saga.DecodeCommit(data)
	if err != nil {
		panic(err)
	}
	st.kept[key] = append(st.kept[key], keptCommit{read, revision})
}

// read gives the log from its last snapshot on, without the newest commits.
func (st *store) read(key saga.Key, lacks int) (log saga.Log) {
	kept := st.kept[key]
	kept = kept[:len(kept)-lacks]
	if len(kept) == 0 {
		return log
	}
	first := len(kept) - 1
	for first > 0 && kept[first].commit.Snapshot == nil {
		first--
	}
	for _, k := range kept[first:] {
		log.Commits = append(log.Commits, k.commit)
	}
	log.Revision, log.Base = kept[len(kept)-1].revision, kept[first].revision
	return log
}

func newStore(w *world) *store {
	st := &store{
		w: w, memory: new(journaltest.Memory), fired: map[string]bool{}, kept: map[saga.Key][]keptCommit{},
		lag: pick(w.rng, 0, 0, 20*time.Millisecond, time.Second, 5*time.Second),
	}
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
		o.keep(key, c, revision)
		o.w.byKey[key].stored(c)
	}
	return revision, err
}

func (o observed) Load(_ context.Context, key saga.Key, c saga.Consistency) (saga.Log, error) {
	if o.w.conf.Broken == StaleLatest {
		c = saga.Any
	}
	lacks := 0
	if c != saga.Latest {
		lacks = o.behind(key, len(o.kept[key]))
	}
	log := o.read(key, lacks)
	if len(log.Commits) > 0 && o.w.conf.Broken.rewrites() {
		log.Commits = o.misread(key, len(o.kept[key])-lacks)
	}
	return log, nil
}

// misread gives a log as the broken rule reads it. Snapshots would tell what it is to be, so it is given from its beginning,
// without any.
func (o observed) misread(key saga.Key, commits int) []saga.Commit {
	read := make([]saga.Commit, commits)
	for i, k := range o.kept[key][:commits] {
		read[i] = k.commit
		read[i].Events = o.w.conf.Broken.read(slices.Clone(k.commit.Events))
		read[i].Snapshot = nil
	}
	return read
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
