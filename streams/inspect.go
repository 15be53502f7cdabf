package streams

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// ServerFeatures is what a server of [MinServerVersion] has that the engine needs.
const ServerFeatures = serverFeatures

// Inspect opens a namespace as it stands, for a tool that shows what is wrong with it, and creates nothing. The
// differences are what [Open] would refuse it for; where there are any, streams may be missing and nothing may be
// written through the namespace. Its errors are those of Open but for [*DriftError].
func Inspect(ctx context.Context, conf Config) (n *Namespace, differences []string, err error) {
	conf, err = conf.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	if err := checkServer(ctx, conf); err != nil {
		return nil, nil, err
	}
	n = newNamespace(conf)
	found, err := n.find(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		return nil, nil, fmt.Errorf("namespace %q: %w", n.name, ErrNotFound)
	}
	wanted, err := n.plan(found)
	if err == nil {
		err = n.adopt(wanted, found)
	}
	var drift *DriftError
	if err != nil && !errors.As(err, &drift) {
		return nil, nil, err
	}
	if drift != nil {
		differences = drift.Differences
	}
	n.streams = n.existing(found)
	return n, differences, nil
}

// existing gives the names of the sagas' streams among those found, in their order.
func (n *Namespace) existing(found map[string]*jetstream.StreamInfo) []string {
	var names []string
	for name := range found {
		if n.ordinal(name) >= 0 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return n.ordinal(a) - n.ordinal(b) })
	return names
}

// StreamState is what a tool shows of one of the namespace's streams.
type StreamState struct {
	Name     string `json:"name"`
	Replicas int    `json:"replicas"`
	Shards   int    `json:"shards"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	Subjects uint64 `json:"subjects"`
	// Behind counts the replicas that are not current.
	Behind int `json:"replicas_behind"`
}

// QueueState is what a tool shows of one definition's consumer on one stream.
type QueueState struct {
	Definition  string `json:"definition"`
	Stream      string `json:"stream"`
	Waiting     uint64 `json:"commands_waiting"` // not delivered yet
	Held        int    `json:"commands_held"`    // delivered, by workers that drive their sagas
	Redelivered int    `json:"commands_redelivered"`
	Pulls       int    `json:"pulls_waiting"` // of workers with free slots
}

// StreamStates gives the state of the namespace's streams, in their order.
func (n *Namespace) StreamStates(ctx context.Context) ([]StreamState, error) {
	var states []StreamState
	for _, name := range n.streams {
		stream, err := n.js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		info := stream.CachedInfo()
		s := StreamState{
			Name: name, Replicas: max(info.Config.Replicas, 1), Shards: len(info.Config.Subjects),
			Messages: info.State.Msgs, Bytes: info.State.Bytes, Subjects: info.State.NumSubjects,
		}
		if info.Cluster != nil {
			for _, r := range info.Cluster.Replicas {
				if !r.Current {
					s.Behind++
				}
			}
		}
		states = append(states, s)
	}
	return states, nil
}

// QueueStates gives the state of every definition's consumers.
func (n *Namespace) QueueStates(ctx context.Context) ([]QueueState, error) {
	var states []QueueState
	for _, name := range n.streams {
		stream, err := n.js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		list := stream.ListConsumers(ctx)
		for info := range list.Info() {
			definition, ok := n.subjects.parseDefinition(info.Config.FilterSubject)
			if !ok {
				continue // someone else's
			}
			states = append(states, QueueState{
				Definition: definition, Stream: name, Waiting: info.NumPending, Held: info.NumAckPending,
				Redelivered: info.NumRedelivered, Pulls: info.NumWaiting,
			})
		}
		if err := list.Err(); err != nil {
			return nil, fmt.Errorf("stream %s: listing its consumers: %w", name, err)
		}
	}
	return states, nil
}

// parseDefinition reads the filter of a definition's consumer.
func (s subjects) parseDefinition(filter string) (string, bool) {
	rest, ok := strings.CutPrefix(filter, s.prefix+"*.")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, ".*."+commandToken)
}

// Sagas calls see with the key of every saga that has a log, until it returns false. It asks for the subjects of one
// shard at a time, so that neither side has to hold all of a stream's.
func (n *Namespace) Sagas(ctx context.Context, see func(saga.Key) bool) error {
	for _, name := range n.streams {
		stream, err := n.js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		for _, subject := range stream.CachedInfo().Config.Subjects {
			s, ok := n.subjects.parseShard(subject)
			if !ok {
				continue // drift, which Inspect tells of
			}
			goOn, err := n.sagasOf(ctx, stream, s, see)
			if err != nil {
				return fmt.Errorf("stream %s: shard %s: %w", name, s, err)
			}
			if !goOn {
				return nil
			}
		}
	}
	return nil
}

// sagasOf calls see with the sagas of one shard, and reports whether to go on.
func (n *Namespace) sagasOf(ctx context.Context, stream jetstream.Stream, s shard.Shard, see func(saga.Key) bool) (bool, error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(n.subjects.prefix+s.String()+".*.*."+commitToken))
	if err != nil {
		return false, fmt.Errorf("listing its subjects: %w", err)
	}
	for _, subject := range slices.Sorted(maps.Keys(info.State.Subjects)) {
		key, _, err := n.subjects.parse(subject)
		if err != nil {
			return false, err
		}
		if !see(key) {
			return false, nil
		}
	}
	return true, nil
}
