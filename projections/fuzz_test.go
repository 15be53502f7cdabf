package projections

import (
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

func FuzzParseTold(f *testing.F) {
	f.Add("7")
	f.Add("-7")
	f.Add("--7")
	f.Fuzz(func(t *testing.T, text string) {
		told, err := parseTold(text)
		if err != nil {
			return
		}
		if again, err := parseTold(told.String()); err != nil || again != told {
			t.Errorf("%q is read as %+v, and written as %v", text, told, told)
		}
	})
}

func FuzzDecodeSummary(f *testing.F) {
	f.Add(`7 {}`)
	f.Add(`7+ {"status":"running","steps":{"a":[1,2,3]},"attributes":{"a":"b"}}`)
	f.Add(`x {}`)
	key := saga.Key{Definition: "d", ID: "i"}
	f.Fuzz(func(t *testing.T, value string) {
		s, err := decodeSummary(key, value)
		if err != nil {
			return
		}
		written, err := s.encode()
		if err != nil {
			t.Fatalf("%q is read as %+v, which cannot be written: %v", value, s, err)
		}
		again, err := decodeSummary(key, written)
		if err != nil {
			t.Fatalf("%q is written as %q: %v", value, written, err)
		}
		if twice, err := again.encode(); err != nil || twice != written {
			t.Errorf("%q is written as %q, and that as %q: %v", value, written, twice, err)
		}
	})
}
