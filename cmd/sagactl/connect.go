package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/streams"
)

// connection is how to reach the server, as the NATS tools have it.
type connection struct {
	server, context, creds, nkey string
	user, password               string
	tlsCA, tlsCert, tlsKey       string
	namespace                    string
	timeout                      time.Duration
}

func (c *connection) flags(f *pflag.FlagSet) {
	server := os.Getenv("NATS_URL")
	if server == "" {
		server = nats.DefaultURL
	}
	f.StringVarP(&c.server, "server", "s", server, "URLs of the NATS server, separated by commas (env NATS_URL)")
	f.StringVar(&c.context, "context", os.Getenv("NATS_CONTEXT"), "name of a NATS context to use instead of the other connection flags (env NATS_CONTEXT)")
	f.StringVar(&c.creds, "creds", os.Getenv("NATS_CREDS"), "file of user credentials (env NATS_CREDS)")
	f.StringVar(&c.nkey, "nkey", os.Getenv("NATS_NKEY"), "file of an nkey seed (env NATS_NKEY)")
	f.StringVar(&c.user, "user", os.Getenv("NATS_USER"), "user name (env NATS_USER)")
	f.StringVar(&c.password, "password", os.Getenv("NATS_PASSWORD"), "password (env NATS_PASSWORD)")
	f.StringVar(&c.tlsCA, "tlsca", "", "file of the certificate authority")
	f.StringVar(&c.tlsCert, "tlscert", "", "file of the client certificate")
	f.StringVar(&c.tlsKey, "tlskey", "", "file of the client certificate's key")
	f.StringVarP(&c.namespace, "namespace", "n", streams.DefaultNamespace, "namespace of the sagas")
	f.DurationVar(&c.timeout, "timeout", 5*time.Second, "how long to wait for the server")
}

// dial connects to the server.
func (c *connection) dial() (*nats.Conn, error) {
	opts := []nats.Option{nats.Name("sagactl"), nats.Timeout(c.timeout), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond)}
	if c.context != "" {
		nc, _, err := natscontext.Connect(c.context, opts...)
		if err != nil {
			return nil, fmt.Errorf("NATS context %q: %w", c.context, err)
		}
		return nc, nil
	}
	auth, err := c.auth()
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(c.server, append(opts, auth...)...)
	if err != nil {
		return nil, fmt.Errorf("cannot reach NATS at %s: %w", c.server, err)
	}
	return nc, nil
}

func (c *connection) auth() ([]nats.Option, error) {
	var opts []nats.Option
	if c.creds != "" {
		opts = append(opts, nats.UserCredentials(c.creds))
	}
	if c.nkey != "" {
		o, err := nats.NkeyOptionFromSeed(c.nkey)
		if err != nil {
			return nil, usagef("--nkey: %w", err)
		}
		opts = append(opts, o)
	}
	if c.user != "" {
		opts = append(opts, nats.UserInfo(c.user, c.password))
	}
	if c.tlsCA != "" {
		opts = append(opts, nats.RootCAs(c.tlsCA))
	}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		return nil, usagef("--tlscert and --tlskey go together")
	}
	if c.tlsCert != "" {
		opts = append(opts, nats.ClientCert(c.tlsCert, c.tlsKey))
	}
	return opts, nil
}

// client connects and gives a client for a namespace that exists. The caller closes the connection.
func (a *app) client(ctx context.Context) (*engine.Client, *nats.Conn, error) {
	nc, err := a.conn.dial()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.conn.timeout)
	defer cancel()
	c, err := engine.OpenClient(ctx, a.engineConfig(nc))
	if err != nil {
		nc.Close()
		if errors.Is(err, streams.ErrNotFound) {
			err = fmt.Errorf("%w at %s; a worker creates them when it starts", err, a.conn.server)
		}
		return nil, nil, err
	}
	return c, nc, nil
}

func (a *app) engineConfig(nc *nats.Conn) engine.Config {
	return engine.Config{Conn: nc, Namespace: a.conn.namespace, Logger: slog.New(slog.DiscardHandler)}
}
