// Package shard places sagas: a fixed hash gives each saga one of [Count] shards, and a consistent-hash [Ring] with
// virtual nodes gives each shard to a stream. It is pure computation.
//
//	s := shard.Of("place-order", "o-1") // for ever the same
//	ring, err := shard.NewRing([]string{"SAGA_default_0", "SAGA_default_1"}, 0)
//	stream := ring.Owner(s)
//
// # Guarantees
//
// The shard of a saga never changes: it is part of its subjects. The function is FNV-1a, because it is published, takes
// five lines in any language, and so can be computed by whoever has to find a saga without this package; [Of] has the
// definition.
//
// A ring depends on the set of its members and on nothing else, neither their order nor the process nor the build: two
// builds that placed the shards differently would each move what the other had placed. Each member owns at least one
// shard, and at most [Bound].
//
// Adding or removing one of n members moves about 1/n of the shards. That is at most twice the even share up to 16
// members; with more, each member has few shards, the bound falls by a large part of them at a time, and whatever is
// above it moves too: up to an eighth of all shards beside the share, for up to 64 members. Both figures are what the
// tests measure, not what the algorithm can promise for every set of names.
//
// # What it expects
//
// Names without control characters: a zero byte separates definition and id in what is hashed. Package saga refuses
// any other.
//
// All functions and methods may be called concurrently.
package shard
