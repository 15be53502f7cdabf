package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// options are the flags.
type options struct {
	variants      []string
	list          bool
	sagas         int
	rounds        int
	rate          int
	only          string
	million       bool
	server        string
	serverProcess bool
	dir           string
	output        string
	check         bool
	cpuProfile    string
	memProfile    string
}

// parseOptions reads the flags and tells all that is wrong with them at once.
func parseOptions(args []string, usage io.Writer) (options, error) {
	var o options
	var names string
	flags := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&names, "variants", "", "what to measure, separated by commas (default all)")
	flags.BoolVar(&o.list, "list", false, "list the variants")
	flags.IntVar(&o.sagas, "sagas", 0, "sagas a round (default: the variant's own)")
	flags.IntVar(&o.rounds, "rounds", 0, "rounds of floor and engine (default: the variant's own)")
	flags.IntVar(&o.rate, "rate", 1000, "sagas a second of the variant fixed-rate")
	flags.StringVar(&o.only, "only", "", "measure one side: floor or engine; for profiles")
	flags.BoolVar(&o.million, "million", false, "instead: memory of the worker over a million sagas (or -sagas); the server is a process of its own")
	flags.StringVar(&o.server, "server", "", "URL of a running nats-server (default: one is started)")
	flags.BoolVar(&o.serverProcess, "server-process", false, "start the server as a process of its own, so that allocations and heap are the worker's alone")
	flags.StringVar(&o.dir, "dir", "", "where the server that is started stores (default: the system's temporary directory)")
	flags.StringVar(&o.output, "o", "table", "output: table or json")
	flags.BoolVar(&o.check, "check", false, "exit 1 if a threshold is missed")
	flags.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile to this file")
	flags.StringVar(&o.memProfile, "memprofile", "", "write a profile of allocations to this file")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if names != "" {
		o.variants = strings.Split(names, ",")
	}
	o.serverProcess = o.serverProcess || o.million && o.server == ""
	return o, o.validate(flags.Args())
}

func (o options) validate(rest []string) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(rest) > 0 {
		fault("unexpected argument %q", rest[0])
	}
	if o.sagas < 0 {
		fault("-sagas %d is negative", o.sagas)
	}
	if o.rounds < 0 {
		fault("-rounds %d is negative", o.rounds)
	}
	if o.rate < 1 {
		fault("-rate %d is below 1", o.rate)
	}
	if o.only != "" && o.only != sideFloor && o.only != sideEngine {
		fault("-only %q is neither %s nor %s", o.only, sideFloor, sideEngine)
	}
	if o.only != "" && o.check {
		fault("-check compares both sides, so it excludes -only")
	}
	if o.output != "table" && o.output != "json" {
		fault("-o %q is neither table nor json", o.output)
	}
	if o.server != "" && o.serverProcess {
		fault("-server and -server-process exclude each other")
	}
	if _, err := choose(o.variants); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// whereServer tells people where the server runs.
func (o options) whereServer() string {
	switch {
	case o.server != "":
		return "elsewhere (-server)"
	case o.serverProcess:
		return "in a process of its own"
	default:
		return "in this process"
	}
}
