package streams_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
	"github.com/jetsaga/jetsaga/testutil/journaltest"
)

// postingJournal appends as a worker does: it posts, and appends where that does not tell.
type postingJournal struct {
	*streams.Log
	posted *atomic.Int32
}

func (j postingJournal) Append(ctx context.Context, key saga.Key, at uint64, c *saga.Commit) (uint64, error) {
	stored := make(chan uint64, 1)
	if j.Post(ctx, key, at, c, func(revision uint64) { stored <- revision }) {
		j.posted.Add(1)
		if revision := <-stored; revision != 0 {
			return revision, nil
		}
	}
	return j.Log.Append(ctx, key, at, c)
}

func TestALogThatIsPostedToIsAJournal(t *testing.T) {
	server := testutil.NATS(t)
	var posted atomic.Int32
	journaltest.Suite(t, func(t *testing.T) journaltest.Fixture {
		ns := ensureOn(t, testutil.Connect(t, server), streams.Config{})
		f := fixture(t, ns)
		f.Journal = postingJournal{ns.Log(), &posted}
		return f
	})
	if posted.Load() == 0 {
		t.Error("nothing was posted")
	}
}

func TestWhatTakesMoreThanAMessageOrCannotBeSentIsNotPosted(t *testing.T) {
	ns := ensure(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	refused := func(ctx context.Context, what string, event saga.Event) {
		t.Helper()
		c := &saga.Commit{Version: 1, Time: time.Now().UTC(), Events: []saga.Event{event}}
		if ns.Log().Post(ctx, key("o-1"), 0, c, func(uint64) { t.Errorf("%s: then is called", what) }) {
			t.Errorf("%s: it is posted", what)
		}
	}
	refused(t.Context(), "a timer", saga.TimerSet{Name: "t", At: time.Now().Add(time.Hour)})
	refused(t.Context(), "one timer less", saga.TimerCancelled{Name: "t"})
	refused(t.Context(), "too large", saga.SagaStarted{Run: strings.Repeat("r", 2<<20)})
	refused(ended, "a context that has ended", saga.SagaStarted{Run: "r"})
	if log, err := ns.Log().Load(t.Context(), key("o-1"), saga.Latest); err != nil || len(log.Commits) > 0 {
		t.Errorf("the log has %d commits, %v", len(log.Commits), err)
	}
}

func TestWhatWasPostedAndIsNotAnsweredIsGivenUp(t *testing.T) {
	ns := ensure(t)
	silence := nats.NewMsg("silence")
	if _, err := ns.Conn().Subscribe(silence.Subject, func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	told := make(chan uint64, 10)
	then := func(sequence uint64) { told <- sequence }
	givenUp := func(what string) {
		t.Helper()
		select {
		case sequence := <-told:
			if sequence != 0 {
				t.Errorf("%s: told of %d", what, sequence)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: told of nothing", what)
		}
	}
	for _, mine := range []string{"the first context ends", "the second context ends"} {
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			if err := ns.PostTo(ctx, silence, then); err != nil {
				t.Fatal(err)
			}
		}
		other, cancelOther := context.WithCancel(t.Context())
		if err := ns.PostTo(other, silence, then); err != nil {
			t.Fatal(err)
		}
		cancel()
		givenUp(mine)
		givenUp(mine)
		if len(told) > 0 {
			t.Errorf("%s: what was posted under another is given up", mine)
		}
		cancelOther()
		givenUp("the other context ends")
	}
	if err := ns.PostTo(t.Context(), silence, then); err != nil {
		t.Fatal(err)
	}
	ns.SweepOut()
	givenUp("its time is over")
	if err := ns.PostTo(t.Context(), nats.NewMsg("nobody.listens"), then); err != nil {
		t.Fatal(err)
	}
	givenUp("nobody listens")
	ns.Conn().Close()
	if err := ns.PostTo(t.Context(), silence, then); !errors.Is(err, nats.ErrConnectionClosed) || len(told) > 0 {
		t.Errorf("on a closed connection: %v, told %d times", err, len(told))
	}
}

func TestNobodyListensForAnswersWhileNothingIsPublished(t *testing.T) {
	ns := ensure(t)
	for range 2 {
		ns.Sweep()
	}
	revision := uint64(0)
	before := ns.Conn().NumSubscriptions()
	for version := uint64(1); version <= 2; version++ {
		var err error
		c := &saga.Commit{Version: version, Time: time.Now().UTC(), Events: []saga.Event{saga.SagaStarted{Run: "r"}}}
		if revision, err = ns.Log().Append(t.Context(), key("o-1"), revision, c); err != nil {
			t.Fatal(err)
		}
		ns.Sweep()
		if n := ns.Conn().NumSubscriptions(); n != before+1 {
			t.Errorf("%d subscriptions after a publish, want one more than %d", n, before)
		}
		ns.Sweep()
		if n := ns.Conn().NumSubscriptions(); n != before {
			t.Errorf("%d subscriptions after a rest, want %d", n, before)
		}
		ns.Sweep()
	}
}
