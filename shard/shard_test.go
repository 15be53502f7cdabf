package shard_test

import (
	"fmt"
	"hash/fnv"
	"slices"
	"testing"

	"github.com/jetsaga/jetsaga/shard"
)

func FuzzOf(f *testing.F) {
	f.Add("place-order", "o-1")
	f.Add("größe", "ä")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, definition, id string) {
		h := fnv.New64a()
		h.Write([]byte(definition + "\x00" + id))
		var want shard.Shard
		for _, b := range h.Sum(nil) {
			want ^= shard.Shard(b)
		}
		if got := shard.Of(definition, id); got != want {
			t.Errorf("Of(%q, %q) = %v, want %v", definition, id, got, want)
		}
	})
}

func TestDefinitionAndIDDoNotRunIntoEachOther(t *testing.T) {
	const pairs = 25_600
	same := 0
	for i := range pairs {
		s := fmt.Sprintf("x%dyz", i)
		if shard.Of(s[:2], s[2:]) == shard.Of(s[:3], s[3:]) {
			same++
		}
	}
	if same > 150 { // 100 by chance
		t.Errorf("%d of %d pairs fall together", same, pairs)
	}
}

func TestSagasSpreadEvenlyOverTheShards(t *testing.T) {
	const each = 1000
	for _, c := range []struct {
		name string
		id   func(i int) string
	}{
		{"counted", func(i int) string { return fmt.Sprintf("order-%d", i) }},
		{"padded", func(i int) string { return fmt.Sprintf("%012d", i) }},
		{"like a time-ordered UUID", func(i int) string { return fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", i) }},
		{"ending alike", func(i int) string { return fmt.Sprintf("%d-in-the-same-shop", i) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var load [shard.Count]int
			for i := range each * shard.Count {
				load[shard.Of("place-order", c.id(i))]++
			}
			low, high := slices.Min(load[:]), slices.Max(load[:])
			t.Logf("of %d sagas a shard, the emptiest has %d and the fullest %d", each, low, high)
			if low < each*8/10 || high > each*12/10 {
				t.Errorf("of %d sagas a shard, the emptiest has %d and the fullest %d", each, low, high)
			}
		})
	}
}

func TestParseReadsWhatStringGives(t *testing.T) {
	for i := range shard.Count {
		s := shard.Shard(i)
		if want := fmt.Sprintf("%03d", i); s.String() != want {
			t.Errorf("shard %d is written %q, want %q", i, s, want)
		}
		if got, err := shard.Parse(s.String()); err != nil || got != s {
			t.Errorf("Parse(%q) = %v, %v", s, got, err)
		}
	}
}

func TestParseRefusesAllElse(t *testing.T) {
	for _, bad := range []string{"", "0", "00", "256", "999", "-01", "+01", "0001", "00a", " 01", "1e2", "0x1", "1_0", "٠٠١", "*", ">"} {
		if s, err := shard.Parse(bad); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", bad, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("000")
	f.Add("255")
	f.Add("256")
	f.Fuzz(func(t *testing.T, token string) {
		if s, err := shard.Parse(token); err == nil && s.String() != token {
			t.Errorf("Parse(%q) = %v", token, s)
		}
	})
}

func TestOfAndStringAllocateNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = shard.Of("place-order", "o-1").String() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOf(b *testing.B) {
	for _, c := range []struct{ name, definition, id string }{
		{"short", "place-order", "o-1"},
		{"uuid", "place-order", "01890a5d-ac96-774b-bcce-b302099a8057"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = shard.Of(c.definition, c.id)
			}
		})
	}
}
