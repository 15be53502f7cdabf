package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
)

// refusedView is a line that was not imported, as -o json prints it.
type refusedView struct {
	File       string `json:"file"`
	Line       int    `json:"line"`
	Definition string `json:"definition,omitempty"`
	ID         string `json:"id,omitempty"`
	Reason     string `json:"reason"`
}

// importView is what import prints with -o json.
type importView struct {
	engine.Imported
	Lines []refusedView `json:"lines"` // that were not imported
}

func (a *app) imports() *cobra.Command {
	var bucket string
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Bring back sagas that were exported",
		Long: "Import restores sagas from the files that a retention has exported: the same histories, byte for byte. They have ended, and " +
			"nothing runs, is emitted or scheduled. A saga that exists is left as it is and told of; the rest goes on, and the exit code is 1. " +
			"What died half-way is made again. A file may be \"-\", for standard input.\n\n" +
			"With -o json: sagas, present (that an earlier import has restored), refused, lines (file, line, definition, id, reason).",
		Example: "  sagactl import /var/lib/sagas/*.jsonl.gz",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("import takes the names of files")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, nc, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			defer nc.Close()
			open := a.openFile
			if bucket != "" {
				store, err := openBucket(cmd.Context(), c.Namespace().JetStream(), bucket)
				if err != nil {
					return err
				}
				open = func(ctx context.Context, name string) (io.ReadCloser, error) { return openObject(ctx, store, name) }
			}
			return a.importAll(cmd.Context(), c, args, open)
		},
	}
	cmd.Flags().StringVar(&bucket, "bucket", "", "the names are of objects in this bucket of the JetStream object store")
	return cmd
}

func (a *app) openFile(_ context.Context, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.in), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &usageError{err}
	}
	return f, nil
}

func openObject(ctx context.Context, store jetstream.ObjectStore, name string) (io.ReadCloser, error) {
	object, err := store.Get(ctx, name)
	if err != nil {
		return nil, usagef("object %q: %w", name, err)
	}
	return object, nil
}

// importAll restores what is in files, one after another.
func (a *app) importAll(
	ctx context.Context, c *engine.Client, names []string, open func(context.Context, string) (io.ReadCloser, error),
) error {
	var sum engine.Imported
	lines := []refusedView{}
	for _, name := range names {
		f, err := open(ctx, name)
		if err != nil {
			return err
		}
		some, err := c.Import(ctx, f, func(r engine.RefusedImport) {
			lines = append(lines, refusedView{name, r.Line, r.Key.Definition, r.Key.ID, r.Err.Error()})
		})
		_ = f.Close() // it was only read
		sum.Sagas, sum.Present, sum.Refused = sum.Sagas+some.Sagas, sum.Present+some.Present, sum.Refused+some.Refused
		if err != nil {
			return fmt.Errorf("%s: after %d sagas: %w", name, some.Sagas+some.Present, err)
		}
	}
	if a.json() {
		if err := a.printJSON(importView{sum, lines}); err != nil {
			return err
		}
	} else {
		for _, l := range lines {
			a.printf("%s: line %d is not imported: %s\n", l.File, l.Line, l.Reason)
		}
		a.printf("%d sagas imported, %d were here from an earlier import, %d refused\n", sum.Sagas, sum.Present, sum.Refused)
	}
	if sum.Refused > 0 {
		return errNo
	}
	return nil
}
