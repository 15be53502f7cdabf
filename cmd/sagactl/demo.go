package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/examples/order/shop"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams/embedded"
)

// demoFlags are those of sagactl demo.
type demoFlags struct {
	orders int
	seed   uint64
	input  string
	data   string
	fresh  bool
	keep   bool
	port   int
}

func (a *app) demo() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run orders through a saga on an embedded NATS server, and reconcile stock and money",
		Long: "Demo runs an order saga (reserve stock, charge card, ship) against small inventory, payment and carrier services with " +
			"durable ledgers. A share of the orders fails as real ones do: declined cards, too little stock, a flaky carrier, addresses " +
			"nobody delivers to. At the end the ledgers are held against the outcomes, to the unit; the exit code is 1 if they differ, " +
			"and the directory is then left for a look.\n\n" +
			"Kill it at any moment, with SIGKILL too, and start it again with the same flags: it goes on where it was. Once finished, the " +
			"next demo in the directory begins anew.\n\n" +
			"With -o json: report (of the ledgers and the outcomes), reconciled, resumed, ended (sagas that ended in this run), seconds, " +
			"read_models (orders by status, as the read models have them), server, redis (where it is of this process), data.",
		Example: "  sagactl demo\n  sagactl demo --orders 5000\n  sagactl demo --input orders.jsonl\n  sagactl demo --keep   # then: sagactl history place-order order-000001",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runDemo(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.IntVar(&f.orders, "orders", 1000, "how many orders to generate")
	flags.Uint64Var(&f.seed, "seed", 42, "what the orders are generated from")
	flags.StringVar(&f.input, "input", "", "orders to run instead, one JSON object a line, in a file or - for standard input; see examples/order")
	flags.StringVar(&f.data, "data", defaultSite(), "directory to keep everything in")
	flags.BoolVar(&f.fresh, "fresh", false, "begin anew, whatever an unfinished demo has left in the directory")
	flags.BoolVar(&f.keep, "keep", false, "keep the server running in the end, for inspection, until Ctrl-C")
	flags.IntVar(&f.port, "port", -1, "port for the server to listen on; -1 for a free one")
	cmd.MarkFlagsMutuallyExclusive("orders", "input")
	cmd.MarkFlagsMutuallyExclusive("seed", "input")
	return cmd
}

func (a *app) runDemo(ctx context.Context, f demoFlags) (err error) {
	if err := checkPortFlag("--port", f.port); err != nil {
		return err
	}
	orders, task, err := a.loadOrders(f)
	if err != nil {
		return err
	}
	site, err := openSite(f.data, task, f.fresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.close()) }()
	server, err := embedded.Start(ctx, embedded.Config{StoreDir: site.path(siteNATS), Port: f.port})
	if err != nil {
		return interrupted(ctx, errors.Join(err, site.neverBegan(task)))
	}
	defer server.Stop()
	services, err := shop.Open(shop.Config{Dir: site.path(siteLedgers), Stock: shop.InitialStock(orders)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, services.Close()) }()
	if !a.json() {
		a.printf("%s orders in %s\n", site.verb(), f.data)
	}
	rdb, url, stopRedis, err := a.localRedis(ctx, 0)
	if err != nil {
		return err
	}
	defer stopRedis()
	result, err := a.runOrders(ctx, server, rdb, services, orders)
	if err != nil {
		return interrupted(ctx, err)
	}
	result.Resumed, result.Server, result.Redis, result.Data = site.resumed, server.ClientURL(), url, f.data
	if err := a.showResult(result, f.keep); err != nil {
		return err
	}
	if result.Reconciled {
		err = site.finish(task) // after it was shown: a demo that is killed before shows it again
	}
	if f.keep {
		<-ctx.Done()
	}
	if err == nil && !result.good() {
		return errNo
	}
	return err
}

// interrupted says how to go on, where that is why the demo ended.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &stoppedError{"interrupted; the same command goes on from here"}
	}
	return err
}

// loadOrders gives the orders to run, and the task that they are.
func (a *app) loadOrders(f demoFlags) ([]shop.Order, task, error) {
	if f.input == "" {
		if f.orders < 1 || f.orders > 10_000_000 {
			return nil, task{}, usagef("--orders is %d, must be 1 to 10,000,000", f.orders)
		}
		return shop.Orders(f.orders, f.seed), task{Orders: f.orders, Seed: f.seed}, nil
	}
	read := func() ([]byte, error) { return os.ReadFile(f.input) }
	if f.input == "-" {
		read = func() ([]byte, error) { return io.ReadAll(a.in) }
	}
	data, err := read()
	if err != nil {
		return nil, task{}, usagef("--input: %w", err)
	}
	orders, err := shop.ReadOrders(bytes.NewReader(data))
	if err != nil {
		return nil, task{}, usagef("%s: %w", f.input, err)
	}
	return orders, task{Orders: len(orders), Input: f.input, Digest: digest(data)}, nil
}

// demoResult is how a demo ended, as it is printed with -o json.
type demoResult struct {
	Report     shop.Report   `json:"report"`
	Reconciled bool          `json:"reconciled"`
	Resumed    bool          `json:"resumed"`
	Ended      int           `json:"ended"` // sagas that ended in this run
	Seconds    float64       `json:"seconds"`
	Models     statusCounts  `json:"read_models"` // orders by status, as the read models have them
	Server     string        `json:"server"`
	Redis      string        `json:"redis,omitempty"` // of this process
	Data       string        `json:"data"`
	took       time.Duration // the seconds
}

// statusCounts are numbers of sagas.
type statusCounts map[saga.Status]int64

func (c statusCounts) String() string {
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, fmt.Sprintf("%d %s", c[status], status))
	}
	return strings.Join(parts, ", ")
}

// good reports whether the books balance and every order has come to an end that needs nobody.
func (r demoResult) good() bool { return r.Reconciled && r.Report.Count(unfinished...) == 0 }

// runOrders starts a worker and all orders, waits for their ends, and reconciles.
func (a *app) runOrders(
	ctx context.Context, server *embedded.Server, rdb redis.UniversalClient, services *shop.Shop, orders []shop.Order,
) (demoResult, error) {
	def, err := services.Definition()
	if err != nil {
		return demoResult{}, err
	}
	// Not by its address: an empty one would be that of whatever else listens on this machine.
	nc, err := server.Connect(append(engine.ConnectOptions(), nats.Name("sagactl demo"))...)
	if err != nil {
		return demoResult{}, err
	}
	defer nc.Close()
	conf, err := a.engineConfig(nc)
	if err != nil {
		return demoResult{}, err
	}
	conf.Redis = rdb
	run, err := newDemoRun(ctx, conf, def, orders)
	if err != nil {
		return demoResult{}, err
	}
	progress := newProgress(a.err, len(orders), !a.json())
	began := time.Now()
	outcomes, err := run.all(ctx, progress)
	took := time.Since(began)
	progress.close()
	var models statusCounts
	if err == nil {
		models, err = run.models(ctx, outcomes)
	}
	if stopErr := run.stop(); err == nil {
		err = stopErr
	}
	if err != nil {
		return demoResult{}, err
	}
	report, err := services.Reconcile(outcomes)
	return demoResult{
		Report: report, Reconciled: report.Reconciled(), Ended: int(run.ends.Load()), Seconds: took.Seconds(), took: took, Models: models,
	}, err
}

func (a *app) showResult(r demoResult, keep bool) error {
	if a.json() {
		return a.printJSON(r)
	}
	if err := r.Report.Render(a.out); err != nil {
		return err
	}
	a.printf("\n%d orders ended in %v: %.0f sagas/s.\n", r.Ended, r.took.Round(10*time.Millisecond), float64(r.Ended)/r.Seconds)
	a.printf("The read models agree: %v.\n", r.Models)
	if before := r.Report.Orders - r.Ended; r.Resumed && before > 0 {
		a.printf("%d had ended before this run.\n", before)
	}
	if !r.Reconciled {
		a.printf("\n%s is left as it is, for a look; begin anew with --fresh.\n", r.Data)
	}
	if keep {
		a.printf("\nThe server stays up at %s until Ctrl-C. Try:\n\n  export NATS_URL=%s\n"+
			"  sagactl history place-order order-000001\n  sagactl doctor --deep\n", r.Server, r.Server)
		if r.Redis != "" {
			a.printf("\n  export REDIS_URL=%s\n  sagactl list -d place-order --status compensated --limit 5\n  sagactl steps place-order\n", r.Redis)
		}
		return nil
	}
	a.printf("Look at single orders: sagactl demo --keep\n")
	return nil
}
