package main

import (
	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/saga"
)

func (a *app) get() *cobra.Command {
	return &cobra.Command{
		Use:     "get DEFINITION ID",
		Short:   "Show where a saga stands",
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
			in, err := c.Get(cmd.Context(), key)
			if err != nil {
				return err
			}
			return a.show(in)
		},
	}
}
