package shard

import (
	"fmt"
	"strconv"
)

// Count is the number of shards. It is part of every subject and never changes.
const Count = 256

// Shard is one of the fixed hash partitions of a namespace.
type Shard uint8

// FNV-1a, 64 bits: offset basis and prime as its authors publish them
// (http://www.isthe.com/chongo/tech/comp/fnv/). Written out here because the function is part of the format of
// every subject and has to stay what it is.
const (
	fnvOffset uint64 = 14695981039346656037
	fnvPrime  uint64 = 1099511628211
)

// separator stands between definition and id in what is hashed. No name can contain it.
const separator = 0

// Of gives the shard of a saga: 64-bit FNV-1a over the definition, a zero byte and the id, whose eight bytes are
// folded into one by exclusive or. It allocates nothing.
func Of(definition, id string) Shard {
	h := add(fnvOffset, definition)
	h = (h ^ separator) * fnvPrime
	h = add(h, id)
	h ^= h >> 32
	h ^= h >> 16
	h ^= h >> 8
	return Shard(h) //nolint:gosec // the low byte is what is meant
}

// add continues an FNV-1a hash with the bytes of s.
func add(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h
}

// names holds the token of every shard, since one is needed for each subject.
var names = func() (n [Count]string) {
	for i := range n {
		n[i] = fmt.Sprintf("%03d", i)
	}
	return n
}()

// String gives the shard as it stands in a subject: three digits. It allocates nothing.
func (s Shard) String() string { return names[s] }

// Parse reads what [Shard.String] gives, and fails for anything else, other spellings of a number included.
func Parse(token string) (Shard, error) {
	n, err := strconv.ParseUint(token, 10, 8)
	if err != nil || names[n] != token {
		return 0, fmt.Errorf("shard %q is not a number from 000 to 255", token)
	}
	return Shard(n), nil
}
