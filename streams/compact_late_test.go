package streams_test

import (
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// A worker may be slow to compact, and others append meanwhile: the snapshot that the log is read from has to stay.
func TestACompactionThatComesLateLeavesTheSnapshot(t *testing.T) {
	ns := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Streams: 1})
	pullers, err := ns.Pull(t.Context(), "place-order", streams.PullHandlers{})
	if err != nil {
		t.Fatal(err)
	}
	defer pullers[0].Stop()
	k := key("forever")
	start(t, ns, "forever", "r")
	by := saga.Owner{Worker: "w", Command: "r", Delivery: 1}
	in := saga.NewInstance(k)
	revision, base := uint64(0), uint64(0)
	add := func(snapshot bool, events ...saga.Event) {
		t.Helper()
		c := &saga.Commit{Version: in.Version + 1, Time: time.Now().UTC(), By: by, Base: base, Events: events}
		in.Evolve(c)
		if snapshot {
			now := *in
			c.Snapshot = &now
		}
		var err error
		if revision, err = ns.Log().Append(t.Context(), k, revision, c); err != nil {
			t.Fatal(err)
		}
		if snapshot || in.Version == 1 {
			base = revision
		}
	}
	versions := func(keep, snapshot uint64) (versions []uint64) {
		t.Helper()
		if err := ns.Log().Compact(t.Context(), k, keep, snapshot); err != nil {
			t.Fatal(err)
		}
		log, err := ns.Log().Load(t.Context(), k, saga.Latest)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := saga.Fold(k, log.Commits); err != nil || got.Version != in.Version {
			t.Fatalf("compacted to %d commits, the log gives version %d of %d, error %v", keep, got.Version, in.Version, err)
		}
		history, err := ns.Log().History(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range history {
			versions = append(versions, c.Version)
		}
		return versions
	}
	first := func(keep, snapshot, want uint64) {
		t.Helper()
		if got := versions(keep, snapshot); len(got) == 0 || got[0] != want || got[len(got)-1] != in.Version {
			t.Errorf("compacted to %d commits at version %d of %d, the log has the versions %v, want those from %d on",
				keep, snapshot, in.Version, got, want)
		}
	}
	add(false, saga.SagaStarted{Run: "r", Definition: 1, State: state(t, `{"a":1}`)})
	add(true, saga.SagaParked{})
	add(false, saga.ActivationClaimed{})
	add(true, saga.SagaParked{})
	first(10, 4, 1)
	add(false, saga.ActivationClaimed{})
	add(false, saga.ActivationClaimed{})
	first(5, 4, 2)
	first(1, 4, 4)
	first(1, 4, 4)
	add(true, saga.SagaParked{})
	first(3, 7, 7)
	first(1, 7, 7)
}
