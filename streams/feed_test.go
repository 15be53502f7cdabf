package streams_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// reader is a feed's handler that remembers what it saw.
type reader struct {
	t      *testing.T
	refuse func(batch int) error // before the n-th batch

	mu      sync.Mutex
	last    uint64
	seen    []streams.Record
	begins  int
	batches int
	changed chan struct{}
}

func newReader(t *testing.T) *reader { return &reader{t: t, changed: make(chan struct{}, 1)} }

func (r *reader) Begin(context.Context) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begins++
	return r.last, nil
}

func (r *reader) Apply(_ context.Context, b streams.FeedBatch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches++
	if r.refuse != nil {
		if err := r.refuse(r.batches); err != nil {
			return err
		}
	}
	for _, record := range b.Records {
		if record.Sequence <= r.last {
			r.t.Errorf("record %d came after %d", record.Sequence, r.last)
		}
		r.last = record.Sequence
	}
	r.seen = append(r.seen, b.Records...)
	select {
	case r.changed <- struct{}{}:
	default:
	}
	return nil
}

// waitFor returns when so many records were seen.
func (r *reader) waitFor(n int) []streams.Record {
	r.t.Helper()
	for timeout := time.After(20 * time.Second); ; {
		r.mu.Lock()
		seen := r.seen
		r.mu.Unlock()
		if len(seen) >= n {
			return seen
		}
		select {
		case <-r.changed:
		case <-timeout:
			r.t.Fatalf("%d records were seen, want %d", len(seen), n)
		}
	}
}

// following runs Follow until the returned function is called.
func following(t *testing.T, ns *streams.Namespace, conf streams.FeedConfig, h streams.FeedHandler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- ns.Follow(ctx, ns.Streams()[0], conf, h) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-result })
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func startSagas(t *testing.T, ns *streams.Namespace, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		start := saga.Start{Run: fmt.Sprintf("run-%d", i), State: state(t, `{}`), Time: time.Now().UTC()}
		if err := ns.Start(t.Context(), key(fmt.Sprintf("saga-%d", i)), start, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFeedGivesEveryRecordOnceAndInOrder(t *testing.T) {
	ns := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Streams: 1})
	startSagas(t, ns, 0, 300)
	r := newReader(t)
	stop := following(t, ns, streams.FeedConfig{Name: "all", Batch: 32}, r)
	r.waitFor(300)
	startSagas(t, ns, 300, 400)
	seen := r.waitFor(400)
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Follow: %v", err)
	}
	for i, record := range seen {
		if want := fmt.Sprintf("saga-%d", i); record.Key.ID != want || record.Commit || record.Time.IsZero() {
			t.Fatalf("record %d: %+v, want the start of %s", i, record, want)
		}
	}
}

func TestAFeedGoesOnWhereItsHandlerSays(t *testing.T) {
	ns := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Streams: 1})
	startSagas(t, ns, 0, 100)
	failure := errors.New("the store is down")
	r := newReader(t)
	r.refuse = func(batch int) error {
		if batch == 3 {
			return failure
		}
		return nil
	}
	conf := streams.FeedConfig{Name: "refused", Batch: 16}
	if err := ns.Follow(t.Context(), ns.Streams()[0], conf, r); !errors.Is(err, failure) {
		t.Fatalf("Follow: %v, want the handler's error", err)
	}
	stop := following(t, ns, conf, r)
	if seen := r.waitFor(100); len(seen) != 100 {
		t.Errorf("%d records were seen, want 100", len(seen))
	}
	_ = stop()
	r.mu.Lock()
	r.last, r.seen = 50, nil
	r.mu.Unlock()
	stop = following(t, ns, conf, r)
	if seen := r.waitFor(50); seen[0].Sequence != 51 {
		t.Errorf("it began with %d, want 51", seen[0].Sequence)
	}
	_ = stop()
}

func TestOneMemberOfAFeedIsActiveAndAnotherTakesOverWithinASecond(t *testing.T) {
	machine := testutil.WatchMachine(t)
	ns := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Streams: 1})
	// They share what they have got to, as members with a store do.
	first, second := newReader(t), newReader(t)
	conf := streams.FeedConfig{Name: "shared", Batch: 8}
	stopFirst := following(t, ns, conf, first)
	startSagas(t, ns, 0, 10)
	first.waitFor(10)
	second.last = first.last
	stopSecond := following(t, ns, conf, second)
	startSagas(t, ns, 10, 30)
	first.waitFor(30)
	if second.begins != 0 {
		t.Error("the second member became active beside the first")
	}
	second.mu.Lock()
	second.last = first.last
	second.mu.Unlock()
	_ = stopFirst()
	stopped := time.Now()
	startSagas(t, ns, 30, 40)
	second.waitFor(10)
	took := time.Since(stopped)
	t.Logf("the second member went on after %v", took)
	if took > time.Second && machine.HoldsTimes(t) {
		t.Errorf("the second member took %v, want a second at most", took)
	}
	last, err := ns.LastSequence(t.Context(), ns.Streams()[0])
	if err != nil {
		t.Error(err)
	}
	if p, err := ns.FeedProgress(t.Context(), ns.Streams()[0], conf.Name); err != nil || p.Lag > 10 || p.Acked+p.Lag != last {
		t.Errorf("the feed is at %+v, %v; the stream at %d", p, err, last)
	}
	_ = stopSecond()
	if err := ns.EndFeed(t.Context(), conf.Name); err != nil {
		t.Error(err)
	}
	if names, err := ns.Feeds(t.Context(), "shared"); err != nil || len(names) != 0 {
		t.Errorf("consumers %q, %v; want none", names, err)
	}
}

// Others name their consumers as they like, and so do definitions, whose queues have their names.
func TestAConsumerIsNoFeedBecauseOfItsName(t *testing.T) {
	ns := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Streams: 1})
	if _, err := ns.Pull(t.Context(), "models-deploy", streams.PullHandlers{}); err != nil {
		t.Fatal(err)
	}
	conf := jetstream.ConsumerConfig{Durable: "models-export", AckPolicy: jetstream.AckExplicitPolicy}
	if _, err := ns.JetStream().CreateConsumer(t.Context(), ns.Streams()[0], conf); err != nil {
		t.Fatal(err)
	}
	startSagas(t, ns, 0, 1)
	r := newReader(t)
	following(t, ns, streams.FeedConfig{Name: "models-feed"}, r)
	r.waitFor(1)
	if feeds, err := ns.Feeds(t.Context(), "models-"); err != nil || !slices.Equal(feeds, []string{"models-feed"}) {
		t.Errorf("the feeds are %q, %v", feeds, err)
	}
	for _, name := range []string{"models-deploy", "models-export"} {
		if err := ns.EndFeed(t.Context(), name); err != nil {
			t.Error(err)
		}
		if _, err := ns.JetStream().Consumer(t.Context(), ns.Streams()[0], name); err != nil {
			t.Errorf("%s, after the feed of that name was ended: %v", name, err)
		}
	}
}

func TestRecordsGivesCommandsAndCommitsOfASaga(t *testing.T) {
	ns := ensure(t)
	startSagas(t, ns, 0, 2)
	if records, err := ns.Records(t.Context(), key("saga-1")); err != nil || len(records) != 1 || records[0].Key != key("saga-1") {
		t.Errorf("got %v, %v; want one command", records, err)
	}
	if records, err := ns.Records(t.Context(), key("unknown")); err != nil || len(records) != 0 {
		t.Errorf("got %v, %v; want none", records, err)
	}
}
