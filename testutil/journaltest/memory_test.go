package journaltest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

func memoryFixture(m *Memory) Fixture {
	return Fixture{
		Journal: m,
		Store:   m.Store,
		Timers: func(key saga.Key) map[string]time.Time {
			times := map[string]time.Time{}
			for name, timer := range m.Timers(key) {
				times[name] = timer.At
			}
			return times
		},
	}
}

func TestMemoryIsAJournal(t *testing.T) {
	Suite(t, func(*testing.T) Fixture { return memoryFixture(new(Memory)) })
}

func TestMemoryWithLaggingReplicasIsAJournal(t *testing.T) {
	Suite(t, func(*testing.T) Fixture {
		return memoryFixture(&Memory{Behind: func(_ saga.Key, commits int) int { return commits / 3 }})
	})
}

func TestOnlyLoadsAtAnyReplicaAreBehind(t *testing.T) {
	m := &Memory{Behind: func(saga.Key, int) int { return 2 }}
	s := subject{memoryFixture(m), "behind"}
	a := s.author(t, "one")
	a.appendMany(1)
	if log := a.load(saga.Any); len(log.Commits) != 0 || log.Revision != 0 {
		t.Errorf("a replica that lacks more than there is shows %+v, want an empty log", log)
	}
	a.appendMany(4)
	if log := a.load(saga.Any); len(log.Commits) != 3 || log.Revision >= a.at {
		t.Errorf("a replica that lacks 2 of 5 shows %d commits up to revision %d", len(log.Commits), log.Revision)
	}
	a.stands()
}

func TestHistoryIsTheWholeLog(t *testing.T) {
	m := new(Memory)
	a := subject{memoryFixture(m), "history"}.author(t, "one")
	a.appendMany(2*saga.SnapshotEvery + 3)
	commits, err := m.History(t.Context(), a.key)
	if err != nil || len(commits) != len(a.written) {
		t.Fatalf("History gave %d commits, error %v, want %d", len(commits), err, len(a.written))
	}
	a.isTail(saga.Log{Commits: commits})
}

func TestTimersAreDueInTheOrderOfTheirTimesAndOnce(t *testing.T) {
	m := new(Memory)
	a := subject{memoryFixture(m), "due"}.author(t, "one")
	start := time.Unix(1_700_000_000, 0)
	if _, pending := m.NextDue(); pending {
		t.Error("a new journal has a timer due")
	}
	a.append(a.next())
	a.append(a.next(saga.TimerSet{Name: "late", At: start.Add(3 * time.Second)}, saga.TimerSet{Name: "soon", At: start.Add(time.Second)}))
	m.SetTimers(a.key, map[string]saga.PendingTimer{"orphan": {At: start.Add(2 * time.Second), Version: 9}})
	if at, pending := m.NextDue(); !pending || !at.Equal(start.Add(time.Second)) {
		t.Errorf("NextDue gave %v, %v, want the soonest", at, pending)
	}
	if due := m.Due(start); len(due) != 0 {
		t.Errorf("Due before any time has come gave %+v", due)
	}
	due := m.Due(start.Add(2 * time.Second))
	want := []DueTimer{
		{a.key, start.Add(time.Second), saga.Timer{Name: "soon", Version: 2}},
		{a.key, start.Add(2 * time.Second), saga.Timer{Name: "orphan", Version: 9}},
	}
	if !slices.Equal(due, want) {
		t.Errorf("Due gave %+v, want %+v", due, want)
	}
	if got := slices.Collect(maps.Keys(m.Timers(a.key))); !slices.Equal(got, []string{"late"}) {
		t.Errorf("pending after two fired: %v, want late", got)
	}
	if !m.LoseTimer(a.key, "late") || m.LoseTimer(a.key, "late") {
		t.Error("LoseTimer must find a pending timer, and find it once")
	}
}

func TestACompactedLogBeginsWithASnapshot(t *testing.T) {
	m := new(Memory)
	a := subject{memoryFixture(m), "compacted"}.author(t, "one")
	a.appendMany(2*saga.SnapshotEvery + 3)
	m.Compact(a.key, 1, 2*saga.SnapshotEvery)
	commits, err := m.History(t.Context(), a.key)
	if err != nil || len(commits) == 0 || commits[0].Snapshot == nil || commits[0].Version != 2*saga.SnapshotEvery {
		t.Errorf("History gave %d commits, error %v, want those from the last snapshot on", len(commits), err)
	}
	a.stands()
	a.appendMany(1)
	if log := a.load(saga.Latest); len(log.Commits) != 5 {
		t.Errorf("the log has %d commits from the last snapshot on, want 5", len(log.Commits))
	}
}
