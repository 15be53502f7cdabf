package simulation

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// subject is one saga and what its clients do: it holds the commands that were sent, in their order, and the
// shadow of what the log tells.
type subject struct {
	w        *world
	key      saga.Key
	commands []*message
	starts   []saga.Start
	storedAt []time.Duration // of each commit
	shadow   *shadow
	runsLeft int // how many more runs the clients want after the first
	cancels  int // sent, for ids
	orders   int // and signals sent, for ids
	nudges   int // how often it was helped along
	helped   int // how often it was stuck
	parent   *saga.Parent
	lost     map[string]bool            // timers whose schedule was lost and not set again
	runners  map[saga.Owner]*activation // which have run a handler
}

// noRun is the run that Cancels name which are to be rejected.
const noRun = "no-such-run"

// openSagas has clients start one to four sagas.
func (w *world) openSagas() {
	for i := range 1 + w.rng.IntN(4) {
		definition := fmt.Sprintf("d%d", w.rng.IntN(len(w.catalog)))
		s := w.newSubject(saga.Key{Definition: definition, ID: fmt.Sprintf("s%d", i)})
		if w.chance(0.3) {
			s.runsLeft = 1 + w.rng.IntN(3)
		}
		w.after(w.between(0, 200*time.Millisecond), s.start)
	}
}

func (w *world) newSubject(key saga.Key) *subject {
	s := &subject{w: w, key: key, lost: map[string]bool{}, runners: map[saga.Owner]*activation{}}
	s.shadow = newShadow(s)
	w.subjects = append(w.subjects, s)
	w.byKey[s.key] = s
	return s
}

// send stores a command.
func (s *subject) send(cmd saga.Command) {
	m := s.w.consumer.offer(s, cmd)
	s.commands = append(s.commands, m)
	s.w.say("%s: stored", m)
}

func (m *message) String() string {
	return fmt.Sprintf("%s %s(%s)", m.subject.key, saga.CommandName(m.command), m.command.CommandID())
}

// start is a client's Start of a new saga: it is stored provided that the saga has no command yet.
func (s *subject) start() {
	if len(s.commands) > 0 && s.w.conf.Broken != UnconditionalStart {
		s.w.sight(StartRefused)
		return
	}
	s.sendStart("")
	if len(s.starts) > 1 {
		return
	}
	if s.w.chance(0.2) {
		s.w.after(s.w.between(0, time.Second), s.start)
	}
	s.deeds()
	if s.w.chance(0.03) {
		s.w.after(s.soon(), func() { s.sendCancel(noRun) })
	}
}

// soon is some time within a saga's life, at its very beginning or much later.
func (s *subject) soon() time.Duration {
	return s.w.between(0, pick(s.w.rng, time.Millisecond, 20*time.Millisecond, time.Second, 20*time.Second))
}

func (s *subject) sendStart(previous string) {
	versions := len(s.w.catalog[s.key.Definition])
	state, err := json.Marshal(Cargo{Hash: s.w.rng.Uint64() >> 12})
	if err != nil {
		panic(err)
	}
	start := saga.Start{
		Run: fmt.Sprintf("%s-r%d", s.key.ID, len(s.starts)+1), Definition: s.w.rng.IntN(versions + 1),
		Previous: previous, Time: s.w.clock(),
	}
	if s.w.conf.Language && s.w.chance(0.15) {
		start.Deadline = s.w.clock().Add(s.w.between(0, pick(s.w.rng, time.Second, 20*time.Second)))
	}
	if start.State, err = saga.ParseState(state); err != nil {
		panic(err)
	}
	s.starts = append(s.starts, start)
	s.send(start)
}

// again is a client's Start of a saga that it has seen to be over.
func (s *subject) again() {
	latest := s.starts[len(s.starts)-1]
	if s.shadow.run != latest.Run || !s.shadow.ended() {
		s.w.sight(StartRefused)
		return
	}
	s.sendStart(latest.Run)
	s.deeds()
	if s.w.chance(0.2) {
		s.w.after(s.w.between(0, time.Second), s.again)
	}
}

// cancel is a client's Cancel of the latest run, or now and then of an older one.
func (s *subject) cancel() {
	run := s.starts[len(s.starts)-1].Run
	if s.w.chance(0.1) {
		run = pick(s.w.rng, s.starts...).Run
	}
	s.sendCancel(run)
}

// sendCancel sends a Cancel, now and then twice, as a client does that got no answer.
func (s *subject) sendCancel(run string) {
	s.cancels++
	cancel := saga.Cancel{
		ID: fmt.Sprintf("%s-c%d", s.key.ID, s.cancels), Run: run, Reason: "because", By: "client", Time: s.w.clock(),
	}
	s.send(cancel)
	if s.w.chance(0.1) {
		s.w.after(s.w.between(0, time.Second), func() { s.send(cancel) })
	}
}

// findStart looks a Start up among the stored commands.
func (s *subject) findStart(run string) *saga.Start {
	for _, m := range s.commands {
		if start, ok := m.command.(saga.Start); ok && start.Run == run {
			return &start
		}
	}
	return nil
}

// stored takes note of a commit that has got into the log.
func (s *subject) stored(c *saga.Commit) {
	s.w.say("%s: version %d by %v: %s", s.key, c.Version, c.By, eventNames(c))
	s.storedAt = append(s.storedAt, s.w.now)
	over := s.shadow.ended()
	s.shadow.apply(c)
	if s.shadow.ended() && !over && s.runsLeft > 0 {
		s.runsLeft--
		s.w.after(s.w.between(0, pick(s.w.rng, time.Millisecond, 3*time.Second)), s.again)
	}
}

func eventNames(c *saga.Commit) []string {
	names := make([]string, len(c.Events))
	for i, e := range c.Events {
		names[i] = saga.EventName(e)
	}
	return names
}

// timerFired takes note of a timer that was sent.
func (s *subject) timerFired(t saga.Timer) {
	if s.shadow.version < t.Version {
		s.w.sight(TimerEarly)
	}
}

// handlerStarts takes note of a handler that is about to run.
func (s *subject) handlerStarts(a *activation, task saga.Task) {
	me := a.core.Owner()
	if other := s.runners[me]; other != nil && other != a && !other.dead {
		s.w.violate(OneOwnerAtATime, s.key, "a second activation of %v runs %s", me, taskName(task))
	}
	s.runners[me] = a
	opening := a.count == 1 && a.core.Instance().Version == 0
	if !opening && !s.shadow.owned[me] {
		s.w.violate(ClaimBeforeRun, s.key, "%v runs %s without a claim in the log", me, taskName(task))
	}
	if in := a.core.Instance(); len(in.Unsettled) > 0 && in.Cancel != nil && !task.Undo {
		s.w.sight(CancelledInDoubt)
	}
	if s.shadow.ownedBy(me) || opening && (s.shadow.version == 0 || s.shadow.ownedBy(saga.Owner{Command: me.Command})) {
		s.shadow.starts(a, task)
	}
	if s.shadow.ownedBy(me) && !s.w.skewed {
		if at := s.shadow.course.restsUntil(task); at.After(s.w.clock()) {
			s.w.violate(RestIsKept, s.key, "%s runs %v before its time", taskName(task), at.Sub(s.w.clock()))
		}
	}
}

// finishes takes note of an activation that is over.
func (s *subject) finishes(a *activation, action saga.Action) {
	switch cmd := a.m.command.(type) {
	case saga.Timer:
		if action.Do == saga.ActAck && !s.shadow.timersEver[cmd.Name] {
			s.w.sight(OrphanTimer)
		}
	case saga.Signal:
		f, ok := s.shadow.course.(*flow)
		if action.Do == saga.ActAck && ok && !f.seen[cmd.ID] && len(s.shadow.firstEnd) == 0 && (cmd.Run == "" || cmd.Run == s.shadow.run) {
			s.w.violate(SignalsAreTakenOnce, s.key, "%s is acknowledged and not in the log of a saga that has not ended", a.m)
		}
	case saga.Cancel:
		if action.Do == saga.ActAck && !a.committed && s.shadow.run == cmd.Run && s.shadow.ended() && !s.shadow.cancelled {
			s.w.sight(CancelledAfterEnd)
		}
		if action.Do == saga.ActReject && cmd.Run == noRun {
			s.w.sight(CancelRejected)
		}
	}
	if action.Do == saga.ActDrop && a.committed {
		s.w.sight(ZombieFenced)
	}
}
