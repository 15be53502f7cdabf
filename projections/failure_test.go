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
	obeys(f.t, s.Client(f.t), args...)
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
	wipes    bool // all there was before, too
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
			f.order(f.server, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
			f.order(f.replica, "REPLICAOF", host, port)
			inStep(f.t, f.server.Client(f.t))
			f.order(f.replica, "REPLICAOF", "NO", "ONE") // what comes from here on is lost
		},
		begin: func(f *frail) { f.lead(f.replica); f.server.Kill() },
	},
	{
		name: "wiped", forgets: true, momently: true, wipes: true,
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

// guardedSagas starts those of careful.
type guardedSagas struct {
	engine.Sagas[order]
	t testing.TB
}

func (s *site) guarded(def *saga.Definition[order]) guardedSagas {
	return guardedSagas{engine.For(s.client, def), s.t}
}

// begin starts the sagas of these numbers, the last not included.
func (g guardedSagas) begin(from, to int) {
	g.t.Helper()
	for i := from; i < to; i++ {
		if _, err := g.Start(g.t.Context(), fmt.Sprint("c-", i), order{}); err != nil {
			g.t.Fatal(err)
		}
	}
}

// ended returns when the first so many have completed.
func (g guardedSagas) ended(n int) {
	g.t.Helper()
	for i := range n {
		if in, err := g.Wait(g.t.Context(), fmt.Sprint("c-", i)); err != nil || in.Status != saga.StatusCompleted {
			g.t.Fatal(in, err)
		}
	}
}

func TestWhateverHappensToRedis(t *testing.T) {
	t.Parallel()
	for _, how := range failures {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			redisFails(t, how)
		})
	}
}

// redisFails shows what the table in docs/redis.md says of a failure, while sagas run and a view is told of them.
func redisFails(t *testing.T, how failure) {
	f := newFrail(t)
	done := &effects{done: map[string]int{}}
	def := careful(done)
	s := f.site(def)
	s.view(perCustomer(1))
	guarded := s.guarded(def)
	l := s.load(16, 0, 50*time.Millisecond)
	guarded.begin(0, 5)
	s.ended(25)
	s.known("early")
	if how.prepare != nil {
		how.prepare(f)
	}
	guarded.begin(5, 10)
	s.ended(l.ended.Load() + 20)
	s.hasView()
	late := s.known("late")

	seen := s.count(ended)
	how.begin(f)
	if how.momently {
		s.afterwards(how, seen, late)
	}
	s.meanwhile(how)
	guarded.begin(10, 15)
	// Sagas that need no Redis go on in any case; those that do wait, and lose nothing.
	before := l.ended.Load()
	eventually(t, "sagas go on", func() bool { return l.ended.Load() >= before+100 })
	if how.end != nil {
		how.end(f)
	}
	guarded.ended(15)
	if how.forgets {
		done.happened(t, 30)
	} else {
		done.once(t, 30)
	}
	n := l.end()
	s.caughtUp()
	s.ended(n + 15)
	s.clean(n + 15)
	s.viewed(l)
}

// hasView returns when the view perCustomer knows all customers.
func (s *site) hasView() {
	s.t.Helper()
	eventually(s.t, "a view", func() bool { orders, err := s.readView("orders"); return err == nil && len(orders) == 7 })
}

// viewed returns when the view perCustomer has been told of each event of the load, which is over, once.
func (s *site) viewed(l *load) {
	s.t.Helper()
	n := l.ended.Load()
	customers := map[string]int64{}
	for i := range n {
		customers[fmt.Sprintf("customer-%d", (i+1)%7)]++
	}
	want := fmt.Sprint(customers, map[string]int64{"reserve": n, "charge": n, "ship": n - n/10})
	got := ""
	defer func() {
		if got != want {
			s.t.Logf("the view says %s\nwant %s", got, want)
		}
	}()
	eventually(s.t, "the view has all", func() bool {
		orders, err := s.readView("orders")
		steps, failure := s.readView("steps")
		got = fmt.Sprint(orders, steps)
		return err == nil && failure == nil && got == want
	})
}

// A rebuild was under way when the snapshot was made, and is over since: the streams know of the new generation's reader as one that
// has read all, while Redis has nothing of it.
func TestARedisThatIsBackWithAnOldSnapshotShowsNoHalf(t *testing.T) {
	t.Parallel()
	f := newFrail(t)
	s := siteWith(t, testutil.NATS(t).ClientURL(), f.rdb)
	s.worker()
	s.projector()
	s.view(perCustomer(1))
	l := s.load(8, 0, 10*time.Millisecond)
	s.ended(100)
	s.hasView()
	kept := s.count(ended)
	_, err := projections.RebuildView(t.Context(), s.rdb, "default", "per_customer", "a test")
	f.must(err)
	next, err := projections.Rebuild(t.Context(), s.rdb, "default", "a test")
	f.must(err)
	f.order(f.server, "SAVE")
	before, err := s.reader().Generations(t.Context())
	f.must(err)
	if before.Next != next {
		t.Fatal("the rebuild was over when the snapshot was made")
	}
	eventually(t, "built anew", func() bool {
		g, err := s.reader().Generations(t.Context())
		return err == nil && g.Current == next
	})
	s.ended(kept + 200)
	f.server.Kill()
	at, old := l.ended.Load(), time.Now().Add(2*time.Second)
	eventually(t, "every follower has missed Redis, and the snapshot is old", func() bool { return l.ended.Load() >= at+200 && time.Now().After(old) })
	f.start()
	eventually(t, "built anew again", func() bool {
		n, err := s.reader().Count(t.Context(), ended) // stale ones are read meanwhile
		if err == nil && n < kept {
			t.Fatalf("%d sagas are shown, %d were before the snapshot was made", n, kept)
		}
		g, err := s.reader().Generations(t.Context())
		return err == nil && g.Current == next && g.Next == ""
	})
	n := l.end()
	s.ended(n)
	s.caughtUp()
	s.clean(n)
	s.viewed(l)
}

// A view was built anew since the snapshot was made. What read the streams for the new generation is nobody's any more, and would
// keep retention from all that ended since.
func TestARedisThatIsBackWithAnOldSnapshotLeavesNoFeedBehind(t *testing.T) {
	t.Parallel()
	f := newFrail(t)
	s := siteWith(t, testutil.NATS(t).ClientURL(), f.rdb)
	s.worker()
	s.view(perCustomer(1))
	built := func(generation string) {
		t.Helper()
		eventually(t, "a generation, and the feeds of no other", func() bool {
			g, err := projections.ViewGenerations(t.Context(), s.rdb, "default", "per_customer")
			feeds, failure := s.client.Source().Feeds(t.Context(), "view-per_customer-")
			if err != nil || failure != nil || g.Current == "" || g.Next != "" || generation != "" && g.Current != generation {
				return false
			}
			of := map[string]int{}
			for _, feed := range feeds {
				of[feed]++
			}
			return len(of) == 1 && of["view-per_customer-"+g.Current] == len(s.client.Source().Streams())
		})
	}
	built("")
	first := s.marker(viewMarker)["current"]
	s.start(1, 8)
	s.hasView()
	f.order(f.server, "SAVE")
	second, err := projections.RebuildView(t.Context(), s.rdb, "default", "per_customer", "a test")
	f.must(err)
	built(second)
	f.server.Kill()
	f.start()
	built(first)
	s.start(8, 15)
	eventually(t, "the view goes on", func() bool { orders, err := s.readView("orders"); return err == nil && orders["customer-3"] == "2" })
}

// store gives idempotency keys.
func (s *site) store() *idempotency.Store {
	s.t.Helper()
	store, err := idempotency.New(idempotency.Config{Redis: s.rdb, Namespace: "payments"})
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

// known completes a key, and gives its token.
func (s *site) known(key string) uint64 {
	s.t.Helper()
	claim, _, err := s.store().Begin(s.t.Context(), key)
	if err == nil {
		err = claim.Complete(s.t.Context(), []byte("result"))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return claim.Token()
}

// afterwards checks what is answered after a failure that is over. Before it, so many sagas were seen as ended, and late was
// the token of what was done last.
func (s *site) afterwards(how failure, seen int64, late uint64) {
	s.t.Helper()
	eventually(s.t, "Redis is back", func() bool { return s.rdb.Ping(s.t.Context()).Err() == nil })
	eventually(s.t, "all that was seen is seen again", func() bool {
		n, err := s.reader().Count(s.t.Context(), ended)
		var unready *projections.NotReadyError
		switch {
		case err != nil && (!how.wipes || !errors.As(err, &unready)):
			s.t.Fatal(err)
		case !how.wipes && n < 25:
			s.t.Fatalf("%d sagas are shown, what was kept has 25", n)
		case how.wipes && err == nil && n < seen:
			s.t.Fatalf("%d sagas are shown, %d were before", n, seen)
		}
		return err == nil && n >= seen
	})
	s.hasView()
	claim, result, err := s.store().Begin(s.t.Context(), "early")
	if err != nil || (result == nil) != how.wipes || (claim != nil) != how.wipes {
		s.t.Errorf("what was done early: %v, %v, %v", claim, result, err)
	}
	claim, result, err = s.store().Begin(s.t.Context(), "late")
	if err != nil || result != nil || claim == nil || claim.Token() <= late {
		s.t.Errorf("what was done late, with the token %d: %+v, %v, %v", late, claim, result, err)
	}
}

// site is a site on this Redis, with a worker that has it, too.
func (f *frail) site(also saga.Runnable) *site {
	f.t.Helper()
	s := siteWith(f.t, testutil.NATS(f.t).ClientURL(), f.rdb)
	s.redis = f.server
	s.workerOf(engine.Config{Redis: f.rdb}, s.def, also)
	return s
}

// meanwhile checks what lists, a view, the store and a participant answer while Redis fails, or after it has.
func (s *site) meanwhile(how failure) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	page, err := s.client.List(ctx, projections.Query{Definition: "order"})
	if (err != nil) != how.unread || err == nil && len(page.Sagas) < 20 {
		s.t.Errorf("a list of %d sagas, %v", len(page.Sagas), err)
	}
	counts, err := s.reader().Counts(ctx)
	if (err != nil) != how.unread || err == nil && counts["order"][saga.StatusCompleted] < 20 {
		s.t.Errorf("counts %v, %v", counts, err)
	}
	orders, err := s.readView("orders")
	if (err != nil) != how.unread || err == nil && len(orders) != 7 {
		s.t.Errorf("a view of %v, %v", orders, err)
	}
	store := s.store()
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
