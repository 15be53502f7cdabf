package shop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const orderLine = `{"id":"a","customer":"Ada","sku":"tent","quantity":1,"unit_price_cents":100,"card":"tok_4242","address":"here"}`

func encodeOrders(t testing.TB, orders []Order) []byte {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	for _, o := range orders {
		if err := encoder.Encode(o); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestReadOrdersReadsWhatWasWritten(t *testing.T) {
	want := Orders(500, 3)
	got, err := ReadOrders(bytes.NewReader(encodeOrders(t, want)))
	if err != nil || !slices.Equal(got, want) {
		t.Fatal(len(got), err)
	}
}

func TestReadOrdersReadsTheExampleFile(t *testing.T) {
	file, err := os.Open("../orders.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if orders, err := ReadOrders(file); err != nil || len(orders) != 5 {
		t.Fatal(len(orders), err)
	}
}

func TestReadOrdersTakesTextFilesOfAllSorts(t *testing.T) {
	second := strings.Replace(orderLine, `"a"`, `"b"`, 1)
	for name, input := range map[string]string{
		"unix":               orderLine + "\n" + second + "\n",
		"no last newline":    orderLine + "\n" + second,
		"windows":            "\ufeff" + orderLine + "\r\n" + second + "\r\n",
		"with empty lines":   "\n" + orderLine + "\n \n\n" + second + "\n\n",
		"as one long buffer": orderLine + "\n" + second + strings.Repeat(" ", maxOrderLine-len(second)-1) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadOrders(iotest.OneByteReader(strings.NewReader(input)))
			if err != nil || len(got) != 2 || got[0].ID != "a" || got[1].ID != "b" {
				t.Fatal(got, err)
			}
		})
	}
}

func TestReadOrdersNamesLineAndField(t *testing.T) {
	change := func(from, to string) string { return strings.Replace(orderLine, from, to, 1) }
	tests := []struct {
		name, line string
		fields     []string
	}{
		{"not JSON", `hello`, []string{""}},
		{"an array", `[]`, []string{""}},
		{"null", `null`, []string{"id", "customer", "sku", "quantity", "unit_price_cents", "card", "address"}},
		{"two objects", orderLine + orderLine, []string{""}},
		{"too long", `{"id":"` + strings.Repeat("x", maxOrderLine) + `"}`, []string{""}},
		{"missing fields", change(`"sku":"tent",`, ``), []string{"sku"}},
		{"wrong types", change(`"quantity":1`, `"quantity":"1"`), []string{"quantity"}},
		{"fraction", change(`"quantity":1`, `"quantity":1.5`), []string{"quantity"}},
		{"null field", change(`"Ada"`, `null`), []string{"customer"}},
		{"two wrong fields", change(`"tent","quantity":1`, `"","quantity":0`), []string{"sku", "quantity"}},
		{"type and value", change(`"tent","quantity":1`, `7,"quantity":0`), []string{"sku", "quantity"}},
		{"unknown fields", change(`{`, `{"y":1,"x":1,`), []string{`"x"`, `"y"`}},
		{"a result", change(`{`, `{"charge_id":"C1",`), []string{`"charge_id"`}},
		{"card number", change(`tok_4242`, `4242424242424242`), []string{"card"}},
		{"id repeated", change(`"a"`, `"first"`), []string{"id"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			first := strings.Replace(orderLine, `"a"`, `"first"`, 1)
			orders, err := ReadOrders(strings.NewReader(first + "\n\n" + test.line + "\n"))
			var faults *OrdersError
			if !errors.As(err, &faults) || orders != nil {
				t.Fatal(orders, err)
			}
			var fields []string
			for _, fault := range faults.Faults {
				if fault.Line != 3 || !strings.Contains(err.Error(), "\n  line 3: "+fault.Error()) {
					t.Errorf("%+v in %v", fault, err)
				}
				fields = append(fields, fault.Field)
			}
			if !slices.Equal(fields, test.fields) {
				t.Fatalf("named %q, want %q", fields, test.fields)
			}
		})
	}
}

func TestReadOrdersListsTwentyFaultsAndCountsTheRest(t *testing.T) {
	var input strings.Builder
	for i := range 100 {
		if i == 50 {
			input.WriteString(orderLine + "\n")
		}
		input.WriteString("oops\n")
	}
	_, err := ReadOrders(strings.NewReader(input.String()))
	var faults *OrdersError
	if !errors.As(err, &faults) || len(faults.Faults) != 20 || faults.More != 80 {
		t.Fatal(err)
	}
	if text := err.Error(); !strings.HasPrefix(text, "orders have 100 faults:") || !strings.HasSuffix(text, "and 80 more") {
		t.Fatal(text)
	}
}

func TestReadOrdersWantsAtLeastOne(t *testing.T) {
	for _, input := range []string{"", "\n\n", "\ufeff"} {
		if _, err := ReadOrders(strings.NewReader(input)); !errors.Is(err, ErrNoOrders) {
			t.Fatal(err)
		}
	}
}

func TestReadOrdersPassesOnTheReadersError(t *testing.T) {
	cause := errors.New("unplugged")
	_, err := ReadOrders(io.MultiReader(strings.NewReader(orderLine+"\n"), iotest.ErrReader(cause)))
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "line 2") {
		t.Fatal(err)
	}
}

func FuzzReadOrdersGivesValidOrdersOrNamesLines(f *testing.F) {
	f.Add(encodeOrders(f, Orders(3, 1)))
	f.Add([]byte(orderLine + "\n" + orderLine))
	f.Add([]byte("{\"id\":\"\\u0000\"}\n[1]\nnull\n\xff"))
	f.Fuzz(func(t *testing.T, input []byte) {
		orders, err := ReadOrders(bytes.NewReader(input))
		var faults *OrdersError
		switch {
		case errors.As(err, &faults):
			lines := bytes.Count(input, []byte("\n")) + 1
			for _, fault := range faults.Faults {
				if fault.Line < 1 || fault.Line > lines || fault.Problem == "" {
					t.Fatalf("%+v of %d lines", fault, lines)
				}
			}
		case err != nil:
			if !errors.Is(err, ErrNoOrders) {
				t.Fatal(err)
			}
		default:
			again, err := ReadOrders(bytes.NewReader(encodeOrders(t, orders)))
			if err != nil || fmt.Sprint(again) != fmt.Sprint(orders) {
				t.Fatalf("%v became %v: %v", orders, again, err)
			}
		}
	})
}
