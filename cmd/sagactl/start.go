package main

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

// startFlags are those of sagactl start.
type startFlags struct {
	id, input       string
	version         int
	existing, again bool
	create, wait    bool
	deadline        time.Duration
}

// startView is what start prints with -o json.
type startView struct {
	Definition string `json:"definition"`
	ID         string `json:"id"`
	Run        string `json:"run"`
	Existing   bool   `json:"existing"`
}

func (a *app) start() *cobra.Command {
	var f startFlags
	cmd := &cobra.Command{
		Use:   "start DEFINITION",
		Short: "Start a saga",
		Long: "Start stores a saga; a worker that knows the definition runs it. An id that was started before is refused, " +
			"unless --existing or --again says otherwise. With --wait the exit code is 1 unless the saga completed.\n\n" +
			"With -o json: definition, id, run, existing; with --wait, what get prints.",
		Example: `  sagactl start place-order --id o-1 --input '{"sku": "tea", "quantity": 2}'
  sagactl start place-order --id o-1 --input @order.json --wait
  generate-order | sagactl start place-order --input -`,
		Args: arguments("DEFINITION"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runStart(cmd.Context(), args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.id, "id", "", "the saga's id (default: a new UUID)")
	flags.StringVar(&f.input, "input", "{}", "the state to start with: JSON, @FILE or - for standard input")
	flags.IntVar(&f.version, "version", 0, "version of the definition (default: the highest that the worker knows)")
	flags.BoolVar(&f.existing, "existing", false, "take a saga with this id as it is, if there is one")
	flags.BoolVar(&f.again, "again", false, "run a saga that has ended once more")
	flags.DurationVar(&f.deadline, "deadline", 0, "undo the saga if it has not ended after this time (default: never)")
	flags.BoolVar(&f.create, "create", false, "create the namespace's streams if there are none")
	flags.BoolVar(&f.wait, "wait", false, "wait for the saga's end")
	cmd.MarkFlagsMutuallyExclusive("existing", "again")
	return cmd
}

func (a *app) runStart(ctx context.Context, definition string, f startFlags) error {
	if f.id == "" {
		f.id = engine.NewID()
	}
	key := saga.Key{Definition: definition, ID: f.id}
	if err := key.Validate(); err != nil {
		return err
	}
	if f.deadline < 0 {
		return usagef("--deadline is %v, must be positive", f.deadline)
	}
	state, err := a.readState(f.input)
	if err != nil {
		return usagef("--input: %w", err)
	}
	open := engine.OpenClient
	if f.create {
		open = engine.NewClient
	}
	c, nc, err := a.clientBy(ctx, open)
	if err != nil {
		return err
	}
	defer nc.Close()
	asking, cancel := a.asking(ctx)
	defer cancel()
	started, err := c.Start(asking, key, f.version, state, f.options()...)
	if err != nil {
		return err
	}
	if f.wait {
		return a.showEnd(ctx, c, key)
	}
	if a.json() {
		return a.printJSON(startView{key.Definition, key.ID, started.Run, started.Existing})
	}
	verb := "started"
	if started.Existing {
		verb = "was there already"
	}
	a.printf("%s %s, run %s\n", key, verb, started.Run)
	return nil
}

func (f startFlags) options() []engine.StartOption {
	var opts []engine.StartOption
	if f.deadline > 0 {
		opts = append(opts, engine.Deadline(time.Now().UTC().Add(f.deadline)))
	}
	if f.existing {
		opts = append(opts, engine.OrExisting())
	}
	if f.again {
		opts = append(opts, engine.OrAgain())
	}
	return opts
}

// showEnd waits for a saga's end and prints it. Any end but completed is a no.
func (a *app) showEnd(ctx context.Context, c *engine.Client, key saga.Key) error {
	in, err := c.Wait(ctx, key)
	if err != nil {
		return err
	}
	if err := a.show(in); err != nil {
		return err
	}
	if in.Status != saga.StatusCompleted {
		return errNo
	}
	return nil
}

// readState reads a state from the command line, a file or standard input.
func (a *app) readState(input string) (saga.State, error) {
	data := []byte(input)
	var err error
	switch file, isFile := strings.CutPrefix(input, "@"); {
	case input == "-":
		data, err = io.ReadAll(a.in)
	case isFile:
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return saga.State{}, err
	}
	return saga.ParseState(data)
}
