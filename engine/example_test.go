package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams/embedded"
)

// A saga is purged when its period has passed, exported before, and brought back.
func ExampleRetention() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "jetsaga")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := embedded.Start(ctx, embedded.Config{StoreDir: dir, Port: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Stop()
	nc, err := nats.Connect(server.ClientURL(), engine.ConnectOptions()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()

	if err := keepForAnHour(ctx, nc, filepath.Join(dir, "exports")); err != nil {
		fmt.Println(err)
	}
	// Output:
	// kept: 0 of 1 purged
	// due: 1 of 1 purged
	// Get finds no such saga: true
	// imported: 1
	// it is completed
}

// keepForAnHour runs a saga, and purges it under two retentions: as one that ended just now, and as one that ended long ago.
func keepForAnHour(ctx context.Context, nc *nats.Conn, exports string) error {
	def := saga.Must(saga.Define("trip", 1, saga.Step("flight", does("flight"))))
	worker, err := engine.New(engine.Config{Conn: nc, Logger: quiet()})
	if err != nil {
		return err
	}
	if err := worker.Register(def); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	defer func() {
		worker.Stop()
		if err := <-ended; err != nil {
			fmt.Println(err)
		}
	}()
	client, err := worker.Client(ctx)
	if err != nil {
		return err
	}
	if _, err := engine.For(client, def).Run(ctx, "t-1", trip{}); err != nil {
		return err
	}

	retention := engine.Retention{
		Rules:   []engine.RetentionRule{{Status: saga.StatusCompleted, Keep: time.Hour}},
		Archive: engine.DirectoryArchive(exports),
	}
	report, err := client.Retain(ctx, retention)
	if err != nil {
		return err
	}
	fmt.Println("kept:", report.Purged, "of", report.Sagas, "purged")
	retention.Rules[0].Keep = time.Nanosecond
	if report, err = client.Retain(ctx, retention); err != nil {
		return err
	}
	fmt.Println("due:", report.Purged, "of", report.Sagas, "purged")
	key := saga.Key{Definition: "trip", ID: "t-1"}
	_, err = client.Get(ctx, key)
	fmt.Println("Get finds no such saga:", errors.Is(err, engine.ErrNotFound))

	file, err := os.Open(filepath.Join(exports, report.Exported[0]))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	imported, err := client.Import(ctx, file, nil)
	if err != nil {
		return err
	}
	fmt.Println("imported:", imported.Sagas)
	in, err := client.Get(ctx, key)
	if err != nil {
		return err
	}
	fmt.Println("it is", in.Status)
	return nil
}
