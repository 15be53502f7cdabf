package testutil

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/jetsaga/jetsaga/streams/embedded"
)

// serverRole is the role of a nats-server; [Main] knows it.
const serverRole = "nats-server"

// ServerProcess is a nats-server in a process of its own.
type ServerProcess struct {
	t       testing.TB
	dir     string
	port    int
	process *Process
}

// StartServerProcess runs a nats-server with JetStream in a process of its own, with its store in dir, and returns when
// it is ready.
func StartServerProcess(t testing.TB, dir string) *ServerProcess {
	t.Helper()
	s := &ServerProcess{t: t, dir: dir, port: freePorts(t, 1)[0]}
	s.Restart()
	return s
}

// ClientURL gives where clients connect; it is the same after a restart.
func (s *ServerProcess) ClientURL() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }

// PID gives the id of the server's present process.
func (s *ServerProcess) PID() int { return s.process.PID() }

// Kill ends the server with SIGKILL.
func (s *ServerProcess) Kill() { s.process.Kill() }

// Restart starts the killed server on its store and its port, and returns when it is ready.
func (s *ServerProcess) Restart() {
	s.t.Helper()
	s.process = StartProcess(s.t, serverRole, s.dir, strconv.Itoa(s.port))
	s.process.WaitLine("ready")
}

// runServer is the role: arguments are the store directory and the port.
func runServer(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("nats-server: want a directory and a port, got %q", args)
	}
	port, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("nats-server: port: %w", err)
	}
	s, err := embedded.Start(ctx, embedded.Config{StoreDir: args[0], Port: port})
	if err != nil {
		return err
	}
	defer s.Stop()
	fmt.Println("ready", s.ClientURL())
	<-ctx.Done()
	return nil
}
