package engine_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil { // those that are parallel wait more than they compute
		panic(err)
	}
	os.Exit(testutil.Main(testutil.NoLeaks(m.Run), map[string]testutil.Role{
		"order-worker": orderWorker, "burner": burner, "purger": purger,
	}))
}

// patience bounds what a test waits for.
const patience = 30 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// trip is the state of the sagas in these tests.
type trip struct {
	Log  string `json:"log"`
	Note string `json:"note,omitempty"`
}

// does gives a handler that records its name.
func does(name string) saga.Handler[trip] {
	return func(_ context.Context, t *trip) error {
		t.Log += name + " "
		return nil
	}
}

// threeSteps is a definition whose second step is the test's.
func threeSteps(t testing.TB, second saga.Handler[trip], retry saga.RetryPolicy) *saga.Definition[trip] {
	t.Helper()
	def, err := saga.Define("trip", 1,
		saga.Step("flight", does("flight")).Compensate(does("-flight")),
		saga.Step("hotel", second).Compensate(does("-hotel")).Retry(retry),
		saga.Step("car", does("car")).Compensate(does("-car")),
	)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// fleet is a server with engines on it.
type fleet struct {
	t  testing.TB
	nc *nats.Conn
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	return &fleet{t, testutil.Connect(t, testutil.NATS(t), engine.ConnectOptions()...)}
}

// engine runs an engine until the test ends.
func (f *fleet) engine(conf engine.Config, defs ...saga.Runnable) *engine.Engine {
	f.t.Helper()
	if conf.Conn == nil {
		conf.Conn = f.nc
	}
	if conf.Logger == nil {
		conf.Logger = quiet()
	}
	e, err := engine.New(conf)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := e.Register(defs...); err != nil {
		f.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Run(context.Background()) }()
	select {
	case <-e.Ready():
	case err := <-done:
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		e.Stop()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
	return e
}

func (f *fleet) client() *engine.Client {
	f.t.Helper()
	c, err := engine.NewClient(f.t.Context(), engine.Config{Conn: f.nc, Logger: quiet()})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func withPatience(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// receive waits for one value.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}
