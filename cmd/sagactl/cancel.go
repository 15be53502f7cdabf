package main

import (
	"os/user"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

func (a *app) cancel() *cobra.Command {
	var reason, by string
	var wait bool
	cmd := &cobra.Command{
		Use:   "cancel DEFINITION ID",
		Short: "Ask for a saga to be undone",
		Long: "Cancel asks for a saga to be undone: what it has completed is compensated. A saga that has passed its pivot goes on, " +
			"and the request is only recorded. A step that is running is let to end. With --wait the exit code is 1 unless the saga was undone.\n\n" +
			"With -o json: definition, id, request, reason, by, requested; with --wait, what get prints.",
		Example: `  sagactl cancel place-order o-1 --reason "customer called"`,
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
			ctx, stop := a.asking(cmd.Context())
			defer stop()
			if err := c.Cancel(ctx, key, engine.Because(reason), engine.By(by)); err != nil {
				return err
			}
			switch {
			case wait:
				in, err := c.Wait(cmd.Context(), key)
				if err != nil {
					return err
				}
				if err := a.show(in); err != nil {
					return err
				}
				if in.Status != saga.StatusCompensated {
					return errNo
				}
				return nil
			case a.json():
				return a.printJSON(requestView{key.Definition, key.ID, "cancel", reason, by, true})
			default:
				a.printf("%s: cancellation requested\n", key)
				return nil
			}
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the history")
	cmd.Flags().StringVar(&by, "by", userName(), "who asks, for the history")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the saga's end")
	return cmd
}

func userName() string {
	u, err := user.Current()
	if err != nil {
		return "sagactl"
	}
	return u.Username
}
