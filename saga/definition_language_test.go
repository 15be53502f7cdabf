package saga_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

func TestDefineReportsTheFaultsOfEveryConstruct(t *testing.T) {
	do := func(context.Context, *cargo) error { return nil }
	yes := func(*cargo) bool { return true }
	one := saga.Step("one", do)
	pivot := saga.Step("pivot", do).Pivot()
	hour := func(*cargo) time.Duration { return time.Hour }
	word := saga.DeclareSignal[int]("word")
	take := func(context.Context, *cargo, int) error { return nil }
	same := func(c *cargo) cargo { return *c }
	kid := saga.Must(saga.Define("kid", 1, one))
	type part struct{ N int }
	parts := func(*cargo) []part { return nil }
	work := saga.Step("work", func(context.Context, *part) error { return nil })
	for _, test := range []struct {
		name   string
		nodes  []saga.Node[cargo]
		faults []string
	}{
		{"a name with the mark of a turn", []saga.Node[cargo]{saga.Step("a#1", do)},
			[]string{`invalid step "a#1": contains '#', which marks the parts of a step's key`}},
		{"a name with the mark of a scope", []saga.Node[cargo]{saga.Step("a/b", do)},
			[]string{`invalid step "a/b": contains '/', which marks the parts of a step's key`}},
		{"one name for two constructs", []saga.Node[cargo]{one, saga.If("one", yes, saga.Step("two", do))}, []string{`choice "one" occurs twice`}},
		{"if without a condition", []saga.Node[cargo]{saga.If("q", nil, one)}, []string{`choice "q": branch "then" has a nil condition`}},
		{"if without nodes", []saga.Node[cargo]{saga.If("q", yes)}, []string{`choice "q": branch "then" has no nodes`}},
		{"else before else-if", []saga.Node[cargo]{saga.If("q", yes, one).Else(saga.Step("b", do)).ElseIf("c", yes, saga.Step("d", do))},
			[]string{`choice "q": Else is not the last branch`}},
		{"two branches of one name", []saga.Node[cargo]{saga.If("q", yes, one).ElseIf("then", yes, saga.Step("b", do))},
			[]string{`choice "q": branch "then" occurs twice`}},
		{"switch without a function", []saga.Node[cargo]{saga.Switch[cargo]("q", nil).Case("a", one)}, []string{`switch "q" has a nil function`}},
		{"a case twice", []saga.Node[cargo]{saga.Switch("q", func(*cargo) string { return "" }).Case("a", one).Case("a", saga.Step("b", do))},
			[]string{`switch "q": branch "a" occurs twice`}},
		{"a case without a value", []saga.Node[cargo]{saga.Switch("q", func(*cargo) string { return "" }).Case("", one)}, []string{`switch "q": a branch has no name`}},
		{"only if nothing", []saga.Node[cargo]{one.OnlyIf(nil)}, []string{`step "one": OnlyIf has a nil condition`}},
		{"a fallback without nodes", []saga.Node[cargo]{one.Fallback()}, []string{`step "one": branch "fallback" has no nodes`}},
		{"an optional pivot", []saga.Node[cargo]{pivot.Optional()}, []string{`step "pivot": is a pivot, so it can neither be optional nor have a fallback`}},
		{"parallel without branches", []saga.Node[cargo]{saga.Parallel[cargo]("p")}, []string{`parallel "p" has no branches`}},
		{"a branch without a name", []saga.Node[cargo]{saga.Parallel("p", saga.Branch("", one))},
			[]string{`invalid branch "": must not be empty`, `parallel "p": a branch has no name`}},
		{"a pivot in a race", []saga.Node[cargo]{saga.Race("r", saga.Branch("a", pivot))},
			[]string{`step "pivot": is a pivot within race "r", where what follows can still be undone`}},
		{"a pivot in a loop", []saga.Node[cargo]{saga.Loop("l", yes, pivot)},
			[]string{`step "pivot": is a pivot within loop "l", where what follows can still be undone`}},
		{"a pivot in one branch is none for the other", []saga.Node[cargo]{saga.If("q", yes, pivot).Else(one.Compensate(do))}, nil},
		{"a pivot in one branch is none for a choice in the other", []saga.Node[cargo]{saga.If("q", yes, pivot).
			Else(saga.If("r", yes, saga.Step("y", do)), saga.Step("z", do).Compensate(do))}, nil},
		{"a pivot in both branches", []saga.Node[cargo]{saga.If("q", yes, pivot).
			Else(saga.If("r", yes, saga.Step("y", do)), saga.Step("z", do).Pivot()), saga.Step("last", do).Compensate(do)},
			[]string{`step "last": has a compensation, but after the pivot "z" nothing is undone`}},
		{"a pivot before a choice in the same branch", []saga.Node[cargo]{saga.If("q", yes, saga.If("r", yes, pivot), saga.Step("z", do).Compensate(do))},
			[]string{`step "z": has a compensation, but after the pivot "pivot" nothing is undone`}},
		{"a pivot in a branch is one for what follows", []saga.Node[cargo]{saga.If("q", yes, pivot), saga.Step("z", do).Compensate(do)},
			[]string{`step "z": has a compensation, but after the pivot "pivot" nothing is undone`}},
		{"for each without a function", []saga.Node[cargo]{saga.ForEach[cargo, part]("f", nil, work)}, []string{`for-each "f" has a nil function`}},
		{"for each of none at once", []saga.Node[cargo]{saga.ForEach("f", parts, work).Limit(0)}, []string{`for-each "f": limit 0 is below 1`}},
		{"for each without nodes", []saga.Node[cargo]{saga.ForEach("f", parts)}, []string{`for-each "f": branch "" has no nodes`}},
		{"items that are no structs", []saga.Node[cargo]{saga.ForEach("f", func(*cargo) []int { return nil }, saga.Step("s", func(context.Context, *int) error { return nil }))},
			[]string{`item type int is not a struct`}},
		{"loop without a condition", []saga.Node[cargo]{saga.Loop("l", nil, one)}, []string{`loop "l" has a nil condition`}},
		{"loop of no turns", []saga.Node[cargo]{saga.Loop("l", yes, one).Max(0)}, []string{`loop "l": Max 0 is neither positive nor Unlimited`}},
		{"undo in a loop without a bound", []saga.Node[cargo]{saga.Loop("l", yes, one.Compensate(do)).Max(saga.Unlimited)},
			[]string{`loop "l": a compensation within a loop without a bound could never be forgotten: set Max`}},
		{"keep of a loop with a bound", []saga.Node[cargo]{saga.Loop("l", yes, one).Keep(5)},
			[]string{`loop "l": Keep is for a loop without an end; the log of any other is kept whole`}},
		{"keep less than nothing", []saga.Node[cargo]{saga.Loop("l", yes, one).Max(saga.Unlimited).Keep(-1)}, []string{`loop "l": Keep -1 is negative`}},
		{"a bounded loop after the pivot", []saga.Node[cargo]{pivot, saga.Loop("l", yes, one)},
			[]string{`loop "l": fails after 1000 turns, but after the pivot "pivot" nothing can be undone: set Max(Unlimited)`}},
		{"sleep without a function", []saga.Node[cargo]{saga.Sleep[cargo]("s", nil)}, []string{`sleep "s" has a nil function`}},
		{"sleep until never", []saga.Node[cargo]{saga.SleepUntil[cargo]("s", nil)}, []string{`sleep "s" has a nil function`}},
		{"within no time", []saga.Node[cargo]{saga.Within("w", 0, one)}, []string{`within "w": limit 0s is not positive`}},
		{"within after the pivot", []saga.Node[cargo]{pivot, saga.Within("w", time.Hour, one)},
			[]string{`within "w": can fail, but after the pivot "pivot" nothing can be undone`}},
		{"await of no signal", []saga.Node[cargo]{saga.Await("w", saga.DeclareSignal[int](""), take)}, []string{`await "w": invalid signal "": must not be empty`}},
		{"await without a handler", []saga.Node[cargo]{saga.Await[cargo]("w", word, nil)}, []string{`await "w" has a nil handler`}},
		{"await without time", []saga.Node[cargo]{saga.Await("w", word, take).Timeout(0)}, []string{`await "w": timeout 0s is not positive`}},
		{"await that may fail after the pivot", []saga.Node[cargo]{pivot, saga.Await("w", word, take).Timeout(time.Hour)},
			[]string{`await "w": can time out, but after the pivot "pivot" nothing can be undone: give the timeout its nodes`}},
		{"approval that fails the saga after the pivot", []saga.Node[cargo]{pivot, saga.Approval[cargo]("boss", nil)},
			[]string{`approval "boss": can be refused, but after the pivot "pivot" nothing can be undone: give OrElse its nodes, or decide what a refusal means`}},
		{"approval with something else to do after the pivot", []saga.Node[cargo]{pivot, saga.Approval[cargo]("boss", nil).OrElse(one)}, nil},
		{"child without a definition", []saga.Node[cargo]{saga.Child("c", nil, same)}, []string{`child "c" has a nil definition`}},
		{"child without input", []saga.Node[cargo]{saga.Child[cargo]("c", kid, nil)}, []string{`child "c" has a nil input function`}},
		{"detached child with a result", []saga.Node[cargo]{saga.Child("c", kid, same).Result(func(*cargo, cargo) {}).Detached()},
			[]string{`child "c" is detached, so it has no result to take`}},
		{"child after the pivot", []saga.Node[cargo]{pivot, saga.Child("c", kid, same)},
			[]string{`child "c": can fail, but after the pivot "pivot" nothing can be undone: make it Optional or Detached`}},
		{"attribute without a function", []saga.Node[cargo]{one, saga.Attribute[cargo]("a", nil)}, []string{`attribute "a" has a nil function`}},
		{"attribute twice", []saga.Node[cargo]{one, saga.Attribute("a", func(*cargo) string { return "" }), saga.Attribute("a", func(*cargo) string { return "" })},
			[]string{`attribute "a" occurs twice`}},
		{"attribute within a block", []saga.Node[cargo]{saga.Loop("l", yes, one, saga.Attribute("a", func(*cargo) string { return "" }))},
			[]string{`attribute "a" is declared within another node; it belongs to the definition`}},
		{"nothing but an attribute", []saga.Node[cargo]{saga.Attribute("a", func(*cargo) string { return "" })}, []string{"has no steps"}},
		{"all of them as they should be", []saga.Node[cargo]{one, saga.Sleep("s", hour), saga.Await("w", word, take).Retry(saga.RetryPolicy{Attempts: 3}),
			saga.Child("c", kid, same).ID(func(*cargo) string { return "x" }).Optional()}, nil},
	} {
		t.Run(test.name, func(t *testing.T) { checkFaults(t, test.faults, test.nodes...) })
	}
}

func TestEmittingIsRefusedByName(t *testing.T) {
	if err := saga.Emit(t.Context(), "topic", 1); err == nil || !strings.Contains(err.Error(), "not a handler's") {
		t.Errorf("outside a handler: %v", err)
	}
	ctx := saga.NewContext(t.Context(), saga.Info{Key: theSaga, Run: "r", Step: "one"})
	var invalid *saga.InvalidNameError
	if err := saga.Emit(ctx, "a.b", 1); !errors.As(err, &invalid) || invalid.Field != "topic" {
		t.Errorf("with a topic of two words: %v", err)
	}
	if err := saga.Emit(ctx, "topic", func() {}); err == nil {
		t.Error("a function can be emitted")
	}
	for i := range 1_000 {
		if err := saga.Emit(ctx, "topic", i); err != nil {
			t.Fatal(err)
		}
	}
	if err := saga.Emit(ctx, "topic", 1); err == nil || len(saga.Emitted(ctx)) != 1_000 {
		t.Errorf("%d are emitted, and one more gives %v", len(saga.Emitted(ctx)), err)
	}
	if list := saga.Emitted(ctx); list[0].ID == list[1].ID || list[0].ID == "" {
		t.Errorf("the ids are %q and %q", list[0].ID, list[1].ID)
	}
	if saga.Emitted(t.Context()) != nil {
		t.Error("something was emitted outside a handler")
	}
}

func TestUnknownMarksAnErrorAndNothingElse(t *testing.T) {
	if saga.Unknown(nil) != nil || saga.IsUnknown(nil) || saga.IsUnknown(errors.New("x")) {
		t.Error("what is not marked is unknown")
	}
	cause := errors.New("no answer")
	if err := saga.Unknown(saga.Permanent(cause)); !saga.IsUnknown(err) || !saga.IsPermanent(err) || !errors.Is(err, cause) || err.Error() != "no answer" {
		t.Errorf("the marked error is %v", err)
	}
}
