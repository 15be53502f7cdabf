package saga_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

func TestANamespaceIsOfLettersDigitsDashesAndUnderscores(t *testing.T) {
	for name, ok := range map[string]bool{
		"default": true, "Shop-1_eu": true, "_": true, strings.Repeat("n", 64): true,
		"": false, strings.Repeat("n", 65): false, "a.b": false, "a b": false, "a*": false,
		"a:i": false, "{a": false, "a}b": false, "größe": false, "a\xff": false,
	} {
		err := saga.CheckNamespace(name)
		var invalid *saga.InvalidNameError
		if ok && err != nil || !ok && (!errors.As(err, &invalid) || invalid.Field != "namespace" || invalid.Value != name) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
