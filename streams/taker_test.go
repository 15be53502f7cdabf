package streams

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestAStreamIsBehindUntilAllItsSourcesSayOtherwise(t *testing.T) {
	source := &jetstream.StreamSource{Name: "S"}
	outbox := &jetstream.StreamSource{Name: "S", FilterSubject: "saga.default.*.*.*.out.>"}
	told := func(lag uint64, active time.Duration) *jetstream.StreamSourceInfo {
		return &jetstream.StreamSourceInfo{Name: "S", Lag: lag, Active: active}
	}
	for name, c := range map[string]struct {
		info   jetstream.StreamInfo
		takes  bool
		behind bool
		outbox bool
	}{
		"takes another": {info: jetstream.StreamInfo{Config: jetstream.StreamConfig{Sources: []*jetstream.StreamSource{{Name: "T"}}}}, outbox: true},
		"has read all": {
			info:  jetstream.StreamInfo{Config: jetstream.StreamConfig{Sources: []*jetstream.StreamSource{outbox}}, Sources: []*jetstream.StreamSourceInfo{told(0, time.Second)}},
			takes: true, outbox: true,
		},
		"lags": {
			info:  jetstream.StreamInfo{Config: jetstream.StreamConfig{Mirror: source}, Mirror: told(1, time.Second)},
			takes: true, behind: true,
		},
		"is silent": {
			info:  jetstream.StreamInfo{Config: jetstream.StreamConfig{Mirror: source}, Mirror: told(0, sourceSilence+1)},
			takes: true, behind: true,
		},
		"has heard nothing yet": {
			info:  jetstream.StreamInfo{Config: jetstream.StreamConfig{Mirror: source}, Mirror: told(0, -1)},
			takes: true, behind: true,
		},
		"has no leader": {
			info:  jetstream.StreamInfo{Config: jetstream.StreamConfig{Sources: []*jetstream.StreamSource{outbox}}},
			takes: true, behind: true, outbox: true,
		},
		"tells of one of two": {
			info:  jetstream.StreamInfo{Config: jetstream.StreamConfig{Sources: []*jetstream.StreamSource{outbox, source}}, Sources: []*jetstream.StreamSourceInfo{told(0, 0)}},
			takes: true, behind: true,
		},
	} {
		if got, ok := newTaker(&c.info, "S"); ok != c.takes || got.behind != c.behind || got.outboxOnly != c.outbox {
			t.Errorf("a stream that %s: %+v, %v", name, got, ok)
		}
	}
}
