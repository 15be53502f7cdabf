package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveCommand { // this is the process that startChild has started
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// measured runs the program and gives its report.
func measured(t *testing.T, args ...string) report {
	t.Helper()
	var out, log bytes.Buffer
	args = append(args, "-o", "json", "-dir", t.TempDir())
	if code := run(t.Context(), args, strings.NewReader(""), &out, &log); code != exitOK {
		t.Fatalf("%q: exit code %d\n%s", args, code, log.String())
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryVariantMeasuresBothSides(t *testing.T) {
	r := measured(t, "-sagas", "20", "-rounds", "1")
	if len(r.Results) != len(variants()) {
		t.Fatalf("%d results of %d variants", len(r.Results), len(variants()))
	}
	for _, v := range r.Results {
		if v.Floor == nil || v.Engine == nil || v.Floor.Rate == 0 || v.Engine.Rate == 0 {
			t.Errorf("%s: floor %+v, engine %+v", v.Variant, v.Floor, v.Engine)
			continue
		}
		if v.Paced && (v.P50 == nil || v.Engine.P99 < v.Engine.P50) || !v.Paced && v.Rate == nil {
			t.Errorf("%s: %+v", v.Variant, v)
		}
	}
	if success, failure := r.result("success"), r.result("failure"); success.Commits != 3 || failure.Commits != 5 {
		t.Errorf("a saga that succeeds writes %d commits, one that fails %d", success.Commits, failure.Commits)
	}
}

func TestASoakReadsTheHeapTenTimes(t *testing.T) {
	r := measured(t, "-million", "-sagas", "100")
	if len(r.Soak) != soakParts || r.Soak[soakParts-1].Sagas != 100 {
		t.Errorf("read %+v", r.Soak)
	}
}

func TestOneSideCanBeMeasuredAlone(t *testing.T) {
	r := measured(t, "-variants", "success", "-sagas", "20", "-rounds", "1", "-only", sideEngine, "-server-process")
	if got := r.Results[0]; got.Floor != nil || got.Engine == nil || got.Rate != nil {
		t.Errorf("measured %+v", got)
	}
}

func TestAMissedThresholdIsAnExitCode(t *testing.T) {
	var out, log bytes.Buffer
	// Latency is not measured, which is a threshold missed.
	args := []string{"-variants", "success", "-sagas", "20", "-rounds", "1", "-check", "-dir", t.TempDir()}
	if code := run(t.Context(), args, strings.NewReader(""), &out, &log); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(out.String(), "FAILED: one-at-a-time: not measured") {
		t.Errorf("the report does not tell:\n%s", out.String())
	}
}
