package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/testutil"
)

func TestTheDemoReconciles(t *testing.T) {
	dir := t.TempDir()
	code, out, errs := ctl(t, "demo", "--orders", "200", "--data", dir)
	if code != exitOK || !strings.Contains(out, "Reconciled") || !strings.Contains(out, "card declined") {
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

// The demo is killed at random moments and started again on its directory.
func TestAKilledDemoGoesOnAndReconciles(t *testing.T) {
	orders := "1500"
	if long {
		orders = "5000"
	}
	dir := t.TempDir()
	for range 3 {
		p := testutil.StartProcess(t, "sagactl", "demo", "--orders", orders, "--data", dir)
		p.WaitLine("R") // Running, or Resuming
		<-time.After(time.Duration(100+rand.IntN(500)) * time.Millisecond)
		p.Kill()
	}
	if _, err := os.Stat(filepath.Join(dir, siteFinished)); err == nil {
		t.Log("the demo was faster than the kills")
	} else if code, _, errs := ctl(t, "demo", "--orders", "10", "--data", dir); code != exitUsage || !strings.Contains(errs, "--fresh") {
		t.Errorf("other orders on an unfinished demo: exit %d\n%s", code, errs)
	}
	code, out, errs := ctl(t, "demo", "--orders", orders, "--data", dir)
	if code != exitOK || !strings.Contains(out, "Reconciled") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestDevServesUntilItIsInterrupted(t *testing.T) {
	p := testutil.StartProcess(t, "sagactl", "dev", "--port", "-1")
	url := p.WaitLine("NATS with JetStream listens on")
	if code, _, errs := ctl(t, "get", "a", "b", "-s", url); code != exitServer || !strings.Contains(errs, "no sagas here") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if code, _, errs := ctl(t, "start", "a", "--id", "b", "-s", url, "--create"); code != exitOK {
		t.Errorf("exit %d\n%s", code, errs)
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
