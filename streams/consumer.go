package streams

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// AckWait is how long a command may go without a sign of life from its worker before it is delivered to another.
// [HeartbeatEvery] is how often workers give one. Between them they decide how soon the sagas of a dead worker
// go on elsewhere, and how long a live one may be starved of CPU before its sagas are taken from it, which is
// safe but wasteful.
const (
	AckWait        = 750 * time.Millisecond
	HeartbeatEvery = 250 * time.Millisecond
)

// firstOfAll is the key in a consumer's metadata that tells that there was no commit of its definition when it was made: none of
// its deliveries can be a repetition that the server does not count.
const firstOfAll = "jetsaga-first"

// consumer creates or verifies the definition's durable consumer on one stream. All workers that know the definition pull from it:
// it is their queue. What was stored before since may have been delivered before, by a consumer that is gone: the server counts
// the deliveries of each consumer.
func (n *Namespace) consumer(ctx context.Context, stream, definition string) (since time.Time, err error) {
	defer func() {
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = ErrNotFound
		}
		if err != nil {
			err = fmt.Errorf("definition %q: its consumer on stream %s: %w", definition, stream, err)
		}
	}()
	conf := jetstream.ConsumerConfig{
		Durable:       consumerName(definition),
		Description:   "commands for " + definition,
		FilterSubject: n.subjects.definition(definition),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       AckWait,
		MaxDeliver:    -1, // a command is tried until it is carried out or set aside
		MaxAckPending: -1, // workers bound what they hold
		MaxWaiting:    maxWaitingPulls,
	}
	found, err := n.js.Consumer(ctx, stream, conf.Durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		_, err := n.fromLeader(ctx, stream, leaderRequest{Sequence: 1, NextFor: n.subjects.commitsOf(definition)})
		if errors.Is(err, errNotStored) {
			conf.Metadata = map[string]string{firstOfAll: "true"}
		} else if err != nil {
			return since, err
		}
	case err != nil:
		return since, err
	default:
		conf.Metadata = found.CachedInfo().Config.Metadata
	}
	made, err := n.js.CreateOrUpdateConsumer(ctx, stream, conf)
	if err != nil || made.CachedInfo().Config.Metadata[firstOfAll] != "" {
		return since, err
	}
	return made.CachedInfo().Created, nil
}

// maxWaitingPulls is how many pull requests a consumer keeps: one or two for each worker.
const maxWaitingPulls = 4096

// consumerName makes a durable name of a definition's name, which may contain what a durable name may not: other
// than letters, digits and '-', and more than the server's 255 bytes (JSMaxNameLen). Distinct definitions have
// distinct names.
func consumerName(definition string) string {
	const longest = 200
	var b strings.Builder
	for i := range len(definition) {
		switch c := definition[i]; {
		case c == '-', '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			b.WriteByte(c)
		default:
			b.WriteString("_" + hex.EncodeToString([]byte{c}))
		}
	}
	name := b.String()
	if len(name) > longest {
		h := fnv.New128a()
		_, _ = h.Write([]byte(definition)) // a hash takes everything
		name = name[:longest] + "__" + hex.EncodeToString(h.Sum(nil))
	}
	return name
}
