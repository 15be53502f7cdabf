package engine

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/jetsaga/jetsaga/saga"
)

// setKey names a set of attributes of a metric. Ids of sagas are never among them, so that their number is bounded by
// the definitions.
type setKey struct {
	definition, step, direction, outcome string
	command, action                      string
	status                               saga.Status
	reason                               saga.Reason
}

// sets keeps attribute sets that have been built, since building one costs more than counting.
type sets struct {
	mu    sync.RWMutex
	byKey map[setKey]metric.MeasurementOption
}

func (s *sets) get(k setKey) metric.MeasurementOption {
	s.mu.RLock()
	set, ok := s.byKey[k]
	s.mu.RUnlock()
	if ok {
		return set
	}
	var kvs []attribute.KeyValue
	for _, kv := range []struct{ key, value string }{
		{"definition", k.definition}, {"step", k.step}, {"direction", k.direction}, {"outcome", k.outcome},
		{"command", k.command}, {"action", k.action}, {"status", string(k.status)}, {"reason", string(k.reason)},
	} {
		if kv.value != "" {
			kvs = append(kvs, attribute.String(kv.key, kv.value))
		}
	}
	set = metric.WithAttributeSet(attribute.NewSet(kvs...))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKey[k] = set
	return set
}
