package streams

import (
	"context"
	"time"
)

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
