package engine_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

// limitedServer is a server that takes messages of at most so many bytes.
func limitedServer(t testing.TB, dir string, port, maxPayload int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, MaxPayload: int32(maxPayload), NoSigs: true, NoLog: true,
	})
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

func TestAParentIsToldOfTheEndOfAChildWhoseStateCannotBeSent(t *testing.T) {
	dir := t.TempDir()
	s := limitedServer(t, dir, server.RANDOM_PORT, 1<<20)
	f := &fleet{t, testutil.Connect(t, s, engine.ConnectOptions()...)}
	var lower sync.Once
	leg := saga.Must(saga.Define("leg", 1,
		saga.Step("pack", func(_ context.Context, s *trip) error {
			s.Note = strings.Repeat("x", 200<<10)
			return nil
		}).Compensate(does("-pack")),
		saga.Step("go", func(_ context.Context, _ *trip) error {
			lower.Do(func() {
				port := s.Addr().(*net.TCPAddr).Port
				s.Shutdown()
				s.WaitForShutdown()
				limitedServer(t, dir, port, 64<<10)
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
