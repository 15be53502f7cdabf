package testutil_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) {
	run := func() int {
		code := m.Run()
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}
	os.Exit(testutil.Main(run, map[string]testutil.Role{"echo": echo, "fails": fails}))
}

func echo(ctx context.Context, args []string) error {
	fmt.Println("noise")
	fmt.Println("said", strings.Join(args, " "))
	<-ctx.Done()
	return ctx.Err()
}

func fails(context.Context, []string) error { return fmt.Errorf("as it was told to") }

func TestAProcessPlaysItsRoleUntilItIsKilled(t *testing.T) {
	p := testutil.StartProcess(t, "echo", "hello", "you")
	if got := p.WaitLine("said"); got != "hello you" {
		t.Errorf("it said %q", got)
	}
	p.Kill()
	if err := p.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("a killed process ended with %v", err)
	}
}

func TestAProcessThatFailsSaysSo(t *testing.T) {
	if err := testutil.StartProcess(t, "fails").Wait(); err == nil {
		t.Error("it ended without an error")
	}
}

func stream(t *testing.T, nc *nats.Conn, replicas int) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestWhatAKilledServerAcknowledgedIsThereAfterwards(t *testing.T) {
	server := testutil.StartServerProcess(t, t.TempDir())
	nc := testutil.Connect(t, server, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	js := stream(t, nc, 1)
	const messages = 500
	for i := range messages {
		if _, err := js.Publish(t.Context(), "s", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	back := nc.StatusChanged(nats.CONNECTED)
	server.Kill()
	server.Restart()
	select {
	case <-back:
	case <-time.After(20 * time.Second):
		t.Fatal("not reconnected")
	}
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.CachedInfo().State.Msgs; got != messages {
		t.Errorf("%d messages are left of %d", got, messages)
	}
}

func TestAClusterGoesOnWithoutOneServer(t *testing.T) {
	c := testutil.NATSCluster(t, 3)
	nc := testutil.Connect(t, c, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	js := stream(t, nc, 3)
	if _, err := js.Publish(t.Context(), "s", nil); err != nil {
		t.Fatal(err)
	}
	c.Stop(0)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		if _, err := js.Publish(ctx, "s", nil, jetstream.WithRetryAttempts(20)); err == nil {
			break
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	c.Restart(0)
	c.AwaitReady()
}
