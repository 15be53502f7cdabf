package streams

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// ErrNotEnded tells that a saga cannot be restored because it has not ended: it would go on, in two places.
var ErrNotEnded = errors.New("the saga has not ended")

// errRestoring tells that part of a saga's log is missing yet.
func errRestoring(key saga.Key) error {
	return &saga.CorruptError{Key: key, Err: errors.New("its restoration is not complete: import it again")}
}

// Restore stores the log of a saga that has ended, as it was exported, and its last Start, and reports whether there was
// anything left to be stored. The commits are stored byte for byte; the Start is not delivered to workers, nor is anything
// emitted or scheduled. A saga that exists gives [ErrExists], unless it is this one, restored in part or as a whole, or
// purged and still remembered. One that has not ended gives [ErrNotEnded].
//
// The Start goes first, so that no other is taken meanwhile; until its last commit is in, the log cannot be read. A call
// that dies half-way is made again.
func (n *Namespace) Restore(ctx context.Context, key saga.Key, records []StoredRecord) (stored bool, err error) {
	if err := key.Validate(); err != nil {
		return false, err
	}
	start, commits, in, err := n.restorable(key, records)
	if err != nil {
		return false, fmt.Errorf("saga %s: restoring it: %w", key, err)
	}
	for try := 1; ; try++ {
		stored, err = n.restore(ctx, key, in.Run, start, commits)
		if !isConflict(err) || try == refusals {
			break
		}
	}
	if err != nil {
		return stored, fmt.Errorf("saga %s: restoring it: %w", key, err)
	}
	return stored, nil
}

// restorable finds among a saga's records what is to be stored.
func (n *Namespace) restorable(key saga.Key, records []StoredRecord) (start []byte, commits [][]byte, in *saga.Instance, err error) {
	var log []saga.Commit
	for i := range records {
		if !records[i].Commit {
			continue
		}
		c, err := decode(key, stored{Sequence: records[i].Sequence, Data: records[i].Data})
		if err != nil {
			return nil, nil, nil, err
		}
		if err := n.checkSize(key, "commit", records[i].Data); err != nil {
			return nil, nil, nil, err
		}
		log, commits = append(log, c), append(commits, records[i].Data)
	}
	for len(log) > 0 && !begins(log[0]) { // it was cut
		log, commits = log[1:], commits[1:]
	}
	if in, err = saga.Fold(key, log); err != nil {
		return nil, nil, nil, err
	}
	if !in.Ended() || IsPurged(in) {
		return nil, nil, nil, ErrNotEnded
	}
	for i := range records {
		if c, err := saga.DecodeCommand(records[i].Data); err == nil && !records[i].Commit {
			if s, ok := c.(saga.Start); ok && s.Run == in.Run {
				start = records[i].Data
			}
		}
	}
	if start == nil {
		start, err = saga.EncodeCommand(saga.Start{Run: in.Run, Definition: in.Definition, Time: in.StartedAt})
	}
	return start, commits, in, err
}

func (n *Namespace) restore(ctx context.Context, key saga.Key, run string, start []byte, commits [][]byte) (bool, error) {
	stream := n.stream(key)
	have, last, err := n.all(ctx, stream, n.subjects.commands(key))
	if err != nil {
		return false, err
	}
	there, end, err := n.all(ctx, stream, n.subjects.commits(key))
	if err != nil {
		return false, err
	}
	tomb := len(there) > 0 && there[len(there)-1].Header.Get(HeaderHistoric) == historicPurged
	done := 0 // commits that are stored
	switch {
	case tomb && there[len(there)-1].Header.Get(headerRun) != run:
		return false, ErrExists
	case !tomb:
		if done = restored(there, commits); done < 0 {
			return false, ErrExists
		}
	}
	switch {
	case len(have) > 0 && have[0].Header.Get(HeaderHistoric) == historicKept && bytes.Equal(have[0].Data, start):
	case len(have) == 0 || have[0].Header.Get(HeaderHistoric) == historicPurged && have[0].Header.Get(headerRun) == run && done == 0:
		m := replacement(n.subjects.commands(key), last, 0)
		m.Data = start
		m.Header[HeaderHistoric] = []string{historicKept}
		if _, err := n.pub.publish(ctx, m); err != nil {
			return false, err
		}
	default:
		return false, ErrExists
	}
	for i := done; i < len(commits); i++ {
		m := replacement(n.subjects.commits(key), end, 0)
		if i > 0 {
			delete(m.Header, jetstream.MsgRollup) // only the first takes the place of a tombstone
		}
		m.Data = commits[i]
		m.Header[HeaderHistoric] = []string{historicRestoring}
		if i == len(commits)-1 {
			m.Header[HeaderHistoric] = []string{historicKept}
		}
		if end, err = n.pub.publish(ctx, m); err != nil {
			return true, err
		}
	}
	return done < len(commits), nil
}

// restored gives how many of the commits an earlier restoration has stored; -1 where the log is another.
func restored(there []stored, commits [][]byte) int {
	if len(there) > len(commits) {
		return -1
	}
	for i, m := range there {
		want := historicRestoring
		if i == len(commits)-1 {
			want = historicKept
		}
		if m.Header.Get(HeaderHistoric) != want || !bytes.Equal(m.Data, commits[i]) {
			return -1
		}
	}
	return len(there)
}
