package projections_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

// Orders and their value by day: a read model of one's own. It is not run here, for want of servers.
func ExampleView() {
	nc, err := nats.Connect(nats.DefaultURL, engine.ConnectOptions()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer func() { _ = rdb.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client, err := engine.NewClient(ctx, engine.Config{Conn: nc, Redis: rdb})
	if err != nil {
		fmt.Println(err)
		return
	}
	revenue := projections.View{
		Name: "revenue", Version: 1, Definitions: []string{"place-order"},
		Apply: func(w *projections.Writes, e projections.Event) error {
			day := e.Time.Format(time.DateOnly)
			switch event := e.Event.(type) {
			case saga.SagaStarted:
				var order struct {
					Cents int64 `json:"cents"`
				}
				if err := json.Unmarshal(event.State.JSON(), &order); err != nil {
					return err
				}
				w.Do("HINCRBY", w.Key("asked"), day, order.Cents)
			case saga.SagaCompleted:
				w.Do("HINCRBY", w.Key("completed"), day, 1)
			}
			return nil
		},
	}
	projector, err := client.View(revenue)
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error, 1)
	go func() { done <- projector.Run(ctx) }()

	var completed map[string]string
	err = projections.ReadView(ctx, rdb, client.Namespace().Name(), "revenue", func(key func(string) string) (err error) {
		completed, err = rdb.HGetAll(ctx, key("completed")).Result()
		return err
	})
	fmt.Println(completed, err)
	cancel()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
}
