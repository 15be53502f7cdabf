package streams_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
	"github.com/jetsaga/jetsaga/testutil/journaltest"
)

func TestTheLogIsAJournal(t *testing.T) {
	server := testutil.NATS(t)
	journaltest.Suite(t, func(t *testing.T) journaltest.Fixture {
		return fixture(t, ensureOn(t, testutil.Connect(t, server), streams.Config{}))
	})
}

func TestTheLogIsAJournalInACluster(t *testing.T) {
	t.Parallel()
	cluster := testutil.NATSCluster(t, 3)
	journaltest.Suite(t, func(t *testing.T) journaltest.Fixture {
		return fixture(t, ensureOn(t, testutil.Connect(t, cluster), streams.Config{Streams: 1, Replicas: 3}))
	})
}

func fixture(t *testing.T, ns *streams.Namespace) journaltest.Fixture {
	subject := func(key saga.Key, last string) string {
		return "saga.default." + shard.Of(key.Definition, key.ID).String() + "." + key.Definition + "." + key.ID + "." + last
	}
	return journaltest.Fixture{
		Journal: ns.Log(),
		Store: func(key saga.Key, data []byte) uint64 {
			return publish(t, ns, subject(key, "evt"), data)
		},
		Timers: func(key saga.Key) map[string]time.Time { return pendingTimers(t, ns, subject(key, "timer.")) },
	}
}

// pendingTimers reads the schedules that are stored for a saga.
func pendingTimers(t *testing.T, ns *streams.Namespace, prefix string) map[string]time.Time {
	t.Helper()
	timers := map[string]time.Time{}
	for _, name := range ns.Streams() {
		stream, err := ns.JetStream().Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(prefix+">"))
		if err != nil {
			t.Fatal(err)
		}
		for subject := range info.State.Subjects {
			m, err := stream.GetLastMsgForSubject(t.Context(), subject)
			for again := 0; errors.Is(err, jetstream.ErrMsgNotFound) && again < 1000; again++ { // a replica that is behind
				m, err = stream.GetLastMsgForSubject(t.Context(), subject)
			}
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339Nano, strings.TrimPrefix(m.Header.Get(jetstream.ScheduleHeader), "@at "))
			if err != nil {
				t.Fatal(err)
			}
			timers[strings.TrimPrefix(subject, prefix)] = at
		}
	}
	return timers
}

func publish(t *testing.T, ns *streams.Namespace, subject string, data []byte) uint64 {
	t.Helper()
	ack, err := ns.JetStream().Publish(t.Context(), subject, data)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

func started(t *testing.T) *saga.Commit {
	return &saga.Commit{
		Version: 1, Time: time.Now().UTC(), By: saga.Owner{Worker: "w", Command: "r", Delivery: 1},
		Events: []saga.Event{saga.SagaStarted{Run: "r", Definition: 1, State: state(t, `{"a":1}`)}},
	}
}

func TestACommitThatWouldBurstTheServersLimitIsRefused(t *testing.T) {
	ns := ensure(t)
	c := started(t)
	c.Events = []saga.Event{saga.SagaStarted{Run: "r", State: state(t, `{"a":"`+strings.Repeat("x", 1<<20)+`"}`)}}
	_, err := ns.Log().Append(t.Context(), key("o-1"), 0, c)
	var large *streams.TooLargeError
	if !errors.As(err, &large) || large.Key != key("o-1") || large.What != "commit" {
		t.Fatalf("error is %v, want a TooLargeError", err)
	}
	if log, err := ns.Log().Load(t.Context(), key("o-1"), saga.Latest); err != nil || len(log.Commits) != 0 {
		t.Errorf("the log holds %d commits, %v", len(log.Commits), err)
	}
}

func TestWhatCannotBeEncodedIsTold(t *testing.T) {
	ns := ensure(t)
	never := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	c := started(t)
	c.Events = append(c.Events, saga.WaitStarted{Node: "sleep", Until: never})
	if _, err := ns.Log().Append(t.Context(), key("o-1"), 0, c); !errors.Is(err, streams.ErrEncoding) {
		t.Errorf("a commit: %v", err)
	}
	if err := ns.Start(t.Context(), key("o-1"), saga.Start{Run: "r", Deadline: never}, 0); !errors.Is(err, streams.ErrEncoding) {
		t.Errorf("a command: %v", err)
	}
}

func TestHistoryGivesEveryCommit(t *testing.T) {
	ns := ensure(t)
	log := ns.Log()
	revision := uint64(0)
	const commits = 600 // more than two batches
	for v := uint64(1); v <= commits; v++ {
		c := started(t)
		if c.Version = v; v > 1 {
			c.Events = []saga.Event{saga.ActivationClaimed{}}
		}
		var err error
		if revision, err = log.Append(t.Context(), key("o-1"), revision, c); err != nil {
			t.Fatal(err)
		}
	}
	history, err := log.History(t.Context(), key("o-1"))
	if err != nil || len(history) != commits {
		t.Fatalf("%d commits, %v", len(history), err)
	}
	for i, c := range history {
		if c.Version != uint64(i)+1 {
			t.Fatalf("commit %d has version %d", i, c.Version)
		}
	}
	if none, err := log.History(t.Context(), key("o-2")); err != nil || len(none) != 0 {
		t.Errorf("a saga that never was has %d commits, %v", len(none), err)
	}
}

func TestAHistoryOfLargeCommitsIsReadInPortions(t *testing.T) {
	ns := ensure(t)
	revision := uint64(0)
	const commits, size = 20, 300 << 10
	pad := strings.Repeat("x", size)
	for v := uint64(1); v <= commits; v++ {
		c := started(t)
		c.Version, c.Events = v, []saga.Event{saga.SagaStarted{Run: "r", State: state(t, `{"a":"`+pad+`"}`)}}
		var err error
		if revision, err = ns.Log().Append(t.Context(), key("o-1"), revision, c); err != nil {
			t.Fatal(err)
		}
	}
	requests, err := ns.Conn().SubscribeSync("$JS.API.DIRECT.GET.>")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = requests.Unsubscribe() }()
	if history, err := ns.Log().History(t.Context(), key("o-1")); err != nil || len(history) != commits {
		t.Errorf("%d commits, %v", len(history), err)
	}
	if n, _, err := requests.Pending(); err != nil || n != 3 { // of 2 MiB each
		t.Errorf("%d requests, %v; want 3", n, err)
	}
}

// A timer that a commit sets fires at the saga's commands; one that a later commit cancels does not.
func TestTimersFireUnlessCancelled(t *testing.T) {
	ns := ensure(t)
	log := ns.Log()
	soon := time.Now().Add(200 * time.Millisecond)
	set := started(t)
	set.Events = append(set.Events,
		saga.TimerSet{Name: "retry-1-a", At: soon}, saga.TimerSet{Name: "retry-1-b", At: soon}, saga.SagaParked{})
	revision, err := log.Append(t.Context(), key("o-1"), 0, set)
	if err != nil {
		t.Fatal(err)
	}
	cancel := started(t)
	cancel.Version, cancel.Events = 2, []saga.Event{saga.TimerCancelled{Name: "retry-1-a"}}
	if _, err := log.Append(t.Context(), key("o-1"), revision, cancel); err != nil {
		t.Fatal(err)
	}
	deliveries := pull(t, ns, 10)
	d := await(t, deliveries)
	if c, err := saga.DecodeCommand(d.Data); err != nil || c != (saga.Timer{Name: "retry-1-b", Version: 1}) {
		t.Errorf("fired: %v, %v", c, err)
	}
	// A timer whose time has passed fires at once, so one that may have been lost can be set again.
	past := saga.PendingTimer{At: time.Now().Add(-time.Hour), Version: 1}
	if err := ns.SetTimers(t.Context(), key("o-1"), map[string]saga.PendingTimer{"retry-1-c": past}); err != nil {
		t.Fatal(err)
	}
	if c, err := saga.DecodeCommand(await(t, deliveries).Data); err != nil || c.CommandID() != "retry-1-c" {
		t.Errorf("fired: %v, %v", c, err)
	}
}

// The server counts nanoseconds in 64 bits, which reach until 2262, and takes a later time for one that has passed.
func TestATimerOfAFarFutureDoesNotFireNow(t *testing.T) {
	ns := ensure(t)
	timers := map[string]saga.PendingTimer{
		"ages":  {At: time.Now().AddDate(300, 0, 0), Version: 1},
		"eons":  {At: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Version: 1},
		"never": {At: time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), Version: 1},
	}
	if err := ns.SetTimers(t.Context(), key("o-1"), timers); err != nil {
		t.Fatal(err)
	}
	soon := map[string]saga.PendingTimer{"soon": {At: time.Now().Add(100 * time.Millisecond), Version: 1}}
	if err := ns.SetTimers(t.Context(), key("o-1"), soon); err != nil {
		t.Fatal(err)
	}
	if c, err := saga.DecodeCommand(await(t, pull(t, ns, 10)).Data); err != nil || c.CommandID() != "soon" {
		t.Errorf("fired: %v, %v", c, err)
	}
}

func TestTheLogNeedsNoStreamBesidesTheShards(t *testing.T) {
	ns := ensure(t)
	info := ns.JetStream().ListStreams(t.Context(), jetstream.WithStreamListSubject("saga.default.>"))
	n := 0
	for range info.Info() {
		n++
	}
	if n != len(ns.Streams())+1 || info.Err() != nil {
		t.Errorf("%d streams, %v", n, info.Err())
	}
}
