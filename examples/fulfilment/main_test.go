package main

import (
	"os"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.NoLeaks(m.Run)()) }

func TestAnOrderOfManyLinesIsFulfilledAndTold(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), "", t.TempDir(), &out); err != nil {
		t.Fatal(err)
	}
	const want = `completed: 495 lines in 50 parcels, missing: [sku-99 sku-199 sku-299 sku-399 sku-499]
the outside was told of 495 lines
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}
