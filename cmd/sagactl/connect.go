package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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

	domain, prefix string                // of JetStream, where a NATS context names one
	async          atomic.Pointer[error] // what the server last complained of outside an answer
}

// flags adds the flags. What the environment holds is no flag's default: help would print it, and it may be a secret.
func (c *connection) flags(f *pflag.FlagSet) {
	f.StringVarP(&c.server, "server", "s", "", "URLs of the NATS server, separated by commas (env NATS_URL; default "+nats.DefaultURL+")")
	f.StringVar(&c.context, "context", "", "NATS context to use instead of the other connection flags (env NATS_CONTEXT)")
	f.StringVar(&c.creds, "creds", "", "file of user credentials (env NATS_CREDS)")
	f.StringVar(&c.nkey, "nkey", "", "file of an nkey seed (env NATS_NKEY)")
	f.StringVar(&c.user, "user", "", "user name (env NATS_USER)")
	f.StringVar(&c.password, "password", "", "password (env NATS_PASSWORD)")
	f.StringVar(&c.tlsCA, "tlsca", "", "file of the certificate authority")
	f.StringVar(&c.tlsCert, "tlscert", "", "file of the client certificate")
	f.StringVar(&c.tlsKey, "tlskey", "", "file of the client certificate's key")
	f.StringVarP(&c.namespace, "namespace", "n", streams.DefaultNamespace, "namespace of the sagas")
	f.DurationVar(&c.timeout, "timeout", 5*time.Second, "how long the server may take to answer")
}

// fromEnvironment fills in what no flag says. A server that is named by flag is not overruled by a context that is not.
func (c *connection) fromEnvironment() error {
	if c.server != "" && c.context != "" {
		return usagef("--server and --context exclude each other")
	}
	if c.timeout <= 0 {
		return usagef("--timeout is %v, must be positive", c.timeout)
	}
	if c.server == "" {
		set(&c.context, "NATS_CONTEXT")
	}
	for variable, value := range map[string]*string{
		"NATS_URL": &c.server, "NATS_CREDS": &c.creds, "NATS_NKEY": &c.nkey, "NATS_USER": &c.user, "NATS_PASSWORD": &c.password,
	} {
		set(value, variable)
	}
	if c.server == "" {
		c.server = nats.DefaultURL
	}
	return nil
}

func set(value *string, variable string) {
	if *value == "" {
		*value = os.Getenv(variable)
	}
}

// dial connects to the server. A setting that cannot be used is a usageError, and nothing was connected to.
func (c *connection) dial() (*nats.Conn, error) {
	connecting := false
	opts := []nats.Option{
		nats.Name("sagactl"), nats.Timeout(c.timeout), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.async.Store(&err) }),
	}
	// Options are applied before the first byte is sent; past the last one, what fails is the server.
	last := func(*nats.Options) error { connecting = true; return nil }
	var nc *nats.Conn
	var err error
	where := "by the context " + c.context
	if c.context != "" {
		var settings natscontext.Settings
		nc, settings, err = natscontext.Connect(c.context, append(opts, last)...)
		c.domain, c.prefix = settings.JSDomain, settings.JSAPIPrefix
	} else {
		if where, err = withoutSecrets(c.server); err != nil {
			return nil, err
		}
		var auth []nats.Option
		if auth, err = c.auth(); err != nil {
			return nil, err
		}
		where = "at " + where
		nc, err = nats.Connect(c.server, append(append(opts, auth...), last)...)
	}
	switch {
	case err != nil && !connecting:
		return nil, usagef("%w", err)
	case err != nil:
		return nil, &unreachableError{where, err}
	}
	return nc, nil
}

// unreachableError tells that there was no connection to be had.
type unreachableError struct {
	where string // "at" its address, without secrets, or "by the context" of a name
	err   error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("cannot reach NATS %s: %v", e.where, e.err)
}
func (e *unreachableError) Unwrap() error { return e.err }

// withoutSecrets gives server addresses as they may be printed. A user name may be a token, so it is hidden, too.
func withoutSecrets(servers string) (string, error) {
	addresses := strings.Split(servers, ",")
	for i, address := range addresses {
		address = strings.TrimSpace(address)
		if !strings.Contains(address, "://") {
			address = "nats://" + address
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" {
			return "", usagef("--server, or NATS_URL, is not an address such as %s", nats.DefaultURL)
		}
		if u.User != nil {
			u.User = url.User("xxxxx")
		}
		addresses[i] = u.String()
	}
	return strings.Join(addresses, ","), nil
}

func (c *connection) auth() ([]nats.Option, error) {
	if (c.tlsCert == "") != (c.tlsKey == "") {
		return nil, usagef("--tlscert and --tlskey go together")
	}
	for flag, file := range map[string]string{"--creds": c.creds, "--tlsca": c.tlsCA, "--tlscert": c.tlsCert, "--tlskey": c.tlsKey} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return nil, usagef("%s: %w", flag, err)
		}
	}
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
	if c.tlsCert != "" {
		opts = append(opts, nats.ClientCert(c.tlsCert, c.tlsKey))
	}
	return opts, nil
}

// client connects and gives a client for a namespace that exists. The caller closes the connection.
func (a *app) client(ctx context.Context) (*engine.Client, *nats.Conn, error) {
	return a.clientBy(ctx, engine.OpenClient)
}

func (a *app) clientBy(ctx context.Context, open func(context.Context, engine.Config) (*engine.Client, error)) (*engine.Client, *nats.Conn, error) {
	nc, err := a.conn.dial()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := a.asking(ctx)
	defer cancel()
	conf, err := a.engineConfig(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	c, err := open(ctx, conf)
	if err != nil {
		nc.Close()
		return nil, nil, a.explain(err)
	}
	return c, nc, nil
}

// asking bounds what the server is asked.
func (a *app) asking(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.conn.timeout)
}

// explain says what to do where there is no namespace.
func (a *app) explain(err error) error {
	if errors.Is(err, streams.ErrNotFound) {
		return fmt.Errorf("%w; a worker creates it when it starts, and so does: sagactl start --create", err)
	}
	return err
}

func (a *app) engineConfig(nc *nats.Conn) (engine.Config, error) {
	conf := engine.Config{Conn: nc, Namespace: a.conn.namespace, Logger: slog.New(slog.DiscardHandler)}
	var err error
	switch {
	case a.conn.domain != "":
		conf.JetStream, err = jetstream.NewWithDomain(nc, a.conn.domain)
	case a.conn.prefix != "":
		conf.JetStream, err = jetstream.NewWithAPIPrefix(nc, a.conn.prefix)
	}
	if err != nil {
		return conf, usagef("NATS context %q: %w", a.conn.context, err)
	}
	return conf, nil
}
