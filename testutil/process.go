package testutil

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// roleVariable names, in a child's environment, the role that it plays.
const roleVariable = "JETSAGA_TEST_ROLE"

// lineTimeout bounds how long a process may take to say what a test waits for; lineMargin is what is left of the test's
// own time then, for it to tell what it waited for.
const (
	lineTimeout = 60 * time.Second
	lineMargin  = 2 * time.Second
)

// orphanGrace is how long a role may take to end after the test that started it has.
const orphanGrace = 2 * time.Second

// Role is what a child process does in place of the tests. Its context ends when the process is interrupted, or when
// the test that started it is gone; in the latter case the process ends two seconds later at the latest.
type Role func(ctx context.Context, args []string) error

// Main runs the tests, or, in a process that [StartProcess] started, its role. Call it from TestMain and exit with
// what it returns:
//
//	func TestMain(m *testing.M) { os.Exit(testutil.Main(m.Run, map[string]testutil.Role{"worker": worker})) }
func Main(run func() int, roles map[string]Role) int {
	name := os.Getenv(roleVariable)
	if name == "" {
		return run()
	}
	role := roles[name]
	if name == serverRole {
		role = runServer
	}
	if role == nil {
		fmt.Fprintf(os.Stderr, "testutil: there is no role %q\n", name)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with the process; a child must not outlive the test, however that ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
		<-time.After(orphanGrace)
		fmt.Fprintf(os.Stderr, "testutil: role %q has not ended with its test\n", name)
		os.Exit(1) //nolint:revive // the role does not mind its context, and nobody is left to kill it
	}()
	if err := role(ctx, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// NoLeaks runs the tests and then fails them if goroutines are left over. It is for [Main], as goleak.VerifyTestMain
// would exit before a role is played:
//
//	os.Exit(testutil.Main(testutil.NoLeaks(m.Run), roles))
func NoLeaks(run func() int, opts ...goleak.Option) func() int {
	// nats-server keeps one clock for all servers of a process; when the last stops while another starts, it may be left
	// ticking (server/ats/ats.go). It is not ours to stop.
	opts = append(opts, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
	return func() int {
		code := run()
		if code != 0 { // tests that failed may well have left something
			return code
		}
		if err := goleak.Find(opts...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}

// Process is a real process that plays a role of the test binary.
type Process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer
	lines  chan string
	stderr *tail
	read   sync.WaitGroup
	once   sync.Once
	result error
}

// StartProcess runs a role of the test binary in a process of its own, which is killed at the latest when the test
// ends. The binary's TestMain has to call [Main].
func StartProcess(t testing.TB, role string, args ...string) *Process {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatalf("testutil: %v", err)
	}
	//nolint:gosec,noctx // this very binary; it outlives the test's context, and is killed by the cleanup
	command := exec.Command(binary, args...)
	p := &Process{t: t, name: role, cmd: command, lines: make(chan string, 1024), stderr: &tail{}}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	p.cmd.Stderr = p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatalf("testutil: %v", err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("testutil: %v", err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("testutil: starting %s: %v", role, err)
	}
	p.read.Go(func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	})
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() && p.stderr.String() != "" {
			t.Logf("what %s (process %d) had to say:\n%s", role, p.PID(), p.stderr)
		}
	})
	return p
}

// PID gives the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// WaitLine returns when the process prints a line that begins with prefix, and gives the rest of it. The test fails
// if the process ends before, or takes longer than a minute or what the test has left.
func (p *Process) WaitLine(prefix string) string {
	p.t.Helper()
	limit := p.patience()
	deadline := time.After(limit)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("testutil: %s ended before it printed %q:\n%s", p.name, prefix, p.stderr)
			}
			if rest, found := strings.CutPrefix(line, prefix); found {
				return strings.TrimSpace(rest)
			}
		case <-deadline:
			p.t.Fatalf("testutil: %s has not printed %q for %v:\n%s", p.name, prefix, limit, p.stderr)
		}
	}
}

func (p *Process) patience() time.Duration {
	if t, ok := p.t.(interface{ Deadline() (time.Time, bool) }); ok {
		if deadline, ok := t.Deadline(); ok {
			return min(lineTimeout, time.Until(deadline)-lineMargin)
		}
	}
	return lineTimeout
}

// Lines gives what the process prints, line by line, until it ends. A process whose lines are not read is held up
// after a thousand.
func (p *Process) Lines() <-chan string { return p.lines }

// Kill ends the process with SIGKILL and returns when it is gone. A second call does nothing.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.Wait()
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("testutil: signalling %s: %v", p.name, err)
	}
}

// Wait returns when the process is gone, with what [exec.Cmd.Wait] tells.
func (p *Process) Wait() error {
	p.once.Do(func() {
		done := make(chan struct{})
		go func() {
			for range p.lines { // nobody reads on; the process must not be held up
			}
			close(done)
		}()
		p.read.Wait()
		<-done
		p.result = p.cmd.Wait()
		_ = p.stdin.Close()
	})
	return p.result
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailBytes = 16 << 10

func (w *tail) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf.Len() > tailBytes {
		kept := append([]byte("[cut] "), w.buf.Bytes()[w.buf.Len()-tailBytes/2:]...)
		w.buf.Reset()
		w.buf.Write(kept)
	}
	return w.buf.Write(b)
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}
