package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/examples/order/shop"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

// orderWorker is the role of a worker process of the shop: arguments are the server, the directory of the shop's
// ledgers and how long each call of a service takes. It prints its worker id once it runs.
func orderWorker(ctx context.Context, args []string) error {
	latency, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	nc, err := nats.Connect(args[0], engine.ConnectOptions()...)
	if err != nil {
		return err
	}
	defer nc.Close()
	s, err := shop.Open(shop.Config{Dir: args[1], Latency: latency})
	if err != nil {
		return err
	}
	def, err := s.Definition()
	if err != nil {
		return err
	}
	e, err := engine.New(engine.Config{Conn: nc, Logger: quiet()})
	if err != nil {
		return err
	}
	if err := e.Register(def); err != nil {
		return err
	}
	go func() {
		select {
		case <-e.Ready():
			fmt.Println("worker", e.WorkerID())
		case <-ctx.Done():
		}
	}()
	return e.Run(ctx)
}

// burner is the role of a process that keeps one core busy.
func burner(ctx context.Context, _ []string) error {
	fmt.Println("burning")
	for ctx.Err() == nil {
		for range 1_000_000 { // the heat is what is wanted
		}
	}
	return nil
}

// fair is a shop whose workers are processes.
type fair struct {
	t       *testing.T
	server  interface{ ClientURL() string }
	dir     string
	latency time.Duration
	orders  []shop.Order
	shop    *shop.Shop
	client  *engine.Client
	sagas   engine.Sagas[shop.Order]

	workers []*member
	others  []interface{ PID() int } // further processes of the test
	deaths  []death
	machine *testutil.Machine

	shut      context.CancelFunc
	customers sync.WaitGroup
	next      atomic.Int64 // the next order
	served    []*shop.Outcome
}

// member is a worker process.
type member struct {
	*testutil.Process
	id string
}

// death is the killing of a worker.
type death struct {
	worker string
	at     time.Time
}

func newFair(t *testing.T, server interface{ ClientURL() string }, orders int, latency time.Duration) *fair {
	t.Helper()
	f := &fair{t: t, machine: testutil.WatchMachine(t), server: server, dir: t.TempDir(), latency: latency, orders: shop.Orders(orders, 42)}
	if p, ok := server.(interface{ PID() int }); ok {
		f.others = append(f.others, p)
	}
	var err error
	f.shop, err = shop.Open(shop.Config{Dir: f.dir, Stock: shop.InitialStock(f.orders)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.shop.Close() })
	def, err := f.shop.Definition()
	if err != nil {
		t.Fatal(err)
	}
	nc := testutil.Connect(t, server, engine.ConnectOptions()...)
	f.client, err = engine.NewClient(t.Context(), engine.Config{Conn: nc, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	f.sagas = engine.For(f.client, def)
	return f
}

// hire starts a worker and returns when it runs.
func (f *fair) hire() {
	f.t.Helper()
	p := testutil.StartProcess(f.t, "order-worker", f.server.ClientURL(), f.dir, f.latency.String())
	f.workers = append(f.workers, &member{p, p.WaitLine("worker")})
}

// timesHeld is [testutil.Machine.HoldsTimes] of the fair.
func (f *fair) timesHeld() bool {
	f.t.Helper()
	var pids []int
	for _, w := range f.workers {
		pids = append(pids, w.PID())
	}
	for _, p := range f.others {
		pids = append(pids, p.PID())
	}
	return f.machine.HoldsTimes(f.t, pids...)
}

// kill ends the longest-serving worker with SIGKILL.
func (f *fair) kill() {
	w := f.workers[0]
	f.workers = f.workers[1:]
	f.deaths = append(f.deaths, death{w.id, time.Now()})
	w.Kill()
}

// open has so many customers order one thing after another, each waiting for one order's end before the next, until
// close. The shop runs out of orders in no test.
func (f *fair) open(ctx context.Context, customers int) {
	ctx, f.shut = context.WithCancel(ctx)
	f.served = make([]*shop.Outcome, len(f.orders))
	for range customers {
		f.customers.Go(func() {
			for ctx.Err() == nil {
				i := int(f.next.Add(1)) - 1
				if i >= len(f.orders) {
					f.t.Error("the shop has run out of orders")
					return
				}
				f.serve(i) //nolint:contextcheck // an order that was begun is seen through
			}
		})
	}
}

// serve sees one order through.
func (f *fair) serve(i int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o := f.orders[i]
	s, err := f.sagas.Run(ctx, o.ID, o)
	var ended *engine.EndedError
	if err != nil && !errors.As(err, &ended) {
		f.t.Errorf("order %s: %v", o.ID, err)
		return
	}
	f.served[i] = &shop.Outcome{Order: s.State, Status: s.Status, Reason: s.Error}
}

// close lets the orders under way end and holds the ledgers against the outcomes. It gives the ids of the orders.
func (f *fair) close() (ids []string) {
	f.t.Helper()
	f.shut()
	f.customers.Wait()
	var outcomes []shop.Outcome
	for _, o := range f.served {
		if o != nil {
			outcomes = append(outcomes, *o)
			ids = append(ids, o.Order.ID)
		}
	}
	report, err := f.shop.Reconcile(outcomes)
	if err != nil {
		f.t.Fatal(err)
	}
	if !report.Reconciled() || report.Count(saga.StatusStuck) > 0 {
		f.t.Errorf("the books do not balance:\n%s", report)
	}
	f.t.Logf("%d orders ended", len(ids))
	return ids
}

// histories reads every order's log and checks that it is one: versions without holes, one end, nothing after it.
func (f *fair) histories(ids []string) map[string][]saga.Commit {
	f.t.Helper()
	all := map[string][]saga.Commit{}
	for _, id := range ids {
		commits, err := f.client.History(f.t.Context(), f.sagas.Key(id))
		if err != nil {
			f.t.Fatal(err)
		}
		for i, c := range commits {
			if c.Version != uint64(i)+1 || c.Ends() != (i == len(commits)-1) {
				f.t.Errorf("order %s: commit %d of %d has version %d, and it ends the saga: %v",
					id, i+1, len(commits), c.Version, c.Ends())
			}
		}
		all[id] = commits
	}
	return all
}

// claims counts the sagas that were claimed from a worker that was alive, and gives for each orphan how long after its
// worker's death its next event came.
func (f *fair) claims(histories map[string][]saga.Commit) (waits []time.Duration, taken int) {
	f.t.Helper()
	died := map[string]time.Time{}
	for _, d := range f.deaths {
		died[d.worker] = d.at
	}
	for id, commits := range histories {
		var owner saga.Owner
		for _, c := range commits {
			at, dead := died[owner.Worker]
			if _, claim := c.Events[0].(saga.ActivationClaimed); claim {
				if !dead || c.Time.Before(at) {
					taken++
					f.t.Logf("order %s: version %d was claimed from the living worker %s (delivery %d)",
						id, c.Version, owner.Worker, c.By.Delivery)
				}
			}
			if dead && c.By.Worker != owner.Worker {
				waits = append(waits, c.Time.Sub(at))
			}
			owner = c.By
		}
	}
	f.t.Logf("%d sagas were claimed from living workers", taken)
	slices.Sort(waits)
	return waits, taken
}

func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

// Workers are killed one after another while orders are under way; each has been replaced before.
func TestKilledWorkersLoseNoSaga(t *testing.T) { testutil.Promised(t, killWorkers) }

func killWorkers(t *testing.T) (missed string) {
	customers, kills := 250, 3
	if long {
		customers, kills = 2000, 20
	}
	f := newFair(t, testutil.StartServerProcess(t, t.TempDir()), 100*customers, time.Second)
	for range 2 {
		f.hire()
	}
	f.open(t.Context(), customers)
	for range kills {
		f.hire() // before the kill: opening the shop's books is work that is not to be measured
		rest(time.Duration(1500+rand.IntN(700)) * time.Millisecond)
		f.kill()
	}
	waits, taken := f.claims(f.histories(f.close()))
	p99 := percentile(waits, 99)
	t.Logf("%d orphaned sagas; from the kill to the next event: p50 %v, p99 %v, longest %v",
		len(waits), percentile(waits, 50), p99, percentile(waits, 100))
	if len(waits) == 0 {
		t.Error("no saga was orphaned, so nothing was shown")
	}
	switch {
	case taken == 0 && p99 <= time.Second, !f.timesHeld():
		return ""
	case taken > 0:
		return fmt.Sprintf("%d sagas were claimed from living workers", taken)
	default:
		return fmt.Sprintf("99 of 100 orphans went on within %v, 1s is promised", p99)
	}
}

// rest lets the work go on for a while before it is disturbed.
func rest(d time.Duration) { <-time.After(d) }

// With all cores busy, workers still tell in time that they are alive.
func TestSagasStayWithTheirWorkersOnABusyMachine(t *testing.T) { testutil.Promised(t, keepBusy) }

func keepBusy(t *testing.T) (missed string) {
	customers, busy := 250, 3*time.Second
	if long {
		customers, busy = 2000, 30*time.Second
	}
	f := newFair(t, testutil.StartServerProcess(t, t.TempDir()), 100*customers, time.Second)
	for range runtime.NumCPU() {
		p := testutil.StartProcess(t, "burner")
		p.WaitLine("burning")
		f.others = append(f.others, p)
	}
	for range 3 {
		f.hire()
	}
	f.open(t.Context(), customers)
	rest(busy)
	return f.kept(f.histories(f.close()))
}

// kept tells if sagas were claimed from living workers, where that is to be held against the code.
func (f *fair) kept(histories map[string][]saga.Commit) (missed string) {
	f.t.Helper()
	if _, taken := f.claims(histories); taken > 0 && f.timesHeld() {
		return fmt.Sprintf("%d sagas were claimed from living workers", taken)
	}
	return ""
}

// The server is killed under load and restarted on its directory.
func TestAKilledServerLosesNothing(t *testing.T) { testutil.Promised(t, killServer) }

func killServer(t *testing.T) (missed string) {
	customers, kills := 200, 2
	if long {
		customers, kills = 1000, 6
	}
	server := testutil.StartServerProcess(t, t.TempDir())
	f := newFair(t, server, 100*customers, 300*time.Millisecond)
	for range 2 {
		f.hire()
	}
	f.open(t.Context(), customers)
	for range kills {
		rest(1500 * time.Millisecond)
		server.Kill()
		rest(300 * time.Millisecond)
		server.Restart()
	}
	rest(time.Second)
	return f.kept(f.histories(f.close()))
}
