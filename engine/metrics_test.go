package engine_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

func TestMetricsCountWhatHappens(t *testing.T) {
	f := newFleet(t)
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	def := threeSteps(t, func(ctx context.Context, s *trip) error {
		switch s.Note {
		case "fail":
			return saga.Permanent(errors.New("no"))
		case "rest":
			return saga.RetryAfter(errors.New("later"), time.Hour)
		}
		return does("hotel")(ctx, s)
	}, saga.RetryPolicy{})
	e := f.engine(engine.Config{MeterProvider: provider, Slots: 7}, def)
	trips := engine.For(f.client(), def)
	if _, err := trips.Run(withPatience(t), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	if _, err := trips.Run(withPatience(t), "t-2", trip{Note: "fail"}); err == nil {
		t.Fatal("it completed")
	}
	if _, err := trips.Start(withPatience(t), "t-3", trip{Note: "rest"}); err != nil {
		t.Fatal(err)
	}
	until(withPatience(t), t, f.client(), trips.Key("t-3"), func(in *saga.Instance) bool { return in.Parked })
	if err := f.client().Terminate(withPatience(t), trips.Key("t-3")); err != nil {
		t.Fatal(err)
	}
	until(withPatience(t), t, f.client(), trips.Key("t-3"), (*saga.Instance).Ended)
	if err := e.Drain(withPatience(t)); err != nil {
		t.Fatal(err)
	}
	got := collect(t, reader)
	for metric, want := range map[string]float64{
		"jetsaga.sagas.started definition=trip":                                              3,
		"jetsaga.sagas.parked definition=trip":                                               1,
		"jetsaga.sagas.ended definition=trip,status=terminated":                              1,
		"jetsaga.sagas.ended definition=trip,status=completed":                               1,
		"jetsaga.sagas.ended definition=trip,reason=failed,status=compensated":               1,
		"jetsaga.step.duration definition=trip,direction=do,outcome=completed,step=hotel":    1,
		"jetsaga.step.duration definition=trip,direction=do,outcome=permanent,step=hotel":    1,
		"jetsaga.step.duration definition=trip,direction=undo,outcome=completed,step=flight": 1,
		"jetsaga.commands action=ack,command=Start,definition=trip":                          3,
	} {
		if got[metric] != want {
			t.Errorf("%s is %v, want %v", metric, got[metric], want)
		}
	}
	documented(t, got)
}

// documented checks that the documentation tells of each metric.
func documented(t *testing.T, got map[string]float64) {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range got {
		if name, _, _ := strings.Cut(name, " "); !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/metrics.md does not tell of %s", name)
		}
	}
}

func TestARetentionCountsWhatItPurgesAndHolds(t *testing.T) {
	f := newFleet(t)
	def := fickle(t)
	f.engine(engine.Config{}, def)
	ctx := withPatience(t)
	travel(ctx, t, f.client(), def, "completed-1", "completed-2", "compensated-1")
	ns := f.client().Namespace()
	if _, err := ns.JetStream().CreateConsumer(ctx, ns.Home(key("compensated-1")), jetstream.ConsumerConfig{
		Durable: "audit", FilterSubject: "saga.default.*.trip.compensated-1.evt"}); err != nil {
		t.Fatal(err)
	}
	reader := metric.NewManualReader()
	c, err := engine.NewClient(ctx, engine.Config{
		Conn: f.nc, Logger: quiet(), MeterProvider: metric.NewMeterProvider(metric.WithReader(reader))})
	if err != nil {
		t.Fatal(err)
	}
	report, err := c.Retain(ctx, engine.Retention{Rules: []engine.RetentionRule{
		{Status: saga.StatusCompleted, Keep: soon}, {Status: saga.StatusCompensated, Keep: soon}}})
	if err != nil {
		t.Fatal(err)
	}
	got := collect(t, reader)
	if report.Purged+report.Held != 3 || report.Held == 0 ||
		got["jetsaga.retention.purged definition=trip,status=completed"] != float64(report.Purged) || got["jetsaga.retention.held "] != float64(report.Held) {
		t.Errorf("of %+v the meters tell %v", report, got)
	}
	documented(t, got)
}

// collect gives sums, gauges, and counts of histograms, by name and attributes.
func collect(t *testing.T, r metric.Reader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					got[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = float64(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					got[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = float64(p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					got[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = float64(p.Count)
				}
			}
		}
	}
	return got
}
