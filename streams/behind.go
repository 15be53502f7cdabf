package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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

	filters []string // of a consumer; none for everything
}

// reads reports whether what is stored under a subject is among what a consumer reads.
func (b *Behind) reads(subject string) bool {
	return len(b.filters) == 0 || slices.ContainsFunc(b.filters, func(filter string) bool { return covers(filter, subject) })
}

// covers reports whether a filter lets a subject pass.
func covers(filter, subject string) bool {
	for {
		want, filters, more := strings.Cut(filter, ".")
		got, subjects, left := strings.Cut(subject, ".")
		switch {
		case want == ">":
			return true
		case want != "*" && want != got || more != left:
			return false
		case !more:
			return true
		}
		filter, subject = filters, subjects
	}
}

// sourceSilence is after how long without a sign of life what a stream says of its source is not believed.
const sourceSilence = time.Minute

// sourceRest is between two looks at streams that take this one. One that has only just come back says that nothing is left,
// until the first message has come.
const sourceRest = 100 * time.Millisecond

// Behind gives who has not read all of a stream, but for the consumers of definitions and for the feeds of [Config.Ignore].
// Consumers that are not durable are gone when they are not read, and do not count. What another account or another domain
// has is not seen.
func (n *Namespace) Behind(ctx context.Context, stream string) ([]Behind, error) {
	s, err := n.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", stream, err)
	}
	behind, _, err := n.behind(ctx, s, n.ignores)
	return behind, err
}

// ignores reports whether a consumer is a feed of [Config.Ignore].
func (n *Namespace) ignores(info *jetstream.ConsumerInfo) bool {
	return isFeed(info) && n.conf.Ignore(info.Name)
}

// consumersBehind gives the consumers among those that Behind gives.
func (n *Namespace) consumersBehind(ctx context.Context, s jetstream.Stream, ignore func(*jetstream.ConsumerInfo) bool) (behind []Behind, _ error) {
	fault := func(err error) error {
		return fmt.Errorf("stream %s: listing its consumers: %w", s.CachedInfo().Config.Name, err)
	}
	silent := map[string]bool{}
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		silent[name] = true
	}
	if err := names.Err(); err != nil {
		return nil, fault(err)
	}
	look := func(info *jetstream.ConsumerInfo) {
		delete(silent, cmp.Or(info.Name, info.Config.Durable))
		if b, ok := n.consumerBehind(info); ok && !ignore(info) {
			behind = append(behind, b)
		}
	}
	consumers := s.ListConsumers(ctx)
	for info := range consumers.Info() {
		look(info)
	}
	if err := consumers.Err(); err != nil {
		return nil, fault(err)
	}
	for name := range silent { // the list leaves out what has no leader at the moment
		c, err := s.Consumer(ctx, name)
		switch {
		case err == nil:
			look(c.CachedInfo())
		case ctx.Err() != nil:
			return nil, fault(err)
		case !errors.Is(err, jetstream.ErrConsumerNotFound):
			behind = append(behind, Behind{Name: "consumer " + name})
		}
	}
	return behind, nil
}

// behind is Behind; taken reports whether there are streams that take this one, behind or not.
func (n *Namespace) behind(ctx context.Context, s jetstream.Stream, ignore func(*jetstream.ConsumerInfo) bool) (behind []Behind, taken bool, err error) {
	stream := s.CachedInfo().Config.Name
	if behind, err = n.consumersBehind(ctx, s, ignore); err != nil {
		return nil, false, err
	}
	takers, err := n.takers(ctx, stream)
	for i := 0; err == nil && i < len(takers); i++ {
		if !takers[i].behind { // what one says once is not enough
			select {
			case <-ctx.Done():
				return nil, false, ctx.Err()
			case <-time.After(sourceRest):
			}
			takers, err = n.takers(ctx, stream)
			break
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("stream %s: looking for streams that take it as their source: %w", stream, err)
	}
	for _, t := range takers {
		if t.behind {
			behind = append(behind, Behind{Name: "stream " + t.name, OutboxOnly: t.outboxOnly})
		}
	}
	return behind, len(takers) > 0, nil
}

// taker is a stream that takes another as its source.
type taker struct {
	name               string
	outboxOnly, behind bool
}

// takers gives the streams that take one as their source. One that does not answer may, and counts as behind.
func (n *Namespace) takers(ctx context.Context, stream string) ([]taker, error) {
	silent := map[string]bool{}
	names := n.js.StreamNames(ctx)
	for name := range names.Name() {
		silent[name] = n.ordinal(name) < 0 // the namespace's own take nothing
	}
	if err := names.Err(); err != nil {
		return nil, err
	}
	var takers []taker
	streams := n.js.ListStreams(ctx)
	for info := range streams.Info() {
		delete(silent, info.Config.Name)
		if t, ok := newTaker(info, stream); ok {
			takers = append(takers, t)
		}
	}
	if err := streams.Err(); err != nil {
		return nil, err
	}
	for name, is := range silent {
		if is {
			takers = append(takers, taker{name: name, behind: true})
		}
	}
	return takers, nil
}

// newTaker reads what a stream tells of a source; ok is false where it does not take that one. A stream that has no leader tells
// nothing.
func newTaker(info *jetstream.StreamInfo, source string) (t taker, ok bool) {
	configured, told := info.Config.Sources, info.Sources
	if info.Config.Mirror != nil {
		configured = append(configured, info.Config.Mirror)
	}
	if info.Mirror != nil {
		told = append(told, info.Mirror)
	}
	t = taker{name: info.Config.Name, outboxOnly: true}
	answers := 0
	for _, c := range configured {
		if c.Name == source {
			answers--
			t.outboxOnly = t.outboxOnly && takesOutboxOnly(c)
		}
	}
	ok = answers < 0
	for _, s := range told {
		if s.Name == source {
			answers++
			t.behind = t.behind || s.Lag > 0 || s.Active < 0 || s.Active > sourceSilence
		}
	}
	t.behind = t.behind || answers < 0
	return t, ok
}

// consumerBehind reports whether a consumer is someone else's, durable, and has something to read yet.
func (n *Namespace) consumerBehind(info *jetstream.ConsumerInfo) (b Behind, ok bool) {
	conf := &info.Config
	// Where the servers that have it are away, another answers for them, with zeros.
	away := info.Cluster != nil && info.Cluster.Leader == ""
	if _, ours := n.subjects.parseDefinition(conf.FilterSubject); ours || conf.Durable == "" || info.NumPending == 0 && info.NumAckPending == 0 && !away {
		return b, false
	}
	b = Behind{Name: "consumer " + conf.Durable, ReadTo: info.AckFloor.Stream}
	if conf.AckPolicy == jetstream.AckNonePolicy {
		b.ReadTo = info.Delivered.Stream
	}
	filters := conf.FilterSubjects
	if conf.FilterSubject != "" {
		filters = append(filters, conf.FilterSubject)
	}
	b.filters, b.OutboxOnly = filters, len(filters) > 0
	for _, filter := range filters {
		b.OutboxOnly = b.OutboxOnly && isOutbox(filter)
	}
	return b, true
}

func takesOutboxOnly(s *jetstream.StreamSource) bool {
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
