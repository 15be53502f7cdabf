package projections_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil { // those that are parallel wait more than they compute
		panic(err)
	}
	logging.Disable() // of connections that tests break on purpose
	// Where a server is gone, go-redis looks for it each second, and notices only then that its client is closed.
	dialing := goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")
	os.Exit(testutil.Main(testutil.NoLeaks(m.Run, dialing), map[string]testutil.Role{"projector": projectorRole}))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// order is the state of the sagas in these tests.
type order struct {
	Customer string `json:"customer"`
	Fail     bool   `json:"fail,omitempty"`
	Log      string `json:"log,omitempty"`
	// Takes is how long the last step takes.
	Takes time.Duration `json:"takes,omitempty"`
}

func does(name string) saga.Handler[order] {
	return func(_ context.Context, o *order) error {
		o.Log += name + " "
		return nil
	}
}

func orders(t testing.TB) *saga.Definition[order] {
	t.Helper()
	def, err := saga.Define("order", 1,
		saga.Attribute("customer", func(o *order) string { return o.Customer }),
		saga.Step("reserve", does("reserve")).Compensate(does("-reserve")),
		saga.Step("charge", does("charge")).Compensate(does("-charge")),
		saga.Step("ship", func(ctx context.Context, o *order) error {
			if o.Takes > 0 {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(o.Takes):
				}
			}
			if o.Fail {
				return saga.Permanent(fmt.Errorf("no way to ship"))
			}
			return nil
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// site is NATS and Redis, and a client.
type site struct {
	t      testing.TB
	nc     *nats.Conn
	redis  *testutil.RedisServer
	rdb    redis.UniversalClient
	client *engine.Client
	def    *saga.Definition[order]
}

func newSite(t testing.TB) *site {
	t.Helper()
	return siteOn(t, testutil.NATS(t).ClientURL())
}

func siteOn(t testing.TB, url string) *site {
	t.Helper()
	server := testutil.Redis(t)
	s := siteWith(t, url, server.Client(t))
	s.redis = server
	return s
}

// siteWith is a site on a Redis of some kind.
func siteWith(t testing.TB, url string, rdb redis.UniversalClient) *site {
	t.Helper()
	nc, err := nats.Connect(url, engine.ConnectOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s := &site{t: t, nc: nc, rdb: rdb, def: orders(t)}
	s.client, err = engine.NewClient(t.Context(), engine.Config{Conn: nc, Redis: rdb, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// worker runs an engine without Redis until the returned function is called or the test ends.
func (s *site) worker() (end func()) {
	s.t.Helper()
	return s.workerOf(engine.Config{}, s.def)
}

// workerOf runs an engine until the returned function is called or the test ends.
func (s *site) workerOf(conf engine.Config, definitions ...saga.Runnable) (end func()) {
	s.t.Helper()
	conf.Conn, conf.Logger = s.nc, quiet()
	e, err := engine.New(conf)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := e.Register(definitions...); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Run(context.Background()) }()
	select {
	case <-e.Ready():
	case err := <-done:
		s.t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		e.Stop()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(end)
	return end
}

// projector runs a projector until the returned function is called or the test ends.
func (s *site) projector() (stop func()) {
	s.t.Helper()
	return s.run(s.client.Projector())
}

// run runs a projector until the returned function is called or the test ends.
func (s *site) run(p *projections.Projector, err error) (stop func()) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

func (s *site) reader() *projections.Reader { return projections.NewReader(s.rdb, "default") }

// start begins sagas; every tenth fails.
func (s *site) start(from, to int) {
	s.t.Helper()
	sagas := engine.For(s.client, s.def)
	for i := from; i < to; i++ {
		state := order{Customer: fmt.Sprintf("customer-%d", i%7), Fail: i%10 == 0}
		if _, err := sagas.Start(s.t.Context(), fmt.Sprintf("o-%06d", i), state); err != nil {
			s.t.Fatal(err)
		}
	}
}

// patience is how long tests wait for what has to come.
var patience = func() time.Duration {
	if long {
		return 5 * time.Minute
	}
	return time.Minute
}()

// eventually returns when f says so.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ended are the sagas that have.
var ended = projections.Query{Statuses: []saga.Status{
	saga.StatusCompleted, saga.StatusCompensated, saga.StatusStuck, saga.StatusTerminated}}

// ended returns when the read models show so many sagas as ended.
func (s *site) ended(n int64) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d sagas ended in the read models", n), func() bool {
		got, err := s.reader().Count(s.t.Context(), ended)
		return err == nil && got >= n
	})
}

// projectorRole is a projector in a process of its own. It tells how much it has written itself, whenever that has grown.
func projectorRole(ctx context.Context, args []string) error {
	nc, err := nats.Connect(args[0], engine.ConnectOptions()...)
	if err != nil {
		return err
	}
	defer nc.Close()
	opts, err := redis.ParseURL(args[1])
	if err != nil {
		return err
	}
	rdb := redis.NewClient(opts)
	defer func() { _ = rdb.Close() }()
	c, err := engine.NewClient(ctx, engine.Config{Conn: nc, Redis: rdb, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	p, err := c.Projector()
	if err != nil {
		return err
	}
	fmt.Println("ready")
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for told := uint64(0); ; {
		select {
		case err := <-done:
			return err
		case <-ticker.C:
		}
		applied := uint64(0)
		for _, state := range p.States() {
			applied += state.Applied
		}
		if applied > told {
			told = applied
			fmt.Println("applied", applied)
		}
	}
}
