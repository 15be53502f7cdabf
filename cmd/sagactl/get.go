package main

import (
	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/saga"
)

func (a *app) get() *cobra.Command {
	return &cobra.Command{
		Use:   "get DEFINITION ID",
		Short: "Show where a saga stands",
		Long: "Get shows a saga as its log has it now.\n\n" +
			"With -o json: definition, id, run, definition_version, version, status (pending, running, compensating, completed, " +
			"compensated, terminated, stuck), parked, paused, reason, error, stuck (the keys of the steps), worker, started_at, updated_at, " +
			"ended_at, deadline, state, attributes, parent (key, run, step), steps (by key: status, attempt, undo_attempt, error, retry_at, " +
			"doubt, failure, put_off), blocks (by key: branch, turn, done, failed, reason, until, found, items, ended, signal, child), timers (by " +
			"name: at, version, step), signals (that nothing has taken: id, run, name, payload, by, time), cancel (id, reason, by).",
		Example: "  sagactl get place-order order-000001\n  sagactl get place-order order-000001 -o json",
		Args:    arguments("DEFINITION", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key := saga.Key{Definition: args[0], ID: args[1]}
			if err := key.Validate(); err != nil {
				return err
			}
			c, nc, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			defer nc.Close()
			ctx, cancel := a.asking(cmd.Context())
			defer cancel()
			in, err := c.Get(ctx, key)
			if err != nil {
				return err
			}
			return a.show(in)
		},
	}
}
