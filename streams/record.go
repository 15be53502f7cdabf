package streams

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
)

// Record is a command or a commit as it stands in a stream, not decoded: what does not decode is for the reader to
// set aside.
type Record struct {
	Key      saga.Key
	Commit   bool // of the saga's log; else a command to it
	Data     []byte
	Sequence uint64    // in its stream
	Time     time.Time // when it was stored; a move of its shard changes it
	// Purged: in place of the saga's log there is only a tombstone from here on. Data says nothing more of the saga.
	Purged bool
	// Restored: this was exported, and is told again.
	Restored bool
}

// newRecord reads a message of a saga's subjects; ok is false for any other, and for what a purge leaves among commands.
func (n *Namespace) newRecord(subject string, h nats.Header, data []byte, sequence uint64, at time.Time) (r Record, ok bool) {
	key, last, err := n.subjects.parse(subject)
	if err != nil || last != commandToken && last != commitToken {
		return r, false
	}
	historic := h.Get(HeaderHistoric)
	if last == commandToken && (historic == historicPurging || historic == historicPurged) {
		return r, false
	}
	return Record{
		Key: key, Commit: last == commitToken, Data: data, Sequence: sequence, Time: at,
		Purged: historic == historicPurged, Restored: historic == historicRestoring || historic == historicKept,
	}, true
}

// Records gives what is stored of a saga, commands and commits in the order of the stream, as the stream's leader has
// it at the time of the call.
func (n *Namespace) Records(ctx context.Context, key saga.Key) ([]Record, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	stream := n.stream(key)
	var records []Record
	for _, subject := range []string{n.subjects.commands(key), n.subjects.commits(key)} {
		messages, _, err := n.all(ctx, stream, subject)
		if err != nil {
			return nil, fmt.Errorf("saga %s: reading its records: %w", key, err)
		}
		for _, m := range messages {
			if r, ok := n.newRecord(m.Subject, m.Header, m.Data, m.Sequence, time.Time{}); ok {
				records = append(records, r)
			}
		}
	}
	return records, nil
}
