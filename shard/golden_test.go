package shard_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/shard"
)

// The files under testdata were computed by a second implementation, in another language, from what the comments of Of
// and NewRing say. Nothing rewrites them. If one of these tests fails, the code is wrong.

// The shards in of.txt are in the subjects of stored sagas. A line is definition, id and shard.
func TestTheShardOfASagaNeverChanges(t *testing.T) {
	for _, fields := range golden(t, "of.txt", 3) {
		definition, id, want := fields[0], fields[1], fields[2]
		if got := shard.Of(definition, id); got.String() != want {
			t.Errorf("Of(%q, %q) = %v, and was always %s", definition, id, got, want)
		}
	}
}

// In ring.txt a line is a number of streams, and for each shard the ordinal of its stream, in hexadecimal.
func TestTwoBuildsPlaceTheShardsAlike(t *testing.T) {
	for _, fields := range golden(t, "ring.txt", 2) {
		n, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		r := newRing(t, streams("default", n))
		for i, digit := range fields[1] {
			ordinal, err := strconv.ParseUint(string(digit), 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			s, want := shard.Shard(i), fmt.Sprintf("SAGA_default_%d", ordinal)
			if got := r.Owner(s); got != want {
				t.Errorf("%d streams: shard %v is on %s, and was always on %s", n, s, got, want)
			}
		}
	}
}

// golden reads the lines of a file, each of that many fields with tabs between them.
func golden(t *testing.T, file string, width int) [][]string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]string
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != width {
			t.Fatalf("%s: %q has %d fields, not %d", file, line, len(fields), width)
		}
		lines = append(lines, fields)
	}
	if len(lines) == 0 {
		t.Fatalf("%s is empty", file)
	}
	return lines
}
