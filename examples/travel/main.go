// Travel books trips: flight, hotel and car at once, the hotel by a saga of its own, the card as the point of no return.
//
//	go run ./examples/travel
//
// NATS runs inside the process unless NATS_URL says where it is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/examples/internal/nearby"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL"), filepath.Join(os.TempDir(), "jetsaga-travel-example"), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, dir string, out io.Writer) (err error) {
	nc, disconnect, err := nearby.Connect(ctx, url, dir)
	if err != nil {
		return err
	}
	defer disconnect()
	services := agency{newLedger()}
	stay, err := services.bookStay()
	if err != nil {
		return err
	}
	trip, err := services.bookTrip(stay)
	if err != nil {
		return err
	}
	worker, err := engine.New(engine.Config{Conn: nc, Namespace: "travel-example"})
	if err != nil {
		return err
	}
	if err := worker.Register(trip, stay); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(context.WithoutCancel(ctx)) }()
	defer func() { err = errors.Join(err, worker.Drain(context.WithoutCancel(ctx)), <-ended) }()
	client, err := worker.Client(ctx)
	if err != nil {
		return err
	}
	trips := engine.For(client, trip)
	for _, t := range []Trip{
		{Traveller: "Ada", To: "Lisbon", Nights: 3, WantsCar: true, Card: "4711"},
		{Traveller: "Blaise", To: "Venice", Nights: 2, WantsCar: true, Card: "4711"},  // no car there, which is no reason to stay at home
		{Traveller: "Carl", To: "Oslo", Nights: 30, Card: "4711"},                     // no room: the flight is cancelled
		{Traveller: "Emmy", To: "Rome", Nights: 4, WantsCar: true, Card: "declined"},  // flight, car and room are given back
		{Traveller: "Plato", To: "Atlantis", Nights: 7, WantsCar: true, Card: "4711"}, // no flight: room and car are given back
	} {
		s, err := trips.Run(ctx, engine.NewID(), t)
		var failed *engine.EndedError
		switch {
		case errors.As(err, &failed):
			_, err = fmt.Fprintf(out, "%-6s to %-8s %s: %s\n", t.Traveller, t.To, failed.Status, failed.Detail)
		case err == nil:
			_, err = fmt.Fprintf(out, "%-6s to %-8s %s: %s, %s, car %q\n", t.Traveller, t.To, s.Status, s.State.Flight, s.State.Hotel, s.State.Car)
		}
		if err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(out, "standing:", services.standing())
	return err
}
