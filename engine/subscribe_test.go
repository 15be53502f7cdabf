package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestASubscriptionBringsEventsFromAVersionOn(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	sagas := engine.For(f.client(), def)
	if _, err := sagas.Run(withPatience(t), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		from uint64
		want string
	}{
		{1, "SagaStarted StepCompleted StepCompleted StepCompleted SagaCompleted"},
		{2, "StepCompleted StepCompleted SagaCompleted"},
	} {
		s, err := sagas.Subscribe(withPatience(t), "t-1", test.from)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for e := range s.Events() {
			got += saga.EventName(e.Event) + " "
			if _, ended := e.Event.(saga.SagaCompleted); ended {
				break
			}
		}
		s.Stop()
		if got != test.want+" " || s.Err() != nil {
			t.Errorf("from %d: %s, %v; want %s", test.from, got, s.Err(), test.want)
		}
	}
}

func TestASubscriptionBringsWhatIsToCome(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	sagas := engine.For(f.client(), def)
	one, err := sagas.Subscribe(withPatience(t), "t-3", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Stop()
	all, err := f.client().SubscribeAll(withPatience(t), "trip")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Stop()
	for i := range 5 {
		if _, err := sagas.Run(withPatience(t), fmt.Sprintf("t-%d", i), trip{}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]uint64{}
	for range 5 * 5 {
		e := receive(t, all.Events())
		if e.Version < seen[e.Key.ID] {
			t.Errorf("%s: version %d came after %d", e.Key, e.Version, seen[e.Key.ID])
		}
		seen[e.Key.ID] = e.Version
	}
	if len(seen) != 5 {
		t.Errorf("events of %d sagas came, want 5", len(seen))
	}
	if e := receive(t, one.Events()); e.Key.ID != "t-3" || e.Version != 1 {
		t.Errorf("got %+v, want the beginning of t-3", e)
	}
	if _, err := f.client().SubscribeAll(t.Context(), "no such"); err == nil {
		t.Error("a name with a space was taken")
	}
}

// unread tells of the commits that a logger says cannot be read.
type unread struct {
	slog.Handler

	came chan string
}

func (u *unread) Enabled(context.Context, slog.Level) bool { return true }

func (u *unread) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "cannot be read") {
		u.came <- r.Message
	}
	return nil
}

func TestACommitThatCannotBeReadEndsNoSubscription(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	log := &unread{slog.DiscardHandler, make(chan string, 10)}
	client, err := engine.NewClient(t.Context(), engine.Config{Conn: f.nc, Logger: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.SubscribeAll(withPatience(t), "trip")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Stop()
	one, err := client.Subscribe(withPatience(t), saga.Key{Definition: "trip", ID: "newer"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Stop()
	js, err := jetstream.New(f.nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][2]string{
		{"bad", "no JSON"},
		{"newer", `{"f":99,"v":1,"e":[{"type":"SagaResumed","data":{}}]}`},
		{"newer", `{"f":1,"v":2,"t":"2030-01-01T00:00:00Z","e":[{"type":"SagaLevitated","data":{}},{"type":"SagaResumed","data":{}}]}`},
	} {
		subject := "saga.default." + shard.Of("trip", bad[0]).String() + ".trip." + bad[0] + ".evt"
		if _, err := js.Publish(t.Context(), subject, []byte(bad[1])); err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range map[string]*engine.Subscription{"of one": one, "of all": all} {
		e := receive(t, s.Events())
		if _, ok := e.Event.(saga.SagaResumed); !ok || e.Key.ID != "newer" || e.Version != 2 {
			t.Errorf("%s: %+v came, want what is known of the newer commit", name, e)
		}
	}
	if _, err := engine.For(client, def).Run(withPatience(t), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	if e := receive(t, all.Events()); e.Key.ID != "t-1" || e.Version != 1 {
		t.Errorf("%+v came, want the beginning of t-1", e)
	}
	for range 3 { // one of all, and one of both
		receive(t, log.came)
	}
}

func TestASubscriptionOutlivesTheServer(t *testing.T) {
	t.Parallel()
	server := testutil.StartServerProcess(t, t.TempDir())
	f := &fleet{t: t, nc: testutil.Connect(t, server, engine.ConnectOptions()...)}
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{}, def)
	sagas := engine.For(f.client(), def)
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	all, err := f.client().SubscribeAll(ctx, "trip")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Stop()
	one, err := sagas.Subscribe(ctx, "t-1", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Stop()
	const events = 5 // of a saga
	run := func(i int) {
		t.Helper()
		if _, err := sagas.Run(ctx, fmt.Sprintf("t-%d", i), trip{}); err != nil {
			t.Fatal(err)
		}
	}
	come := func(s *engine.Subscription, id string) {
		t.Helper()
		var names []string
		for range events {
			var e projections.Event
			select {
			case e = <-s.Events():
			case <-ctx.Done():
				t.Fatalf("waited in vain for %s after %v: %v", id, names, s.Err())
			}
			if e.Key.ID != id {
				t.Fatalf("%+v came, want one of %s", e, id)
			}
			names = append(names, saga.EventName(e.Event))
		}
		if got := strings.Join(names, " "); got != "SagaStarted StepCompleted StepCompleted StepCompleted SagaCompleted" {
			t.Errorf("of %s came %s", id, got)
		}
	}
	run(0)
	come(all, "t-0")
	server.Kill()
	server.Restart()
	run(1)
	come(all, "t-1")
	come(one, "t-1")
}

func TestASubscriptionIsStoppedWhileNoStreamAnswers(t *testing.T) {
	t.Parallel()
	for name, subscribe := range map[string]func(*engine.Client) (*engine.Subscription, error){
		"one": func(c *engine.Client) (*engine.Subscription, error) {
			return c.Subscribe(t.Context(), saga.Key{Definition: "trip", ID: "t-1"}, 0)
		},
		"all": func(c *engine.Client) (*engine.Subscription, error) { return c.SubscribeAll(t.Context(), "trip") },
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, 0, server.Options{StoreDir: t.TempDir()})
			f := &fleet{t, testutil.Connect(t, server, engine.ConnectOptions()...)}
			s, err := subscribe(f.client())
			if err != nil {
				t.Fatal(err)
			}
			requests := make(chan *nats.Msg, 1000)
			if _, err := testutil.Connect(t, server).ChanSubscribe("$JS.API.>", requests); err != nil { // so that none is refused, either
				t.Fatal(err)
			}
			if err := server.DisableJetStream(); err != nil {
				t.Fatal(err)
			}
			if err := f.nc.ForceReconnect(); err != nil {
				t.Fatal(err)
			}
			for m := receive(t, requests); !strings.HasPrefix(m.Subject, "$JS.API.STREAM.") && !strings.HasPrefix(m.Subject, "$JS.API.CONSUMER.CREATE."); {
				m = receive(t, requests)
			}
			stopped := make(chan struct{})
			go func() {
				s.Stop()
				close(stopped)
			}()
			select {
			case <-stopped:
			case <-time.After(4 * time.Second): // less than the client waits for an answer
				t.Error("Stop waits for the server")
				<-stopped
			}
			if err := s.Err(); err != nil {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

func TestASubscriptionEndsWithItsStreams(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	all, err := f.client().SubscribeAll(withPatience(t), "trip")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Stop()
	js, err := jetstream.New(f.nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "SAGA_default_1"); err != nil {
		t.Fatal(err)
	}
	select {
	case _, open := <-all.Events():
		if open {
			t.Error("an event came")
		}
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	if err := all.Err(); !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("it ended with %v, want that its stream is gone", err)
	}
}
