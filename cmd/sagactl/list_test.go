package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

// redisURL starts a redis-server, and gives its URL.
func redisURL(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "redis-server", "--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--dir", t.TempDir(), "--save", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	rdb := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port)})
	defer func() { _ = rdb.Close() }()
	waitFor(t, func() bool { return rdb.Ping(t.Context()).Err() == nil })
	return fmt.Sprintf("redis://127.0.0.1:%d/0", port)
}

func waitFor(t testing.TB, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

func TestSagasAreListedCountedAndVerified(t *testing.T) {
	w := newTown(t)
	url := redisURL(t)
	ctl := func(args ...string) (int, string, string) {
		return w.ctl(t, append([]string{"--redis", url}, args...)...)
	}
	if code, _, text := ctl("list"); code != exitServer || !strings.Contains(text, "run a projector") {
		t.Errorf("list without read models: %d %s", code, text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"-s", w.server, "--redis", url, "projections", "run"}, strings.NewReader(""), t.Output(), t.Output())
	}()
	defer func() {
		cancel()
		if code := <-done; code != exitOK {
			t.Errorf("projections run: %d", code)
		}
	}()
	for i := range 12 {
		input := fmt.Sprintf(`{"name":"you-%d"}`, i)
		if i == 5 {
			input = `{"name":""}`
		}
		w.ctl(t, "start", "greet", "--id", fmt.Sprintf("g-%d", i), "--input", input, "--wait")
	}
	waitFor(t, func() bool {
		_, out, _ := ctl("count", "--status", "completed,compensated")
		return out == "12\n"
	})
	code, out, text := ctl("list", "--status", "compensated")
	if code != exitOK || !strings.Contains(out, "greet/g-5") || !strings.Contains(out, "nobody is here") {
		t.Errorf("list: %d\n%s%s", code, out, text)
	}
	var page struct {
		Sagas []struct {
			Definition, ID, Status string
			Plan                   int
		}
		Next string
	}
	code, out, _ = ctl("list", "--limit", "10", "--ascending", "-o", "json")
	if err := json.Unmarshal([]byte(out), &page); err != nil || code != exitOK || len(page.Sagas) != 10 || page.Sagas[0].ID != "g-0" ||
		page.Sagas[0].Definition != "greet" || page.Sagas[0].Plan != 1 {
		t.Errorf("list: %d, %v\n%s", code, err, out)
	}
	code, out, _ = ctl("list", "--limit", "10", "--ascending", "--cursor", page.Next)
	if code != exitOK || strings.Count(out, "greet/") != 2 || strings.Contains(out, "more:") {
		t.Errorf("second page: %d\n%s", code, out)
	}
	if code, out, _ := ctl("list", "--limit", "5", "--all", "-o", "json"); code != exitOK || strings.Count(out, "\n") != 12 {
		t.Errorf("all: %d\n%s", code, out)
	}
	if code, out, _ := ctl("count"); code != exitOK || !strings.Contains(out, "completed") || !strings.Contains(out, "11") {
		t.Errorf("count: %d\n%s", code, out)
	}
	if code, out, _ := ctl("steps", "greet"); code != exitOK || !strings.Contains(out, "think") {
		t.Errorf("steps: %d\n%s", code, out)
	}
	if code, out, _ := ctl("steps", "nothing", "-o", "json"); code != exitOK || out != "{}\n" {
		t.Errorf("steps of a definition without totals: %d\n%s", code, out)
	}
	if code, out, text := ctl("projections", "rebuild", "--wait"); code != exitOK || !strings.Contains(out, "built in") {
		t.Errorf("rebuild: %d\n%s%s", code, out, text)
	}
	if code, out, text := ctl("projections", "verify"); code != exitOK || !strings.Contains(out, "no difference") {
		t.Errorf("verify: %d\n%s%s", code, out, text)
	}
	if code, out, _ := ctl("projections", "status"); code != exitOK || !strings.Contains(out, "12 sagas") {
		t.Errorf("status: %d\n%s", code, out)
	}
	rdb := redis.NewClient(must(redis.ParseURL(url)))
	defer func() { _ = rdb.Close() }()
	for _, key := range rdb.Keys(t.Context(), "jetsaga:{default:*:counts").Val() {
		rdb.HIncrBy(t.Context(), key, "greet.completed", 1)
		break
	}
	if code, out, _ := ctl("projections", "verify"); code != exitNo || !strings.Contains(out, "1 differences") {
		t.Errorf("verify after damage: %d\n%s", code, out)
	}
	if code, out, _ := ctl("projections", "verify", "--repair"); code != exitOK || !strings.Contains(out, "1 repaired") {
		t.Errorf("verify --repair: %d\n%s", code, out)
	}
	for _, wrong := range [][]string{
		{"list", "--order", "size"}, {"list", "--limit", "5000"}, {"list", "-a", "customer"}, {"list", "--cursor", "?"},
		{"count", "--started-from", "yesterday"}, {"projections", "status", "now"}, {"projections", "verify", "--fast"},
	} {
		if code, _, text := ctl(wrong...); code != exitUsage {
			t.Errorf("%q: exit code %d, want %d: %s", wrong, code, exitUsage, text)
		}
	}
	for _, command := range []string{"list", "count"} {
		code, _, text := ctl(command, "-a", "customer=1", "-a", "region=2", "-a", "customer=3")
		if code != exitUsage || !strings.Contains(text, "--attribute customer is given twice") {
			t.Errorf("%s of two values of an attribute: exit code %d, want %d: %s", command, code, exitUsage, text)
		}
	}
	if code, _, text := w.ctl(t, "list", "--redis", "redis://:secret@127.0.0.1:1/0"); code != exitServer || strings.Contains(text, "secret") {
		t.Errorf("list without Redis: %d %s", code, text)
	}
}

func TestAViewOfTheUsersIsLookedAfter(t *testing.T) {
	w := newTown(t)
	url := redisURL(t)
	ctl := func(args ...string) (int, string, string) {
		return w.ctl(t, append([]string{"--redis", url, "projections"}, args...)...)
	}
	if code, out, _ := ctl("status", "--view", "guests"); code != exitNo || !strings.Contains(out, "no view guests") {
		t.Errorf("status of no view: %d\n%s", code, out)
	}
	if code, _, text := ctl("rebuild", "--view", "guests"); code != exitServer || !strings.Contains(text, "run a projector") {
		t.Errorf("rebuild of no view: %d\n%s", code, text)
	}
	nc, err := nats.Connect(w.server)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	rdb := redis.NewClient(must(redis.ParseURL(url)))
	defer func() { _ = rdb.Close() }()
	c, err := engine.OpenClient(t.Context(), engine.Config{Conn: nc, Redis: rdb, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.View(projections.View{Name: "guests", Apply: func(w *projections.Writes, e projections.Event) error {
		if _, ok := e.Event.(saga.SagaCompleted); ok {
			w.Do("SADD", w.Key("all"), e.Key.ID)
			w.Do("INCR", w.Key("all")) // which Redis refuses
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	w.ctl(t, "start", "greet", "--id", "g-1", "--input", `{"name":"you"}`, "--wait")
	waitFor(t, func() bool {
		code, out, _ := ctl("status", "--view", "guests")
		return code == exitOK && strings.Contains(out, "view guests ") && strings.Contains(out, "RECORDS BEHIND") &&
			strings.Contains(out, "greet/g-1") && strings.Contains(out, "INCR: WRONGTYPE")
	})
	code, out, text := ctl("rebuild", "--view", "guests", "--wait", "-o", "json")
	var built rebuildView
	if err := json.Unmarshal([]byte(out), &built); err != nil || code != exitOK || !built.Done {
		t.Fatalf("rebuild: %d, %v\n%s%s", code, err, out, text)
	}
	code, out, _ = ctl("status", "--view", "guests", "-o", "json")
	var s modelStatus
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != exitOK || s.Current != built.Generation || len(s.Streams) != 4 || s.Sagas != nil {
		t.Errorf("status: %d, %v, want %s\n%s", code, err, built.Generation, out)
	}
	if code, out, _ := ctl("status"); code != exitNo || !strings.Contains(out, "--view tells: guests\n") {
		t.Errorf("status of the read models: %d\n%s", code, out)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
