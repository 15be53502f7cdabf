package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/streams/embedded"
)

// server is a running nats-server to measure against.
type server struct {
	url  string
	stop func() error
}

// connect gives a connection over the network, as applications have one.
func (s *server) connect() (*nats.Conn, error) {
	nc, err := nats.Connect(s.url, engine.ConnectOptions()...)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", s.url, err)
	}
	return nc, nil
}

// errExternal tells that a variant needs settings that an external server may not have.
var errExternal = errors.New("needs a server of its own; this one was given with -server")

// openServer gives the server that the options ask for. Each one that is started has a store of its own, which goes
// with it.
func openServer(ctx context.Context, o options, syncAlways bool) (*server, error) {
	if o.server != "" {
		if syncAlways {
			return nil, errExternal
		}
		return &server{url: o.server, stop: func() error { return nil }}, nil
	}
	dir, err := os.MkdirTemp(o.dir, "jetsaga-benchmarks-")
	if err != nil {
		return nil, err
	}
	start := startEmbedded
	if o.serverProcess {
		start = startChild
	}
	s, err := start(ctx, dir, syncAlways)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop := s.stop
	s.stop = func() error { return errors.Join(stop(), os.RemoveAll(dir)) }
	return s, nil
}

func startEmbedded(ctx context.Context, dir string, syncAlways bool) (*server, error) {
	s, err := embedded.Start(ctx, embedded.Config{StoreDir: dir, Port: -1, SyncAlways: syncAlways})
	if err != nil {
		return nil, err
	}
	return &server{url: s.ClientURL(), stop: func() error { s.Stop(); return nil }}, nil
}

// serveCommand is the first argument of the process that startChild starts.
const serveCommand = "serve"

// startChild runs the embedded server in a process of its own. The process ends when its standard input does, and so
// never outlives this one.
func startChild(ctx context.Context, dir string, syncAlways bool) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	//nolint:gosec // this very program
	cmd := exec.CommandContext(ctx, self, serveCommand, "-dir", dir, fmt.Sprintf("-sync-always=%t", syncAlways))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error { return errors.Join(stdin.Close(), cmd.Wait()) }
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("server process: it gave no address: %w", err), stop())
	}
	return &server{url: strings.TrimSpace(url), stop: stop}, nil
}

// serve is the server process: it runs a server, prints its address and stops when its input ends.
func serve(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet(serveCommand, flag.ContinueOnError)
	dir := flags.String("dir", "", "where to store")
	syncAlways := flags.Bool("sync-always", false, "sync before each acknowledgement")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := startEmbedded(ctx, *dir, *syncAlways)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, s.url); err != nil {
		return errors.Join(err, s.stop())
	}
	_, err = io.Copy(io.Discard, in)
	return errors.Join(err, s.stop())
}
