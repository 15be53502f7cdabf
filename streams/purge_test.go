package streams_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
	"github.com/jetsaga/jetsaga/streams"
)

const remember = time.Hour

// subjectOf gives a subject of a saga.
func subjectOf(k saga.Key, last string) string {
	return "saga.default." + shard.Of(k.Definition, k.ID).String() + "." + k.Definition + "." + k.ID + "." + last
}

// ended stores a saga that has completed, with a timer and an emission left over, and gives the log's revision.
func ended(t *testing.T, ns *streams.Namespace, id string) uint64 {
	t.Helper()
	k := key(id)
	start(t, ns, id, "r-"+id)
	by := saga.Owner{Worker: "w", Command: "r-" + id, Delivery: 1}
	revision := uint64(0)
	for i, events := range [][]saga.Event{
		{saga.SagaStarted{Run: "r-" + id, Definition: 1, State: state(t, `{"a":1}`)}},
		{saga.StepCompleted{Step: "one", Attempt: 1}},
		{saga.StepCompleted{Step: "two", Attempt: 1}, saga.SagaCompleted{}},
	} {
		var err error
		revision, err = ns.Log().Append(t.Context(), k, revision,
			&saga.Commit{Version: uint64(i + 1), Time: time.Now().UTC(), By: by, Events: events})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := ns.SetTimers(t.Context(), k, map[string]saga.PendingTimer{"late": {At: time.Now().Add(time.Hour), Version: 2}}); err != nil {
		t.Fatal(err)
	}
	publish(t, ns, subjectOf(k, "out.topic"), []byte("emitted"))
	return revision
}

func examine(t *testing.T, ns *streams.Namespace, k saga.Key) *streams.Holdings {
	t.Helper()
	h, err := ns.Examine(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// left counts what a stream holds of a saga, by the last part of its subjects.
func left(t *testing.T, ns *streams.Namespace, k saga.Key) map[string]uint64 {
	t.Helper()
	stream, err := ns.JetStream().Stream(t.Context(), ns.Home(k))
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(subjectOf(k, ">")))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for subject, n := range info.State.Subjects {
		counts[subject[len(subjectOf(k, "")):]] = n
	}
	return counts
}

// noNewSaga checks that a saga that is being, or was, purged takes no Start and no commit at its beginning, and that a
// worker finds that it has ended.
func noNewSaga(t *testing.T, ns *streams.Namespace, k saga.Key) {
	t.Helper()
	if err := ns.Start(t.Context(), k, saga.Start{Run: "r-new"}, 0); !errors.Is(err, streams.ErrExists) {
		t.Errorf("a Start of a purged id: %v, want ErrExists", err)
	}
	if _, err := ns.Log().Append(t.Context(), k, 0, started(t)); !errors.Is(err, saga.ErrConflict) {
		t.Errorf("a commit at the log's beginning: %v, want ErrConflict", err)
	}
	log, err := ns.Log().Load(t.Context(), k, saga.Latest)
	if err != nil {
		t.Fatal(err)
	}
	if in, err := saga.Fold(k, log.Commits); err != nil || !in.Ended() {
		t.Errorf("a worker finds %+v, %v; it has to have ended", in, err)
	}
}

func TestAPurgeThatDiesAfterAnyActIsGoneOnWith(t *testing.T) {
	ns := ensure(t)
	for acts := range 5 {
		t.Run(fmt.Sprint(acts, " acts"), func(t *testing.T) {
			k := key(fmt.Sprint("o-", acts))
			revision := ended(t, ns, k.ID)
			noNewSaga(t, ns, k)
			if err := ns.PurgeActs(t.Context(), examine(t, ns, k), remember, acts); err != nil {
				t.Fatal(err)
			}
			noNewSaga(t, ns, k)
			if _, known, err := ns.Tombstone(t.Context(), k); err != nil || known != (acts > 0) {
				t.Errorf("a tombstone: %v, %v", known, err)
			}
			h := examine(t, ns, k)
			if (h.Stage == streams.StageGone) != (acts == 4) || (h.Saga == nil) != (acts > 1) {
				t.Errorf("it is at stage %d, with saga %v", h.Stage, h.Saga)
			}
			if err := ns.Purge(t.Context(), h, remember); err != nil {
				t.Fatal(err)
			}
			noNewSaga(t, ns, k)
			if _, err := ns.Log().Append(t.Context(), k, revision, started(t)); !errors.Is(err, saga.ErrConflict) {
				t.Errorf("a commit of a worker that slept through it: %v, want ErrConflict", err)
			}
			if got := left(t, ns, k); len(got) != 2 || got["cmd"] != 1 || got["evt"] != 1 {
				t.Errorf("there is left: %v", got)
			}
			if h := examine(t, ns, k); h.Stage != streams.StageGone {
				t.Errorf("it is at stage %d", h.Stage)
			}
			grave, known, err := ns.Tombstone(t.Context(), k)
			if err != nil || !known || grave.Run != "r-"+k.ID || grave.Status != saga.StatusCompleted || grave.EndedAt.IsZero() || grave.PurgedAt.IsZero() {
				t.Errorf("the tombstone is %+v, %v, %v", grave, known, err)
			}
			if commits, err := ns.Log().History(t.Context(), k); err != nil || len(commits) != 0 {
				t.Errorf("it has a history of %d commits, %v", len(commits), err)
			}
			if records, err := ns.Records(t.Context(), k); err != nil || len(records) != 1 || !records[0].Purged {
				t.Errorf("its records are %+v, %v", records, err)
			}
		})
	}
}

func TestWhatAPurgeLeavesIsNotDelivered(t *testing.T) {
	ns := ensure(t)
	for acts := range 5 {
		k := key(fmt.Sprint("o-", acts))
		ended(t, ns, k.ID)
		if err := ns.PurgeActs(t.Context(), examine(t, ns, k), remember, acts); err != nil {
			t.Fatal(err)
		}
	}
	start(t, ns, "live", "r-live")
	deliveries := pull(t, ns, 10)
	for range 2 {
		if d := await(t, deliveries); d.Key != key("live") && d.Key != key("o-0") {
			t.Errorf("%v was delivered", d.Key)
		}
	}
	select {
	case d := <-deliveries:
		t.Errorf("%v was delivered", d.Key)
	case <-time.After(streams.AckWait / 2):
	}
}

func TestASagaThatChangesMeanwhileIsNotPurged(t *testing.T) {
	ns := ensure(t)
	reset := &saga.Commit{
		Version: 4, Time: time.Now().UTC(), By: saga.Owner{Worker: "w", Command: "reset", Delivery: 1},
		Events: []saga.Event{saga.SagaReset{Order: saga.Order{ID: "reset", Run: "r-log"}, To: 1, Saga: saga.NewInstance(key("log"))}},
	}
	revision := ended(t, ns, "log")
	h := examine(t, ns, key("log"))
	if _, err := ns.Log().Append(t.Context(), key("log"), revision, reset); err != nil {
		t.Fatal(err)
	}
	if err := ns.Purge(t.Context(), h, remember); !errors.Is(err, streams.ErrChanged) {
		t.Errorf("a saga whose log has moved on: %v, want ErrChanged", err)
	}
	if h := examine(t, ns, key("log")); h.Stage != streams.StageWhole || h.Saga == nil || h.Saga.Version != 4 {
		t.Errorf("it is left at stage %d, %+v", h.Stage, h.Saga)
	}
	if starts, last, err := ns.Starts(t.Context(), key("log")); err != nil || len(starts) != 1 || starts[0].Run != "r-log" || last == 0 {
		t.Errorf("its Starts are %v, %v", starts, err)
	}

	ended(t, ns, "cmd")
	h = examine(t, ns, key("cmd"))
	if err := ns.Send(t.Context(), key("cmd"), saga.Cancel{ID: "c", Run: "r-cmd"}); err != nil {
		t.Fatal(err)
	}
	if err := ns.Purge(t.Context(), h, remember); !errors.Is(err, streams.ErrChanged) {
		t.Errorf("a saga that got a command: %v, want ErrChanged", err)
	}
	if got := left(t, ns, key("cmd")); got["cmd"] != 2 || got["evt"] != 3 {
		t.Errorf("there is left: %v", got)
	}
}

func TestAMarkOfAPurgeIsNoneOnceTheSagaWasReopened(t *testing.T) {
	ns := ensure(t)
	for name, goOn := range map[string]func(*streams.Holdings){
		"the purge goes on": func(h *streams.Holdings) {
			if err := ns.Purge(t.Context(), h, remember); !errors.Is(err, streams.ErrChanged) {
				t.Errorf("the purge of a saga that was reopened: %v, want ErrChanged", err)
			}
		},
		"whoever purged has died": func(*streams.Holdings) {},
	} {
		t.Run(name, func(t *testing.T) {
			k := key(strings.ReplaceAll(name, " ", "-"))
			run := "r-" + k.ID
			revision := ended(t, ns, k.ID)
			h := examine(t, ns, k)
			if err := ns.PurgeActs(t.Context(), h, remember, 1); err != nil {
				t.Fatal(err)
			}
			order := saga.Order{ID: "reset", Run: run}
			if err := ns.Send(t.Context(), k, saga.Reset{Order: order, To: 1, Saga: saga.NewInstance(k)}); err != nil {
				t.Fatal(err)
			}
			by := saga.Owner{Worker: "w", Command: "reset", Delivery: 1}
			for i, e := range []saga.Event{
				saga.SagaReset{Order: order, To: 1, Saga: &saga.Instance{Key: k, Run: run, Definition: 1, Status: saga.StatusRunning}}, saga.SagaCompleted{},
			} {
				var err error
				revision, err = ns.Log().Append(t.Context(), k, revision,
					&saga.Commit{Version: uint64(4 + i), Time: time.Now().UTC(), By: by, Events: []saga.Event{e}})
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					goOn(h)
				}
				if grave, known, err := ns.Tombstone(t.Context(), k); err != nil || known {
					t.Errorf("after version %d it has a tombstone: %+v, %v", 4+i, grave, err)
				}
			}
			h = examine(t, ns, k)
			if h.Stage != streams.StageWhole || h.Saga == nil || !h.Saga.Ended() || h.Pending() {
				t.Errorf("it is at stage %d, %+v", h.Stage, h.Saga)
			}
			starts, last, err := ns.Starts(t.Context(), k)
			if err != nil || len(starts) != 1 || starts[0].Run != run {
				t.Errorf("its Starts are %v, %v", starts, err)
			}
			if err := ns.Start(t.Context(), k, saga.Start{Run: "r-2", Previous: run}, last); err != nil {
				t.Errorf("running it again: %v", err)
			}
			if err := ns.Purge(t.Context(), h, remember); !errors.Is(err, streams.ErrChanged) {
				t.Errorf("the purge of a saga that is run again: %v, want ErrChanged", err)
			}
			if h := examine(t, ns, k); !h.Pending() {
				t.Error("its new Start has gone")
			}
		})
	}
}

func TestAPurgeThatIsGoneOnWithLooksForCommandsAgain(t *testing.T) {
	ns := ensure(t)
	k := key("o-1")
	ended(t, ns, k.ID)
	if err := ns.PurgeActs(t.Context(), examine(t, ns, k), remember, 1); err != nil {
		t.Fatal(err)
	}
	h := examine(t, ns, k)
	if err := ns.Send(t.Context(), k, saga.Cancel{ID: "c", Run: "r-o-1"}); err != nil {
		t.Fatal(err)
	}
	if err := ns.Purge(t.Context(), h, remember); !errors.Is(err, streams.ErrChanged) {
		t.Errorf("a saga that got a command: %v, want ErrChanged", err)
	}
	if got := left(t, ns, k); got["cmd"] != 2 || got["evt"] != 3 {
		t.Errorf("there is left: %v", got)
	}
	if err := ns.Purge(t.Context(), examine(t, ns, k), remember); err != nil {
		t.Error(err)
	}
	if got := left(t, ns, k); len(got) != 2 || got["cmd"] != 1 || got["evt"] != 1 {
		t.Errorf("there is left: %v", got)
	}
}

func TestASagaIsReadWholeOrNotAtAllWhileItIsPurged(t *testing.T) {
	ns := ensure(t)
	read := map[string]func(saga.Key){
		"Load": func(k saga.Key) {
			if log, err := ns.Log().Load(t.Context(), k, saga.Any); err != nil || len(log.Commits) != 3 && len(log.Commits) != 1 {
				t.Errorf("Load: %d commits, %v", len(log.Commits), err)
			}
		},
		"History": func(k saga.Key) {
			if commits, err := ns.Log().History(t.Context(), k); err != nil || len(commits) != 3 && len(commits) != 0 {
				t.Errorf("History: %d commits, %v", len(commits), err)
			}
		},
		"Examine": func(k saga.Key) {
			if _, err := ns.Examine(t.Context(), k); err != nil {
				t.Errorf("Examine: %v", err)
			}
		},
	}
	for i := range 50 {
		k := key(fmt.Sprint("o-", i))
		ended(t, ns, k.ID)
		h := examine(t, ns, k)
		var begun, readers sync.WaitGroup
		purged := make(chan struct{})
		for _, read := range read {
			begun.Add(1)
			readers.Go(func() {
				read(k)
				begun.Done()
				for {
					read(k)
					select {
					case <-purged:
						return
					default:
					}
				}
			})
		}
		begun.Wait()
		err := ns.Purge(t.Context(), h, remember)
		close(purged)
		readers.Wait()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestCommandsThatComeLateGoWithAPurgeThatIsGoneOnWith(t *testing.T) {
	ns := ensure(t)
	for _, acts := range []int{2, 3, 4} {
		k := key(fmt.Sprint("o-", acts))
		ended(t, ns, k.ID)
		if err := ns.PurgeActs(t.Context(), examine(t, ns, k), remember, acts); err != nil {
			t.Fatal(err)
		}
		if err := ns.Send(t.Context(), k, saga.Cancel{ID: "c", Run: "r"}); err != nil {
			t.Fatal(err)
		}
		if err := ns.Purge(t.Context(), examine(t, ns, k), remember); err != nil {
			t.Fatal(err)
		}
		if got := left(t, ns, k); len(got) != 2 || got["cmd"] != 1 || got["evt"] != 1 {
			t.Errorf("after %d acts and a late command there is left: %v", acts, got)
		}
	}
}

func TestAPurgedSagaIsForgottenWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	ns := ensure(t)
	k := key("o-1")
	ended(t, ns, k.ID)
	if err := ns.Purge(t.Context(), examine(t, ns, k), time.Second); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for left(t, ns, k)["evt"] > 0 {
		select {
		case <-ctx.Done():
			t.Fatal("the tombstone of the log stays")
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := ns.Start(t.Context(), k, saga.Start{Run: "r-new"}, 0); !errors.Is(err, streams.ErrExists) {
		t.Errorf("a Start before the tombstone of the commands has gone: %v, want ErrExists", err)
	}
	if h := examine(t, ns, k); h.Stage != streams.StageGone {
		t.Errorf("it is at stage %d", h.Stage)
	}
}

func TestASurveyFindsLogsAndPurgesThatDied(t *testing.T) {
	ns := ensure(t)
	want := map[string]string{}
	for acts := range 5 {
		k := key(fmt.Sprint("o-", acts))
		ended(t, ns, k.ID)
		if err := ns.PurgeActs(t.Context(), examine(t, ns, k), remember, acts); err != nil {
			t.Fatal(err)
		}
		switch acts {
		case 0, 1:
			want[k.ID] = "whole"
		case 2, 3:
			want[k.ID] = "unfinished"
		}
	}
	start(t, ns, "pending", "r")
	publish(t, ns, subjectOf(key("garbage"), "cmd"), []byte("garbage"))
	publish(t, ns, subjectOf(key("garbage"), "evt"), []byte("garbage"))
	want["garbage"] = "unreadable"
	got := map[string]string{}
	for _, stream := range ns.Streams() {
		err := ns.Survey(t.Context(), stream, func(s streams.Surveyed) error {
			switch {
			case s.Err != nil:
				got[s.Key.ID] = "unreadable"
			case s.Unfinished:
				got[s.Key.ID] = "unfinished"
			case s.Commit.Ends():
				got[s.Key.ID] = "whole"
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the survey found %v, want %v", got, want)
	}
}
