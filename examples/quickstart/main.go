package main

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/engine"
)

func run(ctx context.Context, nc *nats.Conn) error {
	worker, err := engine.New(engine.Config{Conn: nc})
	if err != nil {
		return err
	}
	if err := worker.Register(placeOrder); err != nil {
		return err
	}
	go worker.Run(ctx)
	defer worker.Stop()

	client, err := worker.Client(ctx)
	if err != nil {
		return err
	}
	orders := engine.For(client, placeOrder)
	order, err := orders.Run(ctx, engine.NewID(), Order{SKU: "tea", Card: "4711"})
	fmt.Println(order.Status, err) // completed <nil>
	order, err = orders.Run(ctx, engine.NewID(), Order{SKU: "tea"})
	fmt.Println(order.Status, err) // compensated saga place-order/… ended as compensated (failed): no card
	return nil
}

func main() {
	nc, err := nats.Connect(nats.DefaultURL, engine.ConnectOptions()...)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(context.Background(), nc); err != nil {
		log.Fatal(err)
	}
}
