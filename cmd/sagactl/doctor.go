package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/streams"
)

// diagnosis is what doctor finds, as it is printed with -o json.
type diagnosis struct {
	Server      string                `json:"server"`
	Version     string                `json:"server_version"`
	Minimum     string                `json:"server_version_minimum"`
	Features    string                `json:"server_features"`
	Namespace   string                `json:"namespace"`
	Streams     []streams.StreamState `json:"streams"`
	Sync        *syncSetting          `json:"sync"`
	Durability  string                `json:"durability"`
	Queues      []streams.QueueState  `json:"queues"`
	DeadLetters uint64                `json:"dead_letters"`
	LastDead    *streams.DeadLetter   `json:"last_dead_letter,omitempty"`
	Checked     *int                  `json:"histories_checked,omitempty"`
	Problems    []string              `json:"problems"`
}

// doctorFlags are those of sagactl doctor.
type doctorFlags struct {
	deep    bool
	rate    float64
	monitor string
}

func (a *app) doctor() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the server, the streams, the queues and, with --deep, every history",
		Long: "Doctor tells whether everything is in order, and what a killed process and a power cut could lose. The second depends " +
			"on how often the server syncs. Embedded servers, such as those of dev and demo, tell it; others tell their system account, and " +
			"accounts to which that exports it ($SYS.REQ.SERVER.*.JSZ), and for the rest --monitor reads it from the monitoring port. With " +
			"--deep it reads every saga's whole history, slowly enough not to be in the way, and reports those that have holes or " +
			"cannot be read. It changes nothing. The exit code is 1 if there is a problem.\n\n" +
			"With -o json: server, server_version, server_version_minimum, server_features, namespace, streams (name, replicas, shards, " +
			"messages, bytes, subjects, replicas_behind), sync (null where it is not known; always, interval_ns), durability, queues " +
			"(definition, stream, commands_waiting, commands_held, commands_redelivered, pulls_waiting), dead_letters, " +
			"last_dead_letter (number, key, time, reason, stream, sequence, data, size), histories_checked (with --deep), problems.",
		Example: "  sagactl doctor\n  sagactl doctor --monitor http://127.0.0.1:8222\n  sagactl doctor --deep --rate 200 -o json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runDoctor(cmd.Context(), f) },
	}
	cmd.Flags().BoolVar(&f.deep, "deep", false, "read every history")
	cmd.Flags().Float64Var(&f.rate, "rate", 1000, "how many histories to read in a second with --deep; 0 for as many as it can")
	cmd.Flags().StringVar(&f.monitor, "monitor", "", "URL of the server's monitoring port, to read how often it syncs where it does not tell clients")
	return cmd
}

func (a *app) runDoctor(ctx context.Context, f doctorFlags) error {
	if f.rate < 0 {
		return usagef("--rate is %v, must not be negative", f.rate)
	}
	nc, err := a.conn.dial()
	if err != nil {
		return err
	}
	defer nc.Close()
	d, ns, err := a.examine(ctx, nc)
	if err != nil {
		return err
	}
	if d.Sync, err = a.syncOf(ctx, nc, f.monitor); err != nil {
		return err
	}
	d.Durability = durability(d.Streams, d.Sync)
	if f.deep {
		if err := d.readHistories(ctx, ns, f.rate); err != nil {
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

// syncOf asks the server itself how it syncs, or the monitoring port that is named.
func (a *app) syncOf(ctx context.Context, nc *nats.Conn, monitor string) (*syncSetting, error) {
	ctx, cancel := a.asking(ctx)
	defer cancel()
	if monitor != "" {
		return readSync(ctx, monitor)
	}
	return askSync(ctx, nc)
}

// examine looks at everything that is seen at a glance.
func (a *app) examine(ctx context.Context, nc *nats.Conn) (*diagnosis, *streams.Namespace, error) {
	ctx, cancel := a.asking(ctx)
	defer cancel()
	conf, err := a.engineConfig(nc)
	if err != nil {
		return nil, nil, err
	}
	ns, differences, err := streams.Inspect(ctx, streams.Config{Conn: nc, JetStream: conf.JetStream, Namespace: conf.Namespace})
	if err != nil {
		return nil, nil, a.explain(err)
	}
	server, err := withoutSecrets(nc.ConnectedUrl())
	if err != nil {
		return nil, nil, err
	}
	d := &diagnosis{
		Server: server, Version: nc.ConnectedServerVersion(), Minimum: streams.MinServerVersion,
		Features: streams.ServerFeatures, Namespace: ns.Name(), Problems: append([]string{}, differences...),
	}
	if err := d.examineStreams(ctx, ns); err != nil {
		return nil, nil, err
	}
	// Where the streams differ, that of the dead letters may be missing altogether.
	if err := d.examineDeadLetters(ctx, ns); err != nil && len(differences) == 0 {
		return nil, nil, err
	}
	return d, ns, nil
}

func (d *diagnosis) problem(format string, args ...any) {
	d.Problems = append(d.Problems, fmt.Sprintf(format, args...))
}

func (d *diagnosis) examineStreams(ctx context.Context, ns *streams.Namespace) (err error) {
	if d.Streams, err = ns.StreamStates(ctx); err != nil {
		return err
	}
	if d.Queues, err = ns.QueueStates(ctx); err != nil {
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
	return nil
}

func (d *diagnosis) examineDeadLetters(ctx context.Context, ns *streams.Namespace) (err error) {
	if d.DeadLetters, err = ns.DeadLetters(ctx); err != nil || d.DeadLetters == 0 {
		return err
	}
	last, ok, err := ns.LastDeadLetter(ctx)
	if err != nil {
		return err
	}
	if !ok {
		d.problem("%d commands were set aside", d.DeadLetters)
		return nil
	}
	d.LastDead = &last
	d.problem("%d commands were set aside, the last for saga %s: %s", d.DeadLetters, last.Key, last.Reason)
	return nil
}

func (d *diagnosis) print(a *app) error {
	a.printf("server      %s, nats-server %s (needs %s, for %s)\nnamespace   %s\ndurability  %s\n\n",
		d.Server, d.Version, d.Minimum, d.Features, d.Namespace, d.Durability)
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
	if d.Checked != nil {
		a.printf("histories     %d read\n", *d.Checked)
	}
	if len(d.Problems) == 0 {
		a.printf("\nEverything is in order.\n")
		return nil
	}
	a.printf("\nProblems: %d\n", len(d.Problems))
	for _, p := range d.Problems {
		a.printf("- %s\n", p)
	}
	return nil
}
