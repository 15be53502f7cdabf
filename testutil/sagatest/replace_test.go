package sagatest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil/sagatest"
)

// remote is what a handler calls that a test has not.
func remote[S any](context.Context, *S) error {
	return saga.Permanent(errors.New("there is no such service here"))
}

func TestAReplacedHandlerIsRunAsTheHandlerItself(t *testing.T) {
	kid := child(saga.Step("one", remote[trip]))
	def := saga.Must(saga.Define("parent", 1,
		saga.Attribute("a", func(s *trip) string { return s.A }),
		step("before", b),
		saga.Step("one", remote[trip]).Compensate(remote[trip]),
		saga.ForEach("f", items(2), saga.Step("pick", remote[item]).Compensate(put)).Collect(collect),
		saga.Child("c", kid, func(*trip) trip { return trip{} }).Result(func(s *trip, c trip) { s.C = c.A }),
		saga.Await("w", paid, takePayment),
		fails("x"),
	))
	sagatest.EveryCrash(t, []saga.Runnable{def, kid}, func(k *sagatest.Kit) {
		sagatest.Replace(k, "one", func(ctx context.Context, s *trip) error {
			s.A = saga.FromContext(ctx).Key.Definition
			return saga.Emit(ctx, "news", 1)
		})
		sagatest.Replace(k, "undo one", func(_ context.Context, s *trip) error { s.Log = append(s.Log, "not one"); return nil })
		sagatest.Replace(k, "pick", func(_ context.Context, it *item) error { it.Done = "picked"; return nil })
		sagatest.Replace(k, "pick#1", func(_ context.Context, it *item) error { it.Done = "picked at last"; return nil })
		sagatest.Replace(k, "w", func(_ context.Context, s *trip) error { s.N = 3; return nil })
		k.Fail("pick#1", errors.New("later"))
		s := sagatest.Start(k, def, "1", trip{})
		sagatest.Signal(s, paid, 7)
		k.Run()
		s.MustBe(saga.StatusCompensated)
		s.MustHaveInAnyOrder("do before", "do one", "do pick#0", "do pick#1", "do w", "undo pick#0", "undo pick#1", "undo one", "undo before")
		if got := fmt.Sprint(s.State()); got != "{parent not before child 3 [{0 picked} {1 picked at last}] [not one]}" {
			k.TB().Errorf("it ends with %s", got)
		}
		if in := s.Instance(); in.Attributes["a"] != "parent" || len(k.Emitted()) != 2 {
			k.TB().Errorf("its attributes are %v, and %d events were emitted", in.Attributes, len(k.Emitted()))
		}
	})
}

func TestAReplacementThatPanicsIsAFailure(t *testing.T) {
	def := saga.Must(saga.Define("parent", 1, saga.Step("one", remote[trip])))
	k := sagatest.New(t, def)
	sagatest.Replace(k, "one", func(context.Context, *trip) error { panic("oh") })
	s := sagatest.Start(k, def, "1", trip{})
	k.Run()
	s.MustBe(saga.StatusCompensated)
}

// fatal is a test that goes on after its end.
type fatal struct {
	testing.TB
	said string
}

func (f *fatal) Fatalf(format string, args ...any) { f.said = fmt.Sprintf(format, args...) }

func TestWhatCannotBeReplacedIsToldWhy(t *testing.T) {
	kid := child(step("kid", a))
	def := saga.Must(saga.Define("parent", 1, step("one", a), fails("x"), saga.ForEach("f", items(2), saga.Step("pick", pick)),
		saga.If("q", yes, step("two", b)), saga.Child("c", kid, func(*trip) trip { return trip{} })))
	for _, test := range []struct{ step, want string }{
		{"won", `to replace "won": no definition of the kit has such a step`},
		{"undo x", `to replace "undo x": the step of parent has no compensation`},
		{"pick", `to replace "pick": the step of parent works on sagatest_test.item, not on sagatest_test.trip`},
		{"q", `to replace "q": it is a choice of parent, which has no handler`},
		{"c", `to replace "c": it is a child of parent, which has no handler`},
		{"kid", ""},
	} {
		f := &fatal{TB: t}
		sagatest.Replace(sagatest.New(f, def, kid), test.step, func(context.Context, *trip) error { return nil })
		if f.said != test.want {
			t.Errorf("%s: told %q, want %q", test.step, f.said, test.want)
		}
	}
}
