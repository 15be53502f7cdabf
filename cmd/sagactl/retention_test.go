package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

// greet runs sagas to their end.
func (w town) greet(t testing.TB, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if code, out, text := w.ctl(t, "start", "greet", "--id", id, "--input", `{"name":"Ann"}`, "--wait"); code != exitOK {
			t.Fatalf("start: %d\n%s%s", code, out, text)
		}
	}
}

// exported gives the names of the files that a run of a retention has exported to.
func exported(t testing.TB, out string) []string {
	t.Helper()
	var report engine.RetentionReport
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if report.Purged == 0 || len(report.Exported) == 0 {
		t.Fatalf("nothing was exported: %s", out)
	}
	return report.Exported
}

func TestSagasArePurgedAndImported(t *testing.T) {
	w := newTown(t)
	w.greet(t, "g-1", "g-2", "g-3")
	code, out, text := w.ctl(t, "retention", "plan", "--keep", "1ns")
	if code != exitOK || !strings.Contains(out, "greet       completed  3\n") || !strings.Contains(out, "of 3 sagas 3 would be purged, and 0 that are due are held") {
		t.Errorf("plan: %d\n%s%s", code, out, text)
	}
	if code, out, _ = w.ctl(t, "retention", "plan", "--keep", "greet:completed=forever", "--keep", "1ns"); code != exitOK || !strings.Contains(out, " 0 would be purged") {
		t.Errorf("plan of what is kept for ever: %d\n%s", code, out)
	}
	before := map[string]string{}
	for _, id := range []string{"g-1", "g-2", "g-3"} {
		if code, before[id], _ = w.ctl(t, "history", "greet", id, "-o", "json"); code != exitOK {
			t.Fatalf("history: %d", code)
		}
	}
	dir := filepath.Join(t.TempDir(), "exports")
	code, out, text = w.ctl(t, "retention", "run", "--once", "--keep", "greet:completed=1ns", "--archive", dir, "-o", "json")
	if code != exitOK {
		t.Fatalf("run: %d\n%s%s", code, out, text)
	}
	names := exported(t, out)
	if code, _, text = w.ctl(t, "get", "greet", "g-1"); code != exitNotFound || !strings.Contains(text, "was purged at") {
		t.Errorf("get: %d\n%s", code, text)
	}
	if code, _, text = w.ctl(t, "start", "greet", "--id", "g-1", "--input", `{"name":"Ann"}`); code != exitKnown || !strings.Contains(text, "choose another id") {
		t.Errorf("start: %d\n%s", code, text)
	}

	files := make([]string, len(names))
	for i, name := range names {
		files[i] = filepath.Join(dir, name)
	}
	if code, out, text = w.ctl(t, append([]string{"import"}, files...)...); code != exitOK || !strings.Contains(out, "3 sagas imported, 0 were here from an earlier import, 0 refused") {
		t.Errorf("import: %d\n%s%s", code, out, text)
	}
	if code, out, _ = w.ctl(t, append([]string{"import", "-o", "json"}, files...)...); code != exitOK || !strings.Contains(out, `"present": 3`) || !strings.Contains(out, `"lines": []`) {
		t.Errorf("import again: %d\n%s", code, out)
	}
	for id, was := range before {
		if code, out, _ = w.ctl(t, "history", "greet", id, "-o", "json"); code != exitOK || out != was {
			t.Errorf("history of %s: %d\n%s\nwant\n%s", id, code, out, was)
		}
	}

	// One that has run again is not the one that was exported.
	if code, _, text = w.ctl(t, "start", "greet", "--id", "g-1", "--again", "--wait", "--input", `{"name":"Bob"}`); code != exitOK {
		t.Fatalf("start --again: %d\n%s", code, text)
	}
	code, out, _ = w.ctl(t, append([]string{"import"}, files...)...)
	if code != exitNo || !strings.Contains(out, "is not imported") || !strings.Contains(out, "0 sagas imported, 2 were here from an earlier import, 1 refused") {
		t.Errorf("import over another: %d\n%s", code, out)
	}
}

func TestARetentionExportsToABucket(t *testing.T) {
	w := newTown(t)
	w.greet(t, "g-1")
	if _, err := w.client.Namespace().JetStream().CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "exports"}); err != nil {
		t.Fatal(err)
	}
	code, out, text := w.ctl(t, "retention", "run", "--once", "--keep", "1ns", "--archive-bucket", "exports", "-o", "json")
	if code != exitOK {
		t.Fatalf("run: %d\n%s%s", code, out, text)
	}
	if code, out, text = w.ctl(t, append([]string{"import", "--bucket", "exports"}, exported(t, out)...)...); code != exitOK || !strings.Contains(out, "1 sagas imported") {
		t.Errorf("import: %d\n%s%s", code, out, text)
	}
}

func TestARetentionThatCannotBeIsRefused(t *testing.T) {
	w := newTown(t)
	for _, c := range []struct {
		args string
		want string
	}{
		{"retention plan", "--keep is missing"},
		{"retention plan --keep soon", `the period is "soon"`},
		{"retention plan --keep greet=", `the period is ""`},
		{"retention plan --keep greet=0s", `the period is "0s"`},
		{"retention plan --keep greet=-3d", `the period is "-3d"`},
		{"retention plan --keep a.b=3d", "Rules[0].Definition"},
		{"retention plan --keep :gone=3d", "Rules[0].Status"},
		{"retention plan --keep :stuck=3d", "waits for an operator"},
		{"retention run --keep 3d --rate 0", "must be positive"},
		{"retention run --keep 3d --every -1s", "must be positive"},
		{"retention run --keep 3d --remember 1ms", "Remember is 1ms"},
		{"retention run --keep 3d --archive a --archive-bucket b", "exclude each other"},
		{"retention run --keep 3d --archive-bucket none", `no bucket "none"`},
		{"import", "names of files"},
		{"import /nowhere/at/all", "no such file"},
		{"import --bucket none a", `no bucket "none"`},
	} {
		if code, out, text := w.ctl(t, strings.Fields(c.args)...); code != exitUsage || !strings.Contains(text, c.want) {
			t.Errorf("%s: exit %d, want %d with %q\n%s%s", c.args, code, exitUsage, c.want, out, text)
		}
	}
}

func TestPeriodsAreInDaysToo(t *testing.T) {
	for text, want := range map[string]engine.RetentionRule{
		"12h":                     {Keep: 12 * time.Hour},
		"30d":                     {Keep: 30 * 24 * time.Hour},
		":completed=1d":           {Status: saga.StatusCompleted, Keep: 24 * time.Hour},
		"greet=90d":               {Definition: "greet", Keep: 90 * 24 * time.Hour},
		"greet:terminated=1h30m":  {Definition: "greet", Status: saga.StatusTerminated, Keep: 90 * time.Minute},
		"greet=forever":           {Definition: "greet"},
		"greet:completed=forever": {Definition: "greet", Status: saga.StatusCompleted},
	} {
		if got, err := parseKeep(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "1.5d", "999999d", "=", "a=b=1d", "never"} {
		if got, err := parseKeep(text); err == nil {
			t.Error(fmt.Sprintf("%q is", text), got)
		}
	}
}
