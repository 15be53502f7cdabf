package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// The defaults of a [Config].
const (
	DefaultHost         = "127.0.0.1"
	DefaultSyncInterval = time.Second
)

// startTimeout bounds how long a server may take to be ready where the caller's context has no deadline. A large
// store takes its time to be recovered.
const startTimeout = 2 * time.Minute

// Config says how an embedded server runs.
type Config struct {
	// StoreDir is where JetStream stores, created if need be. Required.
	StoreDir string
	// Host is the address to listen on. Default: 127.0.0.1.
	Host string
	// Port is the port to listen on; -1 for a free one. Default, 0: none, [Server.Connect] alone reaches it.
	Port int
	// SyncInterval is how often what was stored is synced to disk: what a power cut can take. A killed process
	// loses nothing either way. Default: one second.
	SyncInterval time.Duration
	// SyncAlways syncs before each acknowledgement, which is many times slower.
	SyncAlways bool
	// Name is the server's name. Default: one that the server makes up.
	Name string
	// Logger takes the server's own log. Default: warnings and errors go to [slog.Default], the rest nowhere.
	Logger *slog.Logger
	// Cluster makes the server one of several. Default: none.
	Cluster *Cluster
}

// Cluster says how a server finds the others of its cluster.
type Cluster struct {
	Name   string
	Port   int      // to listen on for routes
	Routes []string // the others: host:port
}

func (c Config) withDefaults() (Config, error) {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("embedded.Config."+format, args...)) }
	if c.StoreDir == "" {
		fault("StoreDir is required")
	}
	if c.Port < -1 || c.Port > 65535 {
		fault("Port is %d, must be -1 to 65535", c.Port)
	}
	if c.SyncInterval < 0 {
		fault("SyncInterval is %v, must be positive", c.SyncInterval)
	}
	if c.Cluster != nil && (c.Cluster.Name == "" || c.Cluster.Port <= 0 || c.Name == "") {
		fault("Cluster needs a Name, a Port and a name for the server")
	}
	if c.Host == "" {
		c.Host = DefaultHost
	}
	if c.SyncInterval == 0 {
		c.SyncInterval = DefaultSyncInterval
	}
	return c, errors.Join(errs...)
}

// Server is a running nats-server. It is safe for concurrent use.
type Server struct {
	conf Config
	nats *server.Server
	log  *logger
	lock *Lock
}

// Start runs a server and returns when it takes connections and JetStream is up. When ctx ends before, or after two
// minutes if it has no deadline, the server is stopped and the error is that of the context; the recovery of a large
// store is not cut short.
//
// A store directory that is in use by another server gives [ErrInUse]. What else keeps a server from starting, such as
// a port that is taken, is in the error at once: a [net.OpError] from listening can be had with [errors.As].
func Start(ctx context.Context, conf Config) (*Server, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(conf.StoreDir, 0o750); err != nil {
		return nil, fmt.Errorf("embedded server: store directory: %w", err)
	}
	lock, err := Acquire(conf.StoreDir)
	if err != nil {
		return nil, fmt.Errorf("embedded server: %w", err)
	}
	ns, err := server.NewServer(conf.options())
	if err != nil {
		_ = lock.Release()
		return nil, fmt.Errorf("embedded server: %w", err)
	}
	s := &Server{conf: conf, nats: ns, log: newLogger(conf.Logger), lock: lock}
	ns.SetLoggerV2(s.log, false, false, false)
	ns.Start()
	if err := errors.Join(s.awaitReady(ctx), s.answerForItself()); err != nil {
		s.Stop()
		return nil, fmt.Errorf("embedded server in %s: %w", conf.StoreDir, err)
	}
	s.log.started.Store(true)
	return s, nil
}

func (c Config) options() *server.Options {
	opts := &server.Options{
		ServerName:   c.Name,
		Host:         c.Host,
		Port:         c.Port,
		DontListen:   c.Port == 0,
		JetStream:    true,
		StoreDir:     c.StoreDir,
		SyncInterval: c.SyncInterval,
		SyncAlways:   c.SyncAlways,
		NoSigs:       true, // signals are the process's to handle
	}
	if c.Cluster != nil {
		opts.Cluster = server.ClusterOpts{Name: c.Cluster.Name, Host: c.Host, Port: c.Cluster.Port}
		for _, r := range c.Cluster.Routes {
			opts.Routes = append(opts.Routes, server.RoutesFromStr("nats://"+r)...)
		}
	}
	return opts
}

// answerForItself lets clients ask how the server's JetStream runs, how often it syncs above all, as the system account
// may ask any server: on a subject with this server's id, so that the answer is about no other.
func (s *Server) answerForItself() error {
	subject := fmt.Sprintf("$SYS.REQ.SERVER.%s.JSZ", s.nats.ID())
	system, clients := s.nats.SystemAccount(), s.nats.GlobalAccount()
	if err := system.AddServiceExport(subject, []*server.Account{clients}); err != nil {
		return fmt.Errorf("exporting %s: %w", subject, err)
	}
	if err := clients.AddServiceImport(system, subject, subject); err != nil {
		return fmt.Errorf("importing %s: %w", subject, err)
	}
	return nil
}

// awaitReady waits for the listener and, outside a cluster, for JetStream; in one, JetStream needs the others.
func (s *Server) awaitReady(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startTimeout)
		defer cancel()
	}
	const look = 2 * time.Millisecond // the server offers no signal to wait for
	for ctx.Err() != nil || !s.ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", ctx.Err())
		case err := <-s.log.failed:
			return err
		case <-time.After(look):
		}
		if !s.nats.Running() {
			return errors.New("stopped before it was ready; its log tells why")
		}
	}
	select {
	case err := <-s.log.failed: // ready in all that is looked at, but not in all
		return err
	default:
		return nil
	}
}

func (s *Server) ready() bool {
	return s.nats.ReadyForConnections(time.Millisecond) && (s.conf.Cluster != nil || s.nats.JetStreamEnabled())
}

// ClientURL gives where clients connect; empty for a server that does not listen.
func (s *Server) ClientURL() string {
	if s.conf.Port == 0 {
		return ""
	}
	return s.nats.ClientURL()
}

// StoreDir gives the store directory.
func (s *Server) StoreDir() string { return s.conf.StoreDir }

// JetStreamReady reports whether this server's JetStream is up, and, in a cluster, current with what it has heard of
// the others. That alone does not make a cluster ready: it remains true for a while after the leader has gone. See
// [Server.JetStreamPeers].
func (s *Server) JetStreamReady() bool {
	return s.nats.JetStreamEnabled() && (s.conf.Cluster == nil || s.nats.JetStreamIsCurrent())
}

// JetStreamPeers gives how many servers, itself included, this one knows to be up as the leader of its cluster's
// JetStream: those that streams can be placed on. It is 0 for a server that does not lead, and 1 outside a cluster.
func (s *Server) JetStreamPeers() int {
	if s.conf.Cluster == nil {
		return 1
	}
	return len(s.nats.JetStreamClusterPeers())
}

// Connect gives a connection that does not pass through the network.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect("", append(opts, nats.InProcessServer(s.nats))...)
	if err != nil {
		return nil, fmt.Errorf("embedded server: connecting: %w", err)
	}
	return nc, nil
}

// Stop ends the server and returns when it is gone and its store is closed. A second call does nothing.
func (s *Server) Stop() {
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	_ = s.lock.Release() // a second Stop finds it released
}
