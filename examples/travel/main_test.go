package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.NoLeaks(m.Run)()) }

func TestEveryTripIsBookedWholeOrNotAtAll(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), "", t.TempDir(), &out); err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`(flight|room|car)-\d+`).ReplaceAllString(out.String(), "$1")
	const want = `Ada    to Lisbon   completed: flight, room, car "car"
Blaise to Venice   completed: flight, room, car ""
Carl   to Oslo     compensated: the child book-stay/* ended compensated: no room in Oslo for 30 nights
Emmy   to Rome     compensated: the card was declined
Plato  to Atlantis compensated: no airline flies to Atlantis
standing: map[car:1 flight:2 payment:2 room:2 tickets:2]
`
	got = regexp.MustCompile(`book-stay/\S+`).ReplaceAllString(got, "book-stay/*")
	if got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}
