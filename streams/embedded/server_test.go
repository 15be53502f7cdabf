package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/streams/embedded"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.NoLeaks(m.Run)()) }

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

func TestClientsMayAskHowTheServerSyncs(t *testing.T) {
	s := start(t, embedded.Config{StoreDir: t.TempDir(), SyncInterval: 3 * time.Second})
	nc := connect(t, s).Conn()
	m, err := nc.Request("$SYS.REQ.SERVER."+nc.ConnectedServerId()+".JSZ", []byte(`{"config": true}`), 10*time.Second)
	if err != nil || !bytes.Contains(m.Data, []byte(`"sync_interval":3000000000`)) {
		t.Errorf("the answer is %v, %v", m, err)
	}
}

func TestASecondServerOnADirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, embedded.Config{StoreDir: dir})
	_, err := embedded.Start(t.Context(), embedded.Config{StoreDir: dir})
	if !errors.Is(err, embedded.ErrInUse) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error is %q, want ErrInUse that names %s, in one line", err, dir)
	}
}

func TestADirectoryThatIsNotThereIsNotInUse(t *testing.T) {
	_, err := embedded.Acquire(filepath.Join(t.TempDir(), "nowhere"))
	if !errors.Is(err, os.ErrNotExist) || errors.Is(err, embedded.ErrInUse) {
		t.Errorf("error is %v, want ErrNotExist, and not ErrInUse", err)
	}
}

func TestAPortThatIsTakenIsToldAtOnce(t *testing.T) {
	first := start(t, embedded.Config{StoreDir: t.TempDir(), Port: -1})
	dir, port := t.TempDir(), portOf(t, first)
	_, err := embedded.Start(t.Context(), embedded.Config{StoreDir: dir, Port: port})
	var listening *net.OpError
	if !errors.As(err, &listening) || listening.Op != "listen" {
		t.Fatalf("error is %v, want that of listening", err)
	}
	if !strings.Contains(err.Error(), listening.Addr.String()) {
		t.Errorf("error is %q, want it to name %s", err, listening.Addr)
	}
	start(t, embedded.Config{StoreDir: dir, Port: -1}) // the directory was given back
}

func portOf(t *testing.T, s *embedded.Server) int {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	addr, err := net.ResolveTCPAddr("tcp", nc.ConnectedAddr())
	if err != nil {
		t.Fatal(err)
	}
	return addr.Port
}

func TestAStoreThatJetStreamCannotUseIsToldAtOnce(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600); err != nil { // where a directory should be
		t.Fatal(err)
	}
	_, err := embedded.Start(t.Context(), embedded.Config{StoreDir: dir})
	if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "JetStream") {
		t.Errorf("error is %v, want one that tells of JetStream", err)
	}
}

func TestStopReturnsWhenTheServerIsGoneToEveryCaller(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Config{StoreDir: dir, Port: -1})
	port := portOf(t, s)
	var stopping sync.WaitGroup
	for range 8 {
		stopping.Go(func() {
			s.Stop()
			if _, err := s.Connect(); err == nil {
				t.Error("a stopped server takes connections")
			}
		})
	}
	stopping.Wait()
	start(t, embedded.Config{StoreDir: dir, Port: port}) // neither the directory nor the port is held
}

func TestTheServersLogIsHandedOn(t *testing.T) {
	var log bytes.Buffer
	start(t, embedded.Config{StoreDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))}).Stop()
	if !strings.Contains(log.String(), "level=INFO") || !strings.Contains(log.String(), "nats-server: ") {
		t.Errorf("the log has nothing of the server's:\n%s", &log)
	}
}

func TestWithoutALoggerWarningsAreToldAndNoMore(t *testing.T) {
	was := slog.Default()
	defer slog.SetDefault(was)
	var log bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))

	s := start(t, embedded.Config{StoreDir: t.TempDir(), Port: -1})
	js := connect(t, s)
	m := delivered(t, js)
	if log.Len() > 0 {
		t.Errorf("an ordinary run said:\n%s", &log)
	}
	// The server warns of a delay that it cannot read, before it answers.
	if _, err := js.Conn().Request(m.Reply(), []byte("-NAK soon"), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if !strings.Contains(log.String(), "level=WARN") || strings.Contains(log.String(), "level=INFO") {
		t.Errorf("want a warning and nothing below, got:\n%s", &log)
	}
}

// delivered gives a message that waits for its acknowledgement.
func delivered(t *testing.T, js jetstream.JetStream) jetstream.Msg {
	t.Helper()
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", nil); err != nil {
		t.Fatal(err)
	}
	m, err := c.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return m
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
