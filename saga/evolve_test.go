package saga

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var testKey = Key{Definition: "d", ID: "one"}

// canonical gives a value's JSON with the keys in order, to compare what means the same.
func canonical(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var loose any
	if err := json.Unmarshal(data, &loose); err != nil {
		t.Fatal(err)
	}
	if data, err = json.Marshal(loose); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// randomHistory gives a log of n commits with events of every type in any order, as they come off the wire. No saga
// lives like this; the more may a fold not depend on it.
func randomHistory(t testing.TB, r *rand.Rand, n int) []Commit {
	t.Helper()
	f := drawing(r)
	var types []reflect.Type
	for _, typ := range eventTypes {
		types = append(types, typ)
	}
	slices.SortFunc(types, func(a, b reflect.Type) int { return strings.Compare(a.Name(), b.Name()) })
	commits := make([]Commit, n)
	for i := range commits {
		c := Commit{Version: uint64(i + 1), Time: filled[time.Time](f), By: filled[Owner](f)}
		if i == 0 {
			c.Events = append(c.Events, filled[SagaStarted](f))
		}
		for range 1 + r.IntN(3) {
			e := reflect.New(types[r.IntN(len(types))]).Elem()
			f.fill(e)
			if failure := e.FieldByName("GaveUp"); failure.IsValid() {
				failure.SetBool(r.IntN(2) == 0)
			}
			c.Events = append(c.Events, e.Interface().(Event))
		}
		commits[i] = overTheWire(t, c)
	}
	return commits
}

func overTheWire(t testing.TB, c Commit) Commit {
	t.Helper()
	c, err := DecodeCommit(mustEncodeCommit(t, &c))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustFold(t testing.TB, commits []Commit) *Instance {
	t.Helper()
	in, err := Fold(testKey, commits)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestFoldingFromASnapshotGivesWhatFoldingAllGives(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, seed))
	for range 300 {
		commits := randomHistory(t, r, 2+r.IntN(20))
		whole := mustFold(t, commits)
		for k := range commits {
			tail := slices.Clone(commits[k:])
			tail[0].Snapshot = mustFold(t, commits[:k+1]).clone()
			tail[0] = overTheWire(t, tail[0])
			in := mustFold(t, tail)
			if in.Key != whole.Key || in.Version != whole.Version || canonical(t, in) != canonical(t, whole) {
				t.Fatalf("seed %d: folded from a snapshot of version %d of %d it is\n%s\nfrom the beginning\n%s",
					seed, k+1, len(commits), canonical(t, in), canonical(t, whole))
			}
			if k > 0 { // a snapshot in the middle stands for all before it
				middle := slices.Concat(commits[:k], tail)
				if in := mustFold(t, middle); canonical(t, in) != canonical(t, whole) {
					t.Fatalf("seed %d: folded over a snapshot of version %d it is\n%s\nwithout it\n%s",
						seed, k+1, canonical(t, in), canonical(t, whole))
				}
			}
		}
	}
}

func TestFoldingChangesNeitherCommitsNorSnapshots(t *testing.T) {
	const seed = 2
	r := rand.New(rand.NewPCG(seed, seed))
	for range 200 {
		commits := randomHistory(t, r, 12)
		in := mustFold(t, commits[:6])
		commits[5].Snapshot = in.clone()
		before, snapshot := canonical(t, commits), canonical(t, in)
		for range 2 {
			mustFold(t, commits[5:])
			if after := canonical(t, commits); after != before {
				t.Fatalf("seed %d: the commits have become\n%s\nwere\n%s", seed, after, before)
			}
		}
		// The other way round: a snapshot that was taken does not follow what becomes of its saga.
		for i := range commits[6:] {
			in.Evolve(&commits[6+i])
		}
		if after := canonical(t, commits[5].Snapshot); after != snapshot {
			t.Fatalf("seed %d: the snapshot has become\n%s\nwas\n%s", seed, after, snapshot)
		}
	}
}

func TestEveryEventTypeIsKnownToEvolve(t *testing.T) {
	// All but these leave a mark wherever they occur; these, only where there is what they are about.
	silent := []string{"TimerCancelled", "TimerFired", "EmissionsPublished", "ChildRecalled", "SignalRefused"}
	for name, e := range filledEvents() {
		in := NewInstance(testKey)
		in.Evolve(&Commit{Version: 1, By: Owner{Worker: "w", Command: "r", Delivery: 1}, Events: []Event{SagaStarted{Run: "r"}}})
		before := canonical(t, in)
		in.apply(e, stamp{version: 2, time: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), by: Owner{Worker: "v"}})
		if changed := canonical(t, in) != before; changed == slices.Contains(silent, name) {
			t.Errorf("%s changes the saga: %v", name, changed)
		}
	}
}

func TestAHistoryHasABeginningAndNoHoles(t *testing.T) {
	start := []Event{SagaStarted{Run: "r"}}
	claim := []Event{ActivationClaimed{}}
	snapshot := &Instance{Run: "r", Status: StatusRunning}
	for _, test := range []struct {
		name    string
		commits []Commit
		version uint64 // of the saga, or at which the history is corrupt
		fault   string
	}{
		{"no commits", nil, 0, ""},
		{"one", []Commit{{Version: 1, Events: start}}, 1, ""},
		{"two", []Commit{{Version: 1, Events: start}, {Version: 2, Events: claim}}, 2, ""},
		{"from a snapshot", []Commit{{Version: 7, Events: claim, Snapshot: snapshot}, {Version: 8, Events: claim}}, 8, ""},
		{"with a second snapshot", []Commit{{Version: 7, Events: claim, Snapshot: snapshot}, {Version: 8, Events: claim, Snapshot: snapshot}}, 8, ""},
		{"from a snapshot of the first version", []Commit{{Version: 1, Events: claim, Snapshot: snapshot}}, 1, ""},
		{"no beginning", []Commit{{Version: 2, Events: claim}}, 2, "follows version 0"},
		{"version 0", []Commit{{Version: 0, Events: start}}, 0, "follows version 0"},
		{"another beginning", []Commit{{Version: 1, Events: claim}}, 1, "does not begin with SagaStarted"},
		{"a hole", []Commit{{Version: 1, Events: start}, {Version: 3, Events: claim}}, 3, "follows version 1"},
		{"a repetition", []Commit{{Version: 1, Events: start}, {Version: 1, Events: start}}, 1, "follows version 1"},
		{"a step back", []Commit{{Version: 7, Events: claim, Snapshot: snapshot}, {Version: 6, Events: claim}}, 6, "follows version 7"},
		{"a hole before a snapshot", []Commit{{Version: 1, Events: start}, {Version: 3, Events: claim, Snapshot: snapshot}}, 3, "follows version 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, err := Fold(testKey, test.commits)
			if test.fault == "" {
				if err != nil {
					t.Fatal(err)
				}
				if in.Version != test.version || in.Key != testKey {
					t.Errorf("the saga is %s at version %d, want %s at %d", in.Key, in.Version, testKey, test.version)
				}
				return
			}
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Key != testKey || corrupt.Version != test.version || corrupt.Err.Error() != test.fault {
				t.Errorf("error %v, want a CorruptError of %s at version %d: %s", err, testKey, test.version, test.fault)
			}
		})
	}
}

func TestARunForgetsTheOneBefore(t *testing.T) {
	started := SagaStarted{Run: "r2", Definition: 2, State: State{}}
	by := Owner{Worker: "w", Command: "r2", Delivery: 1}
	fresh := NewInstance(testKey)
	fresh.Version = 4
	fresh.Evolve(&Commit{Version: 5, By: by, Events: []Event{started}})

	old := filled[Instance](counting())
	old.Key, old.Version = testKey, 4
	fresh.Seen = slices.Clone(old.Seen) // a signal that was for no particular run may come once more
	old.Evolve(&Commit{Version: 5, By: by, Events: []Event{started}})
	if !reflect.DeepEqual(&old, fresh) {
		t.Errorf("after a life before, the run begins as\n%+v\nwant\n%+v", old, *fresh)
	}
}

func TestTheFirstCancelIsTheOneThatCounts(t *testing.T) {
	in := NewInstance(testKey)
	in.Evolve(&Commit{Version: 1, Events: []Event{SagaStarted{Run: "r"}, CancelRequested{ID: "c1"}, CancelRequested{ID: "c2"}}})
	if in.Cancel == nil || in.Cancel.ID != "c1" {
		t.Errorf("the cancel is %+v, want the first", in.Cancel)
	}
}

func TestTheThreeEndsAreEnds(t *testing.T) {
	for status, want := range map[Status]bool{
		StatusPending: false, StatusRunning: false, StatusCompensating: false, "": false,
		StatusCompleted: true, StatusCompensated: true, StatusStuck: true,
	} {
		if got := status.Ended(); got != want {
			t.Errorf("%q is an end: %v, want %v", status, got, want)
		}
	}
}
