package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// The defaults of a [Retention].
const (
	DefaultPurgeRate  = 100
	DefaultPurgeEvery = 10 * time.Minute
	DefaultRemember   = projections.DefaultRemember
)

// Retention says which sagas are purged from the streams after they have ended, and when. The zero value keeps all for
// ever. A saga that has not ended, and one that is stuck, is never purged; nor is one that is still needed: see
// docs/retention.md.
type Retention struct {
	// Rules say how long sagas are kept; the first that fits a saga decides. One that no rule fits is kept for ever.
	Rules []RetentionRule
	// Archive is where sagas are exported to before they are purged. Default: they are not exported.
	Archive Archive
	// Remember is for how long a purged saga is remembered: a Start of its id is refused, and a worker that slept through
	// it all finds that it is over. At least a second. Read models that were not kept up for as long are built anew, as they
	// may have missed purges: whatever purges, and every worker, should have the same. Default: [DefaultRemember].
	Remember time.Duration
	// Rate is how many sagas are purged in a second, at most. Default: [DefaultPurgeRate].
	Rate float64
	// Every is how often the streams are looked through. Default: [DefaultPurgeEvery].
	Every time.Duration
}

// RetentionRule says how long sagas are kept.
type RetentionRule struct {
	Definition string      // whose sagas; default: all definitions'
	Status     saga.Status // as which they ended: completed, compensated or terminated; default: any of these
	// Keep is how long a saga is kept after it has ended, and after the last command to it. Default: for ever.
	Keep time.Duration
}

// Validate tells all that is wrong with the retention, each by its field; nil where nothing is.
func (r Retention) Validate() error {
	_, err := r.withDefaults()
	return err
}

// withDefaults checks the retention, tells all that is wrong at once, and fills in defaults.
func (r Retention) withDefaults() (Retention, error) {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("engine.Retention."+format, args...)) }
	for i, rule := range r.Rules {
		if rule.Definition != "" {
			if err := saga.CheckName("definition", rule.Definition); err != nil {
				fault("Rules[%d].Definition: %w", i, err)
			}
		}
		switch rule.Status {
		case "", saga.StatusCompleted, saga.StatusCompensated, saga.StatusTerminated:
		case saga.StatusStuck:
			fault("Rules[%d].Status is stuck: such a saga waits for an operator and is never purged", i)
		default:
			fault("Rules[%d].Status is %q, must be completed, compensated or terminated", i, rule.Status)
		}
		if rule.Keep < 0 {
			fault("Rules[%d].Keep is %v, must not be negative", i, rule.Keep)
		}
	}
	switch {
	case r.Remember == 0:
		r.Remember = DefaultRemember
	case r.Remember < streams.MinRemember:
		fault("Remember is %v, must be at least %v", r.Remember, streams.MinRemember)
	}
	switch {
	case r.Rate == 0:
		r.Rate = DefaultPurgeRate
	case r.Rate < 0:
		fault("Rate is %v, must be positive", r.Rate)
	}
	switch {
	case r.Every == 0:
		r.Every = DefaultPurgeEvery
	case r.Every < 0:
		fault("Every is %v, must be positive", r.Every)
	}
	return r, errors.Join(errs...)
}

// keep gives how long a saga is kept that ended so; ok is false where that is for ever.
func (r *Retention) keep(definition string, status saga.Status) (keep time.Duration, ok bool) {
	if status == saga.StatusStuck {
		return 0, false
	}
	for _, rule := range r.Rules {
		if (rule.Definition == "" || rule.Definition == definition) && (rule.Status == "" || rule.Status == status) {
			return rule.Keep, rule.Keep > 0
		}
	}
	return 0, false
}

// purgeable are the statuses of sagas that may be purged.
var purgeable = []saga.Status{saga.StatusCompleted, saga.StatusCompensated, saga.StatusTerminated}

// shortest gives how long a saga is kept at least, however it ends; ok is false where that is for ever.
func (r *Retention) shortest(definition string) (shortest time.Duration, ok bool) {
	for _, status := range purgeable {
		if keep, some := r.keep(definition, status); some && (!ok || keep < shortest) {
			shortest, ok = keep, true
		}
	}
	return shortest, ok
}

// retain runs a worker's retention, where it has one, until the returned function is called, which waits for its end.
func retain(ctx context.Context, conf Config, ns *streams.Namespace) (end func()) {
	if len(conf.Retention.Rules) == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- newClient(conf, ns).RunRetention(ctx, conf.Retention) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			conf.Logger.Error("the retention has ended", "error", err)
		}
	}
}

// RunRetention purges what is due, again and again until ctx ends; then it gives nil. Of all that run it, workers whose
// configuration has a Retention included, one is at work at a time, and another goes on where it is gone. The error tells
// what is wrong with the retention.
func (c *Client) RunRetention(ctx context.Context, r Retention) error {
	r, err := r.withDefaults()
	if err != nil {
		return err
	}
	meters, err := newRetentionMeters(c.conf.MeterProvider)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		err := c.ns.Hold(ctx, "retention", c.conf.Name, func(ctx context.Context) error {
			for {
				report, err := c.retain(ctx, &r, meters, false)
				if err != nil {
					return err
				}
				if report.Purged+report.Held > 0 {
					c.conf.Logger.Info("sagas purged", "namespace", c.ns.Name(), "purged", report.Purged, "held", report.Held, "took", report.Took)
				}
				if err := rest(ctx, r.Every); err != nil {
					return err
				}
			}
		})
		if err != nil && ctx.Err() == nil {
			c.conf.Logger.Warn("purging sagas", "namespace", c.ns.Name(), "error", err)
			_ = rest(ctx, min(r.Every, retentionRest)) // its error is ctx's
		}
	}
	return nil
}

// retentionRest is how long a retention rests after a failure, at most.
const retentionRest = 10 * time.Second

// rest returns after a time, or with the error of ctx.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Retain purges what is due now, whoever else does.
func (c *Client) Retain(ctx context.Context, r Retention) (RetentionReport, error) {
	return c.retainOnce(ctx, r, false)
}

// PlanRetention tells what Retain would do now, and does nothing.
func (c *Client) PlanRetention(ctx context.Context, r Retention) (RetentionReport, error) {
	return c.retainOnce(ctx, r, true)
}

func (c *Client) retainOnce(ctx context.Context, r Retention, plan bool) (RetentionReport, error) {
	r, err := r.withDefaults()
	if err != nil {
		return RetentionReport{}, err
	}
	meters, err := newRetentionMeters(c.conf.MeterProvider)
	if err != nil {
		return RetentionReport{}, err
	}
	return c.retain(ctx, &r, meters, plan)
}
