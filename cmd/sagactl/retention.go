package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

func (a *app) retention() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retention",
		Short: "Purge sagas that ended long ago",
		Long: "Retention removes sagas from the streams when a period has passed since they ended, and exports them first, if told to. " +
			"One that has not ended, is stuck, or is still needed by another saga or a consumer, is never removed.",
	}
	cmd.AddCommand(a.retentionPlan(), a.retentionRun())
	return cmd
}

// retentionFlags are what a retention is made of.
type retentionFlags struct {
	keep      []string
	directory string
	bucket    string
	rules     engine.Retention
}

const keepHelp = "[DEFINITION][:STATUS]=PERIOD, where PERIOD is like 12h or 30d, or forever; the first that fits a saga decides, " +
	"and what none fits is kept; may be repeated"

func (f *retentionFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.keep, "keep", nil, keepHelp)
}

// retention gives what the flags say; js finds the bucket.
func (f *retentionFlags) retention(ctx context.Context, js jetstream.JetStream) (engine.Retention, error) {
	r := f.rules
	for _, text := range f.keep {
		rule, err := parseKeep(text)
		if err != nil {
			return r, err
		}
		r.Rules = append(r.Rules, rule)
	}
	switch {
	case len(r.Rules) == 0:
		return r, usagef("--keep is missing: without it all sagas are kept")
	case r.Rate <= 0 || r.Every <= 0 || r.Remember <= 0:
		return r, usagef("--rate, --every and --remember must be positive")
	case f.directory != "" && f.bucket != "":
		return r, usagef("--archive and --archive-bucket exclude each other")
	case f.directory != "":
		r.Archive = engine.DirectoryArchive(f.directory)
	case f.bucket != "":
		store, err := openBucket(ctx, js, f.bucket)
		if err != nil {
			return r, err
		}
		r.Archive = engine.ObjectArchive(store)
	}
	if err := r.Validate(); err != nil {
		return r, &usageError{err}
	}
	return r, nil
}

func openBucket(ctx context.Context, js jetstream.JetStream, name string) (jetstream.ObjectStore, error) {
	store, err := js.ObjectStore(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrInvalidStoreName) {
		return nil, usagef("there is no bucket %q; create it: nats object add %s", name, name)
	}
	return store, err
}

// parseKeep reads a rule as --keep has it.
func parseKeep(text string) (rule engine.RetentionRule, err error) {
	of, period, ok := strings.Cut(text, "=")
	if !ok {
		of, period = "", text
	}
	definition, status, _ := strings.Cut(of, ":")
	rule.Definition, rule.Status = definition, saga.Status(status)
	if rule.Keep, err = parsePeriod(period); err != nil {
		return rule, usagef("--keep %q: the period is %q, must be like 12h or 30d, or forever", text, period)
	}
	return rule, nil
}

var errPeriod = errors.New("no period")

// parsePeriod reads a duration, which may be in days; that of what is kept for ever is zero.
func parsePeriod(text string) (time.Duration, error) {
	if text == "forever" {
		return 0, nil
	}
	const day, century = 24 * time.Hour, 36_525
	if number, ok := strings.CutSuffix(text, "d"); ok {
		days, err := strconv.Atoi(number)
		if err != nil || days <= 0 || days > century {
			return 0, errPeriod
		}
		return time.Duration(days) * day, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, errPeriod
	}
	return d, nil
}

const reportFields = "sagas, due (definition, status, sagas), purged, held, reasons (saga, reason) of the first hundred held, finished (interrupted " +
	"purges that were completed), exported (names of files), took_ns"

func (a *app) retentionPlan() *cobra.Command {
	var f retentionFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Tell what would be purged now",
		Long: "Plan looks through the streams and tells how many sagas would be purged now, by definition and status, and which are due " +
			"and held, with the reason. It changes nothing.\n\nWith -o json: " + reportFields + ".",
		Example: "  sagactl retention plan --keep :completed=30d --keep place-order=90d",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.retain(cmd.Context(), &f, (*engine.Client).PlanRetention, "would be purged")
		},
	}
	f.add(cmd)
	f.rules = engine.Retention{Rate: engine.DefaultPurgeRate, Every: engine.DefaultPurgeEvery, Remember: engine.DefaultRemember}
	return cmd
}

func (a *app) retentionRun() *cobra.Command {
	var f retentionFlags
	var once bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Purge what is due, again and again",
		Long: "Run purges what is due until it is interrupted, and tells of it on standard error. Any number may run, beside the workers " +
			"that have a retention: one at a time is at work. With --once it goes through the streams once and tells what it did.\n\n" +
			"With --archive or --archive-bucket sagas are exported first, and purged when their file is safe; \"sagactl import\" brings " +
			"them back.\n\nWith --once -o json: " + reportFields + ".",
		Example: "  sagactl retention run --keep :completed=30d --keep place-order=90d --archive /var/lib/sagas",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if once {
				return a.retain(cmd.Context(), &f, (*engine.Client).Retain, "purged")
			}
			return a.keepRetaining(cmd.Context(), &f)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.directory, "archive", "", "export to this directory")
	flags.StringVar(&f.bucket, "archive-bucket", "", "export to this bucket of the JetStream object store")
	flags.DurationVar(&f.rules.Remember, "remember", engine.DefaultRemember, "for how long a purged id is refused")
	flags.Float64Var(&f.rules.Rate, "rate", engine.DefaultPurgeRate, "purge so many sagas a second, at most")
	flags.DurationVar(&f.rules.Every, "every", engine.DefaultPurgeEvery, "how often the streams are looked through")
	flags.BoolVar(&once, "once", false, "go through the streams once, whoever else does")
	return cmd
}

// retain goes through the streams once and prints the report.
func (a *app) retain(
	ctx context.Context, f *retentionFlags, do func(*engine.Client, context.Context, engine.Retention) (engine.RetentionReport, error), done string,
) error {
	c, nc, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	r, err := f.retention(ctx, c.Namespace().JetStream())
	if err != nil {
		return err
	}
	report, err := do(c, ctx, r)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(report)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	due := 0
	if len(report.Due) > 0 {
		_, _ = fmt.Fprintln(w, "DEFINITION\tSTATUS\tSAGAS")
	}
	for _, count := range report.Due {
		due += count.Sagas
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\n", count.Definition, count.Status, count.Sagas)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if report.Purged > 0 {
		due = report.Purged
	}
	a.printf("of %d sagas %d %s, and %d that are due are held\n", report.Sagas, due, done, report.Held)
	for _, held := range report.Reasons {
		a.printf("held: %s: %s\n", held.Saga, held.Reason)
	}
	for _, name := range report.Exported {
		a.printf("exported to %s\n", name)
	}
	return nil
}

func (a *app) keepRetaining(ctx context.Context, f *retentionFlags) error {
	c, nc, err := a.clientBy(ctx, func(ctx context.Context, conf engine.Config) (*engine.Client, error) {
		conf.Logger = slog.New(slog.NewTextHandler(a.err, nil))
		return engine.OpenClient(ctx, conf)
	})
	if err != nil {
		return err
	}
	defer nc.Close()
	r, err := f.retention(ctx, c.Namespace().JetStream())
	if err != nil {
		return err
	}
	return c.RunRetention(ctx, r)
}
