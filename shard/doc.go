// Package shard places sagas: a fixed hash gives each saga one of [Count] shards, and a consistent-hash [Ring] with
// virtual nodes gives each shard to a stream. It is pure computation.
//
//	s := shard.Of("place-order", "o-1") // for ever the same
//	ring, err := shard.NewRing([]string{"SAGA_default_0", "SAGA_default_1"}, 0)
//	stream := ring.Owner(s)
//
// # Guarantees
//
// The shard of a saga never changes: it is part of its subjects. A ring depends on the set of its members and on
// nothing else, neither their order nor the process. Adding or removing one of n members moves about 1/n of the
// shards. Each member owns at most the bound that [NewRing] states, and, while there are enough shards, at least one.
package shard
