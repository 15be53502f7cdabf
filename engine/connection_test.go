package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

// serve runs a server with options that embedded servers do not have; port 0 is the first that is free.
func serve(t testing.TB, port int, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.JetStream, o.NoSigs, o.NoLog = "127.0.0.1", cmp.Or(port, server.RANDOM_PORT), true, true, true
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

// shut stops a server, and gives its port.
func shut(s *server.Server) (port int) {
	port = s.Addr().(*net.TCPAddr).Port
	s.Shutdown()
	s.WaitForShutdown()
	return port
}

func TestAnEngineWhoseConnectionIsClosedEndsAndSaysSo(t *testing.T) {
	f := newFleet(t)
	begun, cut := make(chan struct{}), make(chan struct{})
	def := threeSteps(t, func(ctx context.Context, _ *trip) error {
		close(begun)
		<-ctx.Done()
		close(cut)
		return ctx.Err()
	}, saga.RetryPolicy{})
	e, err := engine.New(engine.Config{Conn: f.nc, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Register(def); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Run(context.Background()) }()
	receive(t, e.Ready())
	if _, err := engine.For(f.client(), def).Start(t.Context(), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	receive(t, begun)
	f.nc.Close()
	if err := receive(t, done); !errors.Is(err, engine.ErrConnectionClosed) {
		t.Errorf("Run has ended with %v", err)
	}
	receive(t, cut)
}

// A server that is reconfigured, or whose accounts are not there yet, refuses credentials that are right again a moment later.
func TestAWorkerOutlivesTheRefusalOfItsCredentials(t *testing.T) {
	t.Parallel()
	o := server.Options{StoreDir: t.TempDir(), Username: "worker", Password: "right"}
	s := serve(t, 0, o)
	refusals := make(chan struct{}, 100)
	f := &fleet{t, testutil.Connect(t, s, append(engine.ConnectOptions(), nats.UserInfo("worker", "right"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrAuthorization) {
				refusals <- struct{}{}
			}
		}))...)}
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	client := f.client()
	wrong := o
	wrong.Password = "wrong"
	s = serve(t, shut(s), wrong)
	for range 3 {
		receive(t, refusals)
	}
	serve(t, shut(s), o)
	if s, err := engine.For(client, def).Run(withPatience(t), "t-1", trip{}); err != nil || s.Status != saga.StatusCompleted {
		t.Errorf("afterwards a saga ended as %+v, %v", s, err)
	}
}

// Nothing that was carried out runs again, whether a worker makes the consumer anew or finds it gone as it starts.
func TestAConsumerThatIsRemovedIsMadeAnew(t *testing.T) {
	for _, under := range []bool{true, false} {
		t.Run(fmt.Sprintf("under a worker %v", under), func(t *testing.T) {
			f := newFleet(t)
			var flights atomic.Int64
			def := saga.Must(saga.Define("trip", 1,
				saga.Step("flight", func(ctx context.Context, s *trip) error {
					flights.Add(1)
					return does("flight")(ctx, s)
				}),
				saga.Step("hotel", does("hotel")),
			))
			client := f.client()
			if _, err := engine.For(client, def).Start(t.Context(), "t-0", trip{}); err != nil {
				t.Fatal(err)
			}
			e := f.engine(engine.Config{}, def)
			for _, id := range []string{"t-1", "t-2"} {
				if _, err := engine.For(client, def).Run(withPatience(t), id, trip{}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := engine.For(client, def).Wait(withPatience(t), "t-0"); err != nil {
				t.Fatal(err)
			}
			if !under {
				if err := e.Drain(withPatience(t)); err != nil {
					t.Fatal(err)
				}
			}
			ns := client.Namespace()
			for _, stream := range ns.Streams() {
				if err := ns.JetStream().DeleteConsumer(t.Context(), stream, "trip"); err != nil {
					t.Fatal(err)
				}
			}
			if !under {
				f.engine(engine.Config{}, def)
			}
			s, err := engine.For(client, def).Run(withPatience(t), "t-3", trip{})
			if err != nil || s.State.Log != "flight hotel " {
				t.Errorf("afterwards a saga ended as %+v, %v", s, err)
			}
			for _, stream := range ns.Streams() { // until every command has been answered
				for ctx := withPatience(t); ; {
					c, err := ns.JetStream().Consumer(ctx, stream, "trip")
					if err != nil {
						t.Fatal(err)
					}
					if c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0 {
						break
					}
				}
			}
			if n := flights.Load(); n != 4 {
				t.Errorf("four sagas have run their first step %d times", n)
			}
		})
	}
}
