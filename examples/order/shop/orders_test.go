package shop

import (
	"slices"
	"strings"
	"testing"
)

func TestOrdersAreTheSameForTheSameSeedAndAnyNumber(t *testing.T) {
	many := Orders(1000, 7)
	if !slices.Equal(many, Orders(1000, 7)) {
		t.Error("not the same for the same seed")
	}
	if !slices.Equal(many[:100], Orders(100, 7)) {
		t.Error("the first are not the same")
	}
	if slices.Equal(many, Orders(1000, 8)) {
		t.Error("the same for another seed")
	}
	if len(Orders(0, 1)) != 0 || len(Orders(-1, 1)) != 0 {
		t.Error("orders where none were asked for")
	}
}

func TestOrdersAreValidAndFailInTheDocumentedShares(t *testing.T) {
	const n = 10_000
	var declined, undeliverable, limited int
	ids := make(map[string]bool)
	for _, o := range Orders(n, 1) {
		if err := o.Validate(); err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		ids[o.ID] = true
		if declines[o.Card[len(o.Card)-4:]] != "" {
			declined++
		}
		if !deliverable(o.Address) {
			undeliverable++
		}
		if strings.HasSuffix(o.SKU, limitedSuffix) {
			limited++
		}
	}
	if len(ids) != n {
		t.Errorf("%d ids", len(ids))
	}
	for name, share := range map[string][2]int{
		"declined":      {declined, declinedPercent},
		"undeliverable": {undeliverable, undeliverablePercent},
		"limited":       {limited, limitedPercent},
	} {
		if got, want := share[0], share[1]*n/100; got < want*8/10 || got > want*12/10 {
			t.Errorf("%s: %d of %d, want about %d", name, got, n, want)
		}
	}
}

func TestInitialStockIsWhatIsWantedAndHalfOfALimitedEdition(t *testing.T) {
	stock := InitialStock([]Order{
		{SKU: "tent", Quantity: 2}, {SKU: "tent", Quantity: 3},
		{SKU: "knife-limited", Quantity: 4}, {SKU: "knife-limited", Quantity: 1},
	})
	if len(stock) != 2 || stock["tent"] != 5 || stock["knife-limited"] != 2 {
		t.Fatal(stock)
	}
}
