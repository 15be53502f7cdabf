package shard_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jetsaga/jetsaga/shard"
)

// These are in the subjects of stored sagas: they never change.
func TestTheShardOfASagaNeverChanges(t *testing.T) {
	for _, c := range []struct {
		definition, id string
		want           shard.Shard
	}{
		{"place-order", "o-1", 216},
		{"place-order", "o-2", 107},
		{"place-order", "01890a5d-ac96-774b-bcce-b302099a8057", 51},
		{"größe", "ä", 107},
		{"a", "b", 65},
		{"ab", "", 123},
	} {
		if got := shard.Of(c.definition, c.id); got != c.want {
			t.Errorf("Of(%q, %q) = %v, want %v", c.definition, c.id, got, c.want)
		}
	}
}

func TestDefinitionAndIDDoNotRunIntoEachOther(t *testing.T) {
	same := 0
	for i := range 1000 {
		s := fmt.Sprintf("x%dyz", i)
		if shard.Of(s[:2], s[2:]) == shard.Of(s[:3], s[3:]) {
			same++
		}
	}
	if same > 20 { // 1 in 256 by chance
		t.Errorf("%d of 1000 pairs fall together", same)
	}
}

func TestShardsSpreadEvenly(t *testing.T) {
	const sagas = 256_000
	var load [shard.Count]int
	for i := range sagas {
		load[shard.Of("place-order", fmt.Sprintf("order-%d", i))]++
	}
	if low, high := slices.Min(load[:]), slices.Max(load[:]); low < 800 || high > 1200 {
		t.Errorf("of 1000 sagas a shard, the emptiest has %d and the fullest %d", low, high)
	}
}

func TestParseReadsWhatStringGives(t *testing.T) {
	for i := range shard.Count {
		s := shard.Shard(i)
		if got, err := shard.Parse(s.String()); err != nil || got != s {
			t.Errorf("Parse(%q) = %v, %v", s, got, err)
		}
	}
	for _, bad := range []string{"", "0", "00", "256", "-01", "+01", "0001", "00a", " 01", "1e2"} {
		if s, err := shard.Parse(bad); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", bad, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("000")
	f.Add("255")
	f.Fuzz(func(t *testing.T, token string) {
		if s, err := shard.Parse(token); err == nil && s.String() != token {
			t.Errorf("Parse(%q) = %v", token, s)
		}
	})
}

func TestOfAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = shard.Of("place-order", "o-1").String() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOf(b *testing.B) {
	for b.Loop() {
		_ = shard.Of("place-order", "01890a5d-ac96-774b-bcce-b302099a8057")
	}
}
