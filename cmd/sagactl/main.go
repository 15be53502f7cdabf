// Sagactl runs, inspects and operates sagas, and looks after their read models, dead letters and retention.
//
//	sagactl demo                              a thousand orders on an embedded NATS server, reconciled to the unit
//	sagactl dev                               NATS with JetStream and Redis in one process, for an application to connect to
//	sagactl start DEFINITION --id ID          start a saga
//	sagactl get DEFINITION ID                 where a saga stands
//	sagactl history DEFINITION ID [--at V]    what happened to it, and what its state was
//	sagactl doctor                            is everything in order, and what can be lost
//
// "sagactl help" lists all commands, and docs/sagactl.md tells what they do. Every command takes -o json. Exit codes are listed
// by "sagactl exit-codes".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the process at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
