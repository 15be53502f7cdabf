package saga_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

func TestANameIsOneTokenOfASubject(t *testing.T) {
	for _, test := range []struct {
		what, name string
		reason     string // empty for a name that is fine
	}{
		{"a letter", "a", ""},
		{"what people use", "place-order_2/EU:7#x", ""},
		{"other scripts", "заказ-注文-🚚", ""},
		{"a dollar at the front", "$JS", ""},
		{"the longest", strings.Repeat("x", saga.MaxNameBytes), ""},
		{"the longest, of letters that take two bytes", strings.Repeat("ж", saga.MaxNameBytes/2), ""},
		{"one byte too long", strings.Repeat("x", saga.MaxNameBytes+1), "129 bytes"},
		{"too long in bytes, though not in letters", strings.Repeat("ж", saga.MaxNameBytes/2+1), "130 bytes"},
		{"empty", "", "must not be empty"},
		{"a dot", "a.b", `'.'`},
		{"a star", "*", `'*'`},
		{"a greater-than", ">", `'>'`},
		{"a space", "a b", `' '`},
		{"a tab", "a\tb", `'\t'`},
		{"a line break", "a\n", `'\n'`},
		{"a NUL", "a\x00", `'\x00'`},
		{"a DEL", "a\x7f", `'\x7f'`},
		{"a C1 control", "a\u0085b", `'\u0085'`},
		{"a no-break space", "a\u00a0b", `'\u00a0'`},
		{"a line separator", "a\u2028b", `'\u2028'`},
		{"an ideographic space", "a\u3000b", `'\u3000'`},
		{"bytes that are no text", "a\xffb", "not valid UTF-8"},
		{"half a letter", "a\xd0", "not valid UTF-8"},
	} {
		t.Run(test.what, func(t *testing.T) {
			err := saga.CheckName("step", test.name)
			if test.reason == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var invalid *saga.InvalidNameError
			if !errors.As(err, &invalid) {
				t.Fatalf("error %v, want an InvalidNameError", err)
			}
			if invalid.Field != "step" || invalid.Value != test.name || !strings.Contains(invalid.Reason, test.reason) {
				t.Errorf("error %+v, want one that names the field, the value, and %s", invalid, test.reason)
			}
		})
	}
}

func TestTheMessageOfAnInvalidNameShowsItQuoted(t *testing.T) {
	err := saga.CheckName("id", "a\nb")
	const want = `invalid id "a\nb": contains '\n'; white space, control characters, '.', '*' and '>' are not allowed`
	if err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestAKeyIsValidWhereBothItsPartsAre(t *testing.T) {
	for _, test := range []struct {
		key   saga.Key
		field string // that is refused; empty for none
	}{
		{saga.Key{Definition: "order", ID: "o-1"}, ""},
		{saga.Key{Definition: "or.der", ID: "o-1"}, "definition"},
		{saga.Key{Definition: "order", ID: "o 1"}, "id"},
		{saga.Key{ID: "o-1"}, "definition"},
		{saga.Key{Definition: "order"}, "id"},
		{saga.Key{}, "definition"},
	} {
		err := test.key.Validate()
		var invalid *saga.InvalidNameError
		switch {
		case test.field == "" && err != nil:
			t.Errorf("key %q is refused: %v", test.key, err)
		case test.field != "" && (!errors.As(err, &invalid) || invalid.Field != test.field):
			t.Errorf("key %q: error %v, want an InvalidNameError about the %s", test.key, err, test.field)
		}
	}
}

func TestAKeyPrintsAsDefinitionAndID(t *testing.T) {
	if got := (saga.Key{Definition: "order", ID: "o-1"}).String(); got != "order/o-1" {
		t.Errorf("the key prints as %q", got)
	}
}
