package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// CommitRecord is a commit as a subscription brings it: decoded as far as this build knows it, or with the error that kept
// it from that. The key is missing where it is the subject that could not be read.
type CommitRecord struct {
	Key    saga.Key
	Commit saga.Commit
	Err    error
}

// CommitHandler takes what a subscription brings. Its methods are called one after another.
type CommitHandler interface {
	// Subscribed is called when everything that is stored from now on is going to come.
	Subscribed()
	// Commit takes a commit, and reports whether to go on.
	Commit(c CommitRecord) bool
}

// SubscribeSaga brings the commits of a saga's log from a version on, 0 for those to come, until the handler has enough or
// ctx ends, whose error it then gives. Each comes once and in order, whatever happens to servers and connections.
func (n *Namespace) SubscribeSaga(ctx context.Context, key saga.Key, from uint64, h CommitHandler) error {
	if err := key.Validate(); err != nil {
		return err
	}
	conf := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{n.subjects.commits(key)}, DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	if from == 0 {
		conf.DeliverPolicy = jetstream.DeliverNewPolicy
	}
	err := n.subscribe(ctx, n.stream(key), conf, fromVersion{h, from})
	if err != nil {
		return fmt.Errorf("saga %s: subscribing to its log: %w", key, err)
	}
	return nil
}

// fromVersion passes over commits of versions before one.
type fromVersion struct {
	CommitHandler
	from uint64
}

func (h fromVersion) Commit(c CommitRecord) bool {
	return c.Err == nil && c.Commit.Version < h.from || h.CommitHandler.Commit(c)
}

// SubscribeStream brings the commits to come to a stream, of one definition's sagas or, where that is empty, of all, until
// the handler has enough or ctx ends, whose error it then gives.
func (n *Namespace) SubscribeStream(ctx context.Context, stream, definition string, h CommitHandler) error {
	if definition == "" {
		definition = "*"
	}
	err := n.subscribe(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{n.subjects.prefix + "*." + definition + ".*." + commitToken},
		DeliverPolicy:  jetstream.DeliverNewPolicy,
	}, h)
	if err != nil {
		return fmt.Errorf("stream %s: subscribing to it: %w", stream, err)
	}
	return nil
}

func (n *Namespace) subscribe(ctx context.Context, stream string, conf jetstream.OrderedConsumerConfig, h CommitHandler) error {
	consumer, err := n.js.OrderedConsumer(ctx, stream, conf)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	h.Subscribed()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		if m.Headers().Get(HeaderHistoric) == historicPurged {
			continue
		}
		key, _, err := n.subjects.parse(m.Subject())
		var c saga.Commit
		if err == nil {
			c, err = saga.DecodeKnown(m.Data())
		}
		if !h.Commit(CommitRecord{key, c, err}) {
			return nil
		}
	}
}
