package streams

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Behind is somebody who has not read all of a stream: a durable consumer of someone else's, or a stream that takes this
// one as its source.
type Behind struct {
	Name string `json:"name"`
	// ReadTo is the sequence up to which it has read; 0 where that is not known.
	ReadTo uint64 `json:"read_to"`
	// OutboxOnly: it reads nothing but outboxes.
	OutboxOnly bool `json:"outbox_only"`
}

// sourceSilence is after how long without a sign of life what a stream says of its source is not believed.
const sourceSilence = time.Minute

// Behind gives who has not read all of a stream, but for the consumers of definitions and for those that ignore is true of.
// Consumers that are not durable are gone when they are not read, and do not count. What another account or another domain
// has is not seen.
func (n *Namespace) Behind(ctx context.Context, stream string, ignore func(consumer string) bool) ([]Behind, error) {
	s, err := n.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", stream, err)
	}
	var behind []Behind
	consumers := s.ListConsumers(ctx)
	for info := range consumers.Info() {
		if b, ok := n.consumerBehind(info); ok && !ignore(info.Name) {
			behind = append(behind, b)
		}
	}
	if err := consumers.Err(); err != nil {
		return nil, fmt.Errorf("stream %s: listing its consumers: %w", stream, err)
	}
	streams := n.js.ListStreams(ctx)
	for info := range streams.Info() {
		sources := info.Sources
		if info.Mirror != nil {
			sources = append(sources, info.Mirror)
		}
		for _, source := range sources {
			if source.Name == stream && (source.Lag > 0 || source.Active < 0 || source.Active > sourceSilence) {
				behind = append(behind, Behind{Name: "stream " + info.Config.Name, OutboxOnly: n.takesOutboxOnly(source)})
			}
		}
	}
	if err := streams.Err(); err != nil {
		return nil, fmt.Errorf("stream %s: looking for streams that take it as their source: %w", stream, err)
	}
	return behind, nil
}

// consumerBehind reports whether a consumer is someone else's, durable, and has something to read yet.
func (n *Namespace) consumerBehind(info *jetstream.ConsumerInfo) (b Behind, ok bool) {
	conf := &info.Config
	if _, ours := n.subjects.parseDefinition(conf.FilterSubject); ours || conf.Durable == "" || info.NumPending == 0 && info.NumAckPending == 0 {
		return b, false
	}
	b = Behind{Name: "consumer " + info.Name, ReadTo: info.AckFloor.Stream}
	if conf.AckPolicy == jetstream.AckNonePolicy {
		b.ReadTo = info.Delivered.Stream
	}
	filters := conf.FilterSubjects
	if conf.FilterSubject != "" {
		filters = append(filters, conf.FilterSubject)
	}
	b.OutboxOnly = len(filters) > 0
	for _, filter := range filters {
		b.OutboxOnly = b.OutboxOnly && isOutbox(filter)
	}
	return b, true
}

func (n *Namespace) takesOutboxOnly(s *jetstream.StreamSourceInfo) bool {
	only := len(s.SubjectTransforms) > 0
	for _, t := range s.SubjectTransforms {
		only = only && isOutbox(t.Source)
	}
	return only || isOutbox(s.FilterSubject)
}

// isOutbox reports whether a filter lets nothing but outboxes pass.
func isOutbox(filter string) bool {
	tokens := strings.Split(filter, ".")
	const at = 5 // saga.<namespace>.<shard>.<definition>.<id>.out.<topic>
	return len(tokens) > at && tokens[at] == outToken
}
