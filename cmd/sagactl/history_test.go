package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata with what the code prints now")

// then is a moment on the clock of the histories below.
func then(ms int) time.Time {
	return time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

func parse(t testing.TB, text string) saga.State {
	t.Helper()
	s, err := saga.ParseState([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write stores a saga's Start and its commits, with fixed times.
func write(t testing.TB, ns *streams.Namespace, key saga.Key, start saga.Start, commits []saga.Commit) {
	t.Helper()
	if err := ns.Start(t.Context(), key, start, 0); err != nil {
		t.Fatal(err)
	}
	revision := uint64(0)
	for i := range commits {
		var err error
		if revision, err = ns.Log().Append(t.Context(), key, revision, &commits[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// longHistory writes one of so many versions, with a snapshot at each [saga.SnapshotEvery].
func longHistory(t testing.TB, ns *streams.Namespace, versions uint64) saga.Key {
	t.Helper()
	key := saga.Key{Definition: "greet", ID: "long"}
	start := saga.Start{Run: "run-1", Definition: 9, State: parse(t, `{"name":"you"}`), Time: then(0)}
	var commits []saga.Commit
	for v := uint64(1); v <= versions; v++ {
		c := saga.Commit{Version: v, Time: then(int(v)), By: saga.Owner{Worker: "w", Command: "run-1", Delivery: v}}
		c.Events = []saga.Event{saga.ActivationClaimed{}}
		if v == 1 {
			c.Events = []saga.Event{saga.SagaStarted{Run: start.Run, Definition: start.Definition, State: start.State}}
		}
		commits = append(commits, c)
		if v%saga.SnapshotEvery == 0 {
			in, err := saga.Fold(key, commits)
			if err != nil {
				t.Fatal(err)
			}
			commits[v-1].Snapshot = in
		}
	}
	write(t, ns, key, start, commits)
	return key
}

// dropCommit deletes a version of a saga's log from its stream.
func dropCommit(t testing.TB, ns *streams.Namespace, key saga.Key, version uint64) {
	t.Helper()
	for _, name := range ns.Streams() {
		stream, err := ns.JetStream().Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
			m, err := stream.GetMsg(t.Context(), seq)
			if err != nil || !strings.HasSuffix(m.Subject, "."+key.Definition+"."+key.ID+".evt") {
				continue
			}
			if c, err := saga.DecodeCommit(m.Data); err == nil && c.Version == version {
				if err := stream.DeleteMsg(t.Context(), seq); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
	}
	t.Fatalf("%s has no version %d", key, version)
}

// lifeOfAnOrder is a history with an event of every kind that a sequence can have.
func lifeOfAnOrder(t testing.TB) (saga.Key, saga.Start, []saga.Commit) {
	t.Helper()
	key := saga.Key{Definition: "place-order", ID: "o-1"}
	start := saga.Start{Run: "run-1", Definition: 1, Time: then(0),
		State: parse(t, `{"sku":"tent-2p","quantity":2,"note":"`+strings.Repeat("very ", 30)+`long"}`)}
	first := saga.Owner{Worker: "alpha-1", Command: "run-1", Delivery: 1}
	second := saga.Owner{Worker: "beta-1", Command: "run-1", Delivery: 2}
	woken := saga.Owner{Worker: "beta-1", Command: "retry-6-abc", Delivery: 1}
	cancelled := saga.Owner{Worker: "beta-1", Command: "cancel-1", Delivery: 1}
	ms := time.Millisecond
	down := saga.Failure{Error: "carrier is down", RetryAt: then(60)}
	late := saga.Failure{Error: "carrier is\ndown", RetryAt: then(10_000)}
	commits := []saga.Commit{
		{By: first, Events: []saga.Event{
			saga.SagaStarted{Run: start.Run, Definition: 1, State: start.State},
			saga.StepCompleted{Step: "reserve-stock", Attempt: 1, Took: 1234 * time.Microsecond,
				Patch: saga.Patch{Set: parse(t, `{"reservation_id":"R000001"}`)}},
		}},
		{By: first, Events: []saga.Event{saga.StepFailed{Step: "ship", Attempt: 1, Took: 2 * ms, Failure: down}}},
		{By: second, Events: []saga.Event{saga.ActivationClaimed{}}},
		{By: second, Events: []saga.Event{saga.StepFailed{Step: "ship", Attempt: 2, Took: 3 * ms,
			Failure: saga.Failure{Error: "panic: boom", Stack: "goroutine 1", RetryAt: then(70)}}}},
		{By: second, Events: []saga.Event{
			saga.StepFailed{Step: "ship", Attempt: 3, Took: 2 * time.Second, Failure: late},
			saga.TimerSet{Name: "retry-5-abc", At: then(10_000), Step: "ship"}, saga.SagaParked{},
		}},
		{By: woken, Events: []saga.Event{saga.TimerFired{Name: "retry-5-abc"}}},
		{By: woken, Events: []saga.Event{
			saga.StepFailed{Step: "ship", Attempt: 4, Took: ms, Failure: late},
			saga.TimerSet{Name: "retry-7-abc", At: then(20_000), Step: "ship"}, saga.SagaParked{},
		}},
		{By: cancelled, Events: []saga.Event{
			saga.CancelRequested{ID: "cancel-1", Reason: "customer called", By: "ada"},
			saga.TimerCancelled{Name: "retry-7-abc"},
		}},
		{By: cancelled, Events: []saga.Event{
			saga.StepFailed{Step: "ship", Attempt: 5, Took: ms, Failure: saga.Failure{Error: "no such street", Permanent: true, GaveUp: true}},
			saga.CompensationStarted{Reason: saga.ReasonFailed, Step: "ship", Error: "no such street"},
		}},
		{By: cancelled, Events: []saga.Event{saga.CompensationFailed{Step: "reserve-stock", Attempt: 1, Took: ms,
			Failure: saga.Failure{Error: "disk", RetryAt: then(90)}}}},
		{By: cancelled, Events: []saga.Event{
			saga.StepCompensated{Step: "reserve-stock", Attempt: 2, Took: ms, Patch: saga.Patch{Unset: []string{"note"}}},
			saga.SagaCompensated{Reason: saga.ReasonFailed, Error: "no such street"},
		}},
	}
	for i := range commits {
		commits[i].Version, commits[i].Time = uint64(i+1), then(10*(i+1))
	}
	return key, start, commits
}

func TestWhatIsPrintedOfASaga(t *testing.T) {
	w := newTown(t)
	key, start, commits := lifeOfAnOrder(t)
	write(t, w.client.Namespace(), key, start, commits)
	writeOrders(t, w.client.Namespace())
	for _, c := range []struct {
		golden string
		args   []string
	}{
		{"history.txt", []string{"history", "place-order", "o-1"}},
		{"history.json", []string{"history", "place-order", "o-1", "-o", "json"}},
		{"history-at-1.txt", []string{"history", "place-order", "o-1", "--at", "1"}},
		{"history-at-5.txt", []string{"history", "place-order", "o-1", "--at", "5"}},
		{"history-at-5.json", []string{"history", "place-order", "o-1", "--at", "5", "-o", "json"}},
		{"get.txt", []string{"get", "place-order", "o-1"}},
		{"get.json", []string{"get", "place-order", "o-1", "-o", "json"}},
		{"graph.txt", []string{"graph", "place-order", "--format", "text"}},
		{"graph.mermaid", []string{"graph", "place-order", "--version", "1", "--format", "mermaid"}},
		{"graph.json", []string{"graph", "place-order", "-o", "json"}},
		{"plan.txt", []string{"plan", "place-order", "order-000008"}},
		{"plan-of-nothing.txt", []string{"plan", "place-order", "o-1"}},
		{"plan.json", []string{"plan", "place-order", "order-000008", "-o", "json"}},
		{"exit-codes.txt", []string{"exit-codes"}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			code, out, errs := w.ctl(t, c.args...)
			if code != exitOK || errs != "" {
				t.Fatalf("exit %d\n%s", code, errs)
			}
			file := filepath.Join("testdata", c.golden)
			if *update {
				if err := os.MkdirAll("testdata", 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if out != string(want) {
				t.Errorf("sagactl %q prints\n%s\nwant\n%s\nwhere this is meant, run with -update", c.args, out, want)
			}
		})
	}
}
