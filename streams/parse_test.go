package streams

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

func TestVersionsAreComparedByNumber(t *testing.T) {
	for version, want := range map[string]bool{
		"2.15.2": true, "2.15.3": true, "2.16.0": true, "3.0.0": true, "v2.15.2": true, "2.15.10": true, "2.15.2-beta.1": true,
		"2.15.1": false, "2.9.99": false, "1.99.99": false, "": false, "x": false, "2": false,
	} {
		if atLeast(version, MinServerVersion) != want {
			t.Errorf("atLeast(%q) is %v", version, !want)
		}
	}
}

func TestSubjectsAreReadAsTheyAreWritten(t *testing.T) {
	s := newSubjects("default")
	for _, k := range []saga.Key{{Definition: "a", ID: "b"}, {Definition: "place-order", ID: "größe/1$"}} {
		for subject, want := range map[string]string{
			s.commands(k): "cmd", s.commits(k): "evt", s.timer(k, "retry-1"): "timer.retry-1",
		} {
			got, last, err := s.parse(subject)
			if err != nil || got != k || last != want {
				t.Errorf("parse(%q) = %v, %q, %v", subject, got, last, err)
			}
		}
	}
	for _, bad := range []string{"", "saga", "saga.other.001.a.b.cmd", "saga.default.001.a", "saga.default.001..b.cmd", "saga.default.001.a..cmd"} {
		if k, _, err := s.parse(bad); err == nil {
			t.Errorf("parse(%q) = %v", bad, k)
		}
	}
}

func FuzzParseSubject(f *testing.F) {
	f.Add("saga.default.001.place-order.o-1.cmd")
	f.Add("saga.default.")
	f.Fuzz(func(t *testing.T, subject string) {
		s := newSubjects("default")
		k, last, err := s.parse(subject)
		if err == nil && !strings.HasSuffix(subject, "."+k.Definition+"."+k.ID+"."+last) {
			t.Errorf("parse(%q) = %v, %q", subject, k, last)
		}
	})
}

func TestConsumerNamesAreLegalAndDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, definition := range []string{
		"a", "A", "place-order", "place_order", "place/order", "place\\order", "größe", "_", "__", "_5f", "-",
		strings.Repeat("ä", 64), strings.Repeat("ä", 63) + "öö", strings.Repeat("a", 128),
	} {
		name := consumerName(definition)
		if other, ok := seen[name]; ok {
			t.Errorf("%q and %q share the name %q", definition, other, name)
		}
		seen[name] = definition
		if len(name) > 255 || strings.ContainsAny(name, " .*>/\\\t\n") {
			t.Errorf("%q is no durable name", name)
		}
	}
}

func TestAConflictIsToldFromOtherRefusals(t *testing.T) {
	wrongSequence := &jetstream.APIError{Code: 400, ErrorCode: 10071, Description: "wrong last sequence: 7"}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{wrongSequence, true},
		{&jetstream.APIError{Code: 400, ErrorCode: 10164, Description: "wrong last sequence"}, true},
		{fmt.Errorf("appending: %w", &jetstream.APIError{ErrorCode: 10164}), true},
		{errors.Join(errors.New("another"), wrongSequence), true},
		{&jetstream.APIError{Code: 400, ErrorCode: 10070}, false},
		{&jetstream.APIError{Code: 10071}, false},
		{errors.New("wrong last sequence"), false},
		{jetstream.ErrNoStreamResponse, false},
	} {
		if isConflict(c.err) != c.want {
			t.Errorf("isConflict(%v) is %v", c.err, !c.want)
		}
	}
	refused := readPubAnswer(&nats.Msg{Data: []byte(`{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"},"stream":"S","seq":0}`)})
	if !isConflict(refused.err) {
		t.Errorf("the server's refusal is read as %v", refused.err)
	}
}

func TestOneLineFitsAHeader(t *testing.T) {
	if got := oneLine("a\r\nb\x00c\x7f" + strings.Repeat("ü", 1000)); strings.ContainsAny(got, "\r\n\x00\x7f") || len(got) > 512 || !utf8.ValidString(got) {
		t.Errorf("got %q", got)
	}
}
