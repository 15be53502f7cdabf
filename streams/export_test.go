package streams

import (
	"context"
)

// SendLetter is the first half of Redrive: the command is stored again, and the letter is still there.
func (n *Namespace) SendLetter(ctx context.Context, d DeadLetter) error { return n.sendLetter(ctx, &d) }
