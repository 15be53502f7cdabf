package engine_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestAParentIsToldOfTheEndOfAChildWhoseStateCannotBeSent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, 0, server.Options{StoreDir: dir})
	f := &fleet{t, testutil.Connect(t, s, engine.ConnectOptions()...)}
	var lower sync.Once
	leg := saga.Must(saga.Define("leg", 1,
		saga.Step("pack", func(_ context.Context, s *trip) error {
			s.Note = strings.Repeat("x", 200<<10)
			return nil
		}).Compensate(does("-pack")),
		saga.Step("go", func(_ context.Context, _ *trip) error {
			lower.Do(func() {
				serve(t, shut(s), server.Options{StoreDir: dir, MaxPayload: 64 << 10})
			})
			return nil
		}),
	))
	whole := saga.Must(saga.Define("whole", 1,
		saga.Step("book", does("book")).Compensate(does("-book")),
		saga.Child("leg", leg, func(*trip) trip { return trip{} }).Result(func(s *trip, c trip) { s.Log += c.Log }),
	))
	f.engine(engine.Config{}, leg, whole)
	in, err := engine.For(f.client(), whole).Run(withPatience(t), "w-1", trip{})
	var ended *engine.EndedError
	if !errors.As(err, &ended) || !strings.Contains(ended.Detail, `the state of child "leg" is not known: `) {
		t.Fatalf("error is %v", err)
	}
	if in.State.Log != "book -book " {
		t.Errorf("it ended as %+v", in)
	}
}

func TestAChildThatWasRunAgainSinceIsLeftToAnOperator(t *testing.T) {
	f := newFleet(t)
	leg := saga.Must(saga.Define("leg", 1, saga.Step("go", does("go")).Compensate(does("-go"))))
	whole := saga.Must(saga.Define("whole", 1,
		saga.Step("book", does("book")).Compensate(does("-book")),
		saga.Child("leg", leg, func(*trip) trip { return trip{} }),
		saga.Sleep("rest", func(*trip) time.Duration { return time.Hour }),
	))
	f.engine(engine.Config{}, leg, whole)
	c := f.client()
	ctx := withPatience(t)
	started, err := engine.For(c, whole).Start(ctx, "w-1", trip{})
	if err != nil {
		t.Fatal(err)
	}
	in := until(ctx, t, c, started.Key, func(in *saga.Instance) bool {
		return in.Parked && in.Blocks["leg"].Child.Status == saga.StatusCompleted
	})
	ref := in.Blocks["leg"].Child.Ref
	if _, err := engine.For(c, leg).Start(ctx, ref.Key.ID, trip{}, engine.OrAgain()); err != nil {
		t.Fatal(err)
	}
	again := until(ctx, t, c, ref.Key, func(in *saga.Instance) bool { return in.Run != ref.Run && in.Ended() })
	if err := c.Cancel(ctx, started.Key); err != nil {
		t.Fatal(err)
	}
	in, err = c.Wait(ctx, started.Key)
	if err != nil || in.Status != saga.StatusStuck || !strings.Contains(in.Steps.Get("leg").Error, "run again since") {
		t.Fatalf("the parent ended as %+v, %v", in, err)
	}
	if in, err := c.Get(ctx, ref.Key); err != nil || in.Version != again.Version {
		t.Errorf("the other run of the child is now %+v, %v", in, err)
	}
	if err := c.Resolve(ctx, started.Key, "leg"); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, c, started.Key, func(in *saga.Instance) bool { return in.Status == saga.StatusCompensated })
}

func TestAChildWhoseStartIsForgottenIsKnownByItsLog(t *testing.T) {
	f := newFleet(t)
	tick := saga.DeclareSignal[int]("tick")
	leg := saga.Must(saga.Define("leg", 1, saga.Loop("ticks", func(*trip) bool { return true },
		saga.Await("tick", tick, func(context.Context, *trip, int) error { return nil })).Max(saga.Unlimited).Keep(10)))
	whole := saga.Must(saga.Define("whole", 1,
		saga.Child("leg", leg, func(*trip) trip { return trip{} }),
	))
	f.engine(engine.Config{}, leg)
	c := f.client()
	ctx := withPatience(t)
	started, err := engine.For(c, whole).Start(ctx, "w-1", trip{})
	if err != nil {
		t.Fatal(err)
	}
	// As a worker leaves it that dies between the child's Start and its own commit.
	ref := saga.NewChildRef(started.Key, started.Run, "leg", "leg", "")
	state, err := saga.ParseState([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	start := saga.Start{Run: ref.Run, Definition: 1, State: state, Time: time.Now(), Parent: &saga.Parent{Key: started.Key, Run: started.Run, Step: "leg"}}
	if err := c.Namespace().Start(ctx, ref.Key, start, 0); err != nil {
		t.Fatal(err)
	}
	for {
		if err := engine.Send(ctx, engine.For(c, leg), ref.Key.ID, tick, 1); err != nil {
			t.Fatal(err)
		}
		starts, _, err := c.Namespace().Starts(ctx, ref.Key)
		if err != nil {
			t.Fatal(err)
		}
		if len(starts) == 0 {
			break
		}
	}
	f.engine(engine.Config{}, leg, whole)
	in := until(ctx, t, c, started.Key, func(in *saga.Instance) bool { return in.Parked || in.Ended() })
	if in.Ended() || in.Blocks["leg"].Child.Ref != ref {
		t.Errorf("the parent is %+v", in)
	}
}
