package streams

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ackSubject is what the acknowledgement subject of a delivery tells.
type ackSubject struct {
	stream    string
	delivered uint64    // how many times the message was delivered, this time included
	sequence  uint64    // of the message in the stream
	delivery  uint64    // sequence of the delivery among all of the consumer
	at        time.Time // when the stream took the message
	pending   uint64    // messages that the consumer has not delivered yet
}

// parseAck reads an acknowledgement subject as ADR-15 defines it:
//
//	$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>[.<random>]
func parseAck(subject string) (a ackSubject, err error) {
	const short, long = 9, 11
	rest, ok := strings.CutPrefix(subject, "$JS.ACK.")
	tokens := strings.Count(subject, ".") + 1
	if !ok || tokens != short && tokens < long {
		return a, fmt.Errorf("%q is no acknowledgement subject", subject)
	}
	if tokens >= long {
		_, rest, _ = strings.Cut(rest, ".")
		_, rest, _ = strings.Cut(rest, ".")
	}
	a.stream, rest, _ = strings.Cut(rest, ".")
	_, rest, _ = strings.Cut(rest, ".")
	var stored uint64
	for _, number := range []*uint64{&a.delivered, &a.sequence, &a.delivery, &stored, &a.pending} {
		var token string
		token, rest, _ = strings.Cut(rest, ".")
		if *number, err = strconv.ParseUint(token, 10, 64); err != nil {
			return ackSubject{}, fmt.Errorf("acknowledgement subject %q: %w", subject, err)
		}
	}
	a.at = time.Unix(0, int64(stored)).UTC()
	return a, nil
}
