package streams

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// outToken begins the last part of the subjects of a saga's outbox; the topic follows.
const outToken = "out"

// Emit publishes what a saga's steps have emitted, each on its topic, with an id that JetStream tells repeats by for as long
// as a stream's duplicate window lasts, and consumers for as long as they remember ids. All are sent before the first
// answer is awaited. After an error, such as that an answer has not come within five seconds, some may be published; the same
// call may be repeated.
func (n *Namespace) Emit(ctx context.Context, key saga.Key, emissions []saga.Emission) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	sent := make([]jetstream.PubAckFuture, len(emissions))
	for i, e := range emissions {
		m := nats.NewMsg(n.subjects.out(key, e.Topic))
		m.Data = e.Payload
		m.Header[jetstream.MsgIDHeader] = []string{e.ID}
		future, err := n.js.PublishMsgAsync(m)
		if err != nil {
			return fmt.Errorf("saga %s: emitting on %s: %w", key, e.Topic, err)
		}
		sent[i] = future
	}
	for i, future := range sent {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return fmt.Errorf("saga %s: emitting on %s: %w", key, emissions[i].Topic, err)
		case <-ctx.Done():
			return fmt.Errorf("saga %s: emitting on %s: %w", key, emissions[i].Topic, ctx.Err())
		}
	}
	return nil
}

// OutboxSources gives what a stream of the user's own takes as its sources to receive all that the namespace's sagas
// emit: topic T of definition D arrives on "<prefix>.D.<id>.T". The stream need not have subjects of its own.
//
//	conf := jetstream.StreamConfig{Name: "EVENTS", Sources: ns.OutboxSources("events")}
//
// What was emitted before the stream was made comes, too, as long as the sagas are kept; that of a saga that never ends is kept
// for as long as the commits that emitted it: see [Log.Compact].
func (n *Namespace) OutboxSources(prefix string) []*jetstream.StreamSource {
	sources := make([]*jetstream.StreamSource, len(n.streams))
	for i, name := range n.streams {
		sources[i] = &jetstream.StreamSource{
			Name: name,
			SubjectTransforms: []jetstream.SubjectTransformConfig{{
				Source:      n.subjects.outAll(),
				Destination: prefix + ".{{wildcard(2)}}.{{wildcard(3)}}.{{wildcard(4)}}",
			}},
		}
	}
	return sources
}
