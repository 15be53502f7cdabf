// Package nearby connects the examples to NATS: to the server at an address, or to one inside the process.
package nearby

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/streams/embedded"
)

// Connect connects to the server at the URL. Without one it starts a server in the process, which keeps its data in dir.
// What it gives back with the connection ends both.
func Connect(ctx context.Context, url, dir string) (*nats.Conn, func(), error) {
	if url != "" {
		nc, err := nats.Connect(url, engine.ConnectOptions()...)
		if err != nil {
			return nil, nil, fmt.Errorf("connecting to NATS: %w", err)
		}
		return nc, nc.Close, nil
	}
	server, err := embedded.Start(ctx, embedded.Config{StoreDir: dir})
	if err != nil {
		return nil, nil, err
	}
	nc, err := server.Connect(engine.ConnectOptions()...)
	if err != nil {
		server.Stop()
		return nil, nil, err
	}
	return nc, func() { nc.Close(); server.Stop() }, nil
}
