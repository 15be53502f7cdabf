// Order is a program as a user of Jetsaga would write it: it connects, registers a definition, runs a worker, starts
// some orders and prints how they ended.
//
//	go run ./examples/order
//
// NATS runs inside the process unless NATS_URL says where it is. Everything is kept between two runs. An interrupt drains
// the worker: it takes no further orders and lets those under way end; the next run goes on with the rest.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"sync"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/examples/internal/nearby"
	"github.com/jetsaga/jetsaga/examples/order/shop"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Getenv("NATS_URL"), filepath.Join(os.TempDir(), "jetsaga-order-example"), os.Stdout)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, dir string, out io.Writer) (err error) {
	nc, disconnect, err := nearby.Connect(ctx, url, filepath.Join(dir, "nats"))
	if err != nil {
		return err
	}
	defer disconnect()

	// Plenty, and the same every time: the ledgers are kept.
	stock := shop.InitialStock(shop.Orders(100_000, 1))
	services, err := shop.Open(shop.Config{Dir: filepath.Join(dir, "ledgers"), Stock: stock})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, services.Close()) }()
	definition, err := services.Definition()
	if err != nil {
		return err
	}

	worker, err := engine.New(engine.Config{Conn: nc, Namespace: "order-example"})
	if err != nil {
		return err
	}
	if err := worker.Register(definition); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(context.WithoutCancel(ctx)) }() // the interrupt is for Drain, below
	defer func() {
		err = errors.Join(err, worker.Drain(context.WithoutCancel(ctx)), <-ended)
	}()

	client, err := worker.Client(ctx)
	if err != nil {
		return err
	}
	sagas := engine.For(client, definition)
	orders := shop.Orders(20, 7)
	var wg sync.WaitGroup
	lines := make([]string, len(orders))
	for i, o := range orders {
		o.ID = engine.NewID() // one that was started before would be refused
		wg.Go(func() { lines[i] = place(ctx, sagas, o) })
	}
	wg.Wait()
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// place runs one order to its end and says how it went.
func place(ctx context.Context, sagas engine.Sagas[shop.Order], o shop.Order) string {
	what := fmt.Sprintf("%d × %-15s", o.Quantity, o.SKU)
	s, err := sagas.Run(ctx, o.ID, o)
	var ended *engine.EndedError
	switch {
	case errors.As(err, &ended):
		return fmt.Sprintf("%s %s: %s", what, ended.Status, ended.Detail)
	case err != nil:
		return fmt.Sprintf("%s %v", what, err)
	default:
		return fmt.Sprintf("%s %s: %s", what, s.Status, s.State.TrackingID)
	}
}
