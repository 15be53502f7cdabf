package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// diagnosis is what doctor finds, as it is printed with -o json.
type diagnosis struct {
	Server      string                `json:"server"`
	Version     string                `json:"server_version"`
	Minimum     string                `json:"server_version_minimum"`
	Namespace   string                `json:"namespace"`
	Streams     []streams.StreamState `json:"streams"`
	Durability  string                `json:"durability"`
	Queues      []streams.QueueState  `json:"queues"`
	DeadLetters uint64                `json:"dead_letters"`
	LastDead    *streams.DeadLetter   `json:"last_dead_letter,omitempty"`
	Checked     int                   `json:"histories_checked,omitempty"`
	Problems    []string              `json:"problems"`
}

func (a *app) doctor() *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the server, the streams, the queues and, with --deep, every history",
		Long: "Doctor tells whether everything is in order, and what a killed process and a power cut could lose. With --deep it reads " +
			"the end of every saga's log and reports those that have holes; that takes a while.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDoctor(cmd.Context(), deep) },
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "read every history")
	return cmd
}

func (a *app) runDoctor(ctx context.Context, deep bool) error {
	c, nc, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	d := &diagnosis{
		Server: nc.ConnectedUrlRedacted(), Version: nc.ConnectedServerVersion(), Minimum: streams.MinServerVersion,
		Namespace: a.conn.namespace, Problems: []string{},
	}
	if err := d.examine(ctx, c); err != nil {
		return err
	}
	if deep {
		if err := d.readHistories(ctx, c); err != nil {
			return err
		}
	}
	if a.json() {
		err = a.printJSON(d)
	} else {
		err = d.print(a)
	}
	if err == nil && len(d.Problems) > 0 {
		return errNo
	}
	return err
}

func (d *diagnosis) problem(format string, args ...any) {
	d.Problems = append(d.Problems, fmt.Sprintf(format, args...))
}

func (d *diagnosis) examine(ctx context.Context, c *engine.Client) (err error) {
	ns := c.Namespace()
	if d.Streams, err = ns.StreamStates(ctx); err != nil {
		return err
	}
	if d.Queues, err = ns.QueueStates(ctx); err != nil {
		return err
	}
	if d.DeadLetters, err = ns.DeadLetters(ctx); err != nil {
		return err
	}
	for _, s := range d.Streams {
		if s.Behind > 0 {
			d.problem("stream %s: %d of its %d replicas are behind", s.Name, s.Behind, s.Replicas)
		}
	}
	for _, q := range d.Queues {
		if q.Waiting > 0 && q.Pulls == 0 && q.Held == 0 {
			d.problem("%s on %s: %d commands wait and no worker asks for them; start one that knows the definition",
				q.Definition, q.Stream, q.Waiting)
		}
	}
	if d.DeadLetters > 0 {
		last, ok, err := ns.LastDeadLetter(ctx)
		if err != nil {
			return err
		}
		if ok {
			d.LastDead = &last
		}
		d.problem("%d commands were set aside, the last for saga %s: %s", d.DeadLetters, last.Key, last.Reason)
	}
	d.Durability = durability(d.Streams)
	return nil
}

// durability says what can be lost. A client cannot read the server's sync_interval, so it says what follows from it.
func durability(all []streams.StreamState) string {
	replicas := all[0].Replicas
	for _, s := range all {
		replicas = min(replicas, s.Replicas)
	}
	if replicas > 1 {
		return fmt.Sprintf("%d replicas: a killed server loses nothing, nor does a power cut, unless it takes %d servers at once.",
			replicas, replicas/2+1)
	}
	return "one replica: a killed server loses nothing; a power cut loses what was acknowledged since the last sync, which is up to " +
		"two minutes with nats-server's default, one second with sync_interval: 1s (recommended; sagactl dev and demo run with it) " +
		"and nothing with sync_interval: always. A client cannot read that setting: look into the server's configuration."
}

// readHistories reads the end of every saga's log.
func (d *diagnosis) readHistories(ctx context.Context, c *engine.Client) error {
	log := c.Namespace().Log()
	var failure error
	err := c.Namespace().Sagas(ctx, func(key saga.Key) bool {
		d.Checked++
		end, err := log.Load(ctx, key, saga.Any)
		if err == nil {
			_, err = saga.Fold(key, end.Commits)
		}
		var corrupt *saga.CorruptError
		var unknown *saga.UnknownError
		switch {
		case err == nil:
		case errors.As(err, &corrupt), errors.As(err, &unknown):
			d.problem("%v", err)
		default:
			failure = err
		}
		return failure == nil
	})
	return errors.Join(err, failure)
}

func (d *diagnosis) print(a *app) error {
	a.printf("server      %s, nats-server %s (needs %s)\nnamespace   %s\ndurability  %s\n\n",
		d.Server, d.Version, d.Minimum, d.Namespace, d.Durability)
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "STREAM\tREPLICAS\tSHARDS\tMESSAGES\tBYTES\tSUBJECTS")
	for _, s := range d.Streams {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", s.Name, s.Replicas, s.Shards, s.Messages, s.Bytes, s.Subjects)
	}
	_, _ = fmt.Fprintln(w, "\nDEFINITION\tSTREAM\tWAITING\tHELD\tREDELIVERED\tPULLS")
	for _, q := range d.Queues {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\n", q.Definition, q.Stream, q.Waiting, q.Held, q.Redelivered, q.Pulls)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	a.printf("\ndead letters  %d\n", d.DeadLetters)
	if d.Checked > 0 {
		a.printf("histories     %d read\n", d.Checked)
	}
	if len(d.Problems) == 0 {
		a.printf("\nEverything is in order.\n")
		return nil
	}
	a.printf("\n%d problems:\n", len(d.Problems))
	for _, p := range d.Problems {
		a.printf("- %s\n", p)
	}
	return nil
}
