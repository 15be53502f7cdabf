package projections

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

var key = saga.Key{Definition: "order", ID: "o-1"}

// compareWithFold fails the test where the summary does not tell what the fold tells.
func compareWithFold(t *testing.T, name string, s *Summary, in *saga.Instance) {
	t.Helper()
	if s.Run != in.Run || s.Definition != in.Definition || s.Version != in.Version || s.Status != in.Status ||
		s.Parked != in.Parked || s.Paused != in.Paused || s.Reason != in.Reason || !maps.Equal(s.Attributes, in.Attributes) ||
		!s.StartedAt.Equal(in.StartedAt) || !s.UpdatedAt.Equal(in.UpdatedAt) || !s.EndedAt.Equal(in.EndedAt) {
		t.Fatalf("%s, version %d: the summary is\n%+v\nof\n%+v", name, in.Version, s, in)
	}
	if s.Error != cut(in.Error) {
		t.Fatalf("%s, version %d: the summary has the error %q, the fold %q", name, in.Version, s.Error, in.Error)
	}
}

func TestASummaryTellsOfOldHistoriesWhatTheFoldTells(t *testing.T) {
	files, err := filepath.Glob("../saga/testdata/histories/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d histories, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		in, s := saga.NewInstance(key), &Summary{Key: key}
		var records []Record
		lines := bufio.NewScanner(bytes.NewReader(data))
		for lines.Buffer(nil, 1<<20); lines.Scan(); {
			c, err := saga.DecodeKnown(lines.Bytes())
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			in.Evolve(&c)
			s.apply(&c)
			compareWithFold(t, filepath.Base(file), s, in)
			records = append(records, Record{Key: key, Commit: true, Data: bytes.Clone(lines.Bytes()), Sequence: uint64(len(records) + 1)})
		}
		whole := summarize(key, records)
		if got, err := whole.encode(); err != nil || got != must(s.encode()) {
			t.Errorf("%s: read as a whole it is %s, %v; step by step %s", file, got, err, must(s.encode()))
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// randomEvent gives an event of those that matter to a summary.
func randomEvent(r *rand.Rand) saga.Event {
	steps := []string{"reserve", "charge#1", "ship"}
	step := steps[r.IntN(len(steps))]
	order := saga.Order{ID: fmt.Sprint(r.Uint64()), Reason: "because"}
	failure := saga.Failure{Error: "no", GaveUp: r.IntN(2) == 0}
	took := time.Duration(r.IntN(1000))
	events := []saga.Event{
		saga.StepCompleted{Step: step, Attempt: 1, Took: took}, saga.StepFailed{Step: step, Attempt: 2, Took: took, Failure: failure},
		saga.StepCompensated{Step: step, Attempt: 1, Took: took}, saga.CompensationFailed{Step: step, Attempt: 1, Failure: failure},
		saga.CompensationStarted{Reason: saga.ReasonFailed, Step: step, Error: "no"}, saga.CancelRequested{ID: "c"},
		saga.ActivationClaimed{}, saga.TimerSet{Name: "t"}, saga.TimerFired{Name: "t"}, saga.SagaParked{}, saga.SagaCompleted{},
		saga.SagaCompensated{Reason: saga.ReasonFailed}, saga.SagaStuck{Steps: []string{step}, Error: "stuck"},
		saga.AttributesChanged{Values: map[string]string{"customer": step}}, saga.SignalReceived{Signal: saga.Signal{ID: "s", Name: "n"}},
		saga.SagaPaused{Order: order}, saga.SagaResumed{Order: order}, saga.SagaTerminated{Order: order}, saga.UndoRequested{Order: order},
		saga.StepRetried{Order: order, Steps: []string{step}}, saga.StepSkipped{Order: order, Step: step},
		saga.StepResolved{Order: order, Step: step}, saga.SagaReset{Order: order, Saga: &saga.Instance{}},
		saga.SagaStarted{Run: fmt.Sprint(r.Uint64()), Definition: 2, Attributes: map[string]string{"customer": "7"}},
		saga.EmissionsPublished{}, saga.WaitStarted{Node: step}, saga.WaitEnded{Node: step},
	}
	return events[r.IntN(len(events))]
}

func TestASummaryTellsOfAnyEventsWhatTheFoldTells(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		in, s := saga.NewInstance(key), &Summary{Key: key}
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for version := uint64(1); version < 25; version++ {
			at = at.Add(time.Second)
			c := saga.Commit{Version: version, Time: at, Events: []saga.Event{randomEvent(r)}}
			if version == 1 {
				c.Events[0] = saga.SagaStarted{Run: "r1", Definition: 1}
			}
			if r.IntN(3) == 0 {
				c.Events = append(c.Events, randomEvent(r))
			}
			in.Evolve(&c)
			s.apply(&c)
			var names []string
			for _, e := range c.Events {
				names = append(names, saga.EventName(e))
			}
			compareWithFold(t, fmt.Sprintf("seed %d, %s", seed, names), s, in)
		}
		again, err := decodeSummary(key, must(s.encode()))
		if err != nil {
			t.Fatal(err)
		}
		if must(again.encode()) != must(s.encode()) {
			t.Fatalf("seed %d: read again it is %+v, it was %+v", seed, again, s)
		}
	}
}

// commit gives a record of a commit, as JSON.
func commit(sequence uint64, json string) Record {
	return Record{Key: key, Commit: true, Data: []byte(json), Sequence: sequence}
}

func TestWhatCannotBeReadIsPassedOverAndToldOf(t *testing.T) {
	const begin = `{"f":1,"v":1,"t":"2026-01-01T00:00:00Z","by":{},"e":[{"type":"SagaStarted","data":{"run":"r","definition":1,"state":{}}}]}`
	const end = `{"f":1,"v":3,"t":"2026-01-01T00:00:02Z","by":{},"e":[{"type":"SagaCompleted","data":{}}]}`
	for _, test := range []struct {
		name, second, damaged string
		step                  string
	}{
		{"a newer event beside a known one", `{"f":1,"v":2,"t":"2026-01-01T00:00:01Z","by":{},"e":[{"type":"Levitated","data":{"x":1}},
			{"type":"StepCompleted","data":{"step":"lift","attempt":1}}]}`, "", "lift"},
		{"newer events only", `{"f":1,"v":2,"t":"2026-01-01T00:00:01Z","by":{},"e":[{"type":"Levitated","data":{}}]}`, "", ""},
		{"a newer format", `{"f":99,"v":2}`, "99", ""},
		{"what is no JSON", `{"f":1,`, "unexpected end", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := summarize(key, []Record{commit(3, end), commit(1, begin), commit(2, test.second)})
			if s == nil || s.Version != 3 || s.Status != saga.StatusCompleted || s.Step != test.step {
				t.Fatalf("got %+v", s)
			}
			if test.damaged == "" && s.Damaged != "" || !strings.Contains(s.Damaged, test.damaged) {
				t.Errorf("damaged: %q, want %q", s.Damaged, test.damaged)
			}
		})
	}
}
