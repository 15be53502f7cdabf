package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/examples/order/shop"
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
			"nobody delivers to. At the end the ledgers are held against the outcomes, to the unit; the exit code is 1 if they differ.\n\n" +
			"Kill it at any moment, with SIGKILL too, and start it again: it goes on where it was.",
		Example: "  sagactl demo\n  sagactl demo --orders 5000\n  sagactl demo --input orders.jsonl\n  sagactl demo --keep   # then: sagactl history place-order order-000001",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runDemo(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.IntVar(&f.orders, "orders", 1000, "how many orders to generate")
	flags.Uint64Var(&f.seed, "seed", 42, "what the orders are generated from")
	flags.StringVar(&f.input, "input", "", "file of orders to run instead, one JSON object a line; see examples/order")
	flags.StringVar(&f.data, "data", filepath.Join(os.TempDir(), "jetsaga-demo"), "directory to keep everything in")
	flags.BoolVar(&f.fresh, "fresh", false, "begin anew, whatever an unfinished demo has left in the directory")
	flags.BoolVar(&f.keep, "keep", false, "keep the server running in the end, for inspection, until Ctrl-C")
	flags.IntVar(&f.port, "port", -1, "port for the server to listen on; -1 for a free one")
	cmd.MarkFlagsMutuallyExclusive("orders", "input")
	return cmd
}

func (a *app) runDemo(ctx context.Context, f demoFlags) (err error) {
	orders, err := f.load()
	if err != nil {
		return err
	}
	site, err := openSite(f.data, describeDemo(f), f.fresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.close()) }()
	server, err := embedded.Start(ctx, embedded.Config{StoreDir: site.path("nats"), Port: f.port})
	if err != nil {
		return err
	}
	defer server.Stop()
	services, err := shop.Open(shop.Config{Dir: site.path("ledgers"), Stock: shop.InitialStock(orders)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, services.Close()) }()
	if !a.json() {
		a.printf("%s orders in %s\n", site.verb(), f.data)
	}
	report, took, err := a.runOrders(ctx, server.ClientURL(), services, orders)
	if err != nil {
		return err
	}
	if err := site.finish(); err != nil {
		return err
	}
	if err := a.showReport(report, took, server.ClientURL(), f); err != nil {
		return err
	}
	if f.keep {
		<-ctx.Done()
	}
	if !report.Reconciled() || report.Count(unfinished...) > 0 {
		return errNo
	}
	return nil
}

// load gives the orders to run.
func (f demoFlags) load() ([]shop.Order, error) {
	if f.input == "" {
		if f.orders < 1 || f.orders > 10_000_000 {
			return nil, usagef("--orders is %d, must be 1 to 10,000,000", f.orders)
		}
		return shop.Orders(f.orders, f.seed), nil
	}
	file, err := os.Open(f.input)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	orders, err := shop.ReadOrders(file)
	if err != nil {
		return nil, usagef("%s: %w", f.input, err)
	}
	return orders, nil
}

// runOrders starts a worker and all orders, waits for their ends, and reconciles.
func (a *app) runOrders(ctx context.Context, url string, services *shop.Shop, orders []shop.Order) (shop.Report, time.Duration, error) {
	def, err := services.Definition()
	if err != nil {
		return shop.Report{}, 0, err
	}
	nc, err := nats.Connect(url, append(engine.ConnectOptions(), nats.Name("sagactl demo"))...)
	if err != nil {
		return shop.Report{}, 0, fmt.Errorf("connecting to the embedded server: %w", err)
	}
	defer nc.Close()
	run, err := newDemoRun(ctx, a.engineConfig(nc), def, orders)
	if err != nil {
		return shop.Report{}, 0, err
	}
	progress := newProgress(a.err, len(orders), !a.json())
	began := time.Now()
	outcomes, err := run.all(ctx, progress)
	took := time.Since(began)
	progress.close()
	if stopErr := run.stop(); err == nil {
		err = stopErr
	}
	if err != nil {
		return shop.Report{}, 0, err
	}
	report, err := services.Reconcile(outcomes)
	return report, took, err
}

func (a *app) showReport(r shop.Report, took time.Duration, url string, f demoFlags) error {
	if a.json() {
		return a.printJSON(map[string]any{
			"report": r, "reconciled": r.Reconciled(), "seconds": took.Seconds(), "server": url, "data": f.data,
		})
	}
	if err := r.Render(a.out); err != nil {
		return err
	}
	a.printf("\n%d orders in %v, %.0f sagas/s.\n", r.Orders, took.Round(10*time.Millisecond), float64(r.Orders)/took.Seconds())
	if f.keep {
		a.printf("\nThe server stays up at %s until Ctrl-C. Try:\n\n  export NATS_URL=%s\n"+
			"  sagactl history place-order order-000001\n  sagactl doctor\n", url, url)
		return nil
	}
	a.printf("Look at single orders: sagactl demo --keep\n")
	return nil
}
