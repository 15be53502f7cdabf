package streams

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// ErrExists tells that a Start was refused: the saga has commands already. Nothing was sent.
var ErrExists = errors.New("saga exists")

// Start sends a Start command, provided that the saga's last command stands at sequence after: 0 for a saga that
// never was. Otherwise the error is [ErrExists]. A Start that is sent twice is stored once.
func (n *Namespace) Start(ctx context.Context, key saga.Key, start saga.Start, after uint64) error {
	m, err := n.command(key, start)
	if err != nil {
		return err
	}
	m.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(after, 10)}
	_, err = n.pub.publish(ctx, m)
	switch {
	case isConflict(err):
		return fmt.Errorf("saga %s: %w", key, ErrExists)
	case err != nil:
		return fmt.Errorf("saga %s: sending Start: %w", key, err)
	}
	return nil
}

// Send sends any other command.
func (n *Namespace) Send(ctx context.Context, key saga.Key, c saga.Command) error {
	m, err := n.command(key, c)
	if err != nil {
		return err
	}
	if _, err := n.pub.publish(ctx, m); err != nil {
		return fmt.Errorf("saga %s: sending %s: %w", key, saga.CommandName(c), err)
	}
	return nil
}

func (n *Namespace) command(key saga.Key, c saga.Command) (*nats.Msg, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	data, err := saga.EncodeCommand(c)
	if err != nil {
		return nil, fmt.Errorf("saga %s: %s: %w: %w", key, saga.CommandName(c), ErrEncoding, err)
	}
	if err := n.checkSize(key, "command", data); err != nil {
		return nil, err
	}
	m := nats.NewMsg(n.subjects.commands(key))
	m.Data = data
	return m, nil
}

// Starts gives a saga's Start commands, oldest first, and the sequence of its last command of any kind: what the
// stream's leader has at the time of the call.
func (n *Namespace) Starts(ctx context.Context, key saga.Key) (starts []saga.Start, last uint64, err error) {
	messages, last, err := n.all(ctx, n.stream(key), n.subjects.commands(key))
	if err != nil {
		return nil, 0, fmt.Errorf("saga %s: reading its commands: %w", key, err)
	}
	for _, m := range messages {
		// What does not decode was sent by someone else; the worker that it is delivered to sets it aside.
		if c, err := saga.DecodeCommand(m.Data); err == nil {
			if start, ok := c.(saga.Start); ok {
				starts = append(starts, start)
			}
		}
	}
	return starts, last, nil
}
