package streams

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pubAnswer is what the server has to say of a publish.
type pubAnswer struct {
	sequence uint64
	err      error
}

const statusNoResponders = "503"

// readPubAnswer reads an acknowledgement: {"stream":"S", "seq":1}, or with an error in place of the sequence.
func readPubAnswer(m *nats.Msg) pubAnswer {
	if len(m.Data) == 0 && m.Header.Get(statusHeader) == statusNoResponders {
		return pubAnswer{err: jetstream.ErrNoStreamResponse}
	}
	if sequence, ok := plainSequence(m.Data); ok {
		return pubAnswer{sequence: sequence}
	}
	var ack struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
	}
	err := json.Unmarshal(m.Data, &ack)
	switch {
	case err != nil:
		return pubAnswer{err: fmt.Errorf("acknowledgement %.100q: %w", m.Data, err)}
	case ack.Error != nil:
		return pubAnswer{err: ack.Error}
	case ack.Sequence == 0:
		return pubAnswer{err: fmt.Errorf("acknowledgement %.100q: %w", m.Data, jetstream.ErrInvalidJSAck)}
	}
	return pubAnswer{sequence: ack.Sequence}
}

// plainSequence reads the sequence of the acknowledgement that a server sends when there is nothing else to say.
func plainSequence(data []byte) (uint64, bool) {
	const name = `"seq":`
	at := bytes.Index(data, []byte(name))
	if at < 1 || data[at-1] == '\\' || bytes.Contains(data, []byte(`"error"`)) {
		return 0, false
	}
	var sequence uint64
	digits := 0
	for _, c := range data[at+len(name):] {
		switch {
		case '0' <= c && c <= '9' && digits < 19:
			sequence = sequence*10 + uint64(c-'0')
			digits++
		case c == '}' || c == ',':
			return sequence, digits > 0 && sequence > 0
		default:
			return 0, false
		}
	}
	return 0, false
}
