package saga

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestTheSnapshotOfAFirstCommitIsWhatFoldingItGives(t *testing.T) {
	type cargo struct{ N int }
	def := Must(Define("d", 1, Step("a", func(context.Context, *cargo) error { return nil })))
	key := Key{Definition: "d", ID: "one"}
	a := NewActivation(
		ActivationConfig{Worker: "w", Plan: func(string, int) *Plan { return def.Plan() }},
		Delivery{Key: key, Command: Start{Run: "r", Definition: 1}, Count: 1},
	)
	begun := time.Unix(1_700_000_000, 0)
	run := a.Begin(begun)
	if run.Do != ActRun {
		t.Fatalf("the first action of a first Start is %v, want %v", run.Do, ActRun)
	}
	// The first step takes a second, fails, and is to rest for so long that the saga parks.
	parks := a.Ran(begun.Add(time.Second), Result{Task: run.Task, Err: errors.New("not now"), Delay: time.Hour})
	if parks.Do != ActAppend || parks.Commit.Snapshot == nil {
		t.Fatalf("after the failure the action is %v, want a commit with a snapshot", parks.Do)
	}
	c := *parks.Commit
	c.Snapshot = nil
	folded, err := Fold(key, []Commit{c})
	if err != nil {
		t.Fatal(err)
	}
	snapshot := parks.Commit.Snapshot
	if !snapshot.StartedAt.Equal(folded.StartedAt) || !folded.StartedAt.Equal(c.Time) {
		t.Errorf("StartedAt is %v in the snapshot, %v folded from the events of a commit of %v", snapshot.StartedAt, folded.StartedAt, c.Time)
	}
}
