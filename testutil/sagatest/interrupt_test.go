package sagatest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil/sagatest"
)

// quiet is for scenarios that go another way than they were written for: what they expect on it does not count.
type quiet struct{ testing.TB }

func (quiet) Errorf(string, ...any) {}

func (sc scenario) definition(t testing.TB) *saga.Definition[trip] {
	t.Helper()
	def, err := saga.Define("parent", 1, sc.nodes...)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func (sc scenario) definitions(t testing.TB) (*saga.Definition[trip], []saga.Runnable) {
	t.Helper()
	def := sc.definition(t)
	if sc.child != nil {
		return def, []saga.Runnable{def, sc.child}
	}
	return def, []saga.Runnable{def}
}

// start starts the scenario's saga.
func (sc scenario) start(k *sagatest.Kit, def *saga.Definition[trip]) *sagatest.Saga[trip] {
	var opts []sagatest.StartOption
	if sc.opts != nil {
		opts = sc.opts()
	}
	return sagatest.Start(k, def, "p-1", trip{}, opts...)
}

func (sc scenario) finish(k *sagatest.Kit, s *sagatest.Saga[trip]) {
	if sc.play != nil {
		sc.play(k, s)
	}
	k.Run()
}

// interrupted plays the scenario once for each of its commits, with something sent to the saga as soon as the commit is stored, and
// each of those three times: as it is, and with the worker gone before and after the commit that follows.
func (sc scenario) interrupted(t *testing.T, send func(k *sagatest.Kit, s *sagatest.Saga[trip]), check func(t *testing.T, when string, k *sagatest.Kit, s *sagatest.Saga[trip])) {
	t.Helper()
	def, definitions := sc.definitions(t)
	whole := sagatest.New(quiet{t}, definitions...)
	sc.finish(whole, sc.start(whole, def))
	for n := 0; n <= whole.Commits(); n++ {
		for _, crash := range []string{"none", "before", "after"} {
			k := sagatest.New(quiet{t}, definitions...)
			s := sc.start(k, def)
			if n == 0 {
				send(k, s)
			} else {
				k.Interrupt(n, func() { send(k, s) })
			}
			switch crash {
			case "before":
				k.CrashBefore(n + 1)
			case "after":
				k.CrashAfter(n + 1)
			}
			sc.finish(k, s)
			check(t, fmt.Sprintf("interrupted at commit %d, crash %s", n, crash), k, s)
		}
	}
}

// checkEffects holds what sagas have done against how they have ended: nothing is undone that was not done, or may have been, or
// twice, and a saga that is compensated has undone whatever it had done and can undo.
func checkEffects(t *testing.T, when string, k *sagatest.Kit, definitions []saga.Runnable) {
	t.Helper()
	plans := map[string]*saga.Plan{}
	for _, d := range definitions {
		plans[d.Plan().Name] = d.Plan()
	}
	for _, key := range k.Sagas() {
		in := k.Get(key)
		if in == nil {
			t.Errorf("%s: saga %s has not begun", when, key)
			continue
		}
		done, undone := map[string]bool{}, map[string]bool{}
		for _, effect := range k.Distinct() {
			switch step := effect.Step; {
			case effect.Key != key || effect.Run != in.Run:
			case effect.Undo:
				undone[step] = true
			case undone[step]:
				t.Errorf("%s: saga %s: %q is done after it was undone: %q", when, key, step, k.Effects(key))
			default:
				done[step] = true
			}
		}
		if in.Status != saga.StatusCompensated {
			continue
		}
		for step := range done {
			status := in.Steps.Get(step).Status
			if plans[key.Definition].Step(step).Undo != nil && !undone[step] && status != saga.StepSkippedOver && status != saga.StepResolvedByOp {
				t.Errorf("%s: saga %s is compensated, but step %q is not undone: %q", when, key, step, k.Effects(key))
			}
		}
	}
}

func checkEnded(t *testing.T, when string, k *sagatest.Kit) {
	t.Helper()
	for _, key := range k.Sagas() {
		if in := k.Get(key); in == nil || !in.Ended() {
			t.Errorf("%s: saga %s has not ended: %+v", when, key, in)
		}
	}
	for _, err := range k.Rejected() {
		if strings.Contains(err.Error(), "the log does not fit") {
			t.Errorf("%s: %v", when, err)
		}
	}
}

// A saga that is cancelled, at whatever moment, and with a crash beside it, ends; and what it has done is undone, unless it
// had passed its pivot or had ended.
func TestEveryConstructCanBeCancelledAtEveryCommit(t *testing.T) {
	t.Parallel()
	for _, sc := range everyScenario() {
		t.Run(sc.name, func(t *testing.T) {
			_, definitions := sc.definitions(t)
			sc.interrupted(t, func(_ *sagatest.Kit, s *sagatest.Saga[trip]) { s.Cancel() },
				func(t *testing.T, when string, k *sagatest.Kit, _ *sagatest.Saga[trip]) {
					t.Helper()
					checkEnded(t, when, k)
					checkEffects(t, when, k, definitions)
				})
		})
	}
}

// A pause changes nothing but the time at which things happen. The command that ends it may come before the one that begins it, if a
// worker dies with that; an operator sees it then, and ends the pause again.
func TestEveryConstructCanBePausedAtEveryCommit(t *testing.T) {
	t.Parallel()
	for _, sc := range everyScenario() {
		t.Run(sc.name, func(t *testing.T) {
			_, definitions := sc.definitions(t)
			resume := func(s *sagatest.Saga[trip]) { s.Send(saga.Resume{Order: s.Order()}) }
			sc.interrupted(t,
				func(_ *sagatest.Kit, s *sagatest.Saga[trip]) {
					s.Send(saga.Pause{Order: s.Order()})
					resume(s)
				},
				func(t *testing.T, when string, k *sagatest.Kit, s *sagatest.Saga[trip]) {
					t.Helper()
					if s.Instance().Paused {
						resume(s)
						k.Run()
					}
					checkEnded(t, when, k)
					checkEffects(t, when, k, definitions)
				})
		})
	}
}

// A saga that is terminated at any moment does nothing more, and its children go their own way. Taken back to where it was then, it
// comes to an end like any other.
func TestEveryConstructCanBeTerminatedAtEveryCommit(t *testing.T) {
	t.Parallel()
	for _, sc := range everyScenario() {
		t.Run(sc.name, func(t *testing.T) {
			sc.interrupted(t, func(_ *sagatest.Kit, s *sagatest.Saga[trip]) { s.Send(saga.Terminate{Order: s.Order()}) },
				func(t *testing.T, when string, k *sagatest.Kit, s *sagatest.Saga[trip]) {
					t.Helper()
					checkEnded(t, when, k)
					in := s.Instance()
					if in.Status != saga.StatusTerminated || sc.ordered { // a signal that came since does not count, and its id is known
						return
					}
					was := in
					for was.Ended() { // the ends of children may have come since
						var err error
						if was, err = k.At(s.Key, was.Version-1); err != nil {
							t.Fatal(when, err)
						}
					}
					s.Send(saga.Reset{Order: s.Order(), To: was.Version, Saga: was})
					sc.finish(k, s)
					checkEnded(t, when+", and taken back", k)
				})
		})
	}
}

// taken plays the scenario to its end, takes its saga back to a version of its log and plays it once more. It tells how many commits
// were stored when it was taken back.
func (sc scenario) taken(t *testing.T, k *sagatest.Kit, def *saga.Definition[trip], back uint64) (stored int) {
	t.Helper()
	s := sc.start(k, def)
	sc.finish(k, s)
	was, err := k.At(s.Key, back)
	if err != nil {
		t.Fatal(err)
	}
	stored = k.Commits()
	s.Send(saga.Reset{Order: s.Order(), To: back, Saga: was})
	sc.finish(k, s)
	if sc.ordered { // what comes twice is known, and does not come again
		s.Cancel()
		k.Run()
	}
	return stored
}

// A saga that was taken back to any version of its log, from wherever it was, comes to an end again. It is the end that it had, by the
// same effects, since what is asked for twice is done once; unless time has run out meanwhile, a child has ended that does not
// run again, or something came from outside. A crash changes none of it.
func TestEveryConstructCanBeResetToEveryVersion(t *testing.T) {
	t.Parallel()
	for _, sc := range everyScenario() {
		t.Run(sc.name, func(t *testing.T) {
			def, definitions := sc.definitions(t)
			whole := sagatest.New(quiet{t}, definitions...)
			s := sc.start(whole, def)
			sc.finish(whole, s)
			versions := s.Instance().Version
			for to := uint64(1); to <= versions; to++ {
				if _, err := whole.At(s.Key, to); err != nil && sc.cut {
					continue
				}
				k := sagatest.New(quiet{t}, definitions...)
				stored := sc.taken(t, k, def, to)
				when := fmt.Sprintf("taken back to version %d", to)
				checkEnded(t, when, k)
				want := k.Outcome()
				if sc.play == nil && sc.child == nil && !sc.timed && want != whole.Outcome() {
					t.Errorf("%s it ends as\n%s\nbefore as\n%s", when, want, whole.Outcome())
				}
				if sc.ordered || sc.varies || !long && to%(1+versions/20) != 0 {
					continue
				}
				for n := stored + 1; n <= k.Commits(); n++ {
					for way, crash := range []func(*sagatest.Kit, int){(*sagatest.Kit).CrashBefore, (*sagatest.Kit).CrashAfter} {
						if !long && n-stored != 1+(int(to)/2)%(k.Commits()-stored) || way != int(to)%2 {
							continue
						}
						crashed := sagatest.New(quiet{t}, definitions...)
						crash(crashed, n)
						sc.taken(t, crashed, def, to)
						if got := crashed.Outcome(); got != want {
							t.Errorf("%s, with a crash at commit %d, way %d, it ends as\n%s\nwithout as\n%s", when, n, way, got, want)
						}
					}
				}
			}
		})
	}
}

// Two crashes, wherever they are, are no worse than one.
func TestEveryConstructOutlivesEveryPairOfCrashes(t *testing.T) {
	t.Parallel()
	for _, sc := range everyScenario() {
		if sc.ordered || sc.varies {
			continue // two crashes may turn the order of two commands around
		}
		t.Run(sc.name, func(t *testing.T) {
			def, definitions := sc.definitions(t)
			whole := sagatest.New(quiet{t}, definitions...)
			sc.finish(whole, sc.start(whole, def))
			want := whole.Outcome()
			for first := 1; first <= whole.Commits(); first++ {
				for second := first; second <= first+1; second++ {
					for way := range 4 {
						if !long && way != (first+second)%4 {
							continue
						}
						k := sagatest.New(quiet{t}, definitions...)
						s := sc.start(k, def)
						if way&1 == 0 {
							k.CrashBefore(first)
						} else {
							k.CrashAfter(first)
						}
						if way&2 == 0 {
							k.CrashBefore(second)
						} else {
							k.CrashAfter(second)
						}
						sc.finish(k, s)
						if got := k.Outcome(); got != want {
							t.Errorf("with crashes at the commits %d and %d, way %d, it ends as\n%s\nwithout as\n%s", first, second, way, got, want)
						}
					}
				}
			}
		})
	}
}
