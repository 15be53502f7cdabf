package streams

import (
	"context"
	"math"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
)

// PostTo posts any message.
func (n *Namespace) PostTo(ctx context.Context, m *nats.Msg, then func(sequence uint64)) error {
	return n.pub.post(ctx, m, then)
}

// Sweep has the publisher look at what is under way, as it does by itself from time to time.
func (n *Namespace) Sweep() { n.pub.sweep() }

// SweepOut has the time pass in which a publish has to be answered.
func (n *Namespace) SweepOut() {
	for range publishPulses + 1 {
		n.pub.sweep()
	}
}

// SendLetter is the first half of Redrive: the command is stored again, and the letter is still there.
func (n *Namespace) SendLetter(ctx context.Context, d DeadLetter) error { return n.sendLetter(ctx, &d) }

// PurgeActs does the first acts of a purge and leaves the others undone.
func (n *Namespace) PurgeActs(ctx context.Context, h *Holdings, remember time.Duration, acts int) error {
	for _, act := range []func(context.Context, *Holdings, time.Duration) error{n.markPurged, n.bury, n.sweepRest, n.buryCommands}[:acts] {
		if err := act(ctx, h, remember); err != nil {
			return err
		}
	}
	return nil
}

// CompactAt compacts as of a time, whatever snapshots there are.
func (l *Log) CompactAt(ctx context.Context, key saga.Key, keep uint64, now time.Time) error {
	return l.compact(ctx, key, keep, math.MaxUint64, now)
}
