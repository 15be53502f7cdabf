package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// Compact forgets what is older than the last keep commits of a saga and was read by every durable consumer, but nothing from the
// version given on, which has a snapshot; the commands before its last one that are answered, and what was emitted before the first
// commit that is left, once whoever takes outboxes has it. It is for a saga that never ends: the log of any other is its history, and
// stays whole. However late it comes, and whatever others have appended since, the log can be read from the snapshot on.
func (l *Log) Compact(ctx context.Context, key saga.Key, keep, snapshot uint64) error {
	return l.compact(ctx, key, keep, snapshot, time.Now())
}

func (l *Log) compact(ctx context.Context, key saga.Key, keep, snapshot uint64, now time.Time) error {
	stream, err := l.n.js.Stream(ctx, l.n.stream(key))
	if err != nil {
		return fmt.Errorf("saga %s: compacting: %w", key, err)
	}
	var errs []error
	if err := l.compactCommits(ctx, stream, key, keep, snapshot); err != nil {
		errs = append(errs, fmt.Errorf("saga %s: compacting its commits: %w", key, err))
	}
	if err := l.compactCommands(ctx, stream, key); err != nil {
		errs = append(errs, fmt.Errorf("saga %s: compacting its commands: %w", key, err))
	}
	if err := l.compactOutbox(ctx, stream, key, keep, now); err != nil {
		errs = append(errs, fmt.Errorf("saga %s: compacting its outbox: %w", key, err))
	}
	return errors.Join(errs...)
}

// compactCommits purges up to a sequence: to have the server keep so many would be to take the snapshot, too, when this comes late.
func (l *Log) compactCommits(ctx context.Context, stream jetstream.Stream, key saga.Key, keep, snapshot uint64) error {
	subject := l.n.subjects.commits(key)
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return err
	}
	stored := info.State.Subjects[subject]
	if stored <= keep+keep/compactSlack {
		return nil // to look who has read them costs more than to keep a few
	}
	// The first to be kept is the one after those to be forgotten; of very many some are left to the next time.
	oldest, err := l.n.oldest(ctx, info.Config.Name, subject, int(min(stored-keep, batchSize))+1)
	if err != nil {
		return err
	}
	for _, first := range slices.Backward(oldest) {
		c, err := decode(key, first)
		if err != nil {
			return err
		}
		if c.Version <= snapshot {
			return l.purgeRead(ctx, stream, subject, first.Sequence)
		}
	}
	return nil
}

// compactSlack is which part of the commits that a log keeps it may have above them.
const compactSlack = 8

// purgeRead purges the commits before a sequence that every durable consumer has read. Streams that take this one are not waited for:
// to ask for them each time would cost too much.
func (l *Log) purgeRead(ctx context.Context, stream jetstream.Stream, subject string, before uint64) error {
	behind, err := l.n.consumersBehind(ctx, stream, l.n.ignores)
	if err != nil {
		return err
	}
	for _, b := range behind {
		if b.reads(subject) {
			before = min(before, b.ReadTo+1)
		}
	}
	return purgeBefore(ctx, stream, subject, before)
}

func purgeBefore(ctx context.Context, stream jetstream.Stream, subject string, before uint64) error {
	if before <= 1 {
		return nil // to the server, 0 is everything
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(before))
}

// compactCommands forgets the commands before the last that are known to be answered: those before the first of the whole
// definition that is not. The server tells no more.
func (l *Log) compactCommands(ctx context.Context, stream jetstream.Stream, key saga.Key) error {
	consumer, err := stream.Consumer(ctx, consumerName(key.Definition))
	if err != nil {
		return err
	}
	subject := l.n.subjects.commands(key)
	last, err := l.n.fromLeader(ctx, l.n.stream(key), leaderRequest{LastFor: subject})
	if errors.Is(err, errNotStored) {
		return nil
	}
	if err != nil {
		return err
	}
	// The last command stays, answered or not: it is what refuses another Start of this id.
	before := min(consumer.CachedInfo().AckFloor.Stream+1, last.Sequence)
	return stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(before))
}

// An outbox is looked at when it has so many messages for each commit that is kept: to look costs more than to keep them. What
// streams tell of their sources is up to sourceSilence old, so that what is younger than outboxRest is kept for them.
const (
	outboxSlack = 2
	outboxRest  = 2 * sourceSilence
)

// compactOutbox forgets what was published before the first commit that is left, as far as everybody has it.
func (l *Log) compactOutbox(ctx context.Context, stream jetstream.Stream, key saga.Key, keep uint64, now time.Time) error {
	name, filter := l.n.stream(key), l.n.subjects.out(key, ">")
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return err
	}
	emitted := uint64(0)
	for _, n := range info.State.Subjects {
		emitted += n
	}
	if emitted <= outboxSlack*keep {
		return nil
	}
	first, err := l.n.fromLeader(ctx, name, leaderRequest{Sequence: 1, NextFor: l.n.subjects.commits(key)})
	if err != nil {
		return err
	}
	behind, taken, err := l.n.behind(ctx, stream, isFeed)
	if err != nil {
		return err
	}
	before := first.Sequence
	for _, b := range behind {
		before = min(before, b.ReadTo+1)
	}
	if taken {
		recent, err := l.n.fromLeader(ctx, name, leaderRequest{Since: now.Add(-outboxRest), NextFor: filter})
		if err != nil && !errors.Is(err, errNotStored) {
			return err
		}
		if err == nil {
			before = min(before, recent.Sequence)
		}
	}
	return purgeBefore(ctx, stream, filter, before)
}
