package main

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

// operation is a request to a saga that takes its definition and id, perhaps an argument more, and who and why.
type operation struct {
	use, short, long, example string
	more                      []string // the names of further arguments
	done                      string   // what is printed of a request that was stored
	send                      func(ctx context.Context, c *engine.Client, key saga.Key, more []string, opts []engine.RequestOption) error
}

// requestView is a request that was stored, as -o json prints it.
type requestView struct {
	Definition string `json:"definition"`
	ID         string `json:"id"`
	Request    string `json:"request"`
	Reason     string `json:"reason"`
	By         string `json:"by"`
	Requested  bool   `json:"requested"`
}

// signalView is a signal that was sent, as -o json prints it.
type signalView struct {
	Definition string `json:"definition"`
	ID         string `json:"id"`
	Signal     string `json:"signal"`
	MessageID  string `json:"message_id"`
	Requested  bool   `json:"requested"`
}

// decisionView is a decision that was sent, as -o json prints it.
type decisionView struct {
	Definition string `json:"definition"`
	ID         string `json:"id"`
	Step       string `json:"step"`
	Approved   bool   `json:"approved"`
	Reason     string `json:"reason"`
	By         string `json:"by"`
	Requested  bool   `json:"requested"`
}

// operation makes a command of an operation.
func (a *app) operation(o operation) *cobra.Command {
	var reason, by string
	cmd := &cobra.Command{
		Use:   o.use + " DEFINITION ID" + spaced(o.more),
		Short: o.short,
		Long: o.long + "\n\nThe command returns when the request is stored; the saga's history tells what came of it.\n\n" +
			"With -o json: definition, id, request, reason, by, requested.",
		Example: "  sagactl " + o.example,
		Args:    arguments(append([]string{"DEFINITION", "ID"}, o.more...)...),
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
			if err := o.send(ctx, c, key, args[2:], []engine.RequestOption{engine.Because(reason), engine.By(by)}); err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(requestView{key.Definition, key.ID, o.use, reason, by, true})
			}
			a.printf("%s: %s\n", key, o.done)
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the history")
	cmd.Flags().StringVar(&by, "by", userName(), "who asks, for the history")
	return cmd
}

func spaced(words []string) (s string) {
	for _, w := range words {
		s += " " + w
	}
	return s
}

// operations gives the commands of operators.
func (a *app) operations() []*cobra.Command {
	type options = []engine.RequestOption
	var steps []string
	retry := a.operation(operation{
		use: "retry", short: "Give the steps at which a saga is stuck another round of attempts", done: "retry requested",
		long: "Retry gives the steps at which a saga is stuck another round of attempts; with --step, these only. A step that rests before " +
			"its next attempt is tried at once.",
		example: `retry place-order o-1 --reason "the carrier is back"`,
		send: func(ctx context.Context, c *engine.Client, key saga.Key, _ []string, opts options) error {
			return c.Retry(ctx, key, steps, opts...)
		},
	})
	retry.Flags().StringSliceVar(&steps, "step", nil, "the key of a step; may be given several times")
	return []*cobra.Command{
		a.graph(), a.undoPlan(), a.signal(), a.approve(), retry,
		a.operation(operation{
			use: "pause", short: "Have a saga halt", done: "pause requested",
			long:    "Pause has a saga halt: attempts under way may finish, and nothing else begins until it is resumed.",
			example: `pause place-order o-1 --reason "the warehouse burns"`,
			send: func(ctx context.Context, c *engine.Client, key saga.Key, _ []string, opts options) error {
				return c.Pause(ctx, key, opts...)
			},
		}),
		a.operation(operation{
			use: "resume", short: "End a pause", done: "resumption requested",
			long:    "Resume ends a pause. What has become due meanwhile is due at once.",
			example: `resume place-order o-1`,
			send: func(ctx context.Context, c *engine.Client, key saga.Key, _ []string, opts options) error {
				return c.Resume(ctx, key, opts...)
			},
		}),
		a.operation(operation{
			use: "terminate", short: "End a saga at once, and undo nothing", done: "termination requested",
			long:    "Terminate ends a saga at once and leaves what it has done as it is. To have it undone, use cancel.",
			example: `terminate place-order o-1 --reason "settled by hand"`,
			send: func(ctx context.Context, c *engine.Client, key saga.Key, _ []string, opts options) error {
				return c.Terminate(ctx, key, opts...)
			},
		}),
		a.operation(operation{
			use: "skip", short: "Have a saga go on as if a step had completed", more: []string{"STEP"}, done: "skipping requested",
			long:    "Skip has a saga go on as if a step had completed. The step is not undone later.",
			example: `skip place-order o-1 ship --reason "brought over by hand"`,
			send: func(ctx context.Context, c *engine.Client, key saga.Key, more []string, opts options) error {
				return c.Skip(ctx, key, more[0], opts...)
			},
		}),
		a.operation(operation{
			use: "resolve", short: "Tell a stuck saga that a step was undone by other means", more: []string{"STEP"}, done: "resolution requested",
			long:    "Resolve tells a stuck saga that a step, whose compensation failed for good, was undone by other means.",
			example: `resolve place-order o-1 charge-card --reason "refunded by the bank"`,
			send: func(ctx context.Context, c *engine.Client, key saga.Key, more []string, opts options) error {
				return c.Resolve(ctx, key, more[0], opts...)
			},
		}),
		a.operation(operation{
			use: "reset", short: "Take a saga back to a version of its log", more: []string{"VERSION"}, done: "reset requested",
			long: "Reset takes a saga back to where it was at a version of its log, and lets it go on from there. What was done since stays " +
				"done, and nothing is taken out of the log.",
			example: `reset place-order o-1 3 --reason "shipped to the wrong address"`,
			send: func(ctx context.Context, c *engine.Client, key saga.Key, more []string, opts options) error {
				version, err := strconv.ParseUint(more[0], 10, 64)
				if err != nil || version == 0 {
					return usagef("VERSION is %q, must be a positive number", more[0])
				}
				return c.Reset(ctx, key, version, opts...)
			},
		}),
	}
}

func (a *app) signal() *cobra.Command {
	var payload, by, id string
	cmd := &cobra.Command{
		Use:   "signal DEFINITION ID NAME",
		Short: "Send a saga a signal",
		Long: "Signal sends a saga a signal, which is kept until a wait takes it. With --message-id, one that is sent again is taken " +
			"once.\n\nWith -o json: definition, id, signal, message_id, requested.",
		Example: `  sagactl signal place-order o-1 paid --payload '{"amount": 1200}'`,
		Args:    arguments("DEFINITION", "ID", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key := saga.Key{Definition: args[0], ID: args[1]}
			switch err := key.Validate(); {
			case err != nil:
				return err
			case !json.Valid([]byte(payload)):
				return usagef("--payload is not JSON")
			case id == "":
				id = engine.NewID()
			}
			c, nc, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			defer nc.Close()
			ctx, stop := a.asking(cmd.Context())
			defer stop()
			if err := c.Signal(ctx, key, args[2], json.RawMessage(payload), engine.By(by), engine.MessageID(id)); err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(signalView{key.Definition, key.ID, args[2], id, true})
			}
			a.printf("%s: signal %s sent\n", key, args[2])
			return nil
		},
	}
	cmd.Flags().StringVar(&payload, "payload", "null", "the payload, as JSON")
	cmd.Flags().StringVar(&by, "by", userName(), "who sends it, for the history")
	cmd.Flags().StringVar(&id, "message-id", "", "an id of the message, by which repeats are told (default: a new one)")
	return cmd
}

func (a *app) approve() *cobra.Command {
	var reason, by string
	var reject bool
	cmd := &cobra.Command{
		Use:   "approve TOKEN",
		Short: "Decide an approval that a saga waits for",
		Long: "Approve decides an approval with its token, which can be spent once: it approves, or with --reject it rejects.\n\n" +
			"With -o json: definition, id, step, approved, reason, by, requested.",
		Example: `  sagactl approve b3JkZXIAby0x... --by ann --reason "within budget"`,
		Args:    arguments("TOKEN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := saga.ParseToken(args[0])
			if err != nil {
				return &usageError{err}
			}
			c, nc, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			defer nc.Close()
			ctx, stop := a.asking(cmd.Context())
			defer stop()
			if err := c.Approve(ctx, args[0], saga.Decision{Approved: !reject, By: by, Reason: reason}); err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(decisionView{token.Key.Definition, token.Key.ID, token.Step, !reject, reason, by, true})
			}
			a.printf("%s: %s %s\n", token.Key, token.Step, map[bool]string{false: "approved", true: "rejected"}[reject])
			return nil
		},
	}
	cmd.Flags().BoolVar(&reject, "reject", false, "reject in place of approving")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the history")
	cmd.Flags().StringVar(&by, "by", userName(), "who decides, for the history")
	return cmd
}
