package idempotency

import (
	"context"
	"fmt"
)

// Inbox takes each message of a source once, however often it is delivered.
type Inbox struct {
	store  *Store
	source string
}

// Inbox gives the inbox for a source of messages, such as a stream or a topic: ids are told apart by source. The error is an
// [*InvalidError] for an empty source.
func (s *Store) Inbox(source string) (*Inbox, error) {
	if source == "" {
		return nil, &InvalidError{"source", "is empty"}
	}
	return &Inbox{s, source}, nil
}

// Once calls take for a message, unless it was taken before; then it gives nil at once. Where another delivery of the message
// is being taken, the error is a [*HeldError]: do not acknowledge the message, and have it delivered again later. An error
// of take is returned as it is, and the message may be taken again.
func (i *Inbox) Once(ctx context.Context, id string, take func(ctx context.Context) error) error {
	if id == "" {
		return &InvalidError{"id", "of a message of " + i.source + " is empty"}
	}
	claim, _, err := i.store.Begin(ctx, fmt.Sprintf("in/%d/%s/%s", len(i.source), i.source, id))
	if claim == nil {
		return err
	}
	_, err = claim.do(ctx, func(ctx context.Context) ([]byte, error) { return nil, take(ctx) })
	return err
}
