package sagatest

import (
	"slices"

	"github.com/jetsaga/jetsaga/saga"
)

// Effect is an attempt that succeeded.
type Effect struct {
	Key  saga.Key
	Run  string
	Step string // the step's key
	Undo bool
	id   string // the idempotency key
}

// String gives "do" or "undo" and the step's key.
func (e Effect) String() string {
	if e.Undo {
		return "undo " + e.Step
	}
	return "do " + e.Step
}

// Effects gives what the saga's handlers have done, in order: each effect once, as a participant sees it that recognises the
// idempotency key.
func (s *Saga[S]) Effects() []string { return s.k.w.effectsOf(s.Key) }

// Effects gives what [Saga.Effects] gives, for a saga of any definition, such as a child.
func (k *Kit) Effects(key saga.Key) []string { return k.w.effectsOf(key) }

func (w *world) effectsOf(key saga.Key) (effects []string) {
	for _, e := range w.distinct() {
		if e.Key == key {
			effects = append(effects, e.String())
		}
	}
	return effects
}

// distinct gives the effects of all sagas, each once, where it first came.
func (w *world) distinct() (effects []Effect) {
	seen := map[string]bool{}
	for _, e := range w.effects {
		if !seen[e.id] {
			seen[e.id] = true
			effects = append(effects, e)
		}
	}
	return effects
}

// emitters gives the effects of which something was published, each once, in the order of publishing.
func (w *world) emitters() (effects []Effect) {
	seen := map[string]bool{}
	for _, emission := range w.emissions {
		if e := w.emitted[emission.ID]; !seen[e.id] {
			seen[e.id] = true
			effects = append(effects, e)
		}
	}
	return effects
}

// MustHave fails the test unless these are the saga's effects, in this order.
func (s *Saga[S]) MustHave(effects ...string) {
	s.k.t.Helper()
	if got := s.Effects(); !slices.Equal(got, effects) {
		s.k.t.Errorf("saga %s: its effects are\n%q\nwant\n%q", s.Key, got, effects)
	}
}

// MustHaveInAnyOrder fails the test unless these are the saga's effects: for what happens at once.
func (s *Saga[S]) MustHaveInAnyOrder(effects ...string) {
	s.k.t.Helper()
	if got := s.Effects(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(effects))) {
		s.k.t.Errorf("saga %s: its effects are\n%q\nwant, in any order,\n%q", s.Key, got, effects)
	}
}

// MustBe fails the test unless the saga has this status.
func (s *Saga[S]) MustBe(status saga.Status) {
	s.k.t.Helper()
	if in := s.Instance(); in.Status != status {
		s.k.t.Errorf("saga %s is %s (%s: %s), want %s", s.Key, in.Status, in.Reason, in.Error, status)
	}
}
