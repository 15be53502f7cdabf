package saga_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// startOf gives the activation of a first Start of a plan.
func startOf(plan *saga.Plan, parkAfter time.Duration) *saga.Activation {
	return saga.NewActivation(
		saga.ActivationConfig{
			Worker: "w", ParkAfter: parkAfter,
			Plan: func(string, int) *saga.Plan { return plan },
		},
		saga.Delivery{Key: theSaga, Command: saga.Start{Run: "r1", Definition: 1}, Count: 1},
	)
}

func TestARestIsSatOutUpToParkAfter(t *testing.T) {
	for _, test := range []struct {
		parkAfter, rest time.Duration
		parks           bool
	}{
		{0, saga.DefaultParkAfter, false},
		{0, saga.DefaultParkAfter + 1, true},
		{time.Minute, time.Minute, false},
		{time.Minute, time.Minute + 1, true},
		{time.Nanosecond, 2, true},
	} {
		t.Run(fmt.Sprintf("a rest of %v where the limit is %v", test.rest, test.parkAfter), func(t *testing.T) {
			a := startOf(mustPlan(t, saga.Step("a", nothing)), test.parkAfter)
			run := a.Begin(storyTime)
			failed := a.Ran(storyTime, saga.Result{Task: run.Task, Err: io.EOF, Delay: test.rest})
			if failed.Do != saga.ActAppend {
				t.Fatalf("after the failure the action is %v, want an append", failed.Do)
			}
			_, parks := failed.Commit.Events[len(failed.Commit.Events)-1].(saga.SagaParked)
			if parks != test.parks {
				t.Errorf("the saga parks: %v, want %v", parks, test.parks)
			}
			want := saga.ActWait
			if parks {
				want = saga.ActAck
			}
			if next := a.Appended(storyTime, 1); next.Do != want {
				t.Errorf("then the action is %v, want %v", next.Do, want)
			}
		})
	}
}

func TestEvery64thCommitHasASnapshotForReadersToBeginAt(t *testing.T) {
	a := startOf(mustPlan(t, saga.Step("a", nothing).Retry(saga.RetryPolicy{Attempts: saga.Unlimited})), 0)
	var log []saga.Commit
	var base uint64
	action := a.Begin(storyTime)
	for len(log) < 3*saga.SnapshotEvery {
		if action.Do != saga.ActRun {
			t.Fatalf("after %d commits the action is %v, want a run", len(log), action.Do)
		}
		action = a.Ran(storyTime, saga.Result{Task: action.Task, Err: io.EOF})
		c := *action.Commit
		if due := c.Version%saga.SnapshotEvery == 0; (c.Snapshot != nil) != due {
			t.Errorf("commit %d has a snapshot: %v", c.Version, c.Snapshot != nil)
		}
		if c.Base != base {
			t.Errorf("the base of commit %d is %d, want %d", c.Version, c.Base, base)
		}
		revision := 1000 + c.Version // revisions are the stream's
		if c.Version == 1 || c.Snapshot != nil {
			base = revision
		}
		log = append(log, c)
		action = a.Appended(storyTime, revision)
	}
	for i, c := range log {
		if c.Snapshot == nil {
			continue
		}
		folded, err := saga.Fold(theSaga, log[:i])
		if err != nil {
			t.Fatal(err)
		}
		c.Snapshot = nil
		folded.Evolve(&c)
		if got, want := mustJSON(log[i].Snapshot), mustJSON(folded); !bytes.Equal(got, want) {
			t.Errorf("the snapshot of commit %d is\n%s\nfolding gives\n%s", c.Version, got, want)
		}
	}
}

// strange is a command that no build knows.
type strange struct{}

func (strange) CommandID() string { return "s" }

func TestACommandOfAStrangeTypeIsRejected(t *testing.T) {
	a := saga.NewActivation(saga.ActivationConfig{Worker: "w"}, saga.Delivery{Key: theSaga, Command: strange{}, Count: 1})
	if a.Instance() != nil {
		t.Error("before anything was loaded there is an instance")
	}
	if first := a.Begin(storyTime); first.Do != saga.ActLoad {
		t.Fatalf("the first action is %v, want a load", first.Do)
	}
	action := a.Loaded(storyTime, saga.Log{})
	const want = "saga order/o-1: command type saga_test.strange cannot be carried out"
	if action.Do != saga.ActReject || action.Reason.Error() != want {
		t.Errorf("the action is %v for %v, want a rejection: %s", action.Do, action.Reason, want)
	}
}

func TestAnActivationLeavesTheSagaThatItOwnsOnceItsPlanIsGone(t *testing.T) {
	plan := mustPlan(t, saga.Step("a", nothing), saga.Step("b", nothing))
	a := saga.NewActivation(
		saga.ActivationConfig{Worker: "w", Plan: func(string, int) *saga.Plan { return plan }},
		saga.Delivery{Key: theSaga, Command: saga.Start{Run: "r1", Definition: 1}, Count: 1},
	)
	run := a.Begin(storyTime)
	first := a.Ran(storyTime, saga.Result{Task: run.Task})
	second := a.Appended(storyTime, 1)
	if second.Do != saga.ActRun {
		t.Fatalf("after the first step the action is %v, want a run", second.Do)
	}
	plan = nil
	if action := a.Ran(storyTime, saga.Result{Task: second.Task}); action.Do != saga.ActRetry {
		t.Errorf("the action is %v, want the command left for later", action.Do)
	}
	a.Conflicted()
	log := saga.Log{Commits: []saga.Commit{*first.Commit}, Revision: 1, Base: 1}
	if action := a.Loaded(storyTime, log); action.Do != saga.ActRetry {
		t.Errorf("the action is %v, want the command left for later", action.Do)
	}
}

func TestALogThatCannotBeReadIsLeftToANewerWorkerOrSetAside(t *testing.T) {
	for _, test := range []struct {
		err  error
		want saga.ActionKind
	}{
		{&saga.UnknownError{What: "event type", Name: "X"}, saga.ActRetry},
		{fmt.Errorf("commit 7: %w", &saga.UnknownError{What: "event type", Name: "X"}), saga.ActRetry},
		{&saga.CorruptError{Key: theSaga, Err: &saga.UnknownError{What: "event type", Name: "X"}}, saga.ActRetry},
		{&saga.CorruptError{Key: theSaga, Err: io.ErrUnexpectedEOF}, saga.ActReject},
		{io.ErrUnexpectedEOF, saga.ActReject},
	} {
		a := startOf(mustPlan(t, saga.Step("a", nothing)), 0)
		if action := a.Unreadable(test.err); action.Do != test.want || !errors.Is(action.Reason, test.err) {
			t.Errorf("%v: the action is %v for %v, want %v", test.err, action.Do, action.Reason, test.want)
		}
	}
}

func TestTheOwnerOfASagaBearsWhereItsCommandIsStoredUnlessThatIsAStart(t *testing.T) {
	conf := saga.ActivationConfig{Worker: "w"}
	for _, test := range []struct {
		command saga.Command
		want    saga.Owner
	}{
		{saga.Start{Run: "r1"}, saga.Owner{Worker: "w", Command: "r1", Delivery: 2}},
		{saga.Cancel{ID: "c1"}, saga.Owner{Worker: "w", Command: "c1", Delivery: 2, Stream: "S", Sequence: 9}},
		{saga.Timer{Name: "t1"}, saga.Owner{Worker: "w", Command: "t1", Delivery: 2, Stream: "S", Sequence: 9}},
	} {
		d := saga.Delivery{Key: theSaga, Command: test.command, Count: 2, Stream: "S", Sequence: 9}
		if got := saga.NewActivation(conf, d).Owner(); got != test.want {
			t.Errorf("the owner by a %s is %+v, want %+v", saga.CommandName(test.command), got, test.want)
		}
	}
}
