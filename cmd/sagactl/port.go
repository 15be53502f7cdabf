package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// checkPortFlag refuses what is no port. 0 is none, and a server that nobody can reach is not what was asked for.
func checkPortFlag(port int) error {
	if port == 0 || port < -1 || port > 65535 {
		return usagef("--port is %d, must be 1 to 65535, or -1 for a free one", port)
	}
	return nil
}

// checkPort refuses a port that cannot be listened on, before a server is started on it: nats-server would only say so
// in its log. Another process may still be faster.
func checkPort(ctx context.Context, host string, port int) error {
	if port <= 0 {
		return nil
	}
	address := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %w; choose another --port, or -1 for a free one", address, errPort)
	case err != nil:
		return usagef("cannot listen on %s: %w", address, err)
	}
	return l.Close()
}
