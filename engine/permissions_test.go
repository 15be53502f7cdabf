package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

// TestThePermissionsOfTheDocumentationSuffice runs a worker and a client as the users that docs/running.md gives.
func TestThePermissionsOfTheDocumentationSuffice(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/running.md")
	if err != nil {
		t.Fatal(err)
	}
	_, conf, opened := strings.Cut(string(page), "```\naccounts")
	conf, _, closed := strings.Cut(conf, "```\n")
	if !opened || !closed {
		t.Fatal("docs/running.md has no accounts")
	}
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte("accounts"+conf), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o.StoreDir = t.TempDir()
	s := serve(t, 0, *o)
	as := func(user string) *nats.Conn {
		return testutil.Connect(t, s, append(engine.ConnectOptions(), nats.UserInfo(user, "change-me"),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.Errorf("%s: %v", user, err) }))...)
	}

	f := &fleet{t, as("worker")}
	child := saga.Must(saga.Define("nap", 1, saga.Sleep("rest", func(*errand) time.Duration { return 20 * time.Millisecond })))
	def := saga.Must(saga.Define("errand", 1,
		saga.Step("go", func(ctx context.Context, e *errand) error {
			return errors.Join(saga.Emit(ctx, "gone", 1), notes("go")(ctx, e))
		}),
		saga.Step("park", func(ctx context.Context, _ *errand) error {
			if saga.FromContext(ctx).Attempt == 1 {
				return saga.RetryAfter(errors.New("later"), 20*time.Millisecond)
			}
			return nil
		}),
		saga.Child("nap", child, func(*errand) errand { return errand{} }),
		saga.Await("pay", paid, func(_ context.Context, e *errand, amount int) error { e.Paid += amount; return nil }),
	))
	rdb := testutil.Redis(t).Client(t)
	e := f.engine(engine.Config{Redis: rdb, ParkAfter: 10 * time.Millisecond}, def, child)
	f.engine(engine.Config{Redis: rdb, ParkAfter: 10 * time.Millisecond}, def, child)
	ctx := withPatience(t)

	c, err := engine.OpenClient(ctx, engine.Config{Conn: as("shop"), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	live, err := c.Subscribe(ctx, engine.For(c, def).Key("e-1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Stop()
	errands := engine.For(c, def)
	for _, id := range []string{"e-1", "e-2"} {
		if _, err := errands.Start(ctx, id, errand{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := errands.Start(ctx, "e-1", errand{}, engine.OrExisting()); err != nil {
		t.Error(err)
	}
	if err := engine.Send(ctx, errands, "e-1", paid, 7); err != nil {
		t.Error(err)
	}
	if got, err := errands.Wait(ctx, "e-1"); err != nil || got.State.Paid != 7 {
		t.Errorf("it ended as %+v, %v", got, err)
	}
	if e := receive(t, live.Events()); e.Key != errands.Key("e-1") {
		t.Errorf("the live view tells of %+v", e)
	}
	if history, err := c.History(ctx, errands.Key("e-1")); err != nil || len(history) == 0 {
		t.Errorf("its history: %v, %v", history, err)
	}
	if err := errands.Cancel(ctx, "e-2"); err != nil {
		t.Error(err)
	}
	if got, err := errands.Wait(ctx, "e-2"); err != nil || got.Status != saga.StatusCompensated {
		t.Errorf("what was cancelled ended as %+v, %v", got, err)
	}
	var ended *engine.EndedError
	if err := engine.Send(ctx, errands, "e-2", paid, 7); !errors.As(err, &ended) {
		t.Errorf("a signal after the end gives %v", err)
	}

	operator, err := e.Client(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for {
		n, err := operator.Count(ctx, projections.Query{Definition: "errand", Statuses: []saga.Status{saga.StatusCompleted, saga.StatusCompensated}})
		if err == nil && n == 2 {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("%d sagas are counted, %v", n, err)
		}
	}
	report, err := operator.Retain(ctx, engine.Retention{
		Rules: []engine.RetentionRule{{Keep: soon}}, Archive: engine.DirectoryArchive(t.TempDir())})
	if err != nil {
		t.Error(err)
	}
	if report.Purged+report.Held == 0 {
		t.Errorf("the retention has found nothing: %+v", report)
	}
	if letters, err := operator.DeadLetters(ctx, engine.LetterQuery{}); err != nil || len(letters) != 0 {
		t.Errorf("dead letters: %v, %v", letters, err)
	}
}
