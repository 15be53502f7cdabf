package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
)

// HeaderHistoric marks a message that tells of what was, and asks for nothing: a command that bears it is not delivered
// to workers. Its values are those below; what a purge leaves bears the other headers, too.
const (
	HeaderHistoric = "Jetsaga-Historic"
	headerRun      = "Jetsaga-Run"    // the last run
	headerStatus   = "Jetsaga-Status" // how it ended
	headerEnded    = "Jetsaga-Ended"  // when it ended, in RFC 3339
)

// What a historic message is.
const (
	historicKept      = "kept"      // a command that was answered, or a commit that was restored
	historicRestoring = "restoring" // a commit of a saga whose restoration is not complete
	historicPurging   = "purging"   // the first command of a saga that is being purged; of one that was reopened, where a commit is later
	historicPurged    = "purged"    // what is left of a saga that was purged: a tombstone
)

// purgedRun is the run that the log of a purged saga tells of. No command means it: whatever comes late, a Start that was
// delivered long ago included, finds that a later run has been, and is over.
const purgedRun = "purged"

// Tombstone is what is known of a saga that was purged, or is being purged.
type Tombstone struct {
	Key     saga.Key
	Run     string      // its last
	Status  saga.Status // how that ended
	EndedAt time.Time
	// PurgedAt is when the saga was purged; the tombstone goes when it was to be remembered for long enough.
	PurgedAt time.Time
}

// IsPurged reports whether what was loaded as a saga is only the tombstone of one: see [Namespace.Tombstone].
func IsPurged(in *saga.Instance) bool { return in != nil && in.Run == purgedRun }

// Tombstone gives what is known of a saga that was purged or is being purged; ok is false for any other, and for one that
// was purged so long ago that nothing is known of it any more.
func (n *Namespace) Tombstone(ctx context.Context, key saga.Key) (t Tombstone, ok bool, err error) {
	if err := key.Validate(); err != nil {
		return t, false, err
	}
	// A mark takes the place of all commands, and some may have come late since. A tombstone is a log's last.
	command, err := n.ifStored(ctx, n.stream(key), leaderRequest{Sequence: 1, NextFor: n.subjects.commands(key)})
	var commit stored
	if err == nil {
		commit, err = n.ifStored(ctx, n.stream(key), leaderRequest{LastFor: n.subjects.commits(key)})
	}
	if err != nil {
		return t, false, fmt.Errorf("saga %s: looking for its tombstone: %w", key, err)
	}
	mark := command.Header.Get(HeaderHistoric)
	switch {
	case mark == historicPurged, mark == historicPurging && command.Sequence > commit.Sequence:
		return readTombstone(key, command), true, nil
	case commit.Header.Get(HeaderHistoric) == historicPurged:
		return readTombstone(key, commit), true, nil
	default:
		return t, false, nil // or a mark of a saga that was reopened since
	}
}

// ifStored asks the stream's leader for one message, and gives none where there is none.
func (n *Namespace) ifStored(ctx context.Context, stream string, r leaderRequest) (stored, error) {
	m, err := n.fromLeader(ctx, stream, r)
	if errors.Is(err, errNotStored) {
		return stored{}, nil
	}
	return m, err
}

func readTombstone(key saga.Key, m stored) Tombstone {
	t := Tombstone{Key: key, Run: m.Header.Get(headerRun), Status: saga.Status(m.Header.Get(headerStatus)), PurgedAt: m.Time}
	t.EndedAt, _ = time.Parse(time.RFC3339Nano, m.Header.Get(headerEnded)) // zero where it is not told
	return t
}

// write puts what is known of a saga into headers.
func (t *Tombstone) write(h nats.Header, what string) {
	h[HeaderHistoric] = []string{what}
	h[headerRun] = []string{t.Run}
	h[headerStatus] = []string{string(t.Status)}
	h[headerEnded] = []string{t.EndedAt.UTC().Format(time.RFC3339Nano)}
}
