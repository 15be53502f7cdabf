package embedded_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/jetsaga/jetsaga/streams/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, conf embedded.Config) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func connect(t *testing.T, s *embedded.Server) jetstream.JetStream {
	t.Helper()
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestWhatWasStoredIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	first := start(t, embedded.Config{StoreDir: dir})
	js := connect(t, first)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	first.Stop()

	js = connect(t, start(t, embedded.Config{StoreDir: dir}))
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil || string(m.Data) != "kept" {
		t.Errorf("message 1 is %v, %v", m, err)
	}
}

func TestASecondServerOnADirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, embedded.Config{StoreDir: dir})
	_, err := embedded.Start(t.Context(), embedded.Config{StoreDir: dir})
	if !errors.Is(err, embedded.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v, want ErrInUse that names %s", err, dir)
	}
}

func TestAServerListensOnlyWhenAsked(t *testing.T) {
	if url := start(t, embedded.Config{StoreDir: t.TempDir()}).ClientURL(); url != "" {
		t.Errorf("a server without a port has the URL %q", url)
	}
	url := start(t, embedded.Config{StoreDir: t.TempDir(), Port: -1}).ClientURL()
	if !strings.HasPrefix(url, "nats://127.0.0.1:") {
		t.Fatalf("URL is %q", url)
	}
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

func TestABadConfigurationIsRefusedWhole(t *testing.T) {
	_, err := embedded.Start(t.Context(), embedded.Config{
		Port: -2, SyncInterval: -time.Second, Cluster: &embedded.Cluster{},
	})
	for _, field := range []string{"StoreDir", "Port", "SyncInterval", "Cluster"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error is %v, want one that names %s", err, field)
		}
	}
}

func TestADirectoryThatCannotBeMadeIsAnError(t *testing.T) {
	if _, err := embedded.Start(t.Context(), embedded.Config{StoreDir: filepath.Join("/dev/null", "x")}); err == nil {
		t.Error("no error")
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := embedded.Start(ctx, embedded.Config{StoreDir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the context", err)
	}
}
