package sagatest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil/sagatest"
)

func minutes(n int) func(*trip) time.Duration {
	return func(*trip) time.Duration { return time.Duration(n) * time.Minute }
}

// unknown is a step of which nobody knows whether it was done, and that has an undo.
func unknown(name string, field func(*trip) *string) saga.StepNode[trip] {
	return saga.Step(name, func(context.Context, *trip) error {
		return saga.Unknown(saga.Permanent(errors.New("no answer")))
	}).Compensate(set(field, "not "+name))
}

// both checks two things.
func both(checks ...func(testing.TB, *sagatest.Kit, *sagatest.Saga[trip])) func(testing.TB, *sagatest.Kit, *sagatest.Saga[trip]) {
	return func(t testing.TB, k *sagatest.Kit, s *sagatest.Saga[trip]) {
		t.Helper()
		for _, check := range checks {
			check(t, k, s)
		}
	}
}

// meetings are scenarios in which one construct meets another.
func meetings() []scenario {
	payItem := func(_ context.Context, it *item, amount int) error { it.Done = fmt.Sprint("paid ", amount); return nil }
	kid := child(step("one", a), saga.Sleep("rest", minutes(10)), step("two", b))
	quick := child(step("one", a))
	input := func(*trip) trip { return trip{} }
	itemInput := func(it *item) trip { return trip{N: it.ID} }
	less := func(n int) func(*trip) bool { return func(s *trip) bool { return s.N < n } }
	return []scenario{
		{name: "sleep until a time of the state", nodes: nodes{step("one", a),
			saga.SleepUntil("s", func(*trip) time.Time { return time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC) }), step("two", b)},
			want: saga.StatusCompleted, check: has("do one", "do two")},
		{name: "sleep until a time that has passed", nodes: nodes{saga.SleepUntil("s", func(*trip) time.Time { return time.Unix(0, 0) }), step("two", b)},
			want: saga.StatusCompleted, check: has("do two")},
		{name: "race of a signal and a sleep, which the sleep wins", nodes: nodes{saga.Race("r",
			saga.Branch("paid", saga.Await("w", paid, takePayment), step("one", a)), saga.Branch("late", saga.Sleep("s", hour), step("two", b)))},
			want: saga.StatusCompleted, check: has("do two")},
		{name: "race of a signal and a sleep, which the signal wins", nodes: nodes{saga.Race("r",
			saga.Branch("paid", saga.Await("w", paid, takePayment), step("one", a)), saga.Branch("late", saga.Sleep("s", hour), step("two", b)))},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) { k.Advance(time.Minute); sagatest.Signal(s, paid, 7) },
			want: saga.StatusCompleted, check: has("do w", "do one")},
		{name: "race of two waits for one signal", nodes: nodes{saga.Race("r",
			saga.Branch("l", saga.Await("v", paid, takePayment)), saga.Branch("r", saga.Await("w", paid, takePayment))), step("one", a)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) { k.Advance(time.Minute); sagatest.Signal(s, paid, 7) },
			want: saga.StatusCompleted, check: state(trip{A: "one", N: 7})},
		{name: "race that a child loses", child: kid, nodes: nodes{saga.Race("r",
			saga.Branch("slow", saga.Child("c", kid, input)), saga.Branch("fast", saga.Sleep("s", minutes(1)), step("win", c)))},
			want: saga.StatusCompleted, check: both(has("do win"), childIs(saga.StatusCompensated))},
		{name: "race that a child wins, undone later", child: quick, nodes: nodes{saga.Race("r",
			saga.Branch("fast", saga.Child("c", quick, input)), saga.Branch("slow", saga.Sleep("s", hour), step("lose", c))), fails("x")},
			want: saga.StatusCompensated, check: childIs(saga.StatusCompensated)},
		{name: "race within a race", nodes: nodes{saga.Race("r",
			saga.Branch("inner", saga.Race("q", saga.Branch("ll", step("one", a), saga.Sleep("s", hour)), saga.Branch("lr", step("two", b), saga.Sleep("u", hour)))),
			saga.Branch("outer", saga.Sleep("v", minutes(1)), step("three", c)))},
			want: saga.StatusCompleted, check: both(state(trip{C: "three"}), hasInAnyOrder("do one", "do two", "do three", "undo one", "undo two"))},
		{name: "race whose loser has an unknown outcome", nodes: nodes{saga.Race("r",
			saga.Branch("l", unknown("doubt", a), step("never", c)), saga.Branch("r", saga.Sleep("s", minutes(1)), step("two", b)))},
			want: saga.StatusCompleted, check: has("undo doubt", "do two")},
		{name: "parallel within a loop, undone", nodes: nodes{saga.Loop("l", less(2),
			saga.Parallel("p", saga.Branch("l1", step("one", a)), saga.Branch("l2", step("two", b))), saga.Step("count", count)), fails("x")},
			want: saga.StatusCompensated, check: func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				s.MustHaveInAnyOrder("do one#1", "do two#1", "do count#1", "do one#2", "do two#2", "do count#2",
					"undo one#2", "undo two#2", "undo one#1", "undo two#1")
			}},
		{name: "loops in the branches of a parallel block", nodes: nodes{saga.Parallel("p",
			saga.Branch("l", saga.Loop("turns", less(3), saga.Step("count", count).Compensate(count))),
			saga.Branch("r", saga.Sleep("s", minutes(1)), step("one", a))), fails("x")},
			want: saga.StatusCompensated, check: hasInAnyOrder("do count#1", "do count#2", "do count#3", "do one", "undo one",
				"undo count#3", "undo count#2", "undo count#1")},
		{name: "race in each turn of a loop", nodes: nodes{saga.Loop("l", less(2),
			saga.Race("r", saga.Branch("fast", saga.Step("count", count).Compensate(count)), saga.Branch("slow", step("one", a), saga.Sleep("s", hour))))},
			want: saga.StatusCompleted, check: hasInAnyOrder("do count#1", "do one#1", "undo one#1", "do count#2", "do one#2", "undo one#2")},
		{name: "a child in each turn of a loop, undone", child: quick, nodes: nodes{saga.Loop("l", less(3),
			saga.Child("c", quick, input), saga.Step("count", count)), fails("x")},
			want: saga.StatusCompensated, check: childIs(saga.StatusCompensated)},
		{name: "a detached child in each turn of a loop without a bound", child: quick, nodes: nodes{saga.Loop("l", less(3),
			saga.Child("c", quick, input).Detached(), saga.Step("count", count)).Max(saga.Unlimited)},
			want: saga.StatusCompleted, check: childIs(saga.StatusCompleted)},
		{name: "reminders until a signal comes", nodes: nodes{saga.Loop("l", less(1),
			saga.Await("w", paid, takePayment).Timeout(time.Hour, saga.Step("remind", func(context.Context, *trip) error { return nil }))).Max(saga.Unlimited)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Advance(140 * time.Minute) // once more after a reset: then, too, no wait ends near by, since a crash moves its end
				sagatest.Signal(s, paid, 7)
			}, want: saga.StatusCompleted, check: has("do remind#1", "do remind#2", "do w#3")},
		{name: "within around a child that takes too long", child: kid, nodes: nodes{step("zero", c), saga.Within("w", time.Minute, saga.Child("c", kid, input))},
			want: saga.StatusCompensated, check: both(has("do zero", "undo zero"), childIs(saga.StatusCompensated))},
		{name: "within around a signal that does not come", timed: true, nodes: nodes{saga.Within("w", time.Hour, step("one", a), saga.Await("s", paid, takePayment))},
			want: saga.StatusCompensated, check: has("do one", "undo one")},
		{name: "within a branch that takes too long", nodes: nodes{saga.Parallel("p",
			saga.Branch("l", saga.Within("w", time.Minute, step("one", a), saga.Sleep("s", hour))),
			saga.Branch("r", step("two", b), saga.Sleep("u", minutes(30)), step("three", c)))},
			want: saga.StatusCompensated, check: hasInAnyOrder("do one", "do two", "undo one", "undo two")},
		{name: "within within", timed: true, nodes: nodes{saga.Within("outer", time.Hour, step("one", a), saga.Within("inner", 2*time.Hour, saga.Sleep("s", minutes(90))))},
			want: saga.StatusCompensated, check: has("do one", "undo one")},
		{name: "signals for each of the items", nodes: nodes{saga.ForEach("f", items(3),
			saga.Await("w", paid, payItem), saga.Step("pick", pick).Compensate(put)).Collect(collect)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				for range 3 {
					k.Advance(time.Minute)
					sagatest.Signal(s, paid, 1)
				}
			}, want: saga.StatusCompleted, check: hasInAnyOrder("do w#0", "do w#1", "do w#2", "do pick#0", "do pick#1", "do pick#2")},
		{name: "approvals for each of the items, one refused", nodes: nodes{saga.ForEach("f", items(3),
			saga.Step("pick", pick).Compensate(put), saga.Approval[item]("boss", nil)).Gather().Collect(collect)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Advance(time.Minute)
				for i, key := range []string{"boss#0", "boss#1", "boss#2"} {
					s.Approve(s.Token(key), saga.Decision{Approved: i != 1, By: "ann", Reason: "so"})
				}
			}, want: saga.StatusCompleted, check: hasInAnyOrder("do pick#0", "do pick#1", "do pick#2", "do boss#0", "do boss#2", "undo pick#1")},
		{name: "for each within for each within parallel", nodes: nodes{saga.Parallel("p",
			saga.Branch("l", saga.ForEach("f", items(2),
				saga.ForEach("g", func(*item) []item { return []item{{ID: 5}, {ID: 6}} }, saga.Step("pick", pick).Compensate(put)))),
			saga.Branch("r", saga.Sleep("s", minutes(1)), fails("x")))},
			want: saga.StatusCompensated, check: hasInAnyOrder("do pick#0#0", "do pick#0#1", "do pick#1#0", "do pick#1#1",
				"undo pick#0#0", "undo pick#0#1", "undo pick#1#0", "undo pick#1#1")},
		{name: "items that race", nodes: nodes{saga.ForEach("f", items(2), saga.Race("r",
			saga.Branch("fast", saga.Step("pick", pick).Compensate(put)),
			saga.Branch("slow", saga.Step("reach", pick).Compensate(put), saga.Sleep("s", func(*item) time.Duration { return time.Hour })))).Collect(collect), fails("x")},
			want: saga.StatusCompensated, check: hasInAnyOrder("do pick#0", "do pick#1", "do reach#0", "do reach#1",
				"undo reach#0", "undo reach#1", "undo pick#0", "undo pick#1")},
		{name: "children over items, of which one fails", child: child(saga.If("q", func(s *trip) bool { return s.N == 1 }, fails("bad")).Else(step("one", a))),
			nodes: nodes{saga.ForEach("f", items(3), saga.Child("c", child(saga.If("q", func(s *trip) bool { return s.N == 1 }, fails("bad")).Else(step("one", a))), itemInput)).Gather().Collect(collect)},
			want:  saga.StatusCompleted},
		{name: "optional, of which nobody knows", nodes: nodes{step("one", a), unknown("doubt", b).Optional(), step("two", c)}, want: saga.StatusCompleted,
			check: has("do one", "undo doubt", "do two")},
		{name: "a fallback for what nobody knows, undone", nodes: nodes{unknown("doubt", b).Fallback(step("instead", a)), fails("x")}, want: saga.StatusCompensated,
			check: has("undo doubt", "do instead", "undo instead")},
		{name: "a fallback that fails", nodes: nodes{step("one", a), fails("x").Fallback(step("two", b), fails("y"))}, want: saga.StatusCompensated,
			check: has("do one", "do two", "undo two", "undo one")},
		{name: "a fallback with a wait and a child", child: quick, nodes: nodes{fails("x").Fallback(saga.Sleep("s", hour), saga.Child("c", quick, input)), fails("y")},
			want: saga.StatusCompensated, check: childIs(saga.StatusCompensated)},
		{name: "a signal whose handler is tried again", nodes: nodes{saga.Await("w", paid, takePayment).Retry(saga.RetryPolicy{Attempts: 5}), step("one", a)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Fail("w", errors.New("busy"), saga.RetryAfter(errors.New("busy"), time.Hour))
				k.Advance(time.Minute)
				sagatest.Signal(s, paid, 7)
			}, want: saga.StatusCompleted, check: has("do w", "do one")},
		{name: "a signal whose handler fails for good, and something else to do", nodes: nodes{step("one", a), saga.Await("w", paid, takePayment).OrElse(step("two", b)), fails("x")},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Fail("w", errNo)
				k.Advance(time.Minute)
				sagatest.Signal(s, paid, 7)
			}, want: saga.StatusCompensated, check: has("do one", "do two", "undo two", "undo one")},
		{name: "a decision that comes early", nodes: nodes{step("one", a), saga.Sleep("s", hour), saga.Approval[trip]("boss", nil), step("two", b)},
			play: decide(saga.Decision{Approved: true, By: "ann"}), want: saga.StatusCompleted, check: has("do one", "do boss", "do two")},
		{name: "a child with an id that another saga has", child: quick, nodes: nodes{step("zero", a),
			saga.Child("c", quick, input).ID(func(*trip) string { return "taken" })},
			play: func(k *sagatest.Kit, _ *sagatest.Saga[trip]) {
				if key := (saga.Key{Definition: "child", ID: "taken"}); k.Get(key) == nil {
					sagatest.Start(k, quick, key.ID, trip{})
				}
			},
			want: saga.StatusCompensated, check: both(has("do zero", "undo zero"), childIs(saga.StatusCompleted))},
		{name: "parallel children, one of which fails", child: kid, nodes: nodes{saga.Parallel("p",
			saga.Branch("l", saga.Child("c", kid, input)), saga.Branch("m", saga.Child("d", kid, input)),
			saga.Branch("r", saga.Sleep("s", minutes(11)), fails("x")))},
			want: saga.StatusCompensated, check: childIs(saga.StatusCompensated)},
		{name: "outbox of a branch, an item and a signal", nodes: nodes{saga.Parallel("p",
			saga.Branch("l", saga.Step("one", emit("branch"))),
			saga.Branch("r", saga.ForEach("f", items(2), saga.Step("each", func(ctx context.Context, it *item) error { return saga.Emit(ctx, "item", it.ID) })))),
			saga.Await("w", paid, func(ctx context.Context, _ *trip, _ int) error { return saga.Emit(ctx, "signal", 1) })},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) { k.Advance(time.Minute); sagatest.Signal(s, paid, 7) },
			want: saga.StatusCompleted, check: func(t testing.TB, k *sagatest.Kit, _ *sagatest.Saga[trip]) {
				t.Helper()
				if n := len(k.Emitted()); n != 4 {
					t.Errorf("%d events were emitted, want 4", n)
				}
			}},
	}
}
