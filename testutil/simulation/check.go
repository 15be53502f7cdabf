package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/jetsaga/jetsaga/saga"
)

// Invariant is something that holds whatever goes wrong.
type Invariant string

// The invariants.
const (
	NoPanic             Invariant = "nothing panics"
	ComesToRest         Invariant = "the world comes to rest"
	NoSagaIsLost        Invariant = "every Start that was accepted reaches an end"
	NoHoles             Invariant = "versions have no holes"
	OnlyTheOwnerMoves   Invariant = "only its owner moves a saga"
	OneOwnerAtATime     Invariant = "no two activations have one identity at a time, and no copy of a command takes over"
	ClaimBeforeRun      Invariant = "no handler runs before its activation has claimed the saga"
	NothingAfterTheEnd  Invariant = "a run ends once, and nothing follows"
	PlanIsFollowed      Invariant = "what happens is what the plan has next"
	CancelIsHonoured    Invariant = "a cancelled saga that has not passed its pivot is undone"
	RestIsKept          Invariant = "no attempt comes before its time"
	TimersFireOnce      Invariant = "a timer is set, and fires or is cancelled, once"
	EffectsFitTheEnd    Invariant = "what the participants have done and undone is what the log tells"
	StateIsTheModels    Invariant = "the state is what the steps in the log make of it"
	SnapshotsAgree      Invariant = "a snapshot is what folding the log gives"
	QueueIsEmpty        Invariant = "every command is answered"
	AskedOnce           Invariant = "what is recorded is not asked again"
	AttemptsEndFirst    Invariant = "nothing is undone, nor joined, before all attempts have ended"
	UndoneOnceInOrder   Invariant = "what is done is undone once, and in reverse"
	SignalsAreTakenOnce Invariant = "a signal is taken once, the oldest first"
	OutboxIsEmptied     Invariant = "what is emitted is published"
	NothingIsRejected   Invariant = "no command is set aside that could be carried out"
)

// checkEnd checks what holds when everything has come to rest.
func (w *world) checkEnd() {
	for _, m := range w.consumer.messages {
		w.checkAnswer(m)
	}
	for _, s := range w.subjects {
		for _, start := range s.starts {
			if s.shadow.find(start.Run) == nil {
				w.violate(NoSagaIsLost, s.key, "run %s did not reach an end; the saga is at version %d, %s, parked: %v",
					start.Run, s.shadow.version, s.shadow.status, s.shadow.parked)
			}
		}
		s.checkLog()
	}
	for _, e := range w.participants.order {
		w.checkEffect(e)
	}
}

// find gives a run that is over.
func (sh *shadow) find(run string) *shadowRun {
	if i := slices.IndexFunc(sh.runs, func(r shadowRun) bool { return r.run == run }); i >= 0 {
		return &sh.runs[i]
	}
	return nil
}

// checkAnswer checks that a command was answered, and rightly.
func (w *world) checkAnswer(m *message) {
	cancel, isCancel := m.command.(saga.Cancel)
	switch m.answered {
	case unanswered:
		w.violate(QueueIsEmpty, m.subject.key, "%s is not answered after %d deliveries", m, m.deliveries)
	case rejected:
		if !isOperators(m.command) && (!isCancel || cancel.Run != noRun) {
			w.violate(NothingIsRejected, m.subject.key, "%s: %v", m, m.reason)
		}
	case acknowledged:
		if !isCancel {
			return
		}
		run := m.subject.shadow.find(cancel.Run)
		if run != nil && !run.cancelled && run.endedAt > m.answeredAt {
			w.violate(CancelIsHonoured, m.subject.key, "%s was acknowledged before the run's end, and left no trace", m)
		}
	}
}

// isOperators reports whether a command is an operator's, who may want what cannot be.
func isOperators(c saga.Command) bool {
	switch c.(type) {
	case saga.Pause, saga.Resume, saga.Terminate, saga.Retry, saga.Skip, saga.Resolve:
		return true
	default:
		return false
	}
}

// checkLog compares what the log gives, read in each way, with the model.
func (s *subject) checkLog() {
	history, err := s.w.store.memory.History(context.Background(), s.key)
	if err != nil {
		s.w.violate(SnapshotsAgree, s.key, "%v", err)
		return
	}
	whole := saga.NewInstance(s.key)
	for i := range history {
		c := history[i]
		snapshot := c.Snapshot
		c.Snapshot = nil
		whole.Evolve(&c)
		if snapshot != nil && !sameJSON(whole, snapshot) {
			s.w.violate(SnapshotsAgree, s.key, "version %d: the snapshot is %s, folding gives %s", c.Version, asJSON(snapshot), asJSON(whole))
		}
	}
	log, err := s.w.store.memory.Load(context.Background(), s.key, saga.Latest)
	if err != nil {
		s.w.violate(SnapshotsAgree, s.key, "%v", err)
		return
	}
	tail, err := saga.Fold(s.key, log.Commits)
	if err != nil || !sameJSON(whole, tail) || whole.Version != tail.Version {
		s.w.violate(SnapshotsAgree, s.key, "folding from the last snapshot gives %s (error %v), from the beginning %s", asJSON(tail), err, asJSON(whole))
	}
	if whole.Version == 0 {
		return
	}
	if difference := s.shadow.course.differs(whole.State); difference != "" {
		s.w.violate(StateIsTheModels, s.key, "%s", difference)
	}
	if whole.Status != s.shadow.status || whole.Run != s.shadow.run || whole.Version != s.shadow.version {
		s.w.violate(StateIsTheModels, s.key, "the log tells of run %s, version %d, %s; the model of run %s, version %d, %s",
			whole.Run, whole.Version, whole.Status, s.shadow.run, s.shadow.version, s.shadow.status)
	}
}

func asJSON(in *saga.Instance) []byte {
	data, err := json.Marshal(in)
	if err != nil {
		panic(err)
	}
	return data
}

func sameJSON(a, b *saga.Instance) bool { return bytes.Equal(asJSON(a), asJSON(b)) }

// checkEffect checks that an effect is out exactly if the log tells so.
func (w *world) checkEffect(e *effect) {
	sh := w.byKey[e.info.Key].shadow
	run := sh.find(e.info.Run)
	if run == nil {
		if e.done {
			w.violate(EffectsFitTheEnd, e.info.Key, "%s of run %s has its effect, but the run has no end", e.info.Step, e.info.Run)
		}
		return
	}
	told, free := run.course.told(e.info)
	if !free && e.done != told {
		w.violate(EffectsFitTheEnd, e.info.Key, "%s of run %s, which is %s (undo: %v): effect %v, told by the log %v",
			e.info.StepKey, e.info.Run, run.status, e.info.Undo, e.done, told)
	}
}
