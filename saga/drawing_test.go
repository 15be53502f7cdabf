package saga_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// everything is a definition of all constructs.
func everything(t testing.TB) *saga.Definition[cargo] {
	t.Helper()
	do := func(context.Context, *cargo) error { return nil }
	yes := func(*cargo) bool { return true }
	type part struct{ N int }
	undone := func(name string) saga.StepNode[cargo] { return saga.Step(name, do).Compensate(do) }
	kid := saga.Must(saga.Define("kid", 3, saga.Step("one", do)))
	def, err := saga.Define("everything", 2,
		undone("first"),
		saga.If("is-large", yes, undone("large")).ElseIf("is-small", yes, saga.Step("small", do)).Else(saga.Step("other", do)),
		saga.Switch("by-country", func(*cargo) string { return "DE" }).Case("DE", saga.Step("dhl", do)).Default(saga.Step("post", do)),
		saga.Parallel("both", saga.Branch("left", undone("l-1"), undone("l-2")), saga.Branch("right", undone("r-1").OnlyIf(yes))),
		saga.Race("quick", saga.Branch("a", saga.Step("ask-a", do)), saga.Branch("b", saga.Step("ask-b", do).Optional())),
		saga.ForEach("parts", func(*cargo) []part { return []part{{1}, {2}} },
			saga.Step("pick", func(context.Context, *part) error { return nil }).Compensate(func(context.Context, *part) error { return nil })).Gather(),
		saga.Loop("again", func(*cargo) bool { return false }, saga.Step("poll", do)).Max(5),
		saga.Sleep("rest", func(*cargo) time.Duration { return time.Hour }),
		saga.Within("soon", time.Minute, saga.Step("hurry", do).Fallback(saga.Step("walk", do))),
		saga.Await("word", saga.DeclareSignal[int]("spoken"), func(context.Context, *cargo, int) error { return nil }).Timeout(time.Hour, saga.Step("remind", do)),
		saga.Approval[cargo]("boss", nil),
		saga.Child("kid", kid, func(*cargo) cargo { return cargo{} }),
		saga.Step("go", do).Pivot(),
		saga.Child("leave", kid, func(*cargo) cargo { return cargo{} }).Detached(),
		saga.Attribute("colour", func(*cargo) string { return "red" }),
	)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func TestAPlanIsDrawnForATerminal(t *testing.T) {
	const want = `everything, version 2
├─ first, undone on failure
├─ is-large ?
│  ├─ [then]
│  │  └─ large, undone on failure
│  ├─ [is-small]
│  │  └─ small
│  └─ [else]
│     └─ other
├─ by-country ?
│  ├─ [DE]
│  │  └─ dhl
│  └─ [else]
│     └─ post
├─ both: all at once
│  ├─ [left]
│  │  ├─ l-1, undone on failure
│  │  └─ l-2, undone on failure
│  └─ [right]
│     └─ r-1, if its condition holds, undone on failure
├─ quick: the first of
│  ├─ [a]
│  │  └─ ask-a
│  └─ [b]
│     └─ ask-b, optional
├─ parts: for each item, 10 at once, failures gathered
│  └─ pick, undone on failure
├─ again: repeat, 5 times at the most
│  └─ poll
├─ rest: wait
├─ soon: within 1m0s
│  └─ hurry
│     └─ [fallback]
│        └─ walk
├─ word: wait for the signal spoken, 1h0m0s at the most
│  └─ [timeout]
│     └─ remind
├─ boss: wait for an approval
├─ kid: the saga kid, version 3, undone on failure
├─ go, pivot
└─ leave: the saga kid, version 3, left to itself
`
	if got := everything(t).Plan().Drawing(); got != want {
		t.Errorf("it is drawn as\n%s\nwant\n%s", got, want)
	}
}

func TestAPlanIsAMermaidFlowchartWhoseNodesAllExist(t *testing.T) {
	chart := everything(t).Plan().Mermaid()
	nodes := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(chart), "\n")[1:] {
		from, to, edge := strings.Cut(strings.TrimSpace(line), "-->")
		if !edge {
			id := line[:strings.IndexAny(line, "([{")]
			nodes[strings.TrimSpace(id)] = true
			continue
		}
		from, _, _ = strings.Cut(strings.TrimSpace(from), " --")
		if !nodes[strings.TrimSpace(from)] || !nodes[strings.TrimSpace(to)] {
			t.Errorf("an edge has an end that is not drawn: %s", line)
		}
	}
	if len(nodes) < 25 || !strings.HasPrefix(chart, "flowchart TD\n") {
		t.Errorf("%d nodes are drawn:\n%s", len(nodes), chart)
	}
}

func TestAPlanComesBackFromJSONAsItWent(t *testing.T) {
	plan := everything(t).Plan()
	data, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	back, err := saga.ParsePlan(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plan.WithoutAttributes(), back) {
		t.Errorf("it comes back as\n%s", back.Drawing())
	}
	for _, bad := range []string{
		``, `{}`, `{"name":"a"}`, `{"name":"a","root":{"kind":"step"}}`, `{"name":"a","root":{"kind":"dance"}}`, `{"name":"a","root":{"kind":"sequence","children":[null]}}`,
		`{"name":"a","root":{"kind":"loop"}}`, `{"name":"a","root":` + strings.Repeat(`{"kind":"sequence","children":[`, 200) + strings.Repeat(`]}`, 200) + `}`,
	} {
		if p, err := saga.ParsePlan([]byte(bad)); err == nil {
			t.Errorf("%.60s is read as %s", bad, p.Drawing())
		}
	}
}

func FuzzParsePlan(f *testing.F) {
	data, err := json.Marshal(everything(f).Plan())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"name":"a","root":{"kind":"for-each","each":{"limit":0},"children":[{"kind":"sequence"}]}}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		p, err := saga.ParsePlan(data)
		if err != nil {
			return
		}
		p.Drawing()
		p.Mermaid()
		in := saga.NewInstance(theSaga)
		in.Evolve(&saga.Commit{Version: 1, Events: []saga.Event{saga.SagaStarted{Run: "r", Definition: p.Version}}})
		saga.UndoPlan(p, in)
		for _, task := range saga.Ready(p, in, storyTime) {
			saga.Decide(p, in, saga.Result{Task: task, Answer: &saga.Answer{}, Child: &saga.ChildRef{}}, storyTime)
		}
	})
}

func FuzzParseToken(f *testing.F) {
	f.Add(saga.Token{Key: theSaga, Step: "boss#2", Secret: "s"}.String())
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := saga.ParseToken(text)
		if err != nil {
			return
		}
		if again, err := saga.ParseToken(token.String()); err != nil || again != token {
			t.Errorf("it comes back as %+v, %v", again, err)
		}
	})
}

// What would be undone is told before anything happens.
func ExampleUndoPlan() {
	do := func(context.Context, *struct{}) error { return nil }
	def := saga.Must(saga.Define("book-trip", 1,
		saga.Step("check", do).Compensate(do),
		saga.Parallel("bookings",
			saga.Branch("flight", saga.Step("book-flight", do).Compensate(do)),
			saga.Branch("hotel", saga.Step("book-hotel", do).Compensate(do)),
		),
		saga.Step("charge", do).Pivot(),
	))
	in := saga.NewInstance(saga.Key{Definition: "book-trip", ID: "t-1"})
	in.Evolve(&saga.Commit{Version: 1, Events: []saga.Event{
		saga.SagaStarted{Run: "r", Definition: 1}, saga.StepCompleted{Step: "check", Attempt: 1},
		saga.StepCompleted{Step: "book-hotel", Attempt: 1}, saga.StepCompleted{Step: "book-flight", Attempt: 1},
	}})
	fmt.Print(saga.DrawUndoing(saga.UndoPlan(def.Plan(), in)))
	// Output:
	// 1. at once:
	//    side 1
	//       1.1. undo book-flight
	//    side 2
	//       1.1. undo book-hotel
	// 2. undo check
}
