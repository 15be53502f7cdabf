package projections_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

// spent gives the processor time that the server has taken: for reading commands and writing answers, too.
func spent(t testing.TB, rdb *redis.Client) time.Duration {
	t.Helper()
	info, err := rdb.Info(t.Context(), "cpu").Result()
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "used_cpu_user" && name != "used_cpu_sys" {
			continue
		}
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(seconds * float64(time.Second))
	}
	return sum
}

func TestAPageOfAHundredTakesTheServerLessThanFiveMilliseconds(t *testing.T) {
	sagas := 20_000
	if long {
		sagas = 1_000_000
	}
	machine := testutil.WatchMachine(t)
	server := testutil.Redis(t)
	rdb := server.Client(t)
	rdb.ConfigSet(t.Context(), "appendonly", "no")
	statuses := []saga.Status{saga.StatusCompleted, saga.StatusRunning, saga.StatusCompensated, saga.StatusStuck}
	epoch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	begun := time.Now()
	err := projections.Fill(t.Context(), rdb, "default", sagas, func(i int) *projections.Summary {
		return &projections.Summary{
			Key: saga.Key{Definition: []string{"order", "refund"}[i%2], ID: fmt.Sprintf("saga-%d", i)},
			Run: fmt.Sprintf("01932c07-7e5c-7000-8000-%012d", i), Definition: 1, Version: 4,
			Status: statuses[(i/7)%4], Step: "ship", Attempt: 1, Attributes: map[string]string{"customer": strconv.Itoa(i % 1000), "region": strconv.Itoa(i % 3)},
			StartedAt: epoch.Add(time.Duration(i) * time.Millisecond), UpdatedAt: epoch.Add(time.Duration(i*7919%sagas) * time.Second),
			Steps: map[string]projections.StepTotals{"reserve": {Completed: projections.Tally{Count: 1, Took: 12345}},
				"charge": {Completed: projections.Tally{Count: 1, Took: 23456}}, "ship": {Completed: projections.Tally{Count: 1, Took: 3456}}},
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	memory, _ := rdb.Info(t.Context(), "memory").Result()
	for line := range strings.Lines(memory) {
		if strings.HasPrefix(line, "used_memory_human") {
			t.Logf("%d sagas written in %v, %s", sagas, time.Since(begun), strings.TrimSpace(line))
		}
	}
	r := projections.NewReader(rdb, "default")
	promised := []projections.Query{
		{}, {Ascending: true}, {Order: projections.ByUpdate}, {Definition: "order"},
		{Statuses: []saga.Status{saga.StatusStuck}},
		{Definition: "order", Statuses: []saga.Status{saga.StatusRunning, saga.StatusStuck}, Order: projections.ByUpdate},
		{Attributes: map[string]string{"customer": "17"}},
		{Attributes: map[string]string{"customer": "17"}, Definition: "refund", Statuses: []saga.Status{saga.StatusStuck}},
		{Attributes: map[string]string{"region": "1"}},
		{StartedFrom: epoch.Add(time.Duration(sagas/2) * time.Millisecond)},
	}
	// Of these, many sagas have to be looked at that no page shows: docs/read-models.md makes no promise.
	lookedUp := []projections.Query{
		{UpdatedFrom: epoch.Add(time.Duration(sagas/2) * time.Second)},
		{Attributes: map[string]string{"region": "1"}, Definition: "order", Statuses: []saga.Status{saga.StatusStuck}},
		{UpdatedFrom: epoch.Add(time.Duration(sagas-sagas/20) * time.Second)},
	}
	for i, q := range append(promised, lookedUp...) {
		var took, waited []time.Duration
		for range 5 { // the median tells; what else the machine does is in some
			onServer, forReader := pages(t, r, rdb, q)
			took, waited = append(took, onServer), append(waited, forReader)
		}
		slices.Sort(took)
		slices.Sort(waited)
		t.Logf("%v a page on the server, %v for the reader: %+v", took[2], waited[2], q)
		if i < len(promised) && took[2] > 5*time.Millisecond && machine.HoldsTimes(t, server.PID()) {
			t.Errorf("%+v: a page takes the server %v, want 5 ms at most: %v", q, took[2], took)
		}
	}
}

// pages reads the first three pages of a list, as those after the first have a cursor to begin with, and gives how long one
// took: the server, and the reader.
func pages(t *testing.T, r *projections.Reader, rdb *redis.Client, q projections.Query) (onServer, forReader time.Duration) {
	t.Helper()
	const pages = 3
	before, from := spent(t, rdb), time.Now()
	got := 0
	for range pages {
		page, err := r.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got += len(page.Sagas)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if want := pages * projections.DefaultLimit; got < want && q.Attributes == nil {
		t.Errorf("%+v: got %d sagas, want %d", q, got, want)
	}
	return (spent(t, rdb) - before) / pages, time.Since(from) / pages
}

func TestACountIsOfOneGeneration(t *testing.T) {
	const sagas = 2500 // of which a page has a thousand
	rdb := testutil.Redis(t).Client(t)
	if err := projections.Fill(t.Context(), rdb, "default", sagas, func(i int) *projections.Summary {
		at := time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)
		return &projections.Summary{Key: saga.Key{Definition: "order", ID: strconv.Itoa(i)}, Status: saga.StatusCompleted,
			Attributes: map[string]string{"customer": "c"}, StartedAt: at, UpdatedAt: at}
	}); err != nil {
		t.Fatal(err)
	}
	r := projections.NewReader(rdb, "default")
	q := projections.Query{Definition: "order", Attributes: map[string]string{"customer": "c"}}
	if n, err := r.Count(t.Context(), q); err != nil || n != sagas {
		t.Fatalf("counted %d, %v; want %d", n, err, sagas)
	}
	// Another takes its place when a part was counted.
	switching := &before{names: []string{"hmget"}, f: func() { rdb.HSet(t.Context(), modelsMarker, "current", "zzzz-a") }}
	switching.pass.Store(1)
	rdb.AddHook(switching)
	if n, err := r.Count(t.Context(), q); err != nil || n != 0 {
		t.Errorf("counted %d, %v; want none, as the new one has", n, err)
	}
}
