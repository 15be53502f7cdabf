package engine

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/jetsaga/jetsaga/saga"
)

// retentionMeters count what a retention does; nil ones count nothing.
type retentionMeters struct {
	purgedSagas metric.Int64Counter
	heldSagas   metric.Int64Gauge
}

func newRetentionMeters(p metric.MeterProvider) (*retentionMeters, error) {
	if p == nil {
		return nil, nil //nolint:nilnil // nil counts nothing
	}
	m := p.Meter(scope)
	purged, err := m.Int64Counter("jetsaga.retention.purged", metric.WithUnit("{saga}"),
		metric.WithDescription("sagas purged from the streams, by the status that they ended with"))
	if err != nil {
		return nil, fmt.Errorf("engine: metrics: %w", err)
	}
	held, err := m.Int64Gauge("jetsaga.retention.held", metric.WithUnit("{saga}"),
		metric.WithDescription("sagas that were due at the last look through the streams, and are kept because they are needed"))
	if err != nil {
		return nil, fmt.Errorf("engine: metrics: %w", err)
	}
	return &retentionMeters{purged, held}, nil
}

func (m *retentionMeters) purged(ctx context.Context, definition string, status saga.Status) {
	if m != nil {
		m.purgedSagas.Add(ctx, 1, metric.WithAttributes(attribute.String("definition", definition), attribute.String("status", string(status))))
	}
}

func (m *retentionMeters) held(ctx context.Context, sagas int) {
	if m != nil {
		m.heldSagas.Record(ctx, int64(sagas))
	}
}
