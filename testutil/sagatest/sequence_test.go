package sagatest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

type empty struct{}

func idle(context.Context, *empty) error { return nil }

func TestEffectsAreInOneOrderButForWhatHappensAtOnce(t *testing.T) {
	undoable := func(name string) saga.Node[empty] { return saga.Step(name, idle).Compensate(idle) }
	two := func(*empty) []empty { return make([]empty, 2) }
	kid := saga.Must(saga.Define("kid", 1, undoable("x"), undoable("y")))
	def := saga.Must(saga.Define("d", 1,
		undoable("a"), undoable("b"),
		saga.Parallel("p", saga.Branch("l", undoable("c"), undoable("d")), saga.Branch("r", undoable("e"))),
		saga.Race("q", saga.Branch("l", undoable("f")), saga.Branch("r", undoable("g"))),
		saga.ForEach("some", two, undoable("h"), undoable("i")),
		saga.ForEach("one", two, undoable("j")).Limit(1),
		saga.Loop("turns", func(*empty) bool { return false }, undoable("k")),
		saga.Child("kid", kid, func(*empty) empty { return empty{} }),
	))
	w := newWorld([]saga.Runnable{def, kid})
	top, other, below := saga.Key{Definition: "d", ID: "1"}, saga.Key{Definition: "d", ID: "2"}, saga.Key{Definition: "kid", ID: "3"}
	w.send(top, saga.Start{Run: "r1", Definition: 1})
	w.send(top, saga.Start{Run: "r2", Definition: 1, Previous: "r1"})
	w.send(other, saga.Start{Run: "r1", Definition: 1})
	w.send(below, saga.Start{Run: "k", Definition: 1, Parent: &saga.Parent{Key: top, Run: "r1", Step: "kid"}})
	effect := func(key saga.Key, run, name string) Effect {
		step, undo := strings.CutPrefix(name, "undo ")
		return Effect{Key: key, Run: run, Step: step, Undo: undo, id: fmt.Sprint(key, run, name)}
	}
	for _, test := range []struct {
		one, two Effect
		atOnce   bool
	}{
		{effect(top, "r1", "a"), effect(top, "r1", "b"), false},
		{effect(top, "r1", "undo b"), effect(top, "r1", "undo a"), false},
		{effect(top, "r1", "c"), effect(top, "r1", "undo c"), false},
		{effect(top, "r1", "c"), effect(top, "r1", "d"), false},
		{effect(top, "r1", "c"), effect(top, "r1", "e"), true},
		{effect(top, "r1", "undo e"), effect(top, "r1", "undo d"), true},
		{effect(top, "r1", "b"), effect(top, "r1", "e"), false},
		{effect(top, "r1", "undo f"), effect(top, "r1", "g"), true},
		{effect(top, "r1", "undo e"), effect(top, "r1", "undo b"), false},
		{effect(top, "r1", "h#0"), effect(top, "r1", "i#0"), false},
		{effect(top, "r1", "h#0"), effect(top, "r1", "i#1"), true},
		{effect(top, "r1", "undo j#1"), effect(top, "r1", "undo j#0"), false},
		{effect(top, "r1", "k#1"), effect(top, "r1", "k#2"), false},
		{effect(top, "r1", "a"), effect(below, "k", "x"), false},
		{effect(below, "k", "undo y"), effect(below, "k", "undo x"), false},
		{effect(below, "k", "undo x"), effect(top, "r1", "undo a"), false},
		{effect(top, "r1", "undo a"), effect(top, "r2", "a"), false},
		{effect(top, "r1", "a"), effect(other, "r1", "b"), true},
		{effect(other, "r1", "a"), effect(below, "k", "x"), true},
	} {
		there, back := w.sequence([]Effect{test.one, test.two}), w.sequence([]Effect{test.two, test.one})
		if same := there[0] == back[0]; same != test.atOnce {
			t.Errorf("%s and %s: any order will do: %v, want %v", test.one.name(), test.two.name(), same, test.atOnce)
		}
	}
}

// witness takes down what a test would have failed with.
type witness struct {
	testing.TB
	failures []string
}

func (w *witness) Errorf(format string, args ...any) {
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
}

func (w *witness) Error(args ...any) { w.failures = append(w.failures, fmt.Sprint(args...)) }

func TestEveryCrashTellsOfWhatIsOtherThanWithoutOne(t *testing.T) {
	plays := 0
	emit := func(times int) func(context.Context, *empty) error {
		return func(ctx context.Context, _ *empty) error {
			for range times {
				if err := saga.Emit(ctx, "news", 1); err != nil {
					return err
				}
			}
			return nil
		}
	}
	later := func(*empty) bool { return plays > 1 }
	for _, test := range []struct {
		name  string
		nodes []saga.Node[empty]
	}{
		{"one event more, like one that there is", []saga.Node[empty]{saga.Step("a", func(ctx context.Context, e *empty) error { return emit(plays)(ctx, e) })}},
		{"the same event of another step", []saga.Node[empty]{saga.Step("a", emit(1)).OnlyIf(later), saga.Step("b", emit(1)).OnlyIf(func(e *empty) bool { return !later(e) })}},
		{"an effect", []saga.Node[empty]{saga.Step("a", idle), saga.Step("b", idle).OnlyIf(later)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			def := saga.Must(saga.Define("d", 1, test.nodes...))
			w := &witness{TB: t}
			plays = 0
			EveryCrash(w, []saga.Runnable{def}, func(k *Kit) {
				plays = min(plays+1, 2)
				Start(k, def, "1", empty{})
				k.Run()
			})
			if len(w.failures) == 0 {
				t.Error("no crash is told of")
			}
		})
	}
}

func TestWhatAScenarioChecksIsToldWithItsCrash(t *testing.T) {
	def := saga.Must(saga.Define("d", 1, saga.Step("a", idle)))
	w := &witness{TB: t}
	EveryCrash(w, []saga.Runnable{def}, func(k *Kit) {
		s := Start(k, def, "1", empty{})
		k.Run()
		s.MustHave("do b")
	})
	if len(w.failures) != 3 || strings.HasPrefix(w.failures[0], "with a crash") ||
		!strings.HasPrefix(w.failures[1], "with a crash before commit 1: ") || !strings.HasPrefix(w.failures[2], "with a crash after commit 1: ") {
		t.Errorf("told of %q", w.failures)
	}
}
