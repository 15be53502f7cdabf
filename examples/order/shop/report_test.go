package shop

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jetsaga/jetsaga/saga"
)

func TestReportIsAnAlignedTable(t *testing.T) {
	report := Report{
		Orders: 1234,
		Outcomes: []OutcomeLine{
			{saga.StatusCompleted, "", 1000},
			{saga.StatusCompensated, "out of stock", 234},
		},
		Stock:   []StockLine{{SKU: "tent", Received: 5000, OnHand: 2000, Sold: 3000}, {SKU: "stove", Received: 10, OnHand: 3, Sold: 4, Held: 3}},
		Money:   MoneyLine{Charged: 123_456_789, Refunded: 5, Sold: 123_456_700, Held: 84},
		Outages: 1050,
	}
	const want = `
outcome                                      orders    share
completed                                     1,000   81.0 %
compensated: out of stock                       234   19.0 %
total                                         1,234  100.0 %

stock                                         units
received                                      5,010
sold to completed orders                     -3,004
held by stuck and unfinished orders              -3
expected on hand                              2,003
on hand by the ledger                         2,003

money                                              amount
price of completed orders                    1,234,567.00
held for stuck and unfinished orders                 0.84
expected in the account                      1,234,567.84
charged by the ledger                        1,234,567.89
refunded by the ledger                              -0.05
in the account by the ledger                 1,234,567.84

The carrier was down 1,050 times, and was tried again.

Reconciled: the ledgers agree with 1,234 outcomes, to the unit and to the cent.
`
	var b bytes.Buffer
	if err := report.Render(&b); err != nil {
		t.Fatal(err)
	}
	if got := "\n" + b.String(); got != want {
		t.Fatalf("got:%s\nwant:%s", got, want)
	}
}

func TestReportShowsTwentyDifferencesAndTwelveCauses(t *testing.T) {
	var report Report
	for i := range 30 {
		report.Orders++
		report.Outcomes = append(report.Outcomes, OutcomeLine{saga.StatusCompensated, fmt.Sprint("cause ", i), 1})
		report.Differences = append(report.Differences, Difference{Order: fmt.Sprint("order-", i), Kind: KindMissing, Detail: "is lost"})
	}
	report.Differences[0].Order = ""
	text := report.String()
	for _, want := range []string{
		"compensated: cause 11 ", "\nothers                                           18   60.0 %\n",
		"NOT reconciled: 30 differences.\n  is lost\n  order-1: is lost\n", "  order-19: is lost\n  and 10 more\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	for _, unwanted := range []string{"cause 12", "order-20"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("%q is in:\n%s", unwanted, text)
		}
	}
}

func TestReportAlignsTextBeyondASCII(t *testing.T) {
	report := Report{Orders: 1, Outcomes: []OutcomeLine{{saga.StatusStuck, "Öztürk sagte nein", 1}}}
	lines := strings.Split(report.String(), "\n")
	if a, b := utf8.RuneCountInString(lines[0]), utf8.RuneCountInString(lines[1]); a != b {
		t.Fatalf("%d and %d wide:\n%s\n%s", a, b, lines[0], lines[1])
	}
}

func TestReportOfNoOrders(t *testing.T) {
	if text := (Report{}).String(); !strings.Contains(text, "agree with 0 outcomes") || strings.Contains(text, "NaN") {
		t.Fatal(text)
	}
}

func TestAmountsAreGroupedByThousands(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 7: "7", 999: "999", 1000: "1,000", -1000: "-1,000", 123456: "123,456", -999: "-999",
		math.MaxInt64: "9,223,372,036,854,775,807",
	} {
		if got := group(n); got != want {
			t.Errorf("group(%d) = %q", n, got)
		}
	}
	for n, want := range map[int64]string{0: "0.00", 5: "0.05", -5: "-0.05", 100: "1.00", -123456: "-1,234.56"} {
		if got := cents(n); got != want {
			t.Errorf("cents(%d) = %q", n, got)
		}
	}
}
