package shard

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// DefaultVirtualNodes is how many points each member has on a ring. More make the spread more even and a move's
// share closer to 1/n; the cost is paid once, when the ring is made.
const DefaultVirtualNodes = 128

// Ring gives each shard to one of its members, by consistent hashing with bounded loads. It does not change; a
// changed membership is another ring.
type Ring struct {
	members []string
	owner   [Count]int // an index into members
}

// point is a virtual node of a member on the circle of hashes.
type point struct {
	hash   uint64
	member int
}

// NewRing places the shards on the members, each with that many virtual nodes; 0 is [DefaultVirtualNodes]. No member
// owns more than [Bound] shards. Members must have names and be distinct, and there may be no more of them than
// shards.
func NewRing(members []string, virtualNodes int) (*Ring, error) {
	if virtualNodes == 0 {
		virtualNodes = DefaultVirtualNodes
	}
	members = slices.Sorted(slices.Values(members))
	switch {
	case len(members) == 0:
		return nil, errors.New("ring: has no members")
	case len(members) > Count:
		return nil, fmt.Errorf("ring: has %d members, but there are %d shards", len(members), Count)
	case virtualNodes < 0:
		return nil, fmt.Errorf("ring: %d virtual nodes", virtualNodes)
	case members[0] == "":
		return nil, errors.New("ring: has a member without a name")
	}
	for i := range members[1:] {
		if members[i] == members[i+1] {
			return nil, fmt.Errorf("ring: has the member %q twice", members[i])
		}
	}
	r := &Ring{members: members}
	r.place(circle(members, virtualNodes))
	return r, nil
}

// Bound is the largest number of shards that one of n members may own: a quarter above the even share.
func Bound(n int) int { return (Count*5/4 + n - 1) / n }

// circle gives all virtual nodes in the order of their hashes.
func circle(members []string, virtualNodes int) []point {
	points := make([]point, 0, len(members)*virtualNodes)
	for i, m := range members {
		for v := range virtualNodes {
			points = append(points, point{hash: mix(add(fnvOffset, m+"#"+strconv.Itoa(v))), member: i})
		}
	}
	slices.SortFunc(points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), a.member-b.member)
	})
	return points
}

// mix spreads the bits of an FNV hash, whose high bits differ little between similar short strings: the finalizer
// of MurmurHash3.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h
}

// place gives each shard to the next point's member that is below its bound, then sees that no member goes without.
func (r *Ring) place(points []point) {
	bound := Bound(len(r.members))
	load := make([]int, len(r.members))
	for s := range Count {
		hash := mix(add(fnvOffset, "shard-"+names[s]))
		at, _ := slices.BinarySearchFunc(points, hash, func(p point, h uint64) int {
			if p.hash < h {
				return -1
			}
			return 1
		})
		for load[points[at%len(points)].member] >= bound {
			at++
		}
		m := points[at%len(points)].member
		r.owner[s] = m
		load[m]++
	}
	for m := range load {
		if load[m] == 0 {
			r.feed(m, load)
		}
	}
}

// feed gives a member without shards one of the fullest member's.
func (r *Ring) feed(hungry int, load []int) {
	fullest := 0
	for m := range load {
		if load[m] > load[fullest] {
			fullest = m
		}
	}
	s := slices.Index(r.owner[:], fullest)
	r.owner[s] = hungry
	load[fullest]--
	load[hungry]++
}

// Members gives the members in the order of their names.
func (r *Ring) Members() []string { return slices.Clone(r.members) }

// Owner gives the member that owns a shard.
func (r *Ring) Owner(s Shard) string { return r.members[r.owner[s]] }

// Shards gives a member's shards in order.
func (r *Ring) Shards(member string) []Shard {
	var shards []Shard
	for s, m := range &r.owner {
		if r.members[m] == member {
			shards = append(shards, Shard(s))
		}
	}
	return shards
}

// Move is one shard's way from a stream to another.
type Move struct {
	Shard    Shard
	From, To string
}

// Plan gives the moves that turn one ring into another, in the order of the shards.
func Plan(from, to *Ring) []Move {
	var moves []Move
	for i := range Count {
		s := Shard(i)
		if a, b := from.Owner(s), to.Owner(s); a != b {
			moves = append(moves, Move{s, a, b})
		}
	}
	return moves
}
