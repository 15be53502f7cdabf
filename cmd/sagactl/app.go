package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// app is what the commands share: where they read and write, and the flags that all have.
type app struct {
	in       io.Reader
	out, err io.Writer
	conn     connection
	redis    string // where the read models are
	output   string // "text" or "json"
	begun    bool   // the command line was in order, and its command runs
}

// run carries out one command line and gives the exit code. An error is one line on stderr.
func run(ctx context.Context, args []string, in io.Reader, out, err io.Writer) int {
	a := &app{in: in, out: out, err: err}
	root := a.root() //nolint:contextcheck // the commands take it from cobra
	root.SetArgs(args)
	failure := root.ExecuteContext(ctx)
	if failure != nil && !a.begun {
		failure = &usageError{failure} // cobra's own complaints have no type
	}
	if failure != nil && !errors.Is(failure, errNo) {
		_, _ = fmt.Fprintln(err, "sagactl: "+a.complaint(failure))
	}
	return exitCode(failure)
}

// complaint puts what went wrong into one line.
func (a *app) complaint(failure error) string {
	text := failure.Error()
	var stopped *stoppedError
	switch {
	case errors.Is(failure, context.Canceled) && !errors.As(failure, &stopped):
		text = "interrupted"
	case errors.Is(failure, context.DeadlineExceeded):
		text += fmt.Sprintf("; the server did not answer within %v", a.conn.timeout)
	}
	if said := a.conn.async.Load(); said != nil && exitCode(failure) == exitServer {
		text += "; the server said: " + (*said).Error()
	}
	return strings.Join(strings.Fields(text), " ")
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sagactl",
		Short:         "Run, inspect and cancel sagas",
		Long:          "Sagactl runs, inspects and cancels Jetsaga's sagas. Begin with: sagactl demo",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.output != "text" && a.output != "json" {
				return usagef("--output is %q, must be text or json", a.output)
			}
			return a.conn.fromEnvironment()
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	flags := root.PersistentFlags()
	flags.StringVarP(&a.output, "output", "o", "text", "how to print: text or json")
	a.conn.flags(flags)
	flags.StringVar(&a.redis, "redis", "", "URL of the Redis with the read models (env "+redisVariable+")")
	root.AddCommand(
		a.demo(), a.dev(), a.start(), a.get(), a.history(), a.cancel(), a.doctor(), a.version(), a.exitCodes(),
	)
	root.AddCommand(a.operations()...)
	root.AddCommand(a.list(), a.count(), a.steps(), a.projections(), a.deadletters(), a.retention(), a.imports())
	a.prepare(root)
	return root
}

// prepare has the commands below one check their arguments, and take note that they run.
func (a *app) prepare(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		a.prepare(c)
		if c.Args == nil && !c.HasSubCommands() {
			c.Args = arguments()
		}
		if do := c.RunE; do != nil {
			c.RunE = func(cmd *cobra.Command, args []string) error {
				a.begun = true
				return do(cmd, args)
			}
		}
	}
}

// arguments has a command take just these arguments.
func arguments(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usagef("%s takes no arguments, got %q", c.Name(), args)
		}
		return usagef("%s takes %s, got %d arguments; see sagactl help %s", c.Name(), strings.Join(names, " and "), len(args), c.Name())
	}
}

// json reports whether the output is for machines.
func (a *app) json() bool { return a.output == "json" }

// printJSON prints a value as indented JSON.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printf prints for people.
func (a *app) printf(format string, args ...any) { _, _ = fmt.Fprintf(a.out, format, args...) }
