package projections_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams/embedded"
	"github.com/jetsaga/jetsaga/testutil"
)

// basket is the state of the sagas in the example.
type basket struct {
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

// What each customer has ordered, and how many orders were completed: a read model of one's own.
func ExampleView() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	nc, rdb, stop, err := exampleServers(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	revenue := projections.View{
		Name: "revenue", Version: 1, Definitions: []string{"place-order"},
		Apply: func(w *projections.Writes, e projections.Event) error {
			switch event := e.Event.(type) {
			case saga.SagaStarted:
				var b basket
				if err := json.Unmarshal(event.State.JSON(), &b); err != nil {
					return err
				}
				w.Do("HINCRBY", w.Key("cents"), b.Customer, b.Cents)
			case saga.SagaCompleted:
				w.Do("INCR", w.Key("completed"))
			}
			return nil
		},
	}
	client, err := engine.NewClient(ctx, engine.Config{Conn: nc, Redis: rdb, Logger: quiet()})
	if err != nil {
		fmt.Println(err)
		return
	}
	projector, err := client.View(revenue)
	if err != nil {
		fmt.Println(err)
		return
	}
	running := make(chan error, 2)
	go func() { running <- projector.Run(ctx) }()

	def := saga.Must(saga.Define("place-order", 1,
		saga.Step("charge", func(context.Context, *basket) error { return nil })))
	worker, err := engine.New(engine.Config{Conn: nc, Logger: quiet()})
	if err == nil {
		err = worker.Register(def)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { running <- worker.Run(ctx) }()
	for i, customer := range []string{"ada", "bob", "ada"} {
		id := "order-" + strconv.Itoa(i)
		if _, err := engine.For(client, def).Run(ctx, id, basket{customer, int64(100 * (i + 1))}); err != nil {
			fmt.Println(err)
			return
		}
	}

	completed := ""
	cents := map[string]string{}
	for completed != "3" { // a view is behind, mostly by milliseconds
		_ = projections.ReadView(ctx, rdb, "default", "revenue", func(key func(string) string) (err error) {
			if completed, err = rdb.Get(ctx, key("completed")).Result(); err != nil {
				return err
			}
			cents, err = rdb.HGetAll(ctx, key("cents")).Result()
			return err
		})
	}
	fmt.Println(completed, "orders were completed:", cents)
	cancel()
	for range 2 {
		if err := <-running; err != nil {
			fmt.Println(err)
		}
	}
	// Output: 3 orders were completed: map[ada:400 bob:200]
}

// exampleServers starts NATS in this process and Redis in one of its own.
func exampleServers(ctx context.Context) (nc *nats.Conn, rdb *redis.Client, stop func(), err error) {
	dir, err := os.MkdirTemp("", "jetsaga")
	if err != nil {
		return nil, nil, nil, err
	}
	server, err := embedded.Start(ctx, embedded.Config{StoreDir: dir, Port: -1})
	if err != nil {
		return nil, nil, nil, err
	}
	if nc, err = nats.Connect(server.ClientURL(), engine.ConnectOptions()...); err != nil {
		return nil, nil, nil, err
	}
	store, err := testutil.StartRedis(ctx, testutil.RedisConfig{Dir: dir})
	if err != nil {
		return nil, nil, nil, err
	}
	rdb = redis.NewClient(&redis.Options{Addr: store.Address()})
	return nc, rdb, func() {
		_ = rdb.Close()
		nc.Close()
		server.Stop()
		store.Kill()
		_ = os.RemoveAll(dir)
	}, nil
}
