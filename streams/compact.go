package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// Compact forgets all but the last keep commits of a saga, of which one has a snapshot, and the commands before its last
// one that are answered. It is for a saga that never ends: the log of any other is its history, and stays whole.
func (l *Log) Compact(ctx context.Context, key saga.Key, keep uint64) error {
	stream, err := l.n.js.Stream(ctx, l.n.stream(key))
	if err != nil {
		return fmt.Errorf("saga %s: compacting: %w", key, err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(l.n.subjects.commits(key)), jetstream.WithPurgeKeep(keep)); err != nil {
		return fmt.Errorf("saga %s: compacting its commits: %w", key, err)
	}
	consumer, err := stream.Consumer(ctx, consumerName(key.Definition))
	if err != nil {
		return fmt.Errorf("saga %s: compacting its commands: %w", key, err)
	}
	subject := l.n.subjects.commands(key)
	last, err := l.n.fromLeader(ctx, l.n.stream(key), leaderRequest{LastFor: subject})
	if errors.Is(err, errNotStored) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("saga %s: compacting its commands: %w", key, err)
	}
	// The last command stays, answered or not: it is what refuses another Start of this id.
	before := min(consumer.CachedInfo().AckFloor.Stream+1, last.Sequence)
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(before)); err != nil {
		return fmt.Errorf("saga %s: compacting its commands: %w", key, err)
	}
	return nil
}
