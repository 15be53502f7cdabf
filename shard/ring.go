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

// Ring gives each shard to one of its members, by consistent hashing with bounded loads. [NewRing] makes one. It does
// not change; a changed membership is another ring, and [Plan] tells what lies between them.
type Ring struct {
	members []string
	owner   [Count]int // an index into members
}

// point is a virtual node of a member on the circle of hashes.
type point struct {
	hash   uint64
	member int
}

// NewRing places the shards on the members, each with that many virtual nodes; 0 is [DefaultVirtualNodes]. Each member
// owns at least one shard, and at most [Bound]. It fails unless there are from 1 to [Count] members, named and distinct.
func NewRing(members []string, virtualNodes int) (*Ring, error) {
	if virtualNodes == 0 {
		virtualNodes = DefaultVirtualNodes
	}
	members = slices.Sorted(slices.Values(members))
	switch {
	case len(members) == 0:
		return nil, errors.New("ring has no members")
	case len(members) > Count:
		return nil, fmt.Errorf("ring has %d members, and only %d shards to give them", len(members), Count)
	case virtualNodes < 0:
		return nil, fmt.Errorf("ring has %d virtual nodes a member; 0 is the default, %d", virtualNodes, DefaultVirtualNodes)
	case members[0] == "":
		return nil, errors.New("ring has a member without a name")
	}
	for i := range members[1:] {
		if members[i] == members[i+1] {
			return nil, fmt.Errorf("ring has the member %q twice", members[i])
		}
	}
	r := &Ring{members: members}
	r.place(circle(members, virtualNodes))
	return r, nil
}

// Bound is the largest number of shards that one of n members may own: a quarter above the even share, rounded up,
// that is ceil(320/n), and never more than there are. n is at least 1.
func Bound(n int) int { return min(Count, (Count*5/4+n-1)/n) }

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

// place gives each shard to the first member from its point on that is below its bound, then sees that no member goes
// without. The search ends: the bounds of all members together exceed the shards.
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

// feed gives a member without shards the first of the fullest member's, who has two at least: there are no more members
// than shards.
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

// Shards gives a member's shards in order, and none for who is no member.
func (r *Ring) Shards(member string) []Shard {
	var shards []Shard
	for s, m := range &r.owner {
		if r.members[m] == member {
			shards = append(shards, Shard(s))
		}
	}
	return shards
}
