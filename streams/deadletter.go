package streams

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of a dead letter.
const (
	HeaderReason   = "Jetsaga-Reason"   // why the command was set aside
	HeaderStream   = "Jetsaga-Stream"   // where it came from
	HeaderSequence = "Jetsaga-Sequence" // and its sequence there
)

// SetAside stores a copy of a command that can never be carried out among the dead letters, with the reason, and
// takes the command off its consumer. It is stored once, however often it is called.
func (n *Namespace) SetAside(ctx context.Context, d *Delivery, reason error) error {
	m := nats.NewMsg(n.subjects.dead(d.Key))
	m.Data = d.Data
	m.Header[HeaderReason] = []string{oneLine(reason.Error())}
	m.Header[HeaderStream] = []string{d.Stream}
	m.Header[HeaderSequence] = []string{strconv.FormatUint(d.Sequence, 10)}
	id := d.Stream + "-" + strconv.FormatUint(d.Sequence, 10)
	if _, err := n.js.PublishMsg(ctx, m, jetstream.WithMsgID(id)); err != nil {
		return fmt.Errorf("saga %s: setting a command aside: %w", d.Key, err)
	}
	return d.terminate(oneLine(reason.Error()))
}

// oneLine makes text fit for a header and for an ack.
func oneLine(text string) string {
	const longest = 512
	line := make([]rune, 0, len(text))
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		line = append(line, r)
		if len(line) == longest {
			break
		}
	}
	return string(line)
}

// DeadLetters gives how many commands were set aside.
func (n *Namespace) DeadLetters(ctx context.Context) (uint64, error) {
	stream, err := n.js.Stream(ctx, n.deadStream())
	if err != nil {
		return 0, fmt.Errorf("namespace %q: dead letters: %w", n.name, err)
	}
	return stream.CachedInfo().State.Msgs, nil
}
