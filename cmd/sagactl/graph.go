package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

func (a *app) graph() *cobra.Command {
	var version int
	var format string
	cmd := &cobra.Command{
		Use:   "graph DEFINITION",
		Short: "Print a definition, as a drawing or for mermaid",
		Long: "Graph prints a definition as the workers that registered it have published it: as a drawing for the terminal, and as a " +
			"mermaid flowchart for documents.\n\nWith -o json: name, version, root (the plan's first node, with all others below it).",
		Example: "  sagactl graph place-order --format mermaid",
		Args:    arguments("DEFINITION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "mermaid" && format != "both" {
				return usagef("--format is %q, must be text, mermaid or both", format)
			}
			p, err := a.plan(cmd.Context(), func(ctx context.Context, c *engine.Client) (*saga.Plan, error) {
				return c.Namespace().Plan(ctx, args[0], version)
			})
			if err != nil {
				return err
			}
			switch {
			case a.json():
				return a.printJSON(p)
			case format == "text":
				a.printf("%s", p.Drawing())
			case format == "mermaid":
				a.printf("%s", p.Mermaid())
			default:
				a.printf("%s\n%s", p.Drawing(), p.Mermaid())
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&version, "version", 0, "of the definition (default: the highest)")
	cmd.Flags().StringVar(&format, "format", "both", "text, mermaid or both")
	return cmd
}

// plan has a client give a plan.
func (a *app) plan(ctx context.Context, of func(context.Context, *engine.Client) (*saga.Plan, error)) (*saga.Plan, error) {
	c, nc, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	ctx, stop := a.asking(ctx)
	defer stop()
	return of(ctx, c)
}

func (a *app) undoPlan() *cobra.Command {
	return &cobra.Command{
		Use:   "plan DEFINITION ID",
		Short: "Print what would be undone if a saga were cancelled now",
		Long: "Plan prints what would be undone if a saga were cancelled now, in which order, and what at once. Nothing happens. " +
			"Attempts that are under way would finish first, and be undone, too, if they succeed.\n\nWith -o json, a list: step, child (definition, id), at_once (lists), perhaps (it may not have had its effect).",
		Example: "  sagactl plan place-order o-1",
		Args:    arguments("DEFINITION", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key := saga.Key{Definition: args[0], ID: args[1]}
			if err := key.Validate(); err != nil {
				return err
			}
			var in *saga.Instance
			p, err := a.plan(cmd.Context(), func(ctx context.Context, c *engine.Client) (p *saga.Plan, err error) {
				if in, err = c.Get(ctx, key); err != nil {
					return nil, err
				}
				return c.Namespace().Plan(ctx, key.Definition, in.Definition)
			})
			if err != nil {
				return err
			}
			list := saga.UndoPlan(p, in)
			switch {
			case a.json():
				return a.printJSON(append([]saga.Undoing{}, list...))
			case len(list) == 0:
				a.printf("%s (%s): nothing would be undone\n", key, describe(in))
			default:
				a.printf("%s (%s) would, if it were cancelled now,\n%s", key, describe(in), saga.DrawUndoing(list))
			}
			return nil
		},
	}
}
