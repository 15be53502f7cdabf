package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // what is printed for people is in their time
	run := func() int {
		code := m.Run()
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}
	os.Exit(testutil.Main(run, map[string]testutil.Role{"sagactl": process}))
}

// process is the role of sagactl as a process of its own.
func process(ctx context.Context, args []string) error {
	if code := run(ctx, args, strings.NewReader(""), os.Stdout, os.Stderr); code != exitOK {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

// ctl runs one command line and gives what it printed.
func ctl(t testing.TB, args ...string) (code int, out, err string) {
	t.Helper()
	return ctlWith(t, "", args...)
}

func ctlWith(t testing.TB, in string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(in), &out, &err)
	return code, out.String(), err.String()
}

// town is a server with a worker, mostly one that knows the definition "greet".
type town struct {
	server string
	client *engine.Client
}

type greeting struct {
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
}

func newTown(t testing.TB) town {
	t.Helper()
	return townOf(t, saga.Must(saga.Define("greet", 1,
		saga.Step("think", func(context.Context, *greeting) error { return nil }).
			Compensate(func(context.Context, *greeting) error { return nil }),
		saga.Step("speak", func(_ context.Context, g *greeting) error {
			if g.Name == "" {
				return saga.Permanent(errors.New("nobody is here"))
			}
			g.Text = "hello " + g.Name
			return nil
		}))))
}

// townOf is one with a worker that knows another definition.
func townOf(t testing.TB, def saga.Runnable) town {
	t.Helper()
	s := testutil.NATS(t)
	nc := testutil.Connect(t, s)
	e, err := engine.New(engine.Config{Conn: nc, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Register(def); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Run(context.Background()) }()
	<-e.Ready()
	t.Cleanup(func() {
		e.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c, err := e.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return town{s.ClientURL(), c}
}

func (w town) ctl(t testing.TB, args ...string) (code int, out, err string) {
	t.Helper()
	return ctl(t, append([]string{"-s", w.server}, args...)...)
}

func TestASagaIsStartedShownAndToldOf(t *testing.T) {
	w := newTown(t)
	code, out, _ := w.ctl(t, "start", "greet", "--id", "g-1", "--input", `{"name":"you"}`, "--wait")
	if code != exitOK || !strings.Contains(out, "completed") || !strings.Contains(out, "hello you") {
		t.Errorf("start: %d\n%s", code, out)
	}
	code, out, _ = w.ctl(t, "get", "greet", "g-1", "-o", "json")
	var got struct {
		Status string   `json:"status"`
		State  greeting `json:"state"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK || got.Status != "completed" || got.State.Text != "hello you" {
		t.Errorf("get: %d, %v\n%s", code, err, out)
	}
	code, out, _ = w.ctl(t, "history", "greet", "g-1")
	for _, want := range []string{"SagaStarted", "StepCompleted", "think", "speak", `set text="hello you"`, "SagaCompleted"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("history lacks %q: %d\n%s", want, code, out)
		}
	}
	code, out, _ = w.ctl(t, "history", "greet", "g-1", "-o", "json")
	var events []map[string]any
	if err := json.Unmarshal([]byte(out), &events); err != nil || code != exitOK || len(events) != 4 || events[3]["event"] != "SagaCompleted" {
		t.Errorf("history: %d, %v\n%s", code, err, out)
	}
	code, out, _ = w.ctl(t, "history", "greet", "g-1", "--at", "1")
	if code != exitOK || !strings.Contains(out, "running") || strings.Contains(out, "hello") {
		t.Errorf("history --at 1: %d\n%s", code, out)
	}
	code, out, _ = w.ctl(t, "doctor", "--deep")
	if code != exitOK || !strings.Contains(out, "Everything is in order") || !strings.Contains(out, "histories     1 read") ||
		!strings.Contains(out, "a power cut loses up to 1s of what") {
		t.Errorf("doctor: %d\n%s", code, out)
	}
}

func TestAFailedSagaIsToldOfWithItsReason(t *testing.T) {
	w := newTown(t)
	code, out, _ := w.ctl(t, "start", "greet", "--id", "g-1", "--wait")
	if code != exitNo || !strings.Contains(out, "compensated (failed)") || !strings.Contains(out, "nobody is here") {
		t.Errorf("start: %d\n%s", code, out)
	}
	code, out, _ = w.ctl(t, "history", "greet", "g-1")
	if code != exitOK || !strings.Contains(out, "StepFailed") || !strings.Contains(out, "permanent; error: nobody is here") {
		t.Errorf("history: %d\n%s", code, out)
	}
	code, out, _ = w.ctl(t, "start", "greet", "--id", "g-1", "--again", "--input", `{"name":"you"}`, "--wait")
	if code != exitOK || !strings.Contains(out, "hello you") {
		t.Errorf("start --again: %d\n%s", code, out)
	}
}

func TestASagaIsStartedWithADeadline(t *testing.T) {
	w := newTown(t)
	code, out, _ := w.ctl(t, "start", "greet", "--id", "g-1", "--deadline", "2h", "--input", `{"name":"you"}`, "--wait")
	if code != exitOK || !strings.Contains(out, "deadline") {
		t.Errorf("start: %d\n%s", code, out)
	}
}

func TestACancelIsRequested(t *testing.T) {
	w := newTown(t)
	// A version that no worker knows stays where it is.
	if code, _, err := w.ctl(t, "start", "greet", "--id", "g-1", "--version", "9"); code != exitOK {
		t.Fatal(code, err)
	}
	if code, out, _ := w.ctl(t, "get", "greet", "g-1"); code != exitOK || !strings.Contains(out, "pending") {
		t.Errorf("get: %d\n%s", code, out)
	}
	if code, out, _ := w.ctl(t, "history", "greet", "g-1"); code != exitOK || !strings.Contains(out, "no worker has taken it up") {
		t.Errorf("history: %d\n%s", code, out)
	}
	if code, out, _ := w.ctl(t, "history", "greet", "g-1", "-o", "json"); code != exitOK || out != "[]\n" {
		t.Errorf("history -o json: %d\n%s", code, out)
	}
	if code, out, _ := w.ctl(t, "cancel", "greet", "g-1", "--reason", "why not"); code != exitOK || !strings.Contains(out, "requested") {
		t.Errorf("cancel: %d\n%s", code, out)
	}
}

func TestWhatGoesWrongIsOneLineAndACode(t *testing.T) {
	w := newTown(t)
	w.ctl(t, "start", "greet", "--id", "g-1", "--version", "1", "--input", `{"name":"you"}`, "--wait")
	plain, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	plain.Start()
	t.Cleanup(func() { plain.Shutdown(); plain.WaitForShutdown() })
	large := `{"name":"` + strings.Repeat("x", 1<<20) + `"}`
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitNotFound, "greet/nobody: no such saga", []string{"get", "greet", "nobody"}},
		{exitNotFound, "no such saga", []string{"history", "greet", "nobody"}},
		{exitNotFound, "no such saga", []string{"cancel", "greet", "nobody"}},
		{exitKnown, "was started before", []string{"start", "greet", "--id", "g-1"}},
		{exitKnown, "ended as completed", []string{"cancel", "greet", "g-1"}},
		{exitKnown, "ended as completed", []string{"signal", "greet", "g-1", "paid"}},
		{exitKnown, "cannot pause: it has ended completed", []string{"pause", "greet", "g-1"}},
		{exitKnown, "cannot retry: it has ended completed; start it again", []string{"retry", "greet", "g-1"}},
		{exitKnown, "its log has no version 99", []string{"reset", "greet", "g-1", "99"}},
		{exitNotFound, "no such saga", []string{"resume", "greet", "nobody"}},
		{exitNotFound, "no such saga", []string{"signal", "greet", "nobody", "paid"}},
		{exitUsage, "VERSION is", []string{"reset", "greet", "g-1", "first"}},
		{exitUsage, "approval token", []string{"approve", "nonsense"}},
		{exitUsage, "--payload is not JSON", []string{"signal", "greet", "g-1", "paid", "--payload", "{"}},
		{exitUsage, "skip takes DEFINITION and ID and STEP", []string{"skip", "greet", "g-1"}},
		{exitUsage, "invalid id", []string{"get", "greet", "a b"}},
		{exitUsage, "invalid definition", []string{"get", "a.b", "c"}},
		{exitUsage, "invalid definition", []string{"start", ""}},
		{exitUsage, "get takes DEFINITION and ID", []string{"get", "greet"}},
		{exitUsage, "takes no arguments", []string{"doctor", "what"}},
		{exitUsage, "unknown flag", []string{"get", "greet", "g-1", "--nonsense"}},
		{exitUsage, "--output", []string{"get", "greet", "g-1", "-o", "xml"}},
		{exitUsage, "--deadline is -1s", []string{"start", "greet", "--deadline", "-1s"}},
		{exitUsage, "not JSON", []string{"start", "greet", "--input", "{"}},
		{exitUsage, "not a JSON object", []string{"start", "greet", "--input", "[]"}},
		{exitUsage, "no such file", []string{"start", "greet", "--input", "@/does/not/exist"}},
		{exitUsage, "state too large", []string{"start", "greet", "--input", large}},
		{exitNotFound, "has no version 3, its last is 2", []string{"history", "greet", "g-1", "--at", "3"}},
		{exitNotFound, "has no version 0", []string{"history", "greet", "g-1", "--at", "0"}},
		{exitUsage, "exclude each other", []string{"get", "greet", "g-1", "--context", "here"}},
		{exitUsage, "existing again", []string{"start", "greet", "--existing", "--again"}},
		{exitUsage, "unknown command", []string{"gte"}},
		{exitUsage, "--creds", []string{"get", "greet", "g-1", "--creds", "/does/not/exist"}},
		{exitUsage, "--tlsca", []string{"get", "greet", "g-1", "--tlsca", "/does/not/exist"}},
		{exitUsage, "--nkey", []string{"get", "greet", "g-1", "--nkey", "/does/not/exist"}},
		{exitUsage, "--timeout", []string{"get", "greet", "g-1", "--timeout", "0s"}},
		{exitUsage, "is not an address", []string{"get", "greet", "g-1", "-s", "nats://"}},
		{exitUsage, "--rate", []string{"doctor", "--rate", "-1"}},
		{exitUsage, "--monitor", []string{"doctor", "--monitor", "nonsense"}},
		{exitServer, "start --create", []string{"start", "greet", "-n", "elsewhere"}},
		{exitServer, "no sagas here", []string{"doctor", "-n", "elsewhere"}},
		{exitUsage, "go together", []string{"get", "greet", "g-1", "--tlscert", "x"}},
		{exitUsage, "invalid namespace", []string{"get", "greet", "g-1", "-n", "a.b"}},
		{exitServer, "no sagas here", []string{"get", "greet", "g-1", "-n", "elsewhere"}},
		{exitServer, "cannot reach NATS", []string{"get", "greet", "g-1", "-s", "nats://127.0.0.1:1"}},
		{exitServer, "has no JetStream", []string{"get", "greet", "g-1", "-s", plain.ClientURL()}},
		{exitUsage, "--orders", []string{"demo", "--orders", "0"}},
		{exitUsage, "--port", []string{"demo", "--port", "0"}},
		{exitUsage, "--port", []string{"dev", "--port", "70000"}},
		{exitUsage, "--redis-port", []string{"dev", "--redis-port", "0"}},
		{exitKnown, "address already in use", []string{"dev", "--port", port(t, w.server)}},
		{exitKnown, "address already in use", []string{"demo", "-o", "json", "--port", port(t, w.server), "--data", t.TempDir()}},
		{exitUsage, "no such file", []string{"demo", "--input", "/does/not/exist"}},
	} {
		code, out, errs := w.ctl(t, c.args...)
		if code != c.code || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, c.want) {
			t.Errorf("sagactl %.80q: exit %d, want %d with %q\nstdout: %s\nstderr: %s", c.args, code, c.code, c.want, out, errs)
		}
	}
}

// port gives the port of a server's address.
func port(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

func TestDoctorTellsWhatIsWrong(t *testing.T) {
	w := newTown(t)
	ns := w.client.Namespace()
	if _, err := ns.JetStream().Publish(t.Context(), "saga.default.000.greet.bad.cmd", []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	for n := uint64(0); n == 0; {
		var err error
		if n, err = ns.DeadLetters(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	code, out, _ := w.ctl(t, "doctor")
	if code != exitNo || !strings.Contains(out, "1 commands were set aside, the last for saga greet/bad") {
		t.Errorf("doctor: %d\n%s", code, out)
	}
}

func TestVersionAndHelpNeedNoServer(t *testing.T) {
	if code, out, _ := ctl(t, "version"); code != exitOK || !strings.Contains(out, "nats-server") {
		t.Errorf("version: %d %s", code, out)
	}
	var codes []exitMeaning
	code, out, _ := ctl(t, "exit-codes", "-o", "json")
	if err := json.Unmarshal([]byte(out), &codes); err != nil || code != exitOK || len(codes) != 9 || codes[8].Code != 130 || !strings.HasPrefix(codes[8].Meaning, "interrupted") {
		t.Errorf("exit-codes: %d, %v\n%s", code, err, out)
	}
	if code, out, _ := ctl(t, "help", "exit-codes"); code != exitOK || !strings.Contains(out, "130") {
		t.Errorf("help: %d %s", code, out)
	}
}
