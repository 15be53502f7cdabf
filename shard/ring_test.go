package shard_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jetsaga/jetsaga/shard"
)

func ring(t testing.TB, n int) *shard.Ring {
	t.Helper()
	r, err := shard.NewRing(members(n), 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func members(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("SAGA_default_%d", i)
	}
	return names
}

func TestEveryShardHasOneOwnerWithinTheBound(t *testing.T) {
	for n := 1; n <= 64; n++ {
		r := ring(t, n)
		seen := map[shard.Shard]bool{}
		for _, m := range r.Members() {
			own := r.Shards(m)
			if len(own) == 0 || len(own) > shard.Bound(n) {
				t.Errorf("%d members: %s owns %d shards, bound %d", n, m, len(own), shard.Bound(n))
			}
			for _, s := range own {
				if seen[s] || r.Owner(s) != m {
					t.Errorf("%d members: shard %v: owner %s and %s", n, s, m, r.Owner(s))
				}
				seen[s] = true
			}
		}
		if len(seen) != shard.Count {
			t.Errorf("%d members own %d shards", n, len(seen))
		}
	}
}

func TestEveryMemberOwnsAShardUpToAsManyAsThereAre(t *testing.T) {
	r := ring(t, shard.Count)
	for _, m := range r.Members() {
		if len(r.Shards(m)) != 1 {
			t.Fatalf("%s owns %v", m, r.Shards(m))
		}
	}
}

func TestOrderOfMembersDoesNotMatter(t *testing.T) {
	names := members(7)
	backwards := slices.Clone(names)
	slices.Reverse(backwards)
	r, err := shard.NewRing(backwards, 0)
	if err != nil {
		t.Fatal(err)
	}
	if moves := shard.Plan(ring(t, 7), r); len(moves) != 0 {
		t.Errorf("%d shards differ", len(moves))
	}
}

func TestAddingAMemberMovesAboutItsShare(t *testing.T) {
	for n := 1; n < 32; n++ {
		moves := shard.Plan(ring(t, n), ring(t, n+1))
		share := shard.Count / (n + 1)
		if len(moves) > 2*share+shard.Count/8 {
			t.Errorf("from %d to %d members: %d shards move, an even share is %d", n, n+1, len(moves), share)
		}
		for i, m := range moves {
			if m.From == m.To || i > 0 && moves[i-1].Shard >= m.Shard {
				t.Errorf("from %d to %d members: move %d is %+v", n, n+1, i, m)
			}
		}
	}
}

func TestBadRingsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		members []string
		virtual int
	}{
		"no members":           {nil, 0},
		"an empty name":        {[]string{"a", ""}, 0},
		"a name twice":         {[]string{"a", "b", "a"}, 0},
		"negative nodes":       {[]string{"a"}, -1},
		"more than the shards": {members(shard.Count + 1), 0},
	} {
		if _, err := shard.NewRing(c.members, c.virtual); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func ExamplePlan() {
	before, _ := shard.NewRing([]string{"a", "b"}, 0)
	after, _ := shard.NewRing([]string{"a", "b", "c"}, 0)
	to := map[string]int{}
	for _, m := range shard.Plan(before, after) {
		to[m.To]++
	}
	fmt.Println(to["c"] > 50, to["c"] <= shard.Bound(3))
	// Output: true true
}
