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

// consumers creates or verifies the definition's durable consumer on each stream, and gives their name. All
// workers that know the definition pull from them: they are its queue.
func (n *Namespace) consumers(ctx context.Context, definition string) (string, error) {
	for _, stream := range n.streams {
		if err := n.consumer(ctx, stream, definition); err != nil {
			return "", err
		}
	}
	return consumerName(definition), nil
}

// consumer creates or verifies the definition's durable consumer on one stream.
func (n *Namespace) consumer(ctx context.Context, stream, definition string) error {
	_, err := n.js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:       consumerName(definition),
		Description:   "commands for " + definition,
		FilterSubject: n.subjects.definition(definition),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       AckWait,
		MaxDeliver:    -1, // a command is tried until it is carried out or set aside
		MaxAckPending: -1, // workers bound what they hold
		MaxWaiting:    maxWaitingPulls,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("definition %q: stream %s: %w", definition, stream, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("definition %q: its consumer on stream %s: %w", definition, stream, err)
	}
	return nil
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
