package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// instanceView is a saga as it is printed with -o json.
type instanceView struct {
	Definition string      `json:"definition"`
	ID         string      `json:"id"`
	Run        string      `json:"run"`
	PlanNumber int         `json:"definition_version"`
	Version    uint64      `json:"version"`
	Status     saga.Status `json:"status"`
	Parked     bool        `json:"parked"`
	Reason     saga.Reason `json:"reason,omitempty"`
	Error      string      `json:"error,omitempty"`
	Worker     string      `json:"worker,omitempty"`
	StartedAt  time.Time   `json:"started_at"`
	UpdatedAt  time.Time   `json:"updated_at"`
	EndedAt    time.Time   `json:"ended_at,omitzero"`
	State      saga.State  `json:"state"`

	Steps  map[string]saga.StepState    `json:"steps,omitempty"`
	Timers map[string]saga.PendingTimer `json:"timers,omitempty"`
	Cancel *saga.CancelRequested        `json:"cancel,omitempty"`

	Paused     bool                   `json:"paused,omitempty"`
	Stuck      []string               `json:"stuck,omitempty"`
	Blocks     map[string]*saga.Block `json:"blocks,omitempty"`
	Signals    []saga.Signal          `json:"signals,omitempty"`
	Deadline   time.Time              `json:"deadline,omitzero"`
	Parent     *saga.Parent           `json:"parent,omitempty"`
	Attributes map[string]string      `json:"attributes,omitempty"`
}

func view(in *saga.Instance) instanceView {
	return instanceView{
		Definition: in.Key.Definition, ID: in.Key.ID, Run: in.Run, PlanNumber: in.Definition, Version: in.Version,
		Status: in.Status, Parked: in.Parked, Reason: in.Reason, Error: in.Error, Worker: in.Owner.Worker,
		StartedAt: in.StartedAt, UpdatedAt: in.UpdatedAt, EndedAt: in.EndedAt, State: in.State,
		Steps: maps.Collect(in.Steps.All()), Timers: in.Timers, Cancel: in.Cancel,
		Paused: in.Paused, Stuck: in.Stuck, Blocks: in.Blocks, Signals: in.Signals,
		Deadline: in.Deadline, Parent: in.Parent, Attributes: in.Attributes,
	}
}

// show prints a saga.
func (a *app) show(in *saga.Instance) error {
	if a.json() {
		return a.printJSON(view(in))
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { _, _ = fmt.Fprintf(w, "%s\t%v\n", name, value) }
	line("saga", in.Key)
	line("status", describe(in))
	if in.Error != "" {
		line("error", clip(in.Error, 200))
	}
	line("run", in.Run)
	line("definition", fmt.Sprintf("%s version %d", in.Key.Definition, in.Definition))
	line("version", in.Version)
	line("started", in.StartedAt.Local().Format(timeFormat))
	if in.Ended() {
		line("ended", fmt.Sprintf("%s, after %v", in.EndedAt.Local().Format(timeFormat), short(in.EndedAt.Sub(in.StartedAt))))
	} else {
		line("updated", in.UpdatedAt.Local().Format(timeFormat))
	}
	if in.Owner.Worker != "" {
		line("worker", in.Owner.Worker)
	}
	if in.Cancel != nil {
		line("cancel", cancelledBy(*in.Cancel))
	}
	if remedy := remedies(in); remedy != "" {
		line("to do", remedy)
	}
	if in.Parent != nil {
		line("parent", fmt.Sprintf("%s, step %s", in.Parent.Key, in.Parent.Step))
	}
	if !in.Deadline.IsZero() {
		line("deadline", in.Deadline.Local().Format(timeFormat))
	}
	if len(in.Attributes) > 0 {
		line("attributes", attributes(in.Attributes))
	}
	for name, s := range in.Steps.All() {
		line("step", name+" "+describeStep(s))
	}
	for _, key := range slices.Sorted(maps.Keys(in.Blocks)) {
		line("block", key+" "+describeBlock(in.Blocks[key]))
	}
	for _, s := range in.Signals {
		line("signal", fmt.Sprintf("%s, not taken: %s", s.Name, clip(string(s.Payload), 80)))
	}
	for _, name := range slices.Sorted(maps.Keys(in.Timers)) {
		line("timer", fmt.Sprintf("%s at %s", name, in.Timers[name].At.Local().Format(timeFormat)))
	}
	line("state", indented(in.State, "\t"))
	return w.Flush()
}

const timeFormat = "2006-01-02 15:04:05.000"

// describe says in words where a saga stands.
func describe(in *saga.Instance) string {
	text := string(in.Status)
	if in.Paused {
		text += ", paused"
	}
	if in.Parked {
		text += ", parked"
	}
	if in.Reason != "" {
		text += fmt.Sprintf(" (%s)", in.Reason)
	}
	if in.Status == saga.StatusPending {
		text += ": no worker has taken it up"
	}
	return text
}

// describeStep says in words where a step stands.
func describeStep(s saga.StepState) string {
	text := fmt.Sprintf("%s, attempts: %d", cmp.Or(string(s.Status), "pending"), s.Attempt)
	if s.UndoAttempt > 0 {
		text += fmt.Sprintf(", undo attempts: %d", s.UndoAttempt)
	}
	if !s.RetryAt.IsZero() {
		text += ", again at " + s.RetryAt.Local().Format(timeFormat)
	}
	if s.Error != "" {
		text += ": " + clip(s.Error, 200)
	}
	return text
}

// cancelledBy says who asked for a saga to be undone, and why.
func cancelledBy(c saga.CancelRequested) string {
	text := "by " + cmp.Or(c.By, "nobody named")
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

// indented prints a state one field a line.
func indented(s saga.State, indent string) string {
	text, err := json.MarshalIndent(s, indent, "  ")
	if err != nil {
		return string(s.JSON())
	}
	return string(text)
}

// short rounds a duration to what is of interest.
func short(d time.Duration) time.Duration {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond)
	case d < time.Second:
		return d.Round(100 * time.Microsecond)
	default:
		return d.Round(time.Millisecond)
	}
}

// clip shortens text to one line of at most n runes.
func clip(text string, n int) string {
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > n {
		return string(line[:n-1]) + "…"
	}
	return string(line)
}
