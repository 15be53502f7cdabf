package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

// errand is the state of the sagas that are operated on.
type errand struct {
	Log  string `json:"log,omitempty"`
	Paid int    `json:"paid,omitempty"`
	By   string `json:"by,omitempty"`
}

var paid = saga.DeclareSignal[int]("paid")

func notes(what string) func(context.Context, *errand) error {
	return func(_ context.Context, e *errand) error { e.Log += what + " "; return nil }
}

// until waits for a saga to be as it should.
func until(ctx context.Context, t testing.TB, c *engine.Client, key saga.Key, is func(*saga.Instance) bool) *saga.Instance {
	t.Helper()
	for {
		in, err := c.Get(ctx, key)
		if err == nil && is(in) {
			return in
		}
		if ctx.Err() != nil {
			t.Fatalf("saga %s is %+v, %v", key, in, err)
		}
	}
}

func parked(in *saga.Instance) bool { return in.Parked }

func TestASignalIsTakenOnceByTheWaitThatItIsFor(t *testing.T) {
	f := newFleet(t)
	def := saga.Must(saga.Define("errand", 1,
		saga.Step("go", notes("go")),
		saga.Await("pay", paid, func(_ context.Context, e *errand, amount int) error { e.Paid += amount; return nil }),
		saga.Await("tip", paid, func(_ context.Context, e *errand, amount int) error { e.Paid += 100 * amount; return nil }),
	))
	f.engine(engine.Config{}, def)
	c := f.client()
	errands := engine.For(c, def)
	ctx := withPatience(t)
	if _, err := errands.Start(ctx, "e-1", errand{}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := engine.Send(ctx, errands, "e-1", paid, 7, engine.MessageID("first")); err != nil {
			t.Fatal(err)
		}
	}
	until(ctx, t, c, errands.Key("e-1"), func(in *saga.Instance) bool { return in.Steps.Get("pay").Status == saga.StepDone })
	if err := engine.Send(ctx, errands, "e-1", paid, 2); err != nil {
		t.Fatal(err)
	}
	s, err := errands.Wait(ctx, "e-1")
	if err != nil || s.State.Paid != 207 {
		t.Fatalf("it ended as %+v, %v", s, err)
	}
	var ended *engine.EndedError
	if err := engine.Send(ctx, errands, "e-1", paid, 7); !errors.As(err, &ended) {
		t.Errorf("a signal to a saga that has ended gives %v", err)
	}
	if err := engine.Send(ctx, errands, "e-2", paid, 7); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a signal to nobody gives %v", err)
	}
	if _, err := errands.Start(ctx, "e-2", errand{}); err != nil {
		t.Errorf("the id that was signalled in vain cannot be used: %v", err)
	}
}

func TestAStuckSagaTakesSignalsAndDecisionsForWhenItGoesOn(t *testing.T) {
	f := newFleet(t)
	var broken atomic.Bool
	broken.Store(true)
	token := make(chan string, 1)
	def := saga.Must(saga.Define("errand", 1,
		saga.Step("go", func(ctx context.Context, e *errand) error {
			token <- saga.ApprovalToken(ctx, "manager")
			return notes("go")(ctx, e)
		}).Pivot(),
		saga.Step("print", func(ctx context.Context, e *errand) error {
			if broken.Load() {
				return saga.Permanent(errors.New("out of order"))
			}
			return notes("print")(ctx, e)
		}),
		saga.Await("pay", paid, func(_ context.Context, e *errand, amount int) error { e.Paid += amount; return nil }),
		saga.Approval("manager", func(e *errand, d saga.Decision) error { e.Log += d.By; return nil }),
	))
	f.engine(engine.Config{}, def)
	c := f.client()
	errands := engine.For(c, def)
	ctx := withPatience(t)
	if _, err := errands.Start(ctx, "e-1", errand{}); err != nil {
		t.Fatal(err)
	}
	in, err := c.Wait(ctx, errands.Key("e-1"))
	if err != nil || in.Status != saga.StatusStuck {
		t.Fatalf("it ended as %+v, %v", in, err)
	}
	if err := engine.Send(ctx, errands, "e-1", paid, 7); err != nil {
		t.Fatal(err)
	}
	if err := c.Approve(ctx, <-token, saga.Decision{Approved: true, By: "ann"}); err != nil {
		t.Fatal(err)
	}
	broken.Store(false)
	if err := c.Retry(ctx, in.Key, nil); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, c, in.Key, func(in *saga.Instance) bool { return in.Status == saga.StatusCompleted })
	if s, err := errands.Get(ctx, "e-1"); err != nil || s.State.Paid != 7 || s.State.Log != "go print ann" {
		t.Errorf("it ended as %+v, %v", s, err)
	}
}

func TestASagaThatIsStuckAtABlockIsResetOnceItsHandlersAreMended(t *testing.T) {
	f := newFleet(t)
	var mended atomic.Bool
	note := func(_ context.Context, e *errand) error {
		e.Log = "left"
		return nil
	}
	def := saga.Must(saga.Define("errand", 1,
		saga.Step("go", notes("go")).Pivot(),
		saga.Parallel("both", saga.Branch("a", saga.Step("left", note)), saga.Branch("b", saga.Step("right", func(ctx context.Context, e *errand) error {
			if mended.Load() {
				e.Paid = 1
				return nil
			}
			return notes("right")(ctx, e)
		}))),
	))
	f.engine(engine.Config{}, def)
	c := f.client()
	ctx := withPatience(t)
	started, err := engine.For(c, def).Start(ctx, "e-1", errand{})
	if err != nil {
		t.Fatal(err)
	}
	in, err := c.Wait(ctx, started.Key)
	if err != nil || !in.StuckAt("both") {
		t.Fatalf("it ended as %+v, %v", in, err)
	}
	for _, steps := range [][]string{nil, {"both"}} {
		var refused *engine.RefusedError
		if err := c.Retry(ctx, started.Key, steps); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "reset") {
			t.Errorf("a retry of %v gives %v", steps, err)
		}
	}
	mended.Store(true)
	if err := c.Reset(ctx, started.Key, 1); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, c, started.Key, func(in *saga.Instance) bool { return in.Status == saga.StatusCompleted })
}

func TestAnApprovalIsDecidedOnceWithItsToken(t *testing.T) {
	for _, approved := range []bool{true, false} {
		f := newFleet(t)
		tokens := make(chan string, 1)
		def := saga.Must(saga.Define("errand", 1,
			saga.Step("ask", func(ctx context.Context, e *errand) error {
				tokens <- saga.ApprovalToken(ctx, "boss")
				return notes("ask")(ctx, e)
			}).Compensate(notes("forget")),
			saga.Approval("boss", func(e *errand, d saga.Decision) error { e.By = d.By; return d.Err() }),
		))
		f.engine(engine.Config{}, def)
		c := f.client()
		errands := engine.For(c, def)
		ctx := withPatience(t)
		if _, err := errands.Start(ctx, "e-1", errand{}); err != nil {
			t.Fatal(err)
		}
		token := <-tokens
		key := errands.Key("e-1")
		until(ctx, t, c, key, parked)
		for _, bad := range []string{"", "nonsense", token[:10]} {
			if err := c.Approve(ctx, bad, saga.Decision{Approved: true}); err == nil {
				t.Errorf("the token %q decides", bad)
			}
		}
		if err := c.Approve(ctx, token, saga.Decision{Approved: approved, By: "ann", Reason: "as it is"}); err != nil {
			t.Fatal(err)
		}
		s, err := errands.Wait(ctx, "e-1")
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: "completed ann", false: "compensated "}[approved]
		if got := string(s.Status) + " " + s.State.By; got != want {
			t.Errorf("approved %v: it ended as %q, want %q: %s", approved, got, want, s.Error)
		}
	}
}

func TestAPausedSagaDoesNothingUntilItIsResumed(t *testing.T) {
	f := newFleet(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	def := saga.Must(saga.Define("errand", 1,
		saga.Step("one", func(ctx context.Context, e *errand) error {
			close(begun)
			<-goOn
			return notes("one")(ctx, e)
		}),
		saga.Step("two", notes("two")),
	))
	f.engine(engine.Config{}, def)
	c := f.client()
	errands := engine.For(c, def)
	ctx := withPatience(t)
	if _, err := errands.Start(ctx, "e-1", errand{}); err != nil {
		t.Fatal(err)
	}
	<-begun
	key := errands.Key("e-1")
	// The first step of a new saga runs before anything is in its log, so it is pending, and can be paused all the same.
	if err := c.Pause(ctx, key, engine.By("ann"), engine.Because("lunch")); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, c, key, func(in *saga.Instance) bool { return in.Paused })
	close(goOn)
	in := until(ctx, t, c, key, func(in *saga.Instance) bool { return in.Paused && in.Parked })
	if in.Steps.Get("two").Status != saga.StepPending {
		t.Errorf("paused, it went on: %+v", in)
	}
	var refused *engine.RefusedError
	if err := c.Pause(ctx, key); !errors.As(err, &refused) {
		t.Errorf("a second pause gives %v", err)
	}
	if err := c.Skip(ctx, key, "three"); !errors.As(err, &refused) || !strings.Contains(err.Error(), `has no step "three"`) {
		t.Errorf("to skip a step that there is none of gives %v", err)
	}
	if err := c.Resume(ctx, key); err != nil {
		t.Fatal(err)
	}
	s, err := errands.Wait(ctx, "e-1")
	if err != nil || s.Status != saga.StatusCompleted || s.State.Log != "one two " {
		t.Errorf("it ended as %+v, %v", s, err)
	}
	if err := c.Resume(ctx, key); !errors.As(err, &refused) {
		t.Errorf("resuming what is not paused gives %v", err)
	}
}

func TestAStuckSagaIsMendedByAnOperator(t *testing.T) {
	f := newFleet(t)
	var broken atomic.Bool
	broken.Store(true)
	fails := func(what string) func(context.Context, *errand) error {
		return func(ctx context.Context, e *errand) error {
			if broken.Load() {
				return saga.Permanent(errors.New("out of order"))
			}
			return notes(what)(ctx, e)
		}
	}
	forward := saga.Must(saga.Define("forward", 1,
		saga.Step("go", notes("go")).Pivot(), saga.Step("print", fails("print")), saga.Step("end", notes("end"))))
	backward := saga.Must(saga.Define("backward", 1,
		saga.Step("one", notes("one")).Compensate(notes("-one")),
		saga.Step("two", notes("two")).Compensate(fails("-two")),
		saga.Step("three", func(context.Context, *errand) error { return saga.Permanent(errors.New("no")) })))
	f.engine(engine.Config{}, forward, backward)
	c := f.client()
	ctx := withPatience(t)
	stuck := func(def *saga.Definition[errand], id string) saga.Key {
		t.Helper()
		if _, err := engine.For(c, def).Start(ctx, id, errand{}); err != nil {
			t.Fatal(err)
		}
		in, err := c.Wait(ctx, engine.For(c, def).Key(id))
		if err != nil || in.Status != saga.StatusStuck {
			t.Fatalf("it ended as %+v, %v", in, err)
		}
		return in.Key
	}
	for _, test := range []struct {
		name  string
		def   *saga.Definition[errand]
		mends bool
		order func(saga.Key) error
		want  saga.Status
		log   string
	}{
		{"retry forward", forward, true, func(k saga.Key) error { return c.Retry(ctx, k, nil, engine.By("ann")) }, saga.StatusCompleted, "go print end "},
		{"skip", forward, false, func(k saga.Key) error { return c.Skip(ctx, k, "print") }, saga.StatusCompleted, "go end "},
		{"retry backward", backward, true, func(k saga.Key) error { return c.Retry(ctx, k, []string{"two"}) }, saga.StatusCompensated, "one two -one -two "},
		{"resolve", backward, false, func(k saga.Key) error { return c.Resolve(ctx, k, "two") }, saga.StatusCompensated, "one two -one "},
		{"terminate", backward, false, func(k saga.Key) error { return c.Terminate(ctx, k) }, saga.StatusTerminated, "one two -one "},
	} {
		t.Run(test.name, func(t *testing.T) {
			broken.Store(true)
			key := stuck(test.def, strings.ReplaceAll(test.name, " ", "-"))
			broken.Store(!test.mends)
			if err := test.order(key); err != nil {
				t.Fatal(err)
			}
			in := until(ctx, t, c, key, func(in *saga.Instance) bool { return in.Status == test.want })
			var e errand
			if err := json.Unmarshal(in.State.JSON(), &e); err != nil || e.Log != test.log {
				t.Errorf("its steps have noted %q, want %q (%v)", e.Log, test.log, err)
			}
			var refused *engine.RefusedError
			for name, err := range map[string]error{
				"retry": c.Retry(ctx, key, nil), "skip": c.Skip(ctx, key, "go"), "resolve": c.Resolve(ctx, key, "one"),
				"pause": c.Pause(ctx, key), "terminate": c.Terminate(ctx, key), "reset": c.Reset(ctx, key, 99),
			} {
				if !errors.As(err, &refused) {
					t.Errorf("%s after the end gives %v", name, err)
				}
			}
		})
	}
}

func TestASagaIsTakenBackToAVersion(t *testing.T) {
	f := newFleet(t)
	def := saga.Must(saga.Define("errand", 1,
		saga.Step("one", notes("one")), saga.Step("two", notes("two")), saga.Step("three", notes("three"))))
	f.engine(engine.Config{}, def)
	c := f.client()
	errands := engine.For(c, def)
	ctx := withPatience(t)
	if _, err := errands.Run(ctx, "e-1", errand{}); err != nil {
		t.Fatal(err)
	}
	key := errands.Key("e-1")
	if err := c.Reset(ctx, key, 1, engine.By("ann"), engine.Because("the second was wrong")); err != nil {
		t.Fatal(err)
	}
	in := until(ctx, t, c, key, func(in *saga.Instance) bool { return in.Version > 3 && in.Ended() })
	if in.Status != saga.StatusCompleted || string(in.State.JSON()) != `{"log":"one two three "}` {
		t.Errorf("it ended as %s with %s", in.Status, in.State.JSON())
	}
	history, err := c.History(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	for i, commit := range history {
		if commit.Version != uint64(i+1) {
			t.Errorf("the log was rewritten: version %d follows %d", commit.Version, i)
		}
	}
}

func TestASagaWithADeadlineIsUndoneInTime(t *testing.T) {
	f := newFleet(t)
	def := saga.Must(saga.Define("errand", 1,
		saga.Step("one", notes("one")).Compensate(notes("-one")),
		saga.Sleep("rest", func(*errand) time.Duration { return time.Hour }),
	))
	f.engine(engine.Config{}, def)
	errands := engine.For(f.client(), def)
	ctx := withPatience(t)
	if _, err := errands.Start(ctx, "e-0", errand{}, engine.Deadline(time.Now().Add(-time.Second))); err == nil {
		t.Error("a deadline that has passed is taken")
	}
	s, err := errands.Run(ctx, "e-1", errand{}, engine.Deadline(time.Now().Add(300*time.Millisecond)))
	var ended *engine.EndedError
	if !errors.As(err, &ended) || ended.Reason != saga.ReasonTimedOut || s.State.Log != "one -one " {
		t.Errorf("it ended as %+v, %v", s, err)
	}
}
