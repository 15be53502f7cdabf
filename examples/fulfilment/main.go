// Fulfilment fulfils an order of many lines, and tells the outside of each that is packed.
//
//	go run ./examples/fulfilment
//
// NATS runs inside the process unless NATS_URL says where it is.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/examples/internal/nearby"
)

// lines is how many lines the order has; every hundredth is out of stock.
const lines = 500

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL"), filepath.Join(os.TempDir(), "jetsaga-fulfilment-example"), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, dir string, out io.Writer) (err error) {
	nc, disconnect, err := nearby.Connect(ctx, url, dir)
	if err != nil {
		return err
	}
	defer disconnect()
	house := &warehouse{stock: map[string]int{}, picked: map[string]Line{}}
	order := Order{Customer: "Ada"}
	for i := range lines {
		sku := fmt.Sprintf("sku-%d", i)
		order.Lines = append(order.Lines, Line{SKU: sku, Quantity: 1 + i%3})
		if i%100 != 99 {
			house.stock[sku] = 10
		}
	}
	definition, err := house.fulfil()
	if err != nil {
		return err
	}
	worker, err := engine.New(engine.Config{Conn: nc, Namespace: "fulfilment-example"})
	if err != nil {
		return err
	}
	if err := worker.Register(definition); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(context.WithoutCancel(ctx)) }()
	defer func() { err = errors.Join(err, worker.Drain(context.WithoutCancel(ctx)), <-ended) }()
	client, err := worker.Client(ctx)
	if err != nil {
		return err
	}
	id := engine.NewID()
	began := time.Now()
	s, err := engine.For(client, definition).Run(ctx, id, order)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s: %d lines in %d parcels, missing: %v\n", s.Status, len(s.State.Lines), s.State.Parcels, s.State.Missing); err != nil {
		return err
	}
	log.Printf("that took %v", time.Since(began).Round(time.Millisecond))
	return listen(ctx, client, id, len(s.State.Lines), out)
}

// listen reads what the saga has told the outside, as another program would: from a stream of its own.
func listen(ctx context.Context, client *engine.Client, id string, want int, out io.Writer) error {
	events, err := client.Namespace().JetStream().CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: "FULFILMENT_EVENTS", Sources: client.Namespace().OutboxSources("events"),
	})
	if err != nil {
		return err
	}
	consumer, err := events.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"events.fulfil-order." + id + ".packed"}})
	if err != nil {
		return err
	}
	told := map[string]int{}
	for len(told) < want {
		m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err != nil {
			return fmt.Errorf("after %d of %d events: %w", len(told), want, err)
		}
		var p Packed
		if err := json.Unmarshal(m.Data(), &p); err != nil {
			return err
		}
		told[p.SKU]++
	}
	_, err = fmt.Fprintf(out, "the outside was told of %d lines\n", len(told))
	return err
}
