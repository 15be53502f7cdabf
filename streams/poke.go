package streams

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
)

// Poke tells a worker that the log of a saga that it owns has moved on. It is a hint, sent once over core NATS: the
// worker would notice at its next append anyway.
func (n *Namespace) Poke(worker string, key saga.Key) error {
	return n.nc.Publish(n.subjects.poke(worker), []byte(key.Definition+" "+key.ID))
}

// OnPoke calls f with each saga that a worker is poked for, until the subscription is ended. The calls come one
// after another; f must not block.
func (n *Namespace) OnPoke(worker string, f func(saga.Key)) (*nats.Subscription, error) {
	sub, err := n.nc.Subscribe(n.subjects.poke(worker), func(m *nats.Msg) {
		definition, id, _ := strings.Cut(string(m.Data), " ")
		if key := (saga.Key{Definition: definition, ID: id}); key.Validate() == nil {
			f(key)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("worker %s: subscribing to pokes: %w", worker, err)
	}
	return sub, nil
}

// OnEnd calls f whenever someone tries to append an end to a saga's log, until the subscription is ended. It is a
// hint: it comes before the commit is stored, the append may be refused after all, and a hint may be lost. The calls
// come one after another; f must not block.
func (n *Namespace) OnEnd(key saga.Key, f func()) (*nats.Subscription, error) {
	sub, err := n.nc.Subscribe(n.subjects.commits(key), func(m *nats.Msg) {
		if c, err := saga.DecodeCommit(m.Data); err == nil && c.Ends() {
			f()
		}
	})
	if err != nil {
		return nil, fmt.Errorf("saga %s: subscribing to its commits: %w", key, err)
	}
	return sub, nil
}
