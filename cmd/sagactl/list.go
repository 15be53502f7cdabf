package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

// filters are the flags that say which sagas are wanted.
type filters struct {
	definition, order      string
	statuses, attributes   []string
	startedFrom, startedTo string
	updatedFrom, updatedTo string
	ascending, all         bool
	limit                  int
	cursor                 string
}

func (f *filters) conditions(flags *pflag.FlagSet) {
	flags.StringVarP(&f.definition, "definition", "d", "", "of this definition")
	flags.StringSliceVar(&f.statuses, "status", nil, "with one of these statuses, separated by commas")
	flags.StringArrayVarP(&f.attributes, "attribute", "a", nil, "with this search attribute, as name=value; may be given again")
	for flag, value := range map[string]*string{"started-from": &f.startedFrom, "started-to": &f.startedTo,
		"updated-from": &f.updatedFrom, "updated-to": &f.updatedTo} {
		flags.StringVar(value, flag, "", "a time such as 2026-11-23T10:00:00Z, or how long ago, such as 90m")
	}
}

// query makes a query of the flags.
func (f *filters) query(now time.Time) (projections.Query, error) {
	q := projections.Query{Definition: f.definition, Order: projections.Order(f.order), Ascending: f.ascending, Limit: f.limit, Cursor: f.cursor}
	for _, status := range f.statuses {
		q.Statuses = append(q.Statuses, saga.Status(status))
	}
	for _, pair := range f.attributes {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return q, usagef("--attribute is %q, must be name=value", pair)
		}
		if q.Attributes == nil {
			q.Attributes = map[string]string{}
		}
		if _, twice := q.Attributes[name]; twice {
			return q, usagef("--attribute %s is given twice", name)
		}
		q.Attributes[name] = value
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{
		{"started-from", f.startedFrom, &q.StartedFrom}, {"started-to", f.startedTo, &q.StartedTo},
		{"updated-from", f.updatedFrom, &q.UpdatedFrom}, {"updated-to", f.updatedTo, &q.UpdatedTo},
	} {
		if t.text == "" {
			continue
		}
		if ago, err := time.ParseDuration(t.text); err == nil {
			*t.to = now.Add(-ago)
			continue
		}
		at, err := time.Parse(time.RFC3339, t.text)
		if err != nil {
			return q, usagef("--%s is %q, must be a time such as 2026-11-23T10:00:00Z or a duration such as 90m", t.flag, t.text)
		}
		*t.to = at
	}
	return q, nil
}

func (a *app) list() *cobra.Command {
	var f filters
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List sagas from the read models",
		Long: "List shows sagas as the read models in Redis have them, which may be a moment old; get shows one as it is. The latest " +
			"come first. --all goes through all pages.\n\n" +
			"With -o json: sagas (definition, id, run, plan, version, status, parked, paused, step, attempt, failures, error, last_error, reason, " +
			"attributes, started_at, updated_at, ended_at, steps, damaged), next (the cursor of the next page); with --all one saga a line.",
		Example: "  sagactl list --status stuck\n  sagactl list -d place-order -a customer=42 --started-from 24h --order updated",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			m, err := a.modelled(cmd.Context(), nil)
			if err != nil {
				return err
			}
			defer m.close()
			return a.showList(cmd.Context(), m, q, f.all)
		},
	}
	flags := cmd.Flags()
	f.conditions(flags)
	flags.StringVar(&f.order, "order", string(projections.ByStart), "what to order by: started or updated")
	flags.BoolVar(&f.ascending, "ascending", false, "the earliest first")
	flags.IntVar(&f.limit, "limit", projections.DefaultLimit, fmt.Sprintf("sagas on a page, at most %d", projections.MaxLimit))
	flags.StringVar(&f.cursor, "cursor", "", "where to go on, as the page before has printed it")
	flags.BoolVar(&f.all, "all", false, "all pages")
	return cmd
}

// summaryView is a summary as -o json prints it.
type summaryView struct {
	Definition string `json:"definition"`
	ID         string `json:"id"`
	Plan       int    `json:"plan"`
	projections.Summary
}

// pageView is a page of summaries as -o json prints it.
type pageView struct {
	Sagas []summaryView `json:"sagas"`
	Next  string        `json:"next"`
}

// countView is a number of sagas as -o json prints it.
type countView struct {
	Count int64 `json:"count"`
}

func viewOf(s *projections.Summary) summaryView {
	return summaryView{s.Key.Definition, s.Key.ID, s.Definition, *s}
}

func (a *app) showList(ctx context.Context, m *modelled, q projections.Query, all bool) error {
	lines := json.NewEncoder(a.out)
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	if !a.json() {
		_, _ = fmt.Fprintln(w, "SAGA\tSTATUS\tSTEP\tSTARTED\tUPDATED\tERROR")
	}
	for {
		page, err := a.page(ctx, m, q)
		if err != nil {
			return err
		}
		views := make([]summaryView, len(page.Sagas))
		for i := range page.Sagas {
			views[i] = viewOf(&page.Sagas[i])
		}
		switch {
		case a.json() && !all:
			return a.printJSON(pageView{views, page.Next})
		case a.json():
			for i := range views {
				if err := lines.Encode(views[i]); err != nil {
					return err
				}
			}
		default:
			for i := range page.Sagas {
				s := &page.Sagas[i]
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Key, describeSummary(s), s.Step,
					s.StartedAt.Local().Format(timeFormat), s.UpdatedAt.Local().Format(timeFormat), clip(cmp.Or(s.Error, s.LastError), 80))
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" || !all {
			break
		}
	}
	if a.json() {
		return nil
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if q.Cursor != "" {
		a.printf("more: --cursor %s\n", q.Cursor)
	}
	return nil
}

func (a *app) page(ctx context.Context, m *modelled, q projections.Query) (projections.Page, error) {
	ctx, cancel := a.asking(ctx)
	defer cancel()
	return m.List(ctx, q)
}

func describeSummary(s *projections.Summary) string {
	text := string(s.Status)
	if s.Paused {
		text += ", paused"
	} else if s.Parked {
		text += ", parked"
	}
	if s.Reason != "" {
		text += fmt.Sprintf(" (%s)", s.Reason)
	}
	return text
}

func (a *app) count() *cobra.Command {
	var f filters
	cmd := &cobra.Command{
		Use:   "count",
		Short: "Count sagas from the read models",
		Long: "Count tells how many sagas meet all conditions, or without conditions how many there are by definition and status.\n\n" +
			"With -o json: count; without conditions, a number by definition and status.",
		Example: "  sagactl count\n  sagactl count -d place-order --status completed --started-from 24h",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			m, err := a.modelled(cmd.Context(), nil)
			if err != nil {
				return err
			}
			defer m.close()
			ctx, cancel := a.asking(cmd.Context())
			defer cancel()
			if !anySet(cmd.Flags()) {
				return a.showCounts(ctx, m)
			}
			n, err := m.Count(ctx, q)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(countView{n})
			}
			a.printf("%d\n", n)
			return nil
		},
	}
	f.conditions(cmd.Flags())
	return cmd
}

// anySet reports whether one of a command's own flags was given.
func anySet(flags *pflag.FlagSet) bool {
	set := false
	for _, name := range []string{"definition", "status", "attribute", "started-from", "started-to", "updated-from", "updated-to"} {
		set = set || flags.Changed(name)
	}
	return set
}

func (a *app) showCounts(ctx context.Context, m *modelled) error {
	r, err := m.Models()
	if err != nil {
		return err
	}
	counts, err := r.Counts(ctx)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(counts)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "DEFINITION\tSTATUS\tSAGAS")
	for _, definition := range slices.Sorted(maps.Keys(counts)) {
		for _, status := range slices.Sorted(maps.Keys(counts[definition])) {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%d\n", definition, status, counts[definition][status])
		}
	}
	return w.Flush()
}

func (a *app) steps() *cobra.Command {
	return &cobra.Command{
		Use:   "steps DEFINITION",
		Short: "Show how a definition's steps end and how long they take",
		Long: "Steps tells, from the read models, how many attempts of each step ended how, and how long they took on average: of all " +
			"sagas that are kept.\n\nWith -o json, by step: completed, failed, undone, undo_failed; each with count and took_ns, the sum.",
		Example: "  sagactl steps place-order",
		Args:    arguments("DEFINITION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.modelled(cmd.Context(), nil)
			if err != nil {
				return err
			}
			defer m.close()
			ctx, cancel := a.asking(cmd.Context())
			defer cancel()
			r, err := m.Models()
			if err != nil {
				return err
			}
			steps, err := r.Steps(ctx, args[0])
			if err != nil {
				return err
			}
			if steps == nil {
				steps = map[string]projections.StepTotals{} // not null as JSON
			}
			if a.json() {
				return a.printJSON(steps)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "STEP\tCOMPLETED\tMEAN\tFAILED\tMEAN\tUNDONE\tMEAN\tUNDO FAILED\tMEAN")
			for _, name := range slices.Sorted(maps.Keys(steps)) {
				t := steps[name]
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, tally(t.Completed), tally(t.Failed), tally(t.Undone), tally(t.UndoFailed))
			}
			return w.Flush()
		},
	}
}

func tally(t projections.Tally) string {
	if t.Count == 0 {
		return "0\t"
	}
	return fmt.Sprintf("%d\t%v", t.Count, short(t.Took/time.Duration(t.Count)))
}
