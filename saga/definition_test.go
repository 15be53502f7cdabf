package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// nothing is a handler that does nothing.
func nothing(context.Context, *cargo) error { return nil }

func mustPlan(t *testing.T, nodes ...saga.Node[cargo]) *saga.Plan {
	t.Helper()
	def, err := saga.Define("d", 1, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	return def.Plan()
}

// checkFaults fails the test unless defining these nodes finds exactly these faults, in this order.
func checkFaults[S any](t *testing.T, want []string, nodes ...saga.Node[S]) {
	t.Helper()
	def, err := saga.Define("d", 1, nodes...)
	if len(want) == 0 {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	var faulty *saga.DefinitionError
	if !errors.As(err, &faulty) {
		t.Fatalf("error %v, want a DefinitionError", err)
	}
	if def != nil {
		t.Error("a faulty definition is given all the same")
	}
	if faulty.Name != "d" || !slices.Equal(faulty.Faults, want) {
		t.Errorf("the faults of %q are\n%s\nwant\n%s", faulty.Name,
			strings.Join(faulty.Faults, "\n"), strings.Join(want, "\n"))
	}
}

func TestDefineReportsEveryFaultByName(t *testing.T) {
	step := func(name string) saga.StepNode[cargo] { return saga.Step(name, nothing) }
	type nodes = []saga.Node[cargo]
	for _, test := range []struct {
		name   string
		nodes  nodes
		faults []string
	}{
		{"nothing wrong", nodes{step("a").Compensate(nothing), step("b").Pivot(), step("c")}, nil},
		{"no steps", nil, []string{"has no steps"}},
		{"a nil node", nodes{step("a"), nil}, []string{"node 2 is nil"}},
		{"an empty step name", nodes{step("")}, []string{`invalid step "": must not be empty`}},
		{"a step name that is no token", nodes{step("a.b")},
			[]string{`invalid step "a.b": contains '.'; white space, control characters, '.', '*' and '>' are not allowed`}},
		{"a name twice", nodes{step("a"), step("b"), step("a")}, []string{`step "a" occurs twice`}},
		{"a nil handler", nodes{saga.Step[cargo]("a", nil)}, []string{`step "a" has a nil handler`}},
		{"a negative timeout", nodes{step("a").Timeout(-time.Second)}, []string{`step "a": timeout -1s is negative`}},
		{"a nil compensation", nodes{step("a").Compensate(nil)}, []string{`step "a": has a nil compensation`}},
		{"a compensation's retry without a compensation", nodes{step("a").CompensateRetry(saga.RetryPolicy{})},
			[]string{`step "a": has a nil compensation`}},
		{"a compensation's timeout without a compensation", nodes{step("a").CompensateTimeout(time.Second)},
			[]string{`step "a": has a nil compensation`}},
		{"a compensation's negative timeout", nodes{step("a").Compensate(nothing).CompensateTimeout(-1)},
			[]string{`step "a": compensation timeout -1ns is negative`}},
		{"a pivot with a compensation", nodes{step("a").Pivot().Compensate(nothing)},
			[]string{`step "a": has a compensation, but a pivot is never undone`}},
		{"a compensation after the pivot", nodes{step("a").Pivot(), step("b").Compensate(nothing)},
			[]string{`step "b": has a compensation, but after the pivot "a" nothing is undone`}},
		{"bounded attempts after the pivot", nodes{step("a").Pivot(), step("b").Retry(saga.RetryPolicy{Attempts: 3})},
			[]string{`step "b": retry Attempts 3: after the pivot "a" nothing can be undone, so it must be Unlimited`}},
		{"bounded attempts of the pivot itself", nodes{step("a").Pivot().Retry(saga.RetryPolicy{Attempts: 3})}, nil},
		{"unlimited attempts after the pivot, in so many words",
			nodes{step("a").Pivot(), step("b").Retry(saga.RetryPolicy{Attempts: saga.Unlimited})}, nil},
		{"two pivots", nodes{step("a").Pivot(), step("b").Pivot()}, []string{`step "b": is a second pivot, after "a"`}},
		{"all at once",
			nodes{
				nil, saga.Step[cargo]("", nil).Timeout(-1), step("p").Pivot(),
				step("b").Compensate(nil).CompensateTimeout(-1), step("p").Retry(saga.RetryPolicy{Initial: -1}),
			},
			[]string{
				"node 1 is nil",
				`invalid step "": must not be empty`,
				`step "" has a nil handler`,
				`step "": timeout -1ns is negative`,
				`step "b": has a nil compensation`,
				`step "b": compensation timeout -1ns is negative`,
				`step "p" occurs twice`,
				`step "p": retry Initial -1ns is negative`,
			}},
	} {
		t.Run(test.name, func(t *testing.T) { checkFaults(t, test.faults, test.nodes...) })
	}
}

func TestDefineReportsTheFaultsOfItsNameAndVersionWithTheRest(t *testing.T) {
	_, err := saga.Define[cargo]("a b", 0)
	const want = `definition "a b": invalid definition "a b": contains ' '; white space, control characters, ` +
		`'.', '*' and '>' are not allowed; version 0 is below 1; has no steps`
	if err == nil || err.Error() != want {
		t.Errorf("error\n%v\nwant\n%s", err, want)
	}
}

type (
	badlyEncoded  struct{ C chan int }
	badlyDecoded  struct{ E error }
	encodedAsText struct{ N int }
	encodedAsNull struct{ N int }
	neverDecoded  struct{ N int }
)

func (encodedAsText) MarshalText() ([]byte, error) { return []byte("{"), nil }
func (encodedAsNull) MarshalJSON() ([]byte, error) { return []byte("null"), nil }
func (*neverDecoded) UnmarshalJSON([]byte) error   { return errors.New("no") }

// checkState fails the test unless a state of type S is accepted, or refused for what is given.
func checkState[S any](t *testing.T, faults ...string) {
	t.Helper()
	checkFaults(t, faults, saga.Node[S](saga.Step("a", func(context.Context, *S) error { return nil })))
}

func TestAStateIsAStructThatJSONCarriesThereAndBack(t *testing.T) {
	checkState[struct{}](t)
	checkState[struct{ When time.Time }](t)
	checkState[struct{ Any any }](t)
	checkState[badlyDecoded](t) // its nil error is null, which decodes

	checkState[int](t, "state type int is not a struct")
	checkState[*cargo](t, "state type *saga_test.cargo is not a struct")
	checkState[map[string]int](t, "state type map[string]int is not a struct")
	checkState[badlyEncoded](t, "state type saga_test.badlyEncoded cannot be encoded: json: unsupported type: chan int")
	checkState[encodedAsText](t, "state type saga_test.encodedAsText does not encode as a JSON object")
	checkState[encodedAsNull](t, "state type saga_test.encodedAsNull does not encode as a JSON object")
	checkState[neverDecoded](t, "state type saga_test.neverDecoded cannot be decoded: no")
}

func TestAStepsMethodsGiveChangedCopies(t *testing.T) {
	base := saga.Step("a", nothing).Compensate(nothing).CompensateTimeout(time.Second)
	base.Retry(saga.RetryPolicy{Attempts: 2})
	base.Timeout(time.Minute)
	base.Pivot()
	base.CompensateRetry(saga.RetryPolicy{Attempts: 3})
	base.CompensateTimeout(time.Hour)
	base.Compensate(nil)
	plan := mustPlan(t, base)
	do, undo := saga.Task{Step: "a"}, saga.Task{Step: "a", Undo: true}
	if plan.Timeout(do) != 0 || plan.Timeout(undo) != time.Second {
		t.Errorf("the timeouts are %v and %v, want none and a second", plan.Timeout(do), plan.Timeout(undo))
	}
	if plan.Policy(do).Attempts != saga.DefaultAttempts || plan.Policy(undo).Attempts != saga.Unlimited {
		t.Errorf("the attempts are %d and %d, want the defaults", plan.Policy(do).Attempts, plan.Policy(undo).Attempts)
	}
	if plan.Step("a").Pivot {
		t.Error("the step has become a pivot")
	}
}

func TestAPlanIsTheDefinitionAsData(t *testing.T) {
	def, err := saga.Define("order", 3,
		saga.Step("reserve", nothing).Timeout(time.Second).
			Compensate(nothing).CompensateTimeout(2*time.Second).CompensateRetry(saga.RetryPolicy{Jitter: -1}),
		saga.Step("ship", nothing).Pivot().Retry(saga.RetryPolicy{Attempts: 1}),
	)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(def.Plan())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"order","version":3,"root":{"kind":"sequence","children":[` +
		`{"kind":"step","name":"reserve","step":{"retry":{"initial":100000000,"factor":2,"max":60000000000,"attempts":10,"jitter":0.2},` +
		`"timeout":1000000000,"undo":{"retry":{"initial":100000000,"factor":2,"max":60000000000,"attempts":-1},"timeout":2000000000}}},` +
		`{"kind":"step","name":"ship","step":{"retry":{"initial":100000000,"factor":2,"max":60000000000,"attempts":1,"jitter":0.2},"pivot":true}}]}}`
	if string(got) != want {
		t.Errorf("the plan is\n%s\nwant\n%s", got, want)
	}
	if def.Plan().Step("nowhere") != nil {
		t.Error("a step that is not in the plan has a spec")
	}
}

func TestMustGivesTheDefinitionOrPanicsWithItsFaults(t *testing.T) {
	if def := saga.Must(saga.Define("d", 1, saga.Step("a", nothing))); def.Plan().Name != "d" {
		t.Errorf("the definition is named %q", def.Plan().Name)
	}
	defer func() {
		if _, ok := recover().(*saga.DefinitionError); !ok {
			t.Error("the panic's value is not the DefinitionError")
		}
	}()
	saga.Must(saga.Define[cargo]("d", 1))
}

func TestAStepWorksOnTheStateOrOnAnItem(t *testing.T) {
	type state struct{}
	type order struct{}
	type line struct{}
	do := func(context.Context, *state) error { return nil }
	each := func(*order) []line { return nil }
	def := saga.Must(saga.Define("d", 1,
		saga.Step("a", do),
		saga.ForEach("orders", func(*state) []order { return nil },
			saga.Step("b", func(context.Context, *order) error { return nil }),
			saga.ForEach("lines", each, saga.Step("c", func(context.Context, *line) error { return nil })),
		),
	))
	for node, want := range map[string]reflect.Type{
		"a": reflect.TypeFor[state](), "orders": reflect.TypeFor[state](), "b": reflect.TypeFor[order](), "lines": reflect.TypeFor[order](), "c": reflect.TypeFor[line](),
	} {
		if got := def.StateType(node); got != want {
			t.Errorf("%s works on %v, want %v", node, got, want)
		}
	}
}
