package sagatest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil/sagatest"
)

// trip is the state of the sagas here. Each field is written by one step.
type trip struct {
	A     string   `json:"a,omitempty"`
	B     string   `json:"b,omitempty"`
	C     string   `json:"c,omitempty"`
	N     int      `json:"n,omitempty"`
	Items []item   `json:"items,omitempty"`
	Log   []string `json:"log,omitempty"`
}

type item struct {
	ID   int    `json:"id"`
	Done string `json:"done,omitempty"`
}

var (
	errNo = saga.Permanent(errors.New("no"))
	paid  = saga.DeclareSignal[int]("paid")
)

func set(field func(*trip) *string, value string) func(context.Context, *trip) error {
	return func(_ context.Context, s *trip) error { *field(s) = value; return nil }
}

func a(s *trip) *string { return &s.A }
func b(s *trip) *string { return &s.B }
func c(s *trip) *string { return &s.C }

// step is a step that writes a field, and its undo.
func step(name string, field func(*trip) *string) saga.StepNode[trip] {
	return saga.Step(name, set(field, name)).Compensate(set(field, "not "+name))
}

func count(_ context.Context, s *trip) error { s.N++; return nil }

// fails fails for good.
func fails(name string) saga.StepNode[trip] {
	return saga.Step(name, func(context.Context, *trip) error { return errNo })
}

func items(n int) func(*trip) []item {
	return func(*trip) []item {
		list := make([]item, n)
		for i := range list {
			list[i].ID = i
		}
		return list
	}
}

func collect(s *trip, list []saga.Item[item]) {
	for _, it := range list {
		s.Items = append(s.Items, it.Value)
		if it.Error != "" {
			s.Log = append(s.Log, fmt.Sprint(it.Index, ": ", it.Error))
		}
	}
}

func pick(_ context.Context, it *item) error { it.Done = "picked"; return nil }
func put(_ context.Context, it *item) error  { it.Done = "put back"; return nil }

func pack(_ context.Context, it *item) error {
	if it.ID == 2 {
		return errNo
	}
	it.Done = "packed"
	return nil
}

func yes(*trip) bool { return true }
func no(*trip) bool  { return false }

func hour(*trip) time.Duration { return time.Hour }

// scenario is one row of the matrix.
type scenario struct {
	name    string
	nodes   []saga.Node[trip]
	child   *saga.Definition[trip]
	opts    func() []sagatest.StartOption
	play    func(k *sagatest.Kit, s *sagatest.Saga[trip])
	ordered bool // what comes from outside has to come in its order
	varies  bool // a crash may have it take another way
	timed   bool // how it ends is a matter of when it happens
	cut     bool // the log forgets its beginning
	want    saga.Status
	check   func(t testing.TB, k *sagatest.Kit, s *sagatest.Saga[trip])
}

type nodes = []saga.Node[trip]

func child(nodes ...saga.Node[trip]) *saga.Definition[trip] {
	return saga.Must(saga.Define("child", 1, nodes...))
}

// verify checks how the scenario's saga has ended.
func (sc scenario) verify(k *sagatest.Kit, s *sagatest.Saga[trip]) {
	k.TB().Helper()
	s.MustBe(sc.want)
	if sc.check != nil {
		sc.check(k.TB(), k, s)
	}
}

// everyScenario gives all of the matrix.
func everyScenario() []scenario {
	return slices.Concat(scenarios(), meetings(), interventions())
}

func scenarios() []scenario {
	goodChild := child(step("one", a), step("two", b))
	badChild := child(step("one", a), fails("two"))
	slowChild := child(step("one", a), saga.Sleep("rest", hour), step("two", b))
	pivotChild := child(step("one", a), saga.Step("go", count).Pivot())
	input := func(*trip) trip { return trip{C: "from the parent"} }
	same := func(s *trip) trip { return *s }
	result := func(s *trip, c trip) { s.C = c.A + c.B + c.C }
	return []scenario{
		{name: "steps", nodes: nodes{step("one", a), step("two", b), step("three", c)}, want: saga.StatusCompleted},
		{name: "steps that are undone", nodes: nodes{step("one", a), step("two", b), fails("three")}, want: saga.StatusCompensated,
			check: has("do one", "do two", "undo two", "undo one")},
		{name: "if", nodes: nodes{saga.If("q", yes, step("one", a)).Else(step("two", b)), step("three", c)}, want: saga.StatusCompleted,
			check: has("do one", "do three")},
		{name: "else if", nodes: nodes{saga.If("q", no, step("one", a)).ElseIf("second", yes, step("two", b)), fails("three")},
			want: saga.StatusCompensated, check: has("do two", "undo two")},
		{name: "no branch", nodes: nodes{saga.If("q", no, step("one", a)), step("two", b)}, want: saga.StatusCompleted, check: has("do two")},
		{name: "switch", nodes: nodes{step("one", a), saga.Switch("q", func(s *trip) string { return s.A }).
			Case("two", step("wrong", b)).Case("one", step("right", b)).Default(step("other", c))}, want: saga.StatusCompleted,
			check: has("do one", "do right")},
		{name: "a condition that panics", nodes: nodes{step("one", a), saga.If("q", func(*trip) bool { panic("oh") }, step("two", b))},
			want: saga.StatusCompensated, check: has("do one", "undo one")},
		{name: "only if", nodes: nodes{step("one", a).OnlyIf(no), step("two", b).OnlyIf(yes), fails("x")}, want: saga.StatusCompensated,
			check: has("do two", "undo two")},
		{name: "optional", nodes: nodes{step("one", a), fails("x").Optional(), step("two", b)}, want: saga.StatusCompleted,
			check: has("do one", "do two")},
		{name: "fallback", nodes: nodes{fails("x").Fallback(step("one", a)), step("two", b), fails("y")}, want: saga.StatusCompensated,
			check: has("do one", "do two", "undo two", "undo one")},
		{name: "parallel", nodes: nodes{saga.Parallel("p", saga.Branch("l", step("one", a), step("two", b)), saga.Branch("r", step("three", c)))},
			want: saga.StatusCompleted, check: state(trip{A: "one", B: "two", C: "three"})},
		{name: "parallel, undone after it was joined", nodes: nodes{
			saga.Parallel("p", saga.Branch("l", step("one", a), step("two", b)), saga.Branch("r", step("three", c))), fails("x")},
			want: saga.StatusCompensated, check: state(trip{A: "not one", B: "not two", C: "not three"})},
		{name: "parallel, one branch fails", nodes: nodes{saga.Parallel("p",
			saga.Branch("l", step("one", a), step("two", b)), saga.Branch("r", saga.Sleep("s", hour), fails("x")))},
			want: saga.StatusCompensated, check: hasInAnyOrder("do one", "do two", "undo one", "undo two")},
		{name: "parallel, two write one field", nodes: nodes{
			saga.Parallel("p", saga.Branch("l", step("one", a)), saga.Branch("r", step("two", a)))}, want: saga.StatusCompensated,
			check: func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				const want = `the branches "l" and "r" have both changed the field "a"`
				if got := s.Instance().Error; got != want {
					t.Errorf("the error is %q, want %q", got, want)
				}
			}},
		{name: "parallel within parallel", nodes: nodes{saga.Parallel("p",
			saga.Branch("l", saga.Parallel("q", saga.Branch("ll", step("one", a)), saga.Branch("lr", step("two", b)))),
			saga.Branch("r", step("three", c))), fails("x")}, want: saga.StatusCompensated,
			check: state(trip{A: "not one", B: "not two", C: "not three"})},
		{name: "race", nodes: nodes{saga.Race("r",
			saga.Branch("fast", step("one", a)), saga.Branch("slow", step("two", b), saga.Sleep("s", hour), step("three", c)))},
			want: saga.StatusCompleted, check: state(trip{A: "one"})},
		{name: "race, one fails", nodes: nodes{saga.Race("r",
			saga.Branch("bad", step("one", a), fails("x")), saga.Branch("good", saga.Sleep("s", hour), step("two", b)))},
			want: saga.StatusCompleted, check: func(t testing.TB, k *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				state(trip{B: "two"})(t, k, s)
				has("do one", "undo one", "do two")(t, k, s)
			}},
		{name: "race, all fail", nodes: nodes{step("zero", c), saga.Race("r",
			saga.Branch("l", step("one", a), fails("x")), saga.Branch("r", fails("y")))}, want: saga.StatusCompensated},
		{name: "for each", nodes: nodes{saga.ForEach("f", items(5),
			saga.Step("pick", pick).Compensate(put), saga.Step("note", func(context.Context, *item) error { return nil })).Limit(2).Collect(collect)},
			want: saga.StatusCompleted, check: func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				if got := fmt.Sprint(s.State().Items); got != "[{0 picked} {1 picked} {2 picked} {3 picked} {4 picked}]" {
					t.Errorf("the items are %s", got)
				}
			}},
		{name: "for each, without items", nodes: nodes{saga.ForEach("f", items(0), saga.Step("pick", pick)), step("one", a)},
			want: saga.StatusCompleted, check: has("do one")},
		{name: "for each, one fails", nodes: nodes{saga.ForEach("f", items(5),
			saga.Step("pick", pick).Compensate(put), saga.Step("pack", pack)).Limit(1)}, want: saga.StatusCompensated,
			check: has("do pick#0", "do pack#0", "do pick#1", "do pack#1", "do pick#2", "undo pick#2", "undo pick#1", "undo pick#0")},
		{name: "for each, one fails and the others go on", nodes: nodes{saga.ForEach("f", items(5),
			saga.Step("pick", pick).Compensate(put), saga.Step("pack", pack)).Limit(2).Gather().Collect(collect)}, want: saga.StatusCompleted,
			check: func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				if got := fmt.Sprint(s.State().Items, s.State().Log); got != "[{0 packed} {1 packed} {2 put back} {3 packed} {4 packed}] [2: no]" {
					t.Errorf("the items are %s", got)
				}
			}},
		{name: "for each, undone after it was collected", nodes: nodes{saga.ForEach("f", items(4),
			saga.Step("pick", pick).Compensate(put)).Limit(2).Collect(collect), fails("x")}, want: saga.StatusCompensated,
			check: hasInAnyOrder("do pick#0", "do pick#1", "do pick#2", "do pick#3", "undo pick#0", "undo pick#1", "undo pick#2", "undo pick#3")},
		{name: "for each of loops", nodes: nodes{saga.ForEach("f", items(2),
			saga.Loop("l", func(it *item) bool { return len(it.Done) < 2 }, saga.Step("add", func(_ context.Context, it *item) error {
				it.Done += "x"
				return nil
			}))).Collect(collect)}, want: saga.StatusCompleted, check: hasInAnyOrder("do add#0#1", "do add#0#2", "do add#1#1", "do add#1#2")},
		{name: "loop", nodes: nodes{saga.Loop("l", func(s *trip) bool { return s.N < 3 }, saga.Step("count", count).Compensate(count)), fails("x")},
			want: saga.StatusCompensated, check: has("do count#1", "do count#2", "do count#3", "undo count#3", "undo count#2", "undo count#1")},
		{name: "loop that wants too many turns", nodes: nodes{saga.Loop("l", yes, saga.Step("count", count)).Max(3)}, want: saga.StatusCompensated},
		{name: "loop without a bound", nodes: nodes{saga.Loop("l", func(s *trip) bool { return s.N < 5 }, saga.Step("count", count),
			saga.If("q", yes, saga.Step("note", func(context.Context, *trip) error { return nil }))).Max(saga.Unlimited), step("one", a)},
			want: saga.StatusCompleted, check: func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				if n := s.Instance().Steps.Len(); s.State().N != 5 || n > 3 {
					t.Errorf("after %d turns %d steps are remembered", s.State().N, n)
				}
			}},
		{name: "loop without a bound, whose log is cut", cut: true, nodes: nodes{saga.Loop("l", func(s *trip) bool { return s.N < 4 }, saga.Sleep("s", hour),
			saga.Step("count", count)).Max(saga.Unlimited).Keep(2), step("one", a), saga.Sleep("t", hour), fails("x")}, want: saga.StatusCompensated,
			check: func(t testing.TB, k *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				has("do count#1", "do count#2", "do count#3", "do count#4", "do one", "undo one")(t, k, s)
				if in, err := k.At(s.Key, 3); err == nil {
					t.Errorf("the log goes back to version %d", in.Version)
				}
			}},
		{name: "sleep", nodes: nodes{step("one", a), saga.Sleep("s", hour), step("two", b)}, want: saga.StatusCompleted,
			check: func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				if in := s.Instance(); in.EndedAt.Sub(in.StartedAt) < time.Hour || in.EndedAt.Sub(in.StartedAt) > time.Hour+time.Minute {
					t.Errorf("it took %v", in.EndedAt.Sub(in.StartedAt))
				}
			}},
		{name: "short sleep", nodes: nodes{saga.Sleep("s", func(*trip) time.Duration { return time.Second }), step("two", b)}, want: saga.StatusCompleted},
		{name: "within, in time", timed: true, nodes: nodes{saga.Within("w", 2*time.Hour, step("one", a), saga.Sleep("s", hour), step("two", b)), step("three", c)},
			want: saga.StatusCompleted},
		{name: "within, too late", timed: true, nodes: nodes{step("zero", c), saga.Within("w", time.Hour, step("one", a), saga.Sleep("s", func(*trip) time.Duration { return 3 * time.Hour }), step("two", b))},
			want: saga.StatusCompensated, check: func(t testing.TB, k *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				has("do zero", "do one", "undo one", "undo zero")(t, k, s)
				if in := s.Instance(); in.Reason != saga.ReasonTimedOut {
					t.Errorf("the reason is %s", in.Reason)
				}
			}},
		{name: "deadline of the saga", nodes: nodes{step("one", a), saga.Sleep("s", hour), step("two", b)},
			opts: func() []sagatest.StartOption {
				return []sagatest.StartOption{sagatest.Deadline(time.Date(2030, 1, 1, 0, 30, 0, 0, time.UTC))}
			}, want: saga.StatusCompensated, check: has("do one", "undo one")},
		{name: "signal", nodes: nodes{step("one", a), saga.Await("w", paid, takePayment)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Advance(time.Minute)
				sagatest.Signal(s, paid, 7)
			}, want: saga.StatusCompleted, check: func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				if s.State().N != 7 {
					t.Errorf("the payment is %d", s.State().N)
				}
			}},
		{name: "signals that come early, in order, and one twice", ordered: true, nodes: nodes{saga.Sleep("s", hour), saga.Await("v", paid, takePayment), saga.Await("w", paid, takePayment)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Advance(time.Minute)
				first := saga.Signal{ID: "x", Name: paid.Name(), Payload: []byte("1"), Time: k.Now()}
				s.Send(first)
				s.Send(first)
				sagatest.Signal(s, paid, 2)
			}, want: saga.StatusCompleted, check: func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				if s.State().N != 12 {
					t.Errorf("the payments are %d, want 1 and then 2", s.State().N)
				}
			}},
		{name: "a signal that is not understood", nodes: nodes{saga.Await("w", paid, takePayment)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Advance(time.Minute)
				s.Send(saga.Signal{ID: "bad", Name: paid.Name(), Payload: []byte(`"seven"`), Time: k.Now()})
				k.Advance(time.Minute)
				sagatest.Signal(s, paid, 7)
			}, want: saga.StatusCompleted},
		{name: "a signal that does not come", nodes: nodes{step("one", a), saga.Await("w", paid, takePayment).Timeout(time.Hour, step("two", b))},
			want: saga.StatusCompleted, check: has("do one", "do two")},
		{name: "a signal that does not come, and nothing else to do", nodes: nodes{step("one", a), saga.Await("w", paid, takePayment).Timeout(time.Hour)},
			want: saga.StatusCompensated, check: has("do one", "undo one")},
		{name: "approved", nodes: nodes{step("one", a), saga.Approval("boss", func(s *trip, d saga.Decision) error { s.B = d.By; return d.Err() })},
			play: decide(saga.Decision{Approved: true, By: "ann"}), want: saga.StatusCompleted, check: state(trip{A: "one", B: "ann", C: ""})},
		{name: "rejected", nodes: nodes{step("one", a), saga.Approval[trip]("boss", nil)},
			play: decide(saga.Decision{By: "ann", Reason: "too dear"}), want: saga.StatusCompensated, check: has("do one", "undo one")},
		{name: "rejected, with something else to do", nodes: nodes{step("one", a), saga.Approval[trip]("boss", nil).OrElse(step("two", b))},
			play: decide(saga.Decision{By: "ann", Reason: "too dear"}), want: saga.StatusCompleted, check: has("do one", "do two")},
		{name: "child", child: goodChild, nodes: nodes{step("zero", a), saga.Child("c", goodChild, input).Result(result)}, want: saga.StatusCompleted,
			check: state(trip{A: "zero", C: "onetwofrom the parent"})},
		{name: "child that fails", child: badChild, nodes: nodes{step("zero", a), saga.Child("c", badChild, same)}, want: saga.StatusCompensated,
			check: childIs(saga.StatusCompensated)},
		{name: "optional child that fails", child: badChild, nodes: nodes{step("zero", a), saga.Child("c", badChild, same).Optional()}, want: saga.StatusCompleted,
			check: childIs(saga.StatusCompensated)},
		{name: "child that is undone after it had completed", child: goodChild, nodes: nodes{step("zero", a), saga.Child("c", goodChild, same), fails("x")},
			want: saga.StatusCompensated, check: childIs(saga.StatusCompensated)},
		{name: "child that is cancelled while it runs", child: slowChild,
			nodes: nodes{saga.Parallel("p", saga.Branch("l", saga.Child("c", slowChild, same)), saga.Branch("r", saga.Sleep("s", func(*trip) time.Duration { return time.Minute }), fails("x")))},
			want:  saga.StatusCompensated, check: childIs(saga.StatusCompensated)},
		{name: "child past its pivot", child: pivotChild, nodes: nodes{step("zero", a), saga.Child("c", pivotChild, same), fails("x")},
			want: saga.StatusStuck, check: childIs(saga.StatusCompleted)},
		{name: "detached child", child: slowChild, nodes: nodes{saga.Child("c", slowChild, same).Detached(), fails("x")}, want: saga.StatusCompensated,
			check: childIs(saga.StatusCompleted)},
		{name: "children over items", child: goodChild, nodes: nodes{saga.ForEach("f", items(3),
			saga.Child("c", goodChild, func(it *item) trip { return trip{N: it.ID} }).Result(func(it *item, c trip) { it.Done = c.A })).Collect(collect), fails("x")},
			want: saga.StatusCompensated, check: childIs(saga.StatusCompensated)},
		{name: "pivot", nodes: nodes{step("one", a), saga.Step("go", count).Pivot(), saga.Step("after", set(b, "after"))}, want: saga.StatusCompleted},
		{name: "stuck past the pivot, retried", nodes: nodes{step("one", a), saga.Step("go", count).Pivot(), saga.Step("after", set(b, "after"))},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				mended := breaks(k, "after")
				k.Run()
				s.MustBe(saga.StatusStuck)
				mended()
				s.Send(saga.Retry{Order: s.Order()})
			}, want: saga.StatusCompleted, check: has("do one", "do go", "do after")},
		{name: "stuck past the pivot, skipped", nodes: nodes{saga.Step("go", count).Pivot(), fails("x"), saga.Step("after", set(b, "after"))},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Run()
				s.Send(saga.Skip{Order: s.Order(), Step: "x"})
			}, want: saga.StatusCompleted, check: has("do go", "do after")},
		{name: "an undo that gives up, resolved", nodes: nodes{step("one", a), step("two", b), fails("x")},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Stub("undo two", func(saga.Info) error { return errNo })
				k.Run()
				s.MustBe(saga.StatusStuck)
				s.Send(saga.Resolve{Order: s.Order(), Step: "two"})
			}, want: saga.StatusCompensated, check: has("do one", "do two", "undo one")},
		{name: "an undo that gives up, retried", nodes: nodes{saga.Parallel("p", saga.Branch("l", step("one", a)), saga.Branch("r", step("two", b))), fails("x")},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				mended := breaks(k, "undo two")
				k.Run()
				s.MustBe(saga.StatusStuck)
				mended()
				s.Send(saga.Retry{Order: s.Order()})
			}, want: saga.StatusCompensated, check: hasInAnyOrder("do one", "do two", "undo one", "undo two")},
		{name: "cancel", nodes: nodes{step("one", a), saga.Sleep("s", hour), step("two", b)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) { k.Advance(time.Minute); s.Cancel() }, want: saga.StatusCompensated, check: has("do one", "undo one")},
		{name: "pause and resume", nodes: nodes{step("one", a), saga.Sleep("s", hour), step("two", b)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Advance(time.Minute)
				s.Send(saga.Pause{Order: s.Order()})
				k.Advance(3 * time.Hour)
				s.MustHave("do one")
				s.Send(saga.Resume{Order: s.Order()})
			}, want: saga.StatusCompleted, check: has("do one", "do two")},
		{name: "terminate", nodes: nodes{step("one", a), saga.Sleep("s", hour), step("two", b)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Advance(time.Minute)
				s.Send(saga.Terminate{Order: s.Order()})
			},
			want: saga.StatusTerminated, check: has("do one")},
		{name: "reset", nodes: nodes{step("one", a), saga.Sleep("s", hour), saga.Step("count", count)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Advance(time.Minute)
				was := s.Instance()
				k.Run()
				s.Send(saga.Reset{Order: s.Order(), To: was.Version, Saga: was})
			}, want: saga.StatusCompleted, check: state(trip{A: "one", N: 1})},
		{name: "outbox", nodes: nodes{saga.Step("one", emit("first")).Compensate(emit("undone")), saga.Step("two", emit("second")), saga.Sleep("s", hour), fails("x")},
			want: saga.StatusCompensated, check: func(t testing.TB, k *sagatest.Kit, _ *sagatest.Saga[trip]) {
				t.Helper()
				var topics []string
				for _, e := range k.Emitted() {
					topics = append(topics, e.Topic)
				}
				if got := fmt.Sprint(topics); got != "[first second undone]" {
					t.Errorf("emitted %s", got)
				}
			}},
		{name: "an outcome that nobody knows", nodes: nodes{step("one", a), saga.Step("two", func(context.Context, *trip) error {
			return saga.Unknown(saga.Permanent(errors.New("no answer")))
		}).Compensate(set(b, "not two"))}, want: saga.StatusCompensated, check: has("do one", "undo two", "undo one")},
		{name: "retries", nodes: nodes{step("one", a), step("two", b)},
			play: func(k *sagatest.Kit, _ *sagatest.Saga[trip]) {
				k.Fail("two", errors.New("later"), saga.RetryAfter(errors.New("much later"), time.Hour), errors.New("soon"))
			}, want: saga.StatusCompleted, check: has("do one", "do two")},
	}
}

// breaks has a step fail for good until it is mended.
func breaks(k *sagatest.Kit, step string) (mended func()) {
	broken := true
	k.Stub(step, func(saga.Info) error {
		if broken {
			return errNo
		}
		return nil
	})
	return func() { broken = false }
}

func takePayment(_ context.Context, s *trip, amount int) error { s.N = 10*s.N + amount; return nil }

func emit(topic string) func(context.Context, *trip) error {
	return func(ctx context.Context, _ *trip) error { return saga.Emit(ctx, topic, 1) }
}

func decide(d saga.Decision) func(*sagatest.Kit, *sagatest.Saga[trip]) {
	return func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
		k.Advance(time.Minute)
		s.Approve(s.Token("boss"), d)
		k.Advance(time.Minute)
		s.Approve(s.Token("boss"), saga.Decision{Approved: !d.Approved, By: "someone who is too late"})
	}
}

func has(effects ...string) func(testing.TB, *sagatest.Kit, *sagatest.Saga[trip]) {
	return func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) { t.Helper(); s.MustHave(effects...) }
}

func hasInAnyOrder(effects ...string) func(testing.TB, *sagatest.Kit, *sagatest.Saga[trip]) {
	return func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
		t.Helper()
		s.MustHaveInAnyOrder(effects...)
	}
}

func state(want trip) func(testing.TB, *sagatest.Kit, *sagatest.Saga[trip]) {
	return func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
		t.Helper()
		if got := s.State(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the state is %+v, want %+v", got, want)
		}
	}
}

func childIs(want saga.Status) func(testing.TB, *sagatest.Kit, *sagatest.Saga[trip]) {
	return func(t testing.TB, k *sagatest.Kit, _ *sagatest.Saga[trip]) {
		t.Helper()
		found := false
		for _, key := range k.Sagas() {
			if key.Definition == "child" {
				found = true
				if in := k.Get(key); in.Status != want {
					t.Errorf("the child is %s, want %s", in.Status, want)
				}
			}
		}
		if !found {
			t.Error("there is no child")
		}
	}
}

// Every construct ends as it does without a crash, and by the same steps in the same order, wherever the worker is killed: before and
// after each single commit.
func TestEveryConstructOutlivesEveryCrash(t *testing.T) {
	t.Parallel()
	for _, sc := range everyScenario() {
		t.Run(sc.name, func(t *testing.T) {
			def, definitions := sc.definitions(t)
			play := func(k *sagatest.Kit) {
				s := sc.start(k, def)
				sc.finish(k, s)
				sc.verify(k, s)
			}
			if !sc.varies {
				sagatest.EveryCrash(t, definitions, play)
				return
			}
			whole := sagatest.New(t, definitions...)
			play(whole)
			for n := 1; n <= whole.Commits(); n++ {
				for _, crash := range []func(*sagatest.Kit, int){(*sagatest.Kit).CrashBefore, (*sagatest.Kit).CrashAfter} {
					k := sagatest.New(t, definitions...)
					crash(k, n)
					play(k)
					checkEffects(t, fmt.Sprint("with a crash at commit ", n), k, definitions)
				}
			}
		})
	}
}
