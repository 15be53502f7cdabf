package sagatest_test

import (
	"context"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil/sagatest"
)

// reason checks why a saga was undone.
func reason(want saga.Reason) func(testing.TB, *sagatest.Kit, *sagatest.Saga[trip]) {
	return func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
		t.Helper()
		if got := s.Instance().Reason; got != want {
			t.Errorf("the reason is %q, want %q", got, want)
		}
	}
}

// interventions are scenarios in which somebody steps in, or time is up.
func interventions() []scenario {
	input := func(*trip) trip { return trip{} }
	badUndo := child(step("one", a), saga.Sleep("rest", minutes(10)), step("two", b))
	slow := nodes{step("one", a), saga.Sleep("s", hour), step("two", b)}
	slowChild := nodes{saga.Child("c", badUndo, input), step("three", c)}
	past := nodes{saga.Step("go", count).Pivot(), saga.Sleep("s", hour), saga.Step("after", set(b, "after"))}
	return []scenario{
		{name: "a cancel past the pivot", nodes: past, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) { k.Advance(time.Minute); s.Cancel() },
			want: saga.StatusCompleted, check: has("do go", "do after")},
		{name: "a deadline past the pivot", nodes: past, opts: func() []sagatest.StartOption {
			return []sagatest.StartOption{sagatest.Deadline(time.Date(2030, 1, 1, 0, 30, 0, 0, time.UTC))}
		}, want: saga.StatusCompleted, check: has("do go", "do after")},
		{name: "a deadline that has passed at the start", varies: true, nodes: slow, opts: func() []sagatest.StartOption {
			return []sagatest.StartOption{sagatest.Deadline(time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC))}
		}, want: saga.StatusCompensated, check: reason(saga.ReasonTimedOut)},
		{name: "two cancels", nodes: slow, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
			k.Advance(time.Minute)
			s.Cancel()
			s.Cancel()
		}, want: saga.StatusCompensated, check: both(has("do one", "undo one"), reason(saga.ReasonCancelled))},
		{name: "cancelled while paused", nodes: slow, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
			k.Advance(time.Minute)
			s.Send(saga.Pause{Order: s.Order()})
			k.Advance(time.Minute)
			s.Cancel()
			k.Advance(2 * time.Hour)
			s.MustHave("do one")
			s.Send(saga.Resume{Order: s.Order()})
		}, want: saga.StatusCompensated, check: has("do one", "undo one")},
		{name: "paused while it is undone", nodes: nodes{step("one", a), step("two", b), fails("x")}, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
			mended := breaksForNow(k, "undo two")
			k.Advance(time.Minute)
			s.Send(saga.Pause{Order: s.Order()})
			k.Advance(time.Hour)
			mended()
			k.Advance(24 * time.Hour)
			s.MustBe(saga.StatusCompensating)
			s.Send(saga.Resume{Order: s.Order()})
		}, want: saga.StatusCompensated, check: has("do one", "do two", "undo two", "undo one")},
		{name: "a signal while paused", nodes: nodes{saga.Await("w", paid, takePayment), step("one", a)}, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
			k.Advance(time.Minute)
			s.Send(saga.Pause{Order: s.Order()})
			k.Advance(time.Minute)
			sagatest.Signal(s, paid, 7)
			k.Advance(time.Hour)
			s.MustHave()
			s.Send(saga.Resume{Order: s.Order()})
		}, want: saga.StatusCompleted, check: state(trip{A: "one", N: 7})},
		{name: "a wait that times out while paused", nodes: nodes{saga.Await("w", paid, takePayment).Timeout(time.Hour, step("late", b))}, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
			k.Advance(time.Minute)
			s.Send(saga.Pause{Order: s.Order()})
			k.Advance(5 * time.Hour)
			s.Send(saga.Resume{Order: s.Order()})
		}, want: saga.StatusCompleted, check: has("do late")},
		{name: "a child that ends while its parent is paused", child: badUndo, nodes: nodes{saga.Child("c", badUndo, input), step("three", c)}, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
			k.Advance(time.Minute)
			s.Send(saga.Pause{Order: s.Order()})
			k.Advance(time.Hour)
			s.Send(saga.Resume{Order: s.Order()})
		}, want: saga.StatusCompleted, check: both(has("do three"), childIs(saga.StatusCompleted))},
		{name: "terminated when stuck", nodes: nodes{step("one", a), step("two", b), fails("x")}, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
			breaks(k, "undo two")
			k.Run()
			s.MustBe(saga.StatusStuck)
			s.Send(saga.Terminate{Order: s.Order()})
		}, want: saga.StatusTerminated, check: has("do one", "do two", "undo one")},
		{name: "a step that is tried again and again, skipped", nodes: nodes{step("one", a), step("two", b).Retry(saga.RetryPolicy{Attempts: saga.Unlimited}), step("three", c)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				breaksForNow(k, "two")
				k.Advance(time.Hour)
				s.Send(saga.Skip{Order: s.Order(), Step: "two"})
			}, want: saga.StatusCompleted, check: has("do one", "do three")},
		{name: "a skipped step is not undone", nodes: nodes{step("one", a), step("two", b).Retry(saga.RetryPolicy{Attempts: saga.Unlimited}), saga.Sleep("s", hour), fails("x")},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				breaksForNow(k, "two")
				k.Advance(time.Minute)
				s.Send(saga.Skip{Order: s.Order(), Step: "two"})
			}, want: saga.StatusCompensated, check: has("do one", "undo one")},
		{name: "a step that rests, tried at once", nodes: nodes{saga.Step("one", set(a, "one")).Retry(saga.RetryPolicy{Initial: time.Hour, Max: time.Hour, Attempts: 2}), step("two", b)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				mended := breaksForNow(k, "one")
				k.Advance(time.Minute)
				mended()
				s.Send(saga.Retry{Order: s.Order(), Steps: []string{"one"}})
				k.Advance(time.Minute)
				s.MustBe(saga.StatusCompleted)
			}, want: saga.StatusCompleted, check: has("do one", "do two")},
		{name: "two undos that give up, one retried and one resolved", nodes: nodes{saga.Parallel("p", saga.Branch("l", step("one", a)), saga.Branch("r", step("two", b))), step("three", c), fails("x")},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				mended := breaks(k, "undo one")
				breaks(k, "undo two")
				k.Run()
				s.MustBe(saga.StatusStuck)
				mended()
				s.Send(saga.Resolve{Order: s.Order(), Step: "two"})
				k.Run()
				s.Send(saga.Retry{Order: s.Order(), Steps: []string{"one"}})
			}, want: saga.StatusCompensated, check: hasInAnyOrder("do one", "do two", "do three", "undo three", "undo one")},
		{name: "an item whose undo gives up, retried", nodes: nodes{saga.ForEach("f", items(4),
			saga.Step("pick", pick).Compensate(put), saga.Step("pack", pack)).Gather().Limit(1).Collect(collect), step("one", a)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				mended := breaks(k, "undo pick#2")
				k.Run()
				s.MustBe(saga.StatusStuck)
				mended()
				s.Send(saga.Retry{Order: s.Order()})
			}, want: saga.StatusCompensated},
		{name: "a child that is stuck, which its parent asks again", child: badUndo, nodes: nodes{saga.Child("c", badUndo, input), fails("x")},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				mended := breaks(k, "undo one")
				k.Run()
				s.MustBe(saga.StatusStuck)
				mended()
				for _, key := range k.Sagas() {
					if in := k.Get(key); key != s.Key && in.Status == saga.StatusStuck {
						o := s.Order()
						o.Run = in.Run
						k.Send(key, saga.Retry{Order: o})
					}
				}
				k.Run()
				s.Send(saga.Retry{Order: s.Order()})
			}, want: saga.StatusCompensated, check: childIs(saga.StatusCompensated)},
		{name: "a child that somebody cancels", child: badUndo, nodes: nodes{step("zero", c), saga.Child("c", badUndo, input)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Advance(time.Minute)
				for _, key := range k.Sagas() {
					if in := k.Get(key); key != s.Key {
						k.Send(key, saga.Cancel{ID: "by-hand", Run: in.Run, Time: k.Now()})
					}
				}
			}, want: saga.StatusCompensated, check: both(has("do zero", "undo zero"), childIs(saga.StatusCompensated))},
		{name: "a child that somebody terminates", child: badUndo, nodes: nodes{step("zero", c), saga.Child("c", badUndo, input)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Advance(time.Minute)
				for _, key := range k.Sagas() {
					if in := k.Get(key); key != s.Key {
						o := s.Order()
						o.Run = in.Run
						k.Send(key, saga.Terminate{Order: o})
					}
				}
			}, want: saga.StatusCompensated, check: childIs(saga.StatusTerminated)},
		{name: "reset after it was undone", nodes: nodes{step("one", a), saga.Sleep("s", hour), step("two", b), step("three", c)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				mended := breaks(k, "three")
				k.Advance(time.Minute)
				was := s.Instance()
				k.Run()
				s.MustBe(saga.StatusCompensated)
				mended()
				s.Send(saga.Reset{Order: s.Order(), To: was.Version, Saga: was})
			}, want: saga.StatusCompleted},
		{name: "run again after it had completed", nodes: slow, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) { again(k, s, slow) },
			want: saga.StatusCompleted, check: has("do one", "do two", "do one", "do two")},
		{name: "run again after it was undone", nodes: slow, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
			k.Advance(time.Minute)
			s.Cancel()
			again(k, s, slow)
		}, want: saga.StatusCompleted, check: has("do one", "undo one", "do one", "do two")},
		{name: "run again, and a second time", nodes: slow, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) { again(k, again(k, s, slow), slow) },
			want: saga.StatusCompleted, check: has("do one", "do two", "do one", "do two", "do one", "do two")},
		{name: "run again, and once more by one who is late", nodes: slow, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
			again(k, s, slow)
			again(k, s, slow)
		}, want: saga.StatusCompleted, check: has("do one", "do two", "do one", "do two")},
		{name: "run again, and cancelled while its child runs", child: badUndo, nodes: slowChild, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
			next := again(k, s, slowChild)
			k.Advance(time.Minute)
			next.Cancel()
		}, want: saga.StatusCompensated, check: has("do three")},
		{name: "run again while an operator is needed", nodes: nodes{step("one", a), fails("x")}, play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
			breaks(k, "undo one")
			k.Run()
			s.MustBe(saga.StatusStuck)
			again(k, s, slow)
		}, want: saga.StatusStuck, check: has("do one", "do one")},
		{name: "a token that does not fit", nodes: nodes{saga.Approval[trip]("boss", nil), step("one", a)},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) {
				k.Advance(time.Minute)
				s.Send(saga.Signal{ID: "guessed", Name: "approval/boss", Payload: []byte(`{"approved":true}`), Time: k.Now()})
				k.Advance(time.Minute)
				s.MustHave()
				s.Approve(s.Token("boss"), saga.Decision{Approved: true, By: "ann"})
			}, want: saga.StatusCompleted, check: has("do boss", "do one")},
		{name: "a pivot within a branch", nodes: nodes{step("one", a), saga.If("q", yes, saga.Step("go", count).Pivot()).Else(step("stay", c)), saga.Sleep("s", hour), saga.Step("after", set(b, "after"))},
			play: func(k *sagatest.Kit, s *sagatest.Saga[trip]) { k.Advance(time.Minute); s.Cancel() },
			want: saga.StatusCompleted, check: has("do one", "do go", "do after")},
		{name: "an attribute", nodes: nodes{saga.Attribute("a", func(s *trip) string { return s.A }), step("one", a), saga.Sleep("s", hour), saga.Step("other", set(a, "changed"))},
			want: saga.StatusCompleted, check: func(t testing.TB, _ *sagatest.Kit, s *sagatest.Saga[trip]) {
				t.Helper()
				if got := s.Instance().Attributes["a"]; got != "changed" {
					t.Errorf("the attribute is %q", got)
				}
			}},
	}
}

// again begins another run of a saga, once it has ended.
func again(k *sagatest.Kit, s *sagatest.Saga[trip], nodes nodes) *sagatest.Saga[trip] {
	k.Run()
	if !s.Instance().Ended() {
		return s // somebody has paused it
	}
	return sagatest.Start(k, saga.Must(saga.Define("parent", 1, nodes...)), s.Key.ID, trip{}, sagatest.After(s))
}

// breaksForNow has a step fail, and be tried again, until it is mended.
func breaksForNow(k *sagatest.Kit, step string) (mended func()) {
	broken := true
	k.Stub(step, func(saga.Info) error {
		if broken {
			return context.Canceled
		}
		return nil
	})
	return func() { broken = false }
}
