package journaltest

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

func TestAFaultyJournalWithoutRulesIsAJournal(t *testing.T) {
	Suite(t, func(*testing.T) Fixture {
		m := new(Memory)
		f := memoryFixture(m)
		f.Journal = Faulty(m)
		return f
	})
}

func TestRulesDecideWhichCallsGoWrong(t *testing.T) {
	key := saga.Key{Definition: "d", ID: "one"}
	other := saga.Key{Definition: "d", ID: "other"}
	start := &saga.Commit{Version: 1, Events: []saga.Event{saga.SagaStarted{Run: "r", Definition: 1}}}
	for _, test := range []struct {
		name   string
		rule   Rule
		want   []error // of three appends in a row, each at the revision where the log stands
		stored int
	}{
		{"a rule without a fault does nothing", On(Append), []error{nil, nil, nil}, 3},
		{"fail has no effect", On(Append).Nth(2).Fail(), []error{nil, ErrInjected, nil}, 2},
		{"drop has its effect and fails", On(Append).Nth(2).Drop(), []error{nil, ErrInjected, nil}, 3},
		{"duplicate conflicts with itself", On(Append).Nth(2).Duplicate(), []error{nil, saga.ErrConflict, nil}, 3},
		{"the error may be named", On(Append).Nth(1, 3).Fail().With(io.EOF), []error{io.EOF, nil, io.EOF}, 1},
		{"another operation is left alone", On(Load).Nth(99).Fail(), []error{nil, nil, nil}, 3},
		{"another saga is left alone", On(Append).Saga(other).Fail(), []error{nil, nil, nil}, 3},
		{"this saga is not", On(Append).Saga(key).Fail(), []error{ErrInjected, ErrInjected, ErrInjected}, 0},
		{"conditions add up", On(Append).Nth(1, 2).If(func(c Call) bool { return c.N == 2 && c.Commit != nil }).Fail(),
			[]error{nil, ErrInjected, nil}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := new(Memory)
			j := Faulty(m, test.rule)
			for i, want := range test.want {
				log, err := j.Load(t.Context(), key, saga.Latest)
				if err != nil {
					t.Fatalf("Load: %v", err)
				}
				c := *start
				c.Version = uint64(len(log.Commits) + 1)
				if _, err := j.Append(t.Context(), key, log.Revision, &c); !errors.Is(err, want) || (want == nil && err != nil) {
					t.Errorf("append %d: error %v, want %v", i+1, err, want)
				}
			}
			if got := len(m.records(key)); got != test.stored {
				t.Errorf("%d commits are stored, want %d", got, test.stored)
			}
		})
	}
}

func TestTheFirstRuleThatNamesAFaultDecides(t *testing.T) {
	var order []string
	note := func(what string) Rule {
		return On(Load).Delay(func(context.Context, Call) { order = append(order, what) })
	}
	j := Faulty(new(Memory), note("first"), On(Load).Fail().With(io.EOF), note("second").Fail())
	if _, err := j.Load(t.Context(), saga.Key{Definition: "d", ID: "x"}, saga.Any); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want that of the first rule that fails", err)
	}
	if len(order) != 2 || order[0] != "first" || order[1] != "second" {
		t.Errorf("hooks were called as %v, want both, in order", order)
	}
}

func TestACallThatIsDelayedLetsOthersInFirst(t *testing.T) {
	m := new(Memory)
	key := saga.Key{Definition: "d", ID: "one"}
	commit := func(worker string) *saga.Commit {
		return &saga.Commit{Version: 1, By: saga.Owner{Worker: worker}, Events: []saga.Event{saga.SagaStarted{Run: "r"}}}
	}
	slow := Faulty(m, On(Append).Nth(1).Delay(func(ctx context.Context, _ Call) {
		if _, err := m.Append(ctx, key, 0, commit("fast")); err != nil {
			t.Errorf("the append that gets in first: %v", err)
		}
	}))
	if _, err := slow.Append(t.Context(), key, 0, commit("slow")); !errors.Is(err, saga.ErrConflict) {
		t.Errorf("the append that was delayed: error %v, want ErrConflict", err)
	}
}
