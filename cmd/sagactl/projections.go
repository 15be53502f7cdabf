package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/projections"
)

func (a *app) projections() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "projections",
		Short: "Look after the read models in Redis",
		Long:  "Projections tells how far the read models are, builds them anew, and compares them with the streams.",
	}
	cmd.AddCommand(a.projectionsStatus(), a.projectionsRebuild(), a.projectionsVerify(), a.projectionsRun())
	return cmd
}

// modelStatus is what projections status prints.
type modelStatus struct {
	projections.Generations
	Streams []streamLag          `json:"streams"`
	Sagas   *int64               `json:"sagas,omitempty"` // of the read models of sagas
	Poison  []projections.Poison `json:"poison,omitempty"`
	Views   []string             `json:"views,omitempty"` // that there are beside the read models of sagas
}

type streamLag struct {
	Stream string `json:"stream"`
	Lag    uint64 `json:"lag"`
	Error  string `json:"error,omitempty"`
}

// poisonShown is how many records that were set aside are printed.
const poisonShown = 100

func (a *app) projectionsStatus() *cobra.Command {
	var view string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell how far the read models are",
		Long: "Status tells which read models there are, how many records of each stream they do not have yet, and what was set aside " +
			"because it could not be read. With --view it tells the same of a view, a read model of your own. Without read models that " +
			"can be asked the exit code is 1.\n\n" +
			"With -o json: epoch, current, next, began, why, streams (stream, lag, error), sagas, poison (saga, stream, sequence, commit, " +
			"reason, time, stack), views (the names of those that there are).",
		Example: "  sagactl projections status\n  sagactl projections status --view revenue",
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.modelled(cmd.Context(), nil)
			if err != nil {
				return err
			}
			defer m.close()
			ctx, cancel := a.asking(cmd.Context())
			defer cancel()
			s, err := m.status(ctx, view)
			if err != nil {
				return err
			}
			if err := a.showModelStatus(view, s); err != nil {
				return err
			}
			if s.Current == "" {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&view, "view", "", "the name of a view")
	return cmd
}

// status tells how far a view is or, where that is empty, the read models of sagas.
func (m *modelled) status(ctx context.Context, view string) (s modelStatus, err error) {
	if s.Generations, err = m.generations(ctx, view); err != nil {
		return s, err
	}
	s.Streams = m.lags(ctx, view, cmp.Or(s.Current, s.Next))
	if view != "" {
		if s.Current != "" {
			s.Poison, err = projections.ViewPoisoned(ctx, m.rdb, m.Namespace().Name(), view, poisonShown)
		}
		return s, err
	}
	if s.Views, err = projections.Views(ctx, m.Source()); err != nil || s.Current == "" {
		return s, err
	}
	r, err := m.Models()
	if err != nil {
		return s, err
	}
	sagas, err := r.Count(ctx, projections.Query{})
	if err != nil {
		return s, err
	}
	s.Sagas = &sagas
	s.Poison, err = r.Poisoned(ctx, poisonShown)
	return s, err
}

// lags tells of each stream how much of it a generation does not have yet; of none, where there is no generation.
func (m *modelled) lags(ctx context.Context, view, generation string) []streamLag {
	lags, source := []streamLag{}, m.Source()
	if generation == "" {
		return lags
	}
	for _, stream := range source.Streams() {
		l := streamLag{Stream: stream}
		var err error
		if view == "" {
			l.Lag, err = projections.Lag(ctx, source, stream, generation)
		} else {
			l.Lag, err = projections.ViewLag(ctx, source, stream, view, generation)
		}
		if err != nil {
			l.Error = err.Error()
		}
		lags = append(lags, l)
	}
	return lags
}

func (a *app) showModelStatus(view string, s modelStatus) error {
	if a.json() {
		return a.printJSON(s)
	}
	switch {
	case s.Current == "" && view != "":
		a.printf("there is no view %s to ask yet\n", view)
	case s.Current == "":
		a.printf("there are no read models to ask yet\n")
	case view != "":
		a.printf("view %s %s\n", view, s.Current)
	default:
		a.printf("read models %s: %d sagas\n", s.Current, *s.Sagas)
	}
	if len(s.Views) > 0 {
		a.printf("views, of which --view tells: %s\n", strings.Join(s.Views, ", "))
	}
	if s.Next != "" {
		a.printf("%s is being built since %s: %s\n", s.Next, s.Began.Local().Format(timeFormat), s.Why)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "STREAM\tRECORDS BEHIND")
	for _, l := range s.Streams {
		lag := fmt.Sprint(l.Lag)
		if l.Error != "" {
			lag = l.Error
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\n", l.Stream, lag)
	}
	for i := range s.Poison {
		p := &s.Poison[i]
		_, _ = fmt.Fprintf(w, "set aside\t%s, record %d of %s: %s\n", p.Key, p.Sequence, p.Stream, p.Reason)
	}
	return w.Flush()
}

// rebuildView is what projections rebuild prints with -o json.
type rebuildView struct {
	Generation string `json:"generation"`
	Done       bool   `json:"done"`
}

func (a *app) projectionsRebuild() *cobra.Command {
	var wait bool
	var why, view string
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Build the read models anew",
		Long: "Rebuild has a running projector build the read models anew beside those that are read, and switch to them in one step " +
			"when they have caught up. One that is under way is not begun again. With --wait it returns when they are read. With --view " +
			"it is a view, a read model of your own, that a program which runs it builds anew.\n\n" +
			"With -o json: generation, done.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.modelled(cmd.Context(), nil)
			if err != nil {
				return err
			}
			defer m.close()
			ctx, cancel := a.asking(cmd.Context())
			defer cancel()
			begun := time.Now()
			what, next, err := m.rebuild(ctx, view, why)
			if err != nil {
				return err
			}
			if wait {
				if err := m.awaitRebuild(cmd.Context(), view, next); err != nil {
					return err
				}
			}
			switch {
			case a.json():
				return a.printJSON(rebuildView{next, wait})
			case wait:
				a.printf("%s %s now, built in %v\n", what, next, short(time.Since(begun)))
			default:
				a.printf("asked for: a running projector builds %s\n", next)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&view, "view", "", "the name of a view")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until they are read")
	cmd.Flags().StringVar(&why, "why", "sagactl asked for it", "why, for status and the projector's log")
	return cmd
}

// generations tells which there are, of a view or, where that is empty, of the read models of sagas.
func (m *modelled) generations(ctx context.Context, view string) (projections.Generations, error) {
	if view != "" {
		return projections.ViewGenerations(ctx, m.rdb, m.Namespace().Name(), view)
	}
	r, err := m.Models()
	if err != nil {
		return projections.Generations{}, err
	}
	return r.Generations(ctx)
}

// rebuild asks for a view to be built anew or, where that is empty, the read models of sagas.
func (m *modelled) rebuild(ctx context.Context, view, why string) (what, generation string, err error) {
	namespace := m.Namespace().Name()
	if view != "" {
		generation, err = projections.RebuildView(ctx, m.rdb, namespace, view, why)
		return "view " + view + " is", generation, err
	}
	generation, err = projections.Rebuild(ctx, m.rdb, namespace, why)
	return "the read models are", generation, err
}

// awaitRebuild returns when the generation is read.
func (m *modelled) awaitRebuild(ctx context.Context, view, generation string) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		g, err := m.generations(ctx, view)
		switch {
		case err != nil:
			return err
		case g.Current == generation:
			return nil
		case g.Next == "":
			return fmt.Errorf("%s is not known any more: Redis was wiped or set back", generation)
		case g.Next != generation:
			return fmt.Errorf("%s was given up for %s: %s", generation, g.Next, g.Why)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// verificationView is what projections verify prints with -o json.
type verificationView struct {
	Verification projections.Verification `json:"verification"`
	Differences  []projections.Difference `json:"differences"`
}

func (a *app) projectionsVerify() *cobra.Command {
	var repair bool
	var most int
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare the read models with the streams",
		Long: "Verify reads all streams and compares them with the read models: every summary, every index, every total. Sagas may go on " +
			"meanwhile. With --repair it writes what the streams tell. The exit code is 1 if something differs and was not repaired.\n\n" +
			"With -o json: verification (generation, sagas, records, differences, repaired, took_ns), differences (shard, saga, what, name, want, have).",
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.modelled(cmd.Context(), nil)
			if err != nil {
				return err
			}
			defer m.close()
			found := []projections.Difference{}
			v, err := projections.Verify(cmd.Context(), m.rdb, m.Source(), projections.VerifyConfig{
				Repair: repair,
				Found: func(d projections.Difference) {
					if len(found) < most {
						found = append(found, d)
					}
				},
			})
			if err != nil {
				return err
			}
			if err := a.showVerification(v, found); err != nil {
				return err
			}
			if v.Differences > v.Repaired {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "write what the streams tell in place of what differs")
	cmd.Flags().IntVar(&most, "most", 100, "how many differences to print")
	return cmd
}

func (a *app) showVerification(v projections.Verification, found []projections.Difference) error {
	if a.json() {
		return a.printJSON(verificationView{v, found})
	}
	for _, d := range found {
		a.printf("shard %s: %s %s %s\n  streams: %s\n  Redis:   %s\n", d.Shard, d.Saga, d.What, d.Name, clip(d.Want, 400), clip(d.Have, 400))
	}
	a.printf("%d sagas, %d records in %v: ", v.Sagas, v.Records, short(v.Took))
	switch {
	case v.Differences == 0:
		a.printf("no difference\n")
	case v.Repaired > 0:
		a.printf("%d differences, %d repaired\n", v.Differences, v.Repaired)
	default:
		a.printf("%d differences\n", v.Differences)
	}
	return nil
}

func (a *app) projectionsRun() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run a projector",
		Long: "Run keeps the read models up with the streams until it is interrupted. Any number may run, beside the workers that have one: " +
			"of each stream one is active, and another takes over within a second where it is gone. What it has to tell goes to standard error.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.modelled(cmd.Context(), slog.New(slog.NewTextHandler(a.err, nil)))
			if err != nil {
				return err
			}
			defer m.close()
			p, err := m.Projector()
			if err != nil {
				return err
			}
			if err := p.Run(cmd.Context()); err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		},
	}
}
