package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

func (a *app) history() *cobra.Command {
	var at uint64
	cmd := &cobra.Command{
		Use:   "history DEFINITION ID",
		Short: "Show what happened to a saga",
		Long: "History shows each event of a saga with its time, step, attempt, duration and what it changed. With --at it shows the " +
			"saga, its state included, as it was at a version. A history with holes is shown as far as it is there, and ends with exit code 6.\n\n" +
			"With -o json, a list of events: version, time, worker, event, step, attempt, took_ns, set (fields and their new values), " +
			"unset (names), error, stack, note. With --at it is what get prints.",
		Example: "  sagactl history place-order order-000001\n  sagactl history place-order order-000001 --at 2",
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
			return a.showHistory(cmd.Context(), c, key, at, cmd.Flags().Changed("at"))
		},
	}
	cmd.Flags().Uint64Var(&at, "at", 0, "show the saga as it was at this version")
	return cmd
}

func (a *app) showHistory(ctx context.Context, c *engine.Client, key saga.Key, at uint64, asOf bool) error {
	ctx, cancel := a.asking(ctx)
	defer cancel()
	commits, err := c.History(ctx, key)
	if err != nil {
		return err
	}
	if asOf {
		in, err := instanceAt(key, commits, at)
		if err != nil {
			return err
		}
		return a.show(in)
	}
	if err := a.showEvents(key, entries(commits)); err != nil {
		return err
	}
	return whole(key, commits) // what there is has been shown
}

func (a *app) showEvents(key saga.Key, rows []entry) error {
	if a.json() {
		return a.printJSON(rows)
	}
	if len(rows) == 0 {
		a.printf("%s was started, and no worker has taken it up\n", key)
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "VERSION\tTIME\tEVENT\tSTEP\tATTEMPT\tTOOK\tWHAT")
	for _, r := range rows {
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Version, r.Time.Local().Format(timeFormat), r.Event, r.Step,
			blankZero(r.Attempt), took(r.Took), clip(r.summary(), 240))
	}
	return w.Flush()
}

// instanceAt folds a history up to a version.
func instanceAt(key saga.Key, commits []saga.Commit, at uint64) (*saga.Instance, error) {
	i := slices.IndexFunc(commits, func(c saga.Commit) bool { return c.Version == at })
	if i < 0 {
		last := uint64(0)
		if len(commits) > 0 {
			last = commits[len(commits)-1].Version
		}
		return nil, fmt.Errorf("saga %s has no version %d, its last is %d: %w", key, at, last, errNoVersion)
	}
	if err := whole(key, commits[:i+1]); err != nil {
		return nil, err
	}
	return saga.Fold(key, commits[:i+1])
}

// whole reports a history with holes as a [*saga.CorruptError]. Folding takes a log that begins at a snapshot, as the
// end of a long one does; a whole history begins with version 1.
func whole(key saga.Key, commits []saga.Commit) error {
	if len(commits) == 0 {
		return nil
	}
	cut := slices.ContainsFunc(commits, func(c saga.Commit) bool { return c.Keep > 0 })
	if first := commits[0].Version; first != 1 && !cut {
		return &saga.CorruptError{Key: key, Version: first, Err: errors.New("it is the first that is there, what came before is gone")}
	}
	_, err := saga.Fold(key, commits)
	return err
}

// entry is one event of a history as it is printed.
type entry struct {
	Version uint64        `json:"version"`
	Time    time.Time     `json:"time"`
	Worker  string        `json:"worker"`
	Event   string        `json:"event"`
	Step    string        `json:"step,omitempty"`
	Attempt int           `json:"attempt,omitempty"`
	Took    time.Duration `json:"took_ns,omitempty"`
	Set     saga.State    `json:"set,omitzero"`
	Unset   []string      `json:"unset,omitempty"`
	Error   string        `json:"error,omitempty"`
	Stack   string        `json:"stack,omitempty"`
	Note    string        `json:"note,omitempty"`
}

func entries(commits []saga.Commit) []entry {
	all := []entry{} // not null as JSON
	for _, c := range commits {
		for _, e := range c.Events {
			r := entry{Version: c.Version, Time: c.Time, Worker: c.By.Worker, Event: saga.EventName(e)}
			r.fill(e, c)
			all = append(all, r)
		}
	}
	return all
}

// fill takes what an event tells.
func (r *entry) fill(event saga.Event, c saga.Commit) {
	switch e := event.(type) {
	case saga.SagaStarted:
		r.Set, r.Note = e.State, fmt.Sprintf("run %s, version %d of the definition", e.Run, e.Definition)
	case saga.ActivationClaimed:
		r.Note = fmt.Sprintf("by %s, delivery %d", c.By.Worker, c.By.Delivery)
	case saga.StepCompleted:
		r.Step, r.Attempt, r.Took, r.Set, r.Unset = e.Step, e.Attempt, e.Took, e.Set, e.Unset
	case saga.StepCompensated:
		r.Step, r.Attempt, r.Took, r.Set, r.Unset = e.Step, e.Attempt, e.Took, e.Set, e.Unset
	case saga.StepFailed:
		r.Step, r.Attempt, r.Took = e.Step, e.Attempt, e.Took
		r.fail(e.Failure)
	case saga.CompensationFailed:
		r.Step, r.Attempt, r.Took = e.Step, e.Attempt, e.Took
		r.fail(e.Failure)
	case saga.CompensationStarted:
		r.Step, r.Error, r.Note = e.Step, e.Error, string(e.Reason)
	case saga.CancelRequested:
		r.Note = cancelledBy(e)
	case saga.TimerSet:
		r.Step, r.Note = e.Step, fmt.Sprintf("%s at %s", e.Name, e.At.Local().Format(timeFormat))
	case saga.TimerFired:
		r.Note = e.Name
	case saga.TimerCancelled:
		r.Note = e.Name
	case saga.SagaCompensated:
		r.Error, r.Note = e.Error, string(e.Reason)
	case saga.SagaStuck:
		r.Error, r.Note = e.Error, "stuck at "+strings.Join(e.Steps, ", ")
	default:
		r.fillFlow(event)
	}
}

func (r *entry) fail(f saga.Failure) {
	r.Error, r.Stack = f.Error, f.Stack
	switch {
	case f.Permanent:
		r.Note = "permanent"
	case f.GaveUp:
		r.Note = "gave up"
	case f.PutOff > 0:
		r.Note = "put off until " + f.RetryAt.Local().Format("15:04:05.000")
	default:
		r.Note = "again at " + f.RetryAt.Local().Format("15:04:05.000")
	}
}

// summary says in one line what an event tells beyond its columns.
func (r *entry) summary() string {
	var parts []string
	if r.Note != "" {
		parts = append(parts, r.Note)
	}
	if r.Error != "" {
		parts = append(parts, "error: "+r.Error)
	}
	if !r.Set.IsZero() {
		parts = append(parts, "set "+fields(r.Set))
	}
	if len(r.Unset) > 0 {
		parts = append(parts, "unset "+strings.Join(r.Unset, ", "))
	}
	return strings.Join(parts, "; ")
}

// fields gives a state's fields in one line, each value shortened, so that a long one does not hide the others.
func fields(s saga.State) string {
	const longest = 40
	var b strings.Builder
	for _, name := range s.Fields() {
		value, _ := s.Field(name)
		fmt.Fprintf(&b, " %s=%s", name, clip(string(value), longest))
	}
	return strings.TrimSpace(b.String())
}

func blankZero(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func took(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return short(d).String()
}
