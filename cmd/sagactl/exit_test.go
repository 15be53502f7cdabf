package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
)

func TestWhatEndsInTheMiddleHasTheExitCodeOfItsCause(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want int
	}{
		{"Redis refuses", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, exitServer},
		{"Redis hangs up", fmt.Errorf("reading an index: %w", io.EOF), exitServer},
		{"the port of dev is taken", &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}, exitKnown},
		{"anything else", errors.New("no"), exitFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			if code := exitCode(test.err); code != test.want {
				t.Errorf("the exit code is %d, want %d", code, test.want)
			}
		})
	}
}
