package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/testutil"
)

func TestTheDemoReconciles(t *testing.T) {
	dir := t.TempDir()
	code, out, errs := ctl(t, "demo", "--orders", "200", "--data", dir)
	if code != exitOK || !strings.Contains(out, "Reconciled") || !strings.Contains(out, "card declined") || !strings.Contains(out, "The read models agree") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	// A finished demo's directory is begun anew.
	code, out, errs = ctl(t, "demo", "--orders", "100", "--data", dir, "-o", "json")
	var got struct {
		Reconciled bool `json:"reconciled"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK || !got.Reconciled {
		t.Errorf("exit %d, %v\n%s%s", code, err, out, errs)
	}
}

func TestTheDemoTakesTheUsersOrders(t *testing.T) {
	code, out, errs := ctl(t, "demo", "--input", "../../examples/order/orders.jsonl", "--data", t.TempDir())
	if code != exitOK || !strings.Contains(out, "Reconciled") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, []byte("{\"id\": \"\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := ctl(t, "demo", "--input", bad, "--data", t.TempDir()); code != exitUsage || !strings.Contains(errs, "line 1") {
		t.Errorf("exit %d\n%s", code, errs)
	}
}

func TestTheDemoLeavesOtherDirectoriesAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := ctl(t, "demo", "--orders", "10", "--data", dir); code != exitUsage || !strings.Contains(errs, "not a demo's") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "precious")); err != nil {
		t.Error(err)
	}
}

// The demo is killed while it starts, then at three random moments by how much it has shipped, and started again on its
// directory each time.
func TestAKilledDemoGoesOnAndReconciles(t *testing.T) {
	orders := 800
	if long {
		orders = 5000
	}
	dir := t.TempDir()
	command := []string{"demo", "--orders", strconv.Itoa(orders), "--data", dir}
	starting := testutil.StartProcess(t, "sagactl", command...)
	<-time.After(time.Duration(rand.IntN(150)) * time.Millisecond) // the moment itself is what is random
	starting.Kill()
	for part := range 3 {
		// About 7 of 8 orders are shipped; each kill is in another fifth of them.
		shipped := orders * 7 / 8 * (10 + 25*part + rand.IntN(20)) / 100
		p := testutil.StartProcess(t, "sagactl", command...)
		awaitLines(t, filepath.Join(dir, siteLedgers, "carrier.jsonl"), shipped)
		p.Kill()
		if code, _, errs := ctl(t, "demo", "--orders", "10", "--data", dir); code != exitUsage || !strings.Contains(errs, "--fresh") {
			t.Fatalf("other orders, after a kill at %d shipments: exit %d\n%s", shipped, code, errs)
		}
	}
	code, out, errs := ctl(t, append(command, "-o", "json")...)
	var got demoResult
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	if !got.Reconciled || !got.Resumed || got.Report.Orders != orders || got.Ended == 0 || got.Ended >= orders {
		t.Errorf("reconciled %v, resumed %v, %d orders, %d ended in the last run", got.Reconciled, got.Resumed, got.Report.Orders, got.Ended)
	}
	server := testutil.NATS(t, testutil.StoreDir(filepath.Join(dir, siteNATS)))
	if code, out, _ := ctl(t, "doctor", "-s", server.ClientURL(), "--deep", "--rate", "0"); code != exitOK ||
		!strings.Contains(out, fmt.Sprintf("histories     %d read", orders)) {
		t.Errorf("doctor: exit %d\n%s", code, out)
	}
}

// awaitLines returns when a file has so many lines.
func awaitLines(t *testing.T, file string, lines int) {
	t.Helper()
	const patience, look = time.Minute, 2 * time.Millisecond
	for begun := time.Now(); ; {
		data, err := os.ReadFile(file)
		if err == nil && bytes.Count(data, []byte{'\n'}) >= lines {
			return
		}
		if time.Since(begun) > patience {
			t.Fatalf("%s has no %d lines after %v: %v", file, lines, patience, err)
		}
		<-time.After(look)
	}
}

func TestADemoThatDoesNotReconcileSaysSoAndIsLeftForALook(t *testing.T) {
	dir := t.TempDir()
	command := []string{"demo", "--orders", "50", "--data", dir}
	if code, _, errs := ctl(t, command...); code != exitOK {
		t.Fatal(code, errs)
	}
	s := site{dir: dir}
	if err := s.begin(task{Orders: 50, Seed: 42}); err != nil { // as if it had been killed before its end
		t.Fatal(err)
	}
	ledger := filepath.Join(dir, siteLedgers, "carrier.jsonl")
	data, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	lost := bytes.LastIndexByte(data[:len(data)-1], '\n') + 1
	if err := os.WriteFile(ledger, data[:lost], 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if code, out, errs := ctl(t, command...); code != exitNo || !strings.Contains(out, "NOT reconciled") || errs != "" {
			t.Errorf("exit %d\n%s%s", code, out, errs)
		}
	}
	if code, out, errs := ctl(t, append(command, "--fresh")...); code != exitOK {
		t.Errorf("--fresh: exit %d\n%s%s", code, out, errs)
	}
}

func TestTheDemoKeepsToItsOwnServer(t *testing.T) {
	other := newTown(t)
	t.Setenv("NATS_URL", other.server)
	if code, _, errs := ctl(t, "demo", "--orders", "10", "--data", t.TempDir()); code != exitOK {
		t.Fatal(code, errs)
	}
	if code, _, _ := other.ctl(t, "get", "place-order", "order-000001"); code != exitNotFound {
		t.Errorf("an order of the demo is on another server: exit %d", code)
	}
}

func TestADemoWhoseServerDoesNotStartLeavesNothingToGoOnWith(t *testing.T) {
	dir, taken := t.TempDir(), port(t, testutil.NATS(t).ClientURL())
	if code, _, errs := ctl(t, "demo", "--orders", "10", "--data", dir, "--port", taken); code != exitKnown || strings.Count(errs, "\n") != 1 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	if code, _, errs := ctl(t, "demo", "--orders", "20", "--data", dir); code != exitOK {
		t.Errorf("other orders afterwards: exit %d\n%s", code, errs)
	}
}

func TestTwoDemosDoNotShareADirectory(t *testing.T) {
	dir := t.TempDir()
	s, err := openSite(dir, task{Orders: 1}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	if code, _, errs := ctl(t, "demo", "--orders", "10", "--data", dir); code != exitKnown || !strings.Contains(errs, "another demo") {
		t.Errorf("exit %d\n%s", code, errs)
	}
}

func TestADirectoryGoesOnFromWhateverAKillLeft(t *testing.T) {
	mine, other := task{Orders: 10, Seed: 1}, task{Orders: 20, Seed: 1}
	input := task{Orders: 3, Input: "in.jsonl", Digest: "a"}
	changed := task{Orders: 3, Input: "in.jsonl", Digest: "b"}
	moved := task{Orders: 3, Input: "there/in.jsonl", Digest: "a"}
	for _, c := range []struct {
		name    string
		left    string // in the mark
		torn    string // in the mark that was being written
		data    bool   // of a run
		task    task
		fresh   bool
		resumed bool
		refusal string
	}{
		{name: "nothing", task: mine},
		{name: "a mark half-written, and nothing else", torn: `{"ord`, task: mine},
		{name: "an unfinished run of the same orders", left: `{"orders":10,"seed":1,"finished":false}`, data: true, task: mine, resumed: true},
		{name: "and a mark half-written", left: `{"orders":10,"seed":1,"finished":false}`, torn: `{`, data: true, task: mine, resumed: true},
		{name: "an unfinished run of others", left: `{"orders":10,"seed":1,"finished":false}`, data: true, task: other, refusal: "--orders 10 --seed 1"},
		{name: "an unfinished run of others, given up", left: `{"orders":10,"seed":1,"finished":false}`, data: true, task: other, fresh: true},
		{name: "a finished run", left: `{"orders":10,"seed":1,"finished":true}`, data: true, task: mine},
		{name: "a finished run, half removed", left: `{"orders":20,"seed":1,"finished":true}`, task: mine},
		{name: "the same input", left: `{"orders":3,"input":"in.jsonl","digest":"a","finished":false}`, data: true, task: input, resumed: true},
		{name: "the same input elsewhere", left: `{"orders":3,"input":"in.jsonl","digest":"a","finished":false}`, data: true, task: moved, resumed: true},
		{name: "an input that has changed", left: `{"orders":3,"input":"in.jsonl","digest":"a","finished":false}`, data: true, task: changed, refusal: "contained before"},
		{name: "a mark that is no mark", left: `{`, data: true, task: mine, refusal: "--fresh"},
		{name: "a mark that is no mark, given up", left: `{`, data: true, task: mine, fresh: true},
		{name: "what is not a demo's", data: true, task: mine, fresh: true, refusal: "not a demo's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range map[string]string{siteMark: c.left, siteNewMark: c.torn} {
				if content != "" {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			kept := filepath.Join(dir, siteLedgers, "kept")
			if c.data {
				if err := os.MkdirAll(kept, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			s, err := openSite(dir, c.task, c.fresh)
			if c.refusal != "" {
				if exitCode(err) != exitUsage || !strings.Contains(err.Error(), c.refusal) {
					t.Errorf("error is %v, want one with %q", err, c.refusal)
				}
				if _, err := os.Stat(kept); err != nil {
					t.Error("a refused demo has removed what was there")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.close() }()
			if s.resumed != c.resumed {
				t.Errorf("resumed is %v", s.resumed)
			}
			if _, err := os.Stat(kept); (err == nil) != c.resumed {
				t.Errorf("what the earlier run left: %v", err)
			}
		})
	}
}

func TestDevServesUntilItIsInterrupted(t *testing.T) {
	p := testutil.StartProcess(t, "sagactl", "dev", "--port", "-1", "--redis-port", "-1")
	url := p.WaitLine("NATS with JetStream listens on")
	if code, _, errs := ctl(t, "get", "a", "b", "-s", url); code != exitServer || !strings.Contains(errs, "no sagas here") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if code, _, errs := ctl(t, "start", "a", "--id", "b", "-s", url, "--create"); code != exitOK {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if code, out, errs := ctl(t, "doctor", "-s", url); code != exitOK || !strings.Contains(out, "synced every 1s") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	p.Signal(os.Interrupt)
	if err := p.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestWhatADemoThatIsKeptSaysToTryWorks(t *testing.T) {
	p := testutil.StartProcess(t, "sagactl", "demo", "--orders", "60", "--keep", "--data", t.TempDir())
	t.Setenv("NATS_URL", p.WaitLine("  export NATS_URL="))
	commands := []string{p.WaitLine("  sagactl "), p.WaitLine("  sagactl ")}
	t.Setenv(redisVariable, p.WaitLine("  export REDIS_URL="))
	commands = append(commands, p.WaitLine("  sagactl "), p.WaitLine("  sagactl "))
	for _, command := range commands {
		if code, out, errs := ctl(t, strings.Fields(command)...); code != exitOK || out == "" {
			t.Errorf("sagactl %s: exit %d\n%s%s", command, code, out, errs)
		}
	}
	p.Signal(os.Interrupt)
	if err := p.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestAnInterruptedDemoSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(ctx, []string{"demo", "--data", t.TempDir()}, strings.NewReader(""), &strings.Builder{}, &strings.Builder{}); code != exitStopped {
		t.Errorf("exit %d", code)
	}
}
