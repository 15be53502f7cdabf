package streams

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestAcknowledgementSubjectsOfBothKindsAreRead(t *testing.T) {
	want := ackSubject{stream: "S", delivered: 3, sequence: 41, delivery: 7, at: time.Unix(1_700_000_000, 0).UTC(), pending: 9}
	for _, subject := range []string{
		"$JS.ACK.S.C.3.41.7.1700000000000000000.9",
		"$JS.ACK.hub.ACCOUNT.S.C.3.41.7.1700000000000000000.9",
		"$JS.ACK._.ACCOUNT.S.C.3.41.7.1700000000000000000.9.random",
	} {
		if a, err := parseAck(subject); err != nil || a != want {
			t.Errorf("parseAck(%q) = %+v, %v", subject, a, err)
		}
	}
}

func TestWhatIsNoAcknowledgementSubjectIsRefused(t *testing.T) {
	for name, subject := range map[string]string{
		"nothing":              "",
		"another prefix":       "$JS.NAK.S.C.3.41.7.1700000000000000000.9",
		"too short":            "$JS.ACK.S.C.3.41.7.1700000000000000000",
		"between the two":      "$JS.ACK.one.S.C.3.41.7.1700000000000000000.9",
		"no deliveries":        "$JS.ACK.S.C..41.7.1700000000000000000.9",
		"a sequence as a word": "$JS.ACK.S.C.3.first.7.1700000000000000000.9",
		"a sign":               "$JS.ACK.S.C.3.41.+7.1700000000000000000.9",
		"a time before 1970":   "$JS.ACK.S.C.3.41.7.-1.9",
		"more than a uint64":   "$JS.ACK.S.C.3.41.7.1700000000000000000.18446744073709551616",
	} {
		if a, err := parseAck(subject); err == nil {
			t.Errorf("%s: parseAck(%q) = %+v", name, subject, a)
		}
	}
}

// FuzzParseAck holds the reading of acknowledgement subjects against nats.go, which reads zero where no number stands
// and does not look at overflows; parseAck refuses both.
func FuzzParseAck(f *testing.F) {
	for _, subject := range []string{
		"$JS.ACK.S.C.3.41.7.1700000000000000000.9",
		"$JS.ACK.hub.ACCOUNT.S.C.3.41.7.1700000000000000000.9.random",
		"$JS.ACK._.ACCOUNT.S.C.3.41.7.1700000000000000000.9",
		"$JS.ACK.one.S.C.3.41.7.1700000000000000000.9",
		"$JS.ACK.S.C.1.1.A.-1.",
	} {
		f.Add(subject)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		a, err := parseAck(subject)
		meta, refusal := (&nats.Msg{Sub: &nats.Subscription{}, Reply: subject}).Metadata()
		switch {
		case refusal != nil:
			if err == nil {
				t.Errorf("%q is read as %+v; nats.go refuses it: %v", subject, a, refusal)
			}
		case err == nil:
			want := ackSubject{
				stream: meta.Stream, delivered: meta.NumDelivered, sequence: meta.Sequence.Stream,
				delivery: meta.Sequence.Consumer, at: meta.Timestamp.UTC(), pending: meta.NumPending,
			}
			if a != want {
				t.Errorf("%q is read as %+v; by nats.go as %+v", subject, a, want)
			}
		case numbers(subject):
			t.Errorf("%q: %v; nats.go reads %+v", subject, err, meta)
		}
	})
}

// numbers reports whether the five tokens of an acknowledgement subject that are to be numbers are.
func numbers(subject string) bool {
	tokens := strings.Split(subject, ".")
	first := 4
	if len(tokens) > 9 {
		first = 6
	}
	for _, token := range tokens[first : first+5] {
		if _, err := strconv.ParseUint(token, 10, 64); err != nil {
			return false
		}
	}
	return true
}
