package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	Sagas   int64                `json:"sagas"`
	Poison  []projections.Poison `json:"poison,omitempty"`
}

type streamLag struct {
	Stream string `json:"stream"`
	Lag    uint64 `json:"lag"`
	Error  string `json:"error,omitempty"`
}

// poisonShown is how many records that were set aside are printed.
const poisonShown = 100

func (a *app) projectionsStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Tell how far the read models are",
		Long: "Status tells which read models there are, how many records of each stream they do not have yet, and what was set aside " +
			"because it could not be read. Without read models that can be asked the exit code is 1.\n\n" +
			"With -o json: epoch, current, next, began, why, streams (stream, lag, error), sagas, poison (saga, stream, sequence, commit, reason, time).",
		RunE: func(cmd *cobra.Command, _ []string) error {
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
			var s modelStatus
			if s.Generations, err = r.Generations(ctx); err != nil {
				return err
			}
			source := m.Source()
			for _, stream := range source.Streams() {
				l := streamLag{Stream: stream}
				if l.Lag, err = projections.Lag(ctx, source, stream, s.Current); err != nil {
					l.Error = err.Error()
				}
				s.Streams = append(s.Streams, l)
			}
			if s.Current != "" {
				if s.Sagas, err = r.Count(ctx, projections.Query{}); err != nil {
					return err
				}
				if s.Poison, err = r.Poisoned(ctx, poisonShown); err != nil {
					return err
				}
			}
			if err := a.showModelStatus(s); err != nil {
				return err
			}
			if s.Current == "" {
				return errNo
			}
			return nil
		},
	}
}

func (a *app) showModelStatus(s modelStatus) error {
	if a.json() {
		return a.printJSON(s)
	}
	if s.Current == "" {
		a.printf("there are no read models to ask yet\n")
	} else {
		a.printf("read models %s: %d sagas\n", s.Current, s.Sagas)
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
	var why string
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Build the read models anew",
		Long: "Rebuild has a running projector build the read models anew beside those that are read, and switch to them in one step " +
			"when they have caught up. One that is under way is not begun again. With --wait it returns when they are read.\n\n" +
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
			next, err := projections.Rebuild(ctx, m.rdb, m.Namespace().Name(), why)
			if err != nil {
				return err
			}
			if wait {
				if err := a.awaitRebuild(cmd.Context(), m, next); err != nil {
					return err
				}
			}
			switch {
			case a.json():
				return a.printJSON(rebuildView{next, wait})
			case wait:
				a.printf("the read models are %s now, built in %v\n", next, short(time.Since(begun)))
			default:
				a.printf("asked for: a running projector builds %s\n", next)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until they are read")
	cmd.Flags().StringVar(&why, "why", "sagactl asked for it", "why, for status and the projector's log")
	return cmd
}

// awaitRebuild returns when the generation is read.
func (a *app) awaitRebuild(ctx context.Context, m *modelled, generation string) error {
	r, err := m.Models()
	if err != nil {
		return err
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		g, err := r.Generations(ctx)
		switch {
		case err != nil:
			return err
		case g.Current == generation:
			return nil
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
