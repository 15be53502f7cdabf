package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // a threshold was missed, or something went wrong
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its surroundings as arguments, and gives the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == serveCommand {
		return exitCode(serve(ctx, args[1:], stdin, stdout), stderr)
	}
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		_, _ = fmt.Fprintln(stderr, err)
		return exitUsage
	case o.list:
		return exitCode(list(stdout), stderr)
	default:
		return exitCode(benchmark(ctx, o, stdout, stderr), stderr)
	}
}

// exitCode tells what went wrong, if anything did, and gives the exit code.
func exitCode(err error, stderr io.Writer) int {
	switch {
	case errors.Is(err, errMissed):
		return exitFailed // the report has told which
	case err != nil:
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailed
	default:
		return exitOK
	}
}

// errMissed tells that a threshold was missed.
var errMissed = errors.New("a threshold was missed")

// list writes what can be measured.
func list(w io.Writer) error {
	for _, v := range variants() {
		if _, err := fmt.Fprintf(w, "%-14s  %s\n", v.name, v.about); err != nil {
			return err
		}
	}
	return nil
}

// benchmark measures what the options ask for and writes the report.
func benchmark(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	finish, err := startProfiles(o)
	if err != nil {
		return err
	}
	b := newBench(o, stderr)
	r := &report{Time: time.Now().UTC(), Machine: thisMachine(o)}
	err = b.measure(ctx, r)
	if err := errors.Join(err, finish(), b.close()); err != nil {
		return err
	}
	if o.check {
		r.Failures = r.check()
	}
	if o.output == "json" {
		err = r.writeJSON(stdout)
	} else {
		err = r.writeTables(stdout)
	}
	if err == nil && len(r.Failures) > 0 {
		err = errMissed
	}
	return err
}

// measure fills the report.
func (b *bench) measure(ctx context.Context, r *report) (err error) {
	if b.options.million {
		r.Soak, err = b.soak(ctx)
		return err
	}
	chosen, err := choose(b.options.variants)
	if err != nil {
		return err
	}
	for _, v := range chosen {
		result, err := b.run(ctx, v)
		if err != nil {
			return err
		}
		r.Results = append(r.Results, result)
	}
	return nil
}
