package testutil_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/jetsaga/jetsaga/streams/embedded"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) {
	os.Exit(testutil.Main(testutil.NoLeaks(m.Run), map[string]testutil.Role{
		"echo": echo, "fails": fails, "leaks": leaks, "parent": parent, "stubborn": stubborn,
	}))
}

func echo(ctx context.Context, args []string) error {
	fmt.Println("noise")
	fmt.Println("said", strings.Join(args, " "))
	<-ctx.Done()
	return ctx.Err()
}

func fails(context.Context, []string) error { return fmt.Errorf("as it was told to") }

// parent starts a child that plays the role of the first argument, and lends it its own output.
func parent(ctx context.Context, args []string) error {
	child := exec.CommandContext(ctx, os.Args[0], "child")
	child.Env = append(os.Environ(), "JETSAGA_TEST_ROLE="+args[0])
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if _, err := child.StdinPipe(); err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	return child.Wait()
}

// stubborn does not mind its context.
func stubborn(context.Context, []string) error {
	fmt.Println("said nothing doing")
	select {}
}

// Kill returns when the output has been read to its end, which the child holds open as long as it lives.
func TestAChildEndsWithTheProcessThatStartedIt(t *testing.T) {
	for _, role := range []string{"echo", "stubborn"} {
		t.Run(role, func(t *testing.T) {
			p := testutil.StartProcess(t, "parent", role)
			p.WaitLine("said")
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				p.Kill()
			}()
			select {
			case <-gone:
			case <-time.After(20 * time.Second):
				t.Error("the child outlives its parent")
			}
		})
	}
}

// failing is a test that a helper may fail.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestWaitingForALineFailsWithWhatTheProcessHadToSay(t *testing.T) {
	f := &failing{TB: t}
	var waiting sync.WaitGroup
	waiting.Go(func() { testutil.StartProcess(f, "fails").WaitLine("never") })
	waiting.Wait()
	for _, want := range []string{"fails", `"never"`, "as it was told to"} {
		if !strings.Contains(f.said, want) {
			t.Errorf("it failed with %q, want it to tell of %s", f.said, want)
		}
	}
}

func TestAnUnknownRoleIsRefused(t *testing.T) {
	var ended *exec.ExitError
	if err := testutil.StartProcess(t, "nobody").Wait(); !errors.As(err, &ended) || ended.ExitCode() != 2 {
		t.Errorf("it ended with %v, want exit code 2", err)
	}
}

// leaks runs tests that end with the exit code of the first argument, and leave a goroutine where there is a second.
func leaks(_ context.Context, args []string) error {
	code, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	run := func() int {
		if len(args) > 1 {
			go func() { select {} }()
		}
		return code
	}
	fmt.Println("code", testutil.NoLeaks(run, goleak.IgnoreCurrent())())
	return nil
}

func TestGoroutinesThatAreLeftOverFailARunThatHadPassed(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"0"}, "0"},
		{[]string{"0", "leave one"}, "1"},
		{[]string{"3", "leave one"}, "3"},
	} {
		if got := testutil.StartProcess(t, "leaks", c.args...).WaitLine("code"); got != c.want {
			t.Errorf("%q end with code %s, want %s", c.args, got, c.want)
		}
	}
}

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

func streamsOf(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func stream(t *testing.T, nc *nats.Conn, replicas int) jetstream.JetStream {
	t.Helper()
	js := streamsOf(t, nc)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: replicas})
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

func TestAServerInAnotherProcessHoldsItsDirectoryUntilItIsKilled(t *testing.T) {
	dir := t.TempDir()
	server := testutil.StartServerProcess(t, dir)
	if _, err := embedded.Start(t.Context(), embedded.Config{StoreDir: dir}); !errors.Is(err, embedded.ErrInUse) {
		t.Errorf("error is %v, want ErrInUse", err)
	}
	server.Kill()
	testutil.NATS(t, testutil.StoreDir(dir))
}

func TestAClusterReplicatesToAllOfItsServers(t *testing.T) {
	c := testutil.NATSCluster(t, 3)
	js := stream(t, testutil.Connect(t, c), 3)
	const messages = 50
	for i := range messages {
		if _, err := js.Publish(t.Context(), "s", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := awaitReplicas(t, js, "S").State.Msgs; got != messages {
		t.Errorf("%d messages are stored of %d", got, messages)
	}
}

// awaitReplicas returns when three servers hold all that the stream has.
func awaitReplicas(t *testing.T, js jetstream.JetStream, name string) *jetstream.StreamInfo {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		s, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		info, holders := s.CachedInfo(), 1
		for _, r := range info.Cluster.Replicas {
			if r.Current && r.Lag == 0 {
				holders++
			}
		}
		if holders == 3 {
			return info
		}
	}
}

// A stream is made at once after AwaitReady, without trying again: that is what ready means.
func TestAClusterIsReadyWhenStreamsCanBeMade(t *testing.T) {
	c := testutil.NATSCluster(t, 3)
	if c.Leader() < 0 {
		t.Fatal("a ready cluster has no leader")
	}
	leader := c.Leader()
	stream(t, testutil.Connect(t, c.Server((leader+1)%3)), 3)

	c.Stop(leader)
	c.AwaitReady()
	if now := c.Leader(); now < 0 || now == leader {
		t.Errorf("the leader is %d, was %d", now, leader)
	}
	js := streamsOf(t, testutil.Connect(t, c.Server((leader+1)%3)))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "LATER", Subjects: []string{"later"}}); err != nil {
		t.Errorf("after the leader had gone: %v", err)
	}

	c.Restart(leader)
	c.AwaitReady()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "LAST", Subjects: []string{"last"}, Replicas: 3}); err != nil {
		t.Fatalf("after it had come back: %v", err)
	}
	awaitReplicas(t, js, "LAST")
}

func TestTooFewServersAreNeverReady(t *testing.T) {
	f := &failing{TB: t}
	c := testutil.NATSCluster(f, 3)
	c.Stop(0)
	c.Stop(1)
	var waiting sync.WaitGroup
	waiting.Go(c.AwaitReady)
	waiting.Wait()
	if !strings.Contains(f.said, "majority") {
		t.Errorf("it said %q", f.said)
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
	publishSoon(t, js)
	c.Restart(0)
	c.AwaitReady()
}

// publishSoon publishes, again and again while the stream has no leader. Each attempt has a time of its own: one that
// a leader took with it is never answered.
func publishSoon(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := js.Publish(attempt, "s", nil)
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
