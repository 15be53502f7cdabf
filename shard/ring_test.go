package shard_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/jetsaga/jetsaga/shard"
)

// sets are the kinds of members that the properties of rings are tested with: those of real namespaces, those that
// differ by little, and names by chance.
var sets = []struct {
	name    string
	members func(n int) []string
}{
	{"streams", func(n int) []string { return streams("default", n) }},
	{"streams of another namespace", func(n int) []string { return streams("eu-shop", n) }},
	{"bare numbers", func(n int) []string { return numbered("%d", n) }},
	{"number first", func(n int) []string { return numbered("%d.worker.example", n) }},
	{"like virtual nodes", func(n int) []string { return numbered("a#%d", n) }},
	{"by chance", func(n int) []string {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("%x", random.Uint64())
		}
		return names
	}},
}

func streams(namespace string, n int) []string { return numbered("SAGA_"+namespace+"_%d", n) }

func numbered(format string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(format, i)
	}
	return names
}

func newRing(t testing.TB, members []string) *shard.Ring {
	t.Helper()
	r, err := shard.NewRing(members, 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryShardHasOneOwnerWithinTheBound(t *testing.T) {
	for n := 1; n <= 64; n++ {
		checkPlaced(t, "streams", newRing(t, streams("default", n)))
	}
	for _, set := range sets {
		for _, n := range []int{2, 3, 7, 16, 31, 64, 256} {
			checkPlaced(t, set.name, newRing(t, set.members(n)))
		}
	}
}

func TestTheBoundHoldsForAnyNumberOfVirtualNodes(t *testing.T) {
	for _, virtualNodes := range []int{1, 2, 16, 1000} {
		for _, n := range []int{1, 2, 7, 64, 256} {
			r, err := shard.NewRing(streams("default", n), virtualNodes)
			if err != nil {
				t.Fatal(err)
			}
			checkPlaced(t, fmt.Sprintf("%d virtual nodes", virtualNodes), r)
		}
	}
}

// checkPlaced fails the test unless every shard has one owner, and every member from one shard to its bound.
func checkPlaced(t *testing.T, name string, r *shard.Ring) {
	t.Helper()
	var owners [shard.Count]int
	n := len(r.Members())
	for _, m := range r.Members() {
		own := r.Shards(m)
		if len(own) == 0 || len(own) > shard.Bound(n) {
			t.Errorf("%s, %d members: %s owns %d shards, bound %d", name, n, m, len(own), shard.Bound(n))
		}
		if !slices.IsSorted(own) {
			t.Errorf("%s, %d members: the shards of %s are not in order: %v", name, n, m, own)
		}
		for _, s := range own {
			owners[s]++
			if r.Owner(s) != m {
				t.Errorf("%s, %d members: shard %v is among those of %s, and its owner is %s", name, n, s, m, r.Owner(s))
			}
		}
	}
	for s, count := range &owners {
		if count != 1 {
			t.Errorf("%s, %d members: shard %v has %d owners", name, n, shard.Shard(s), count)
		}
	}
}

func TestBoundIsAQuarterAboveTheEvenShareRoundedUp(t *testing.T) {
	for n, want := range map[int]int{1: 256, 2: 160, 3: 107, 4: 80, 5: 64, 64: 5, 255: 2, 256: 2} {
		if got := shard.Bound(n); got != want {
			t.Errorf("Bound(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestShardsSpreadOverTheMembers(t *testing.T) {
	for _, n := range []int{2, 3, 4, 8, 16} {
		low, high := shard.Count, 0
		for _, set := range sets {
			r := newRing(t, set.members(n))
			for _, m := range r.Members() {
				low, high = min(low, len(r.Shards(m))), max(high, len(r.Shards(m)))
			}
		}
		even := shard.Count / n
		t.Logf("%d members: from %d to %d shards, an even share is %d", n, low, high, even)
		if low < even*3/10 {
			t.Errorf("%d members: one owns %d shards, an even share is %d", n, low, even)
		}
	}
}

func TestARingDependsOnTheSetOfItsMembersOnly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, set := range sets {
		for _, n := range []int{2, 7, 64} {
			members := set.members(n)
			want := newRing(t, members)
			shuffled := slices.Clone(members)
			random.Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			given := slices.Clone(shuffled)
			got := newRing(t, shuffled)
			if moves := shard.Plan(want, got); len(moves) != 0 {
				t.Errorf("%s, %d members: %d shards differ", set.name, n, len(moves))
			}
			if !slices.Equal(got.Members(), slices.Sorted(slices.Values(members))) {
				t.Errorf("%s: members are %v", set.name, got.Members())
			}
			if !slices.Equal(shuffled, given) {
				t.Errorf("%s: the caller's members were put in another order", set.name)
			}
		}
	}
}

// tolerated is how many shards may move between n members and one less: what the package's comment says.
func tolerated(n int) int {
	share := (shard.Count + n - 1) / n
	if n <= 16 {
		return 2 * share
	}
	return share + shard.Count/8
}

func TestAddingOrRemovingAMemberMovesAboutItsShare(t *testing.T) {
	for _, set := range sets {
		for _, n := range []int{2, 3, 4, 5, 6, 8, 11, 13, 16, 17, 25, 32, 36, 46, 54, 64} { // from 17 on, where the bound falls
			members := set.members(n)
			for _, i := range []int{0, n - 1} {
				all, without := newRing(t, members), newRing(t, slices.Delete(slices.Clone(members), i, i+1))
				added, removed := shard.Plan(without, all), shard.Plan(all, without)
				if len(added) != len(removed) {
					t.Errorf("%s, %d members: %d moves there, %d back", set.name, n, len(added), len(removed))
				}
				if len(added) > tolerated(n) {
					t.Errorf("%s: between %d members and those without %s, %d shards move; an even share is %d",
						set.name, n, members[i], len(added), shard.Count/n)
				}
			}
		}
	}
}

func TestAPlanTurnsOneRingIntoAnother(t *testing.T) {
	for _, set := range sets {
		from, to := newRing(t, set.members(5)), newRing(t, set.members(9)[2:])
		moves := shard.Plan(from, to)
		if !slices.IsSortedFunc(moves, func(a, b shard.Move) int { return int(a.Shard) - int(b.Shard) }) {
			t.Errorf("%s: the moves are not in the order of the shards", set.name)
		}
		moved := map[shard.Shard]shard.Move{}
		for _, m := range moves {
			moved[m.Shard] = m
		}
		for i := range shard.Count {
			s := shard.Shard(i)
			was, is := from.Owner(s), to.Owner(s)
			m, ok := moved[s]
			if ok != (was != is) || ok && (m.From != was || m.To != is) {
				t.Errorf("%s: shard %v goes from %s to %s, planned (%v): %+v", set.name, s, was, is, ok, m)
			}
		}
	}
}

func TestWhoIsNoMemberOwnsNothing(t *testing.T) {
	if own := newRing(t, []string{"a", "b"}).Shards("c"); own != nil {
		t.Errorf("c owns %v", own)
	}
}

func TestMembersAreTheCallersToChange(t *testing.T) {
	r := newRing(t, []string{"a"})
	r.Members()[0] = "b"
	if got := r.Owner(0); got != "a" {
		t.Errorf("the owner is %s", got)
	}
}

func TestBadRingsAreRefused(t *testing.T) {
	for _, c := range []struct {
		name         string
		members      []string
		virtualNodes int
		want         string
	}{
		{"no members", nil, 0, "ring has no members"},
		{"an empty name", []string{"a", ""}, 0, "ring has a member without a name"},
		{"a name twice", []string{"a", "b", "a"}, 0, `ring has the member "a" twice`},
		{"negative nodes", []string{"a"}, -1, "ring has -1 virtual nodes a member; 0 is the default, 128"},
		{"more than the shards", streams("default", shard.Count+1), 0, "ring has 257 members, and only 256 shards to give them"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := shard.NewRing(c.members, c.virtualNodes); err == nil || err.Error() != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}
