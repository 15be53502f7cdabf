package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/shard"
)

// scanIdle is after how long without a message a scan is given up: the server, or what is left of the stream, is gone.
const scanIdle = 10 * time.Second

// Scan calls see with all commands and commits of a stream, in their order, as of the call.
func (n *Namespace) Scan(ctx context.Context, stream string, see func(Record) error) error {
	fault := func(err error) error { return fmt.Errorf("stream %s: reading it: %w", stream, err) }
	// There is no filter: with one, the server looks through all subjects of a block for each message.
	c, err := n.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return fault(err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		return fault(err)
	}
	for left, large := info.NumPending, false; left > 0; {
		batch, bounded, err := n.fetch(c, int(min(left, DefaultFeedBatch)), large)
		if err != nil {
			return fault(err)
		}
		got, pending, err := n.scanBatch(batch, left, see)
		if err != nil {
			return err
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			return fault(err)
		}
		if got == 0 && !bounded {
			if pending, err = stillLeft(ctx, c, left); err != nil {
				return fault(err)
			}
		}
		large = got == 0                         // the next may be larger than the request allowed, as from before the server's limit was lowered
		left = min(left-min(got, left), pending) // what was purged meanwhile does not come
	}
	return ctx.Err()
}

// scanBatch calls see with the records of a batch, and gives how many messages it had, and how many are left after them.
func (n *Namespace) scanBatch(batch jetstream.MessageBatch, left uint64, see func(Record) error) (got, pending uint64, _ error) {
	pending = left
	for m := range batch.Messages() {
		a, err := parseAck(m.Reply())
		if err != nil {
			return got, pending, err
		}
		got, pending = got+1, a.pending
		if r, ok := n.newRecord(m.Subject(), m.Headers(), m.Data(), a.sequence, a.at); ok {
			if err := see(r); err != nil {
				return got, pending, err
			}
		}
	}
	return got, pending, nil
}

// stillLeft gives how many messages are left where none has come: what was left may have gone meanwhile, as tombstones do.
func stillLeft(ctx context.Context, c jetstream.Consumer, left uint64) (uint64, error) {
	info, err := c.Info(ctx)
	if err == nil && info.NumPending >= left {
		err = nats.ErrTimeout
	}
	if err != nil {
		return 0, err
	}
	return info.NumPending, nil
}

// fetch asks for the next messages, as many as a request may bring; for one where that is larger than a request allows.
func (n *Namespace) fetch(c jetstream.Consumer, most int, large bool) (batch jetstream.MessageBatch, bounded bool, err error) {
	opts := []jetstream.FetchOpt{jetstream.FetchMaxWait(scanIdle)}
	if large {
		batch, err = c.Fetch(1, opts...)
		return batch, false, err
	}
	bytes := n.bytesFor(most)
	if bytes > 0 {
		opts = append(opts, jetstream.FetchMaxBytes(bytes))
	}
	batch, err = c.Fetch(most, opts...)
	return batch, bytes > 0, err
}

// Shards gives the shards that a stream holds, in their order.
func (n *Namespace) Shards(stream string) []shard.Shard {
	var held []shard.Shard
	for s, home := range &n.home {
		if home == stream {
			held = append(held, shard.Shard(s))
		}
	}
	return held
}

// Epoch identifies the namespace's streams, each in its order: one that was removed and made anew is another.
func (n *Namespace) Epoch(ctx context.Context) ([]string, error) {
	epoch := make([]string, len(n.streams))
	for i, name := range n.streams {
		stream, err := n.js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		epoch[i] = name + "@" + stream.CachedInfo().Created.UTC().Format(time.RFC3339Nano)
	}
	return epoch, nil
}
