package projections_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/projections/participant"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

// frail is a Redis that a test does to what it likes, and one that can take its place.
type frail struct {
	t       testing.TB
	server  *testutil.RedisServer
	replica *testutil.RedisServer
	at      atomic.Value // address of the one that clients are led to
	rdb     *redis.Client
	stop    func() // ends what was begun
}

func newFrail(t testing.TB) *frail {
	t.Helper()
	start := func() *testutil.RedisServer {
		s, err := testutil.StartRedis(t.Context(), testutil.RedisConfig{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Kill)
		return s
	}
	f := &frail{t: t, server: start(), stop: func() {}}
	f.replica = start()
	f.lead(f.server)
	const brief = 200 * time.Millisecond
	f.rdb = redis.NewClient(&redis.Options{
		Addr: "redis", DialTimeout: brief, ReadTimeout: brief, WriteTimeout: brief, MaxRetries: -1,
		Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, f.at.Load().(string))
		},
	})
	t.Cleanup(func() { _ = f.rdb.Close() })
	return f
}

func (f *frail) lead(to *testutil.RedisServer) { f.at.Store(to.Address()) }

// order gives a server an order that it must obey.
func (f *frail) order(s *testutil.RedisServer, args ...any) {
	f.t.Helper()
	if err := s.Client(f.t).Do(f.t.Context(), args...).Err(); err != nil {
		f.t.Fatal(args, err)
	}
}

// failure is a way for a Redis to fail.
type failure struct {
	name     string
	prepare  func(f *frail) // while all is well
	begin    func(f *frail)
	end      func(f *frail)
	refuses  bool // writes
	unread   bool // reads fail, too
	forgets  bool // what was acknowledged
	momently bool // it is over as soon as it has begun
}

var failures = []failure{
	{
		name: "down", refuses: true, unread: true,
		begin: func(f *frail) { f.server.Kill() },
		end:   func(f *frail) { f.start() },
		// A server without persistence comes back empty.
		forgets: true,
	},
	{
		name: "does not answer", refuses: true, unread: true,
		begin: func(f *frail) { f.must(f.server.Stop()) },
		end:   func(f *frail) { f.must(f.server.Continue()) },
	},
	{
		name: "slow",
		begin: func(f *frail) {
			ctx, cancel := context.WithCancel(f.t.Context())
			rdb := f.server.Client(f.t)
			var pausing sync.WaitGroup
			pausing.Go(func() {
				for ctx.Err() == nil {
					_ = rdb.Do(ctx, "CLIENT", "PAUSE", "40", "ALL").Err()
					select {
					case <-ctx.Done():
					case <-time.After(50 * time.Millisecond):
					}
				}
			})
			f.stop = func() { cancel(); pausing.Wait() }
		},
		end: func(f *frail) { f.stop() },
	},
	{
		name: "read-only", refuses: true,
		begin: func(f *frail) { f.order(f.server, "REPLICAOF", "127.0.0.1", "1") },
		end:   func(f *frail) { f.order(f.server, "REPLICAOF", "NO", "ONE") },
	},
	{
		name: "without enough replicas", refuses: true,
		begin: func(f *frail) { f.order(f.server, "CONFIG", "SET", "min-replicas-to-write", "1") },
		end:   func(f *frail) { f.order(f.server, "CONFIG", "SET", "min-replicas-to-write", "0") },
	},
	{
		name: "out of memory", refuses: true,
		begin: func(f *frail) { f.order(f.server, "CONFIG", "SET", "maxmemory", "1") },
		end:   func(f *frail) { f.order(f.server, "CONFIG", "SET", "maxmemory", "0") },
	},
	{
		name: "failed over with its last writes lost", forgets: true, momently: true,
		prepare: func(f *frail) {
			host, port, err := net.SplitHostPort(f.server.Address())
			f.must(err)
			f.order(f.replica, "REPLICAOF", host, port)
			eventually(f.t, "the replica is in step", func() bool {
				n, err := f.server.Client(f.t).Wait(f.t.Context(), 1, time.Second).Result()
				return err == nil && n == 1
			})
			f.order(f.replica, "REPLICAOF", "NO", "ONE") // what comes from here on is lost
		},
		begin: func(f *frail) { f.lead(f.replica); f.server.Kill() },
	},
	{
		name: "wiped", forgets: true, momently: true,
		begin: func(f *frail) { f.order(f.server, "FLUSHALL") },
	},
	{
		name: "set back to an old snapshot", forgets: true, momently: true,
		prepare: func(f *frail) { f.order(f.server, "SAVE") },
		begin:   func(f *frail) { f.server.Kill(); f.start() },
	},
}

func (f *frail) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *frail) start() { f.must(f.server.Start(f.t.Context())) }

// effects counts what steps have done, by saga and step.
type effects struct {
	mu   sync.Mutex
	done map[string]int
}

func (e *effects) add(ctx context.Context, what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done[saga.FromContext(ctx).Key.ID+" "+what]++
}

// happened fails the test unless so many effects have happened, however often.
func (e *effects) happened(t *testing.T, want int) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.done) != want {
		t.Errorf("%d effects happened, want %d", len(e.done), want)
	}
}

// once fails the test unless so many effects have happened, each once.
func (e *effects) once(t *testing.T, want int) {
	t.Helper()
	e.happened(t, want)
	e.mu.Lock()
	defer e.mu.Unlock()
	for what, n := range e.done {
		if n != 1 {
			t.Errorf("%s happened %d times", what, n)
		}
	}
}

// careful is a definition with a guarded step, and with effects that happen once.
func careful(e *effects) *saga.Definition[order] {
	return saga.Must(saga.Define("careful", 1,
		saga.Step("print", func(ctx context.Context, _ *order) error {
			e.add(ctx, "print")
			return nil
		}).Guarded(),
		saga.Step("send", func(ctx context.Context, _ *order) error {
			_, err := saga.Once(ctx, "mail", func(ctx context.Context) (bool, error) {
				e.add(ctx, "mail")
				return true, nil
			})
			return err
		}).Retry(saga.RetryPolicy{Initial: 10 * time.Millisecond, Max: 100 * time.Millisecond, Attempts: saga.Unlimited}),
	))
}

func TestWhateverHappensToRedis(t *testing.T) {
	for _, how := range failures {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			redisFails(t, how)
		})
	}
}

// redisFails shows what the table in docs/redis.md says of a failure.
func redisFails(t *testing.T, how failure) {
	f := newFrail(t)
	done := &effects{done: map[string]int{}}
	def := careful(done)
	s := f.site(def)
	carefully := engine.For(s.client, def)
	begin := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if _, err := carefully.Start(t.Context(), fmt.Sprint("c-", i), order{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.start(0, 20)
	begin(0, 5)
	s.ended(25)
	if how.prepare != nil {
		how.prepare(f)
	}
	s.start(20, 40)
	begin(5, 10)
	s.ended(50)

	how.begin(f)
	// Sagas that need no Redis go on in any case; those that do wait, and lose nothing.
	s.start(40, 60)
	for i := 40; i < 60; i++ {
		_, err := engine.For(s.client, s.def).Wait(t.Context(), fmt.Sprintf("o-%06d", i))
		var ended *engine.EndedError
		if err != nil && !errors.As(err, &ended) {
			t.Fatal(err)
		}
	}
	begin(10, 15)
	if !how.momently {
		s.meanwhile(how)
	}
	if how.end != nil {
		how.end(f)
	}
	for i := range 15 {
		if in, err := carefully.Wait(t.Context(), fmt.Sprint("c-", i)); err != nil || in.Status != saga.StatusCompleted {
			t.Fatal(in, err)
		}
	}
	if how.forgets {
		done.happened(t, 30)
	} else {
		done.once(t, 30)
	}
	s.caughtUp()
	s.ended(75)
	s.clean(75)
}

// site is a site on this Redis, with a worker that has it, too.
func (f *frail) site(also saga.Runnable) *site {
	f.t.Helper()
	s := siteWith(f.t, testutil.NATS(f.t).ClientURL(), f.rdb)
	s.redis = f.server
	s.workerOf(engine.Config{Redis: f.rdb}, s.def, also)
	return s
}

// meanwhile checks what lists, the store and a participant answer while Redis fails.
func (s *site) meanwhile(how failure) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	page, err := s.client.List(ctx, projections.Query{Definition: "order"})
	if (err != nil) != how.unread || err == nil && len(page.Sagas) < 40 {
		s.t.Errorf("a list of %d sagas, %v", len(page.Sagas), err)
	}
	store, err := idempotency.New(idempotency.Config{Redis: s.rdb, Namespace: "payments"})
	if err != nil {
		s.t.Fatal(err)
	}
	claim, result, err := store.Begin(ctx, "key")
	if (err != nil) != how.refuses || result != nil || (claim == nil) != how.refuses {
		s.t.Errorf("Begin: %v, %v, %v", claim, result, err)
	}
	if _, err = store.Do(ctx, "other", func(context.Context) ([]byte, error) { return nil, nil }); (err != nil) != how.refuses {
		s.t.Errorf("Do: %v", err)
	}
	inbox, err := store.Inbox("orders")
	if err != nil {
		s.t.Fatal(err)
	}
	taken := false
	if err := inbox.Once(ctx, "m-1", func(context.Context) error { taken = true; return nil }); (err != nil) != how.refuses || taken == how.refuses {
		s.t.Errorf("an inbox: %v, taken %v", err, taken)
	}
	worked := false
	handler := participant.HTTP(store)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { worked = true }))
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/charges", nil)
	request.Header.Set(participant.Header, "key")
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	if (answer.Code == http.StatusServiceUnavailable) != how.refuses || worked == how.refuses {
		s.t.Errorf("a participant answers %d, and its handler has run: %v", answer.Code, worked)
	}
}
