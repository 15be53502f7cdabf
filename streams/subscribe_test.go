package streams_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// line is what a connection goes over, and can be cut.
type line struct {
	mu   sync.Mutex
	conn net.Conn
	down bool
}

func (l *line) Dial(network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errors.New("the line is cut")
	}
	var d net.Dialer
	var err error
	l.conn, err = d.DialContext(context.Background(), network, address)
	return l.conn, err
}

func (l *line) cut(t *testing.T, nc *nats.Conn) {
	t.Helper()
	lost := nc.StatusChanged(nats.RECONNECTING)
	defer nc.RemoveStatusListener(lost)
	l.mu.Lock()
	l.down = true
	err := l.conn.Close()
	l.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	await(t, lost)
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

// watcher takes what a subscription brings.
type watcher struct {
	begun chan struct{}
	came  chan streams.CommitRecord
	done  <-chan struct{}
}

func (w watcher) Subscribed() { close(w.begun) }

func (w watcher) Commit(c streams.CommitRecord) bool {
	select {
	case w.came <- c:
		return true
	case <-w.done:
		return false
	}
}

// watch subscribes until the test ends or stop is called, which gives the error, and returns when the subscription has begun.
func watch(t *testing.T, subscribe func(context.Context, streams.CommitHandler) error) (came <-chan streams.CommitRecord, stop func() error, ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := watcher{make(chan struct{}), make(chan streams.CommitRecord), ctx.Done()}
	end := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { end <- subscribe(ctx, w) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	select {
	case <-w.begun:
	case err := <-end:
		t.Fatal(err)
	}
	return w.came, func() error { cancel(); return await(t, end) }, end
}

// watchers are subscriptions to what is to come of one saga.
func watchers(ns *streams.Namespace, k saga.Key) map[string]func(context.Context, streams.CommitHandler) error {
	return map[string]func(context.Context, streams.CommitHandler) error{
		"of the saga": func(ctx context.Context, h streams.CommitHandler) error { return ns.SubscribeSaga(ctx, k, 0, h) },
		"of its stream": func(ctx context.Context, h streams.CommitHandler) error {
			return ns.SubscribeStream(ctx, ns.Home(k), k.Definition, h)
		},
	}
}

func TestASubscriptionMissesNothingWhileItsConnectionIsCut(t *testing.T) {
	server := testutil.NATS(t)
	others := ensureOn(t, testutil.Connect(t, server), streams.Config{})
	var l line
	nc := testutil.Connect(t, server, nats.SetCustomDialer(&l), nats.ReconnectWait(time.Millisecond), nats.MaxReconnects(-1))
	ns := ensureOn(t, nc, streams.Config{})
	k := key("o-1")
	ended(t, others, "o-0") // nothing of it is to come
	subscriptions := map[string]<-chan streams.CommitRecord{}
	for name, subscribe := range watchers(ns, k) {
		subscriptions[name], _, _ = watch(t, subscribe)
	}
	revision := uint64(0)
	for _, version := range []uint64{1, 2} { // before anything has come, and after
		l.cut(t, nc)
		c := started(t)
		if version > 1 {
			c.Version, c.Events = version, []saga.Event{saga.StepCompleted{Step: "one", Attempt: 1}}
		}
		var err error
		if revision, err = others.Log().Append(t.Context(), k, revision, c); err != nil {
			t.Fatal(err)
		}
		l.mend()
		for name, came := range subscriptions {
			if c := await(t, came); c.Key != k || c.Commit.Version != version {
				t.Errorf("%s came %+v, want version %d of %s", name, c, version, k)
			}
		}
	}
}

func TestASubscriptionGoesOnWithAStreamThatWasSetBack(t *testing.T) {
	server := testutil.NATS(t)
	others := ensureOn(t, testutil.Connect(t, server), streams.Config{})
	var l line
	nc := testutil.Connect(t, server, nats.SetCustomDialer(&l), nats.ReconnectWait(time.Millisecond), nats.MaxReconnects(-1))
	ns := ensureOn(t, nc, streams.Config{})
	k := key("o-1")
	for range 10 {
		publish(t, others, subjectOf(k, "out.topic"), []byte("emitted"))
	}
	subscriptions := map[string]<-chan streams.CommitRecord{}
	for name, subscribe := range watchers(ns, k) {
		subscriptions[name], _, _ = watch(t, subscribe)
	}
	l.cut(t, nc)
	if err := others.JetStream().DeleteStream(t.Context(), ns.Home(k)); err != nil {
		t.Fatal(err)
	}
	others = ensureOn(t, others.Conn(), streams.Config{})
	l.mend()
	stream, err := others.JetStream().Stream(t.Context(), ns.Home(k))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		info, err := stream.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Consumers >= len(subscriptions) {
			break
		}
	}
	if _, err := others.Log().Append(t.Context(), k, 0, started(t)); err != nil {
		t.Fatal(err)
	}
	for name, came := range subscriptions {
		if c := await(t, came); c.Key != k || c.Commit.Version != 1 {
			t.Errorf("%s came %+v, want the beginning of %s", name, c, k)
		}
	}
}

func TestASubscriptionEndsWithItsStream(t *testing.T) {
	t.Parallel() // a request may be lost with the stream, which takes a while to notice
	ns := ensure(t)
	k := key("o-1")
	ends := map[string]<-chan error{}
	for name, subscribe := range watchers(ns, k) {
		_, _, ends[name] = watch(t, subscribe)
	}
	if err := ns.JetStream().DeleteStream(t.Context(), ns.Home(k)); err != nil {
		t.Fatal(err)
	}
	for name, end := range ends {
		if err := await(t, end); !errors.Is(err, streams.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
}

func TestASubscriptionEndsWithItsConnection(t *testing.T) {
	ns := ensure(t)
	_, _, end := watch(t, watchers(ns, key("o-1"))["of the saga"])
	ns.Conn().Close()
	if err := await(t, end); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("it ended with %v, want ErrConnectionClosed", err)
	}
}

func TestASubscriptionBringsMoreThanOneRequestDoes(t *testing.T) {
	ns := ensure(t)
	k := key("o-1")
	revision, c := uint64(0), started(t)
	const commits = 600
	for version := uint64(1); version <= commits; version++ {
		if version > 1 {
			c.Version, c.Events = version, []saga.Event{saga.SagaResumed{}}
		}
		var err error
		if revision, err = ns.Log().Append(t.Context(), k, revision, c); err != nil {
			t.Fatal(err)
		}
	}
	came, stop, _ := watch(t, func(ctx context.Context, h streams.CommitHandler) error { return ns.SubscribeSaga(ctx, k, 1, h) })
	for version := uint64(1); version <= commits; version++ {
		if c := await(t, came); c.Commit.Version != version {
			t.Fatalf("version %d came, want %d", c.Commit.Version, version)
		}
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v, want the context's error", err)
	}
}
