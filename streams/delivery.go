package streams

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// Delivery is a command as it was delivered to a worker, which holds it until it answers or falls silent.
type Delivery struct {
	Key      saga.Key
	Data     []byte // the command, encoded
	Stream   string
	Sequence uint64 // of the command in the stream
	Count    uint64 // how many times it has been delivered, this time included
	// Redriven names the dead letter that the command was sent again from; empty for any other. It may have been carried
	// out in part before it was set aside.
	Redriven string
	// Repeated tells that the command may have been delivered before whatever Count says, by a consumer that is gone.
	Repeated bool

	stored time.Time // when the stream took the command
	nc     *nats.Conn
	reply  atomic.Pointer[string]
}

// Acknowledgements of the JetStream consumer protocol, from nats-server's server/consumer.go.
const (
	ackDone     = "+ACK"
	ackProgress = "+WPI"
	ackRetry    = "-NAK"
	ackTerm     = "+TERM"
)

// newDelivery reads a message of a pull consumer.
func (n *Namespace) newDelivery(m *nats.Msg) (*Delivery, error) {
	key, _, err := n.subjects.parse(m.Subject)
	if err != nil {
		return nil, err
	}
	a, err := parseAck(m.Reply)
	if err != nil {
		return nil, err
	}
	d := &Delivery{Key: key, Data: m.Data, Stream: a.stream, Sequence: a.sequence, Count: a.delivered, stored: a.at, nc: n.nc}
	if id := m.Header.Get(jetstream.MsgIDHeader); strings.HasPrefix(id, redrivenPrefix) {
		d.Redriven = id
	}
	d.reply.Store(&m.Reply)
	return d, nil
}

// Adopt takes over the answer address of a later delivery of the same command to this worker, which goes on with
// the work it has under way.
func (d *Delivery) Adopt(later *Delivery) { d.reply.Store(later.reply.Load()) }

// Ack takes the command off the consumer: it is done. The answer is sent, not awaited; should it be lost, the
// command is delivered again and recognised.
func (d *Delivery) Ack() error { return d.answer(ackDone) }

// InProgress keeps the command from being delivered elsewhere for another [AckWait].
func (d *Delivery) InProgress() error { return d.answer(ackProgress) }

// Retry has the command delivered again after delay; at once where delay is zero.
func (d *Delivery) Retry(delay time.Duration) error {
	if delay <= 0 {
		return d.answer(ackRetry)
	}
	return d.answer(ackRetry + ` {"delay":` + strconv.FormatInt(int64(delay), 10) + `}`)
}

// terminate takes the command off the consumer for good, for a reason that the server publishes as an advisory.
func (d *Delivery) terminate(reason string) error { return d.answer(ackTerm + " " + reason) }

func (d *Delivery) answer(answer string) error {
	if err := d.nc.Publish(*d.reply.Load(), []byte(answer)); err != nil {
		return fmt.Errorf("saga %s: answering %s for command %d of %s: %w", d.Key, answer, d.Sequence, d.Stream, err)
	}
	return nil
}
