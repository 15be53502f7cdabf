package streams

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// A saga is purged in four acts. Each is one message, or one request, under a condition, and each leaves the saga in a
// state that it may stay in for ever: whoever purges may die between any two, and the next goes on where the log says.
//
//  1. The commands give way to the last Start, marked as one that is being purged ([historicPurging]). It is not
//     delivered, and it keeps refusing Starts of this id; a Start that would run the saga again is refused by the client
//     that reads it. The condition is that no command has come since the saga was examined.
//  2. The log gives way to a tombstone: a commit whose snapshot is a saga that has ended, under a run that nobody means.
//     From here on the saga is purged. The condition is that nothing was appended since the saga was examined: one that
//     an operator's order has reopened meanwhile is left alone. The mark of act 1 is then taken back where it can be, and
//     says nothing where it cannot, since the order stands after it: a mark that is older than the log's last commit is none.
//     A Start that is delivered late, or a worker that slept through it all, finds the tombstone where its log should
//     be empty: its append is refused, and what it loads has ended.
//  3. Timers and the outbox go.
//  4. The commands give way to a tombstone, too.
//
// Both tombstones go by themselves when the saga was to be remembered for long enough, that of the log first: where it
// is the commands' that goes first, a Start would be taken that the log's then swallows.

// tombstoneMargin is how much longer the tombstone of the commands stays than that of the log.
const tombstoneMargin = time.Hour

// MinRemember is the shortest time for which a purged saga can be remembered: the server counts in whole seconds.
const MinRemember = time.Second

// ErrChanged tells that a saga has changed since it was examined. It was not purged.
var ErrChanged = errors.New("the saga has changed meanwhile")

// Stage is how far a saga is with its purge.
type Stage int

// The stages of a purge.
const (
	StageWhole  Stage = iota // it was not begun
	StageMarked              // act 1 is done, by whoever has these Holdings: for others, it is to be done again, with its condition
	StageBuried              // act 2 is done: there is a tombstone in place of the log
	StageGone                // nothing is left to be done
)

// StoredRecord is a message of a saga as it stands in its stream.
type StoredRecord struct {
	Commit   bool // of the log; else a command
	Sequence uint64
	Time     time.Time
	Header   nats.Header // without what answers add
	Data     []byte
}

// Holdings are what a stream holds of a saga, as its leader has it.
type Holdings struct {
	Key    saga.Key
	Stream string
	Stage  Stage
	// Saga is what the log tells; nil for a saga without commits, and for a tombstone.
	Saga *saga.Instance
	// Records are the commands and then the commits, each in their order.
	Records []StoredRecord
	// Emits tells that the saga has put something into its outbox.
	Emits bool
	// Last is the sequence of what was stored last, and LastAt when that was.
	Last   uint64
	LastAt time.Time

	command, commit uint64    // sequences of the last command and of the last commit; 0 for none
	start           []byte    // the last Start, as it is kept while the saga is purged
	grave           Tombstone // what there is to be remembered
}

// Examine reads all that is stored of a saga. A log that cannot be read as a history gives a [*saga.CorruptError], one that
// is newer than this build an [*saga.UnknownError].
func (n *Namespace) Examine(ctx context.Context, key saga.Key) (*Holdings, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	h := &Holdings{Key: key, Stream: n.stream(key), grave: Tombstone{Key: key}}
	// The log comes last: what is appended after the commands were read is seen in it, or refuses the purge.
	commands, last, err := n.all(ctx, h.Stream, n.subjects.commands(key))
	if err != nil {
		return nil, fmt.Errorf("saga %s: reading its commands: %w", key, err)
	}
	h.command = last
	commits, last, err := n.all(ctx, h.Stream, n.subjects.commits(key))
	if err != nil {
		return nil, fmt.Errorf("saga %s: reading its log: %w", key, err)
	}
	h.commit = last
	h.take(commands, false)
	h.take(commits, true)
	if err := h.read(commands, commits); err != nil {
		return nil, err
	}
	return h, nil
}

// take notes records.
func (h *Holdings) take(messages []stored, commit bool) {
	for _, m := range messages {
		header := nats.Header{}
		for name, values := range m.Header {
			switch name {
			case "Nats-Stream", headerSubject, headerSequence, headerTime, "Nats-Num-Pending", "Nats-Last-Sequence":
			default:
				header[name] = values
			}
		}
		h.Records = append(h.Records, StoredRecord{Commit: commit, Sequence: m.Sequence, Time: m.Time, Header: header, Data: m.Data})
		// The mark of a purge that died says nothing of the saga.
		if m.Sequence > h.Last && header.Get(HeaderHistoric) != historicPurging {
			h.Last, h.LastAt = m.Sequence, m.Time
		}
	}
}

// Slim forgets the records, once they were exported, and gives roughly how many bytes are left.
func (h *Holdings) Slim() int {
	const rest = 1 << 10
	if h.Saga != nil { // of which the grave and the tombstone need little
		in := saga.NewInstance(h.Key)
		in.Version, in.Run, in.Definition, in.Status = h.Saga.Version, h.Saga.Run, h.Saga.Definition, h.Saga.Status
		in.StartedAt, in.EndedAt = h.Saga.StartedAt, h.Saga.EndedAt
		h.Saga = in
	}
	h.Records = nil
	return rest + len(h.start)
}

// read finds out how far the saga is.
func (h *Holdings) read(commands, commits []stored) error {
	var first, last, commit stored // the first and the last command, and the last commit
	if len(commands) > 0 {
		first, last = commands[0], commands[len(commands)-1]
	}
	if len(commits) > 0 {
		commit = commits[len(commits)-1]
	}
	mark := first.Header.Get(HeaderHistoric)
	switch {
	case commit.Header.Get(HeaderHistoric) == historicPurged:
		h.Stage, h.grave = StageBuried, readTombstone(h.Key, commit)
	case len(commits) == 0 && (mark == historicPurging || mark == historicPurged): // the log's tombstone has gone
		h.Stage, h.grave = StageBuried, readTombstone(h.Key, first)
	}
	if h.Stage == StageBuried && last.Header.Get(HeaderHistoric) == historicPurged {
		h.Stage = StageGone
	}
	if h.Stage >= StageBuried || len(commits) == 0 {
		return nil
	}
	log, whole, err := assemble(h.Key, commits, commit.Sequence)
	if err == nil && !whole {
		err = &saga.CorruptError{Key: h.Key, Err: errors.New("the log has a hole")}
	}
	if err == nil && commit.Header.Get(HeaderHistoric) == historicRestoring {
		err = errRestoring(h.Key)
	}
	if err == nil {
		h.Saga, err = saga.Fold(h.Key, log.Commits)
	}
	if err != nil {
		return err
	}
	h.grave.Run, h.grave.Status, h.grave.EndedAt = h.Saga.Run, h.Saga.Status, h.Saga.EndedAt
	h.Emits = emits(commits)
	for _, m := range commands {
		if c, err := saga.DecodeCommand(m.Data); err == nil {
			if start, ok := c.(saga.Start); ok && start.Run == h.Saga.Run {
				h.start = m.Data
			}
		}
	}
	return nil
}

func emits(commits []stored) bool {
	for _, m := range commits {
		c, err := saga.DecodeCommit(m.Data)
		if err != nil {
			return true // nobody knows
		}
		for _, e := range c.Events {
			switch e := e.(type) {
			case saga.StepCompleted:
				if len(e.Emits) > 0 {
					return true
				}
			case saga.StepCompensated:
				if len(e.Emits) > 0 {
					return true
				}
			}
		}
	}
	return false
}

// Pending reports whether a Start waits that the log does not know: the saga is going to run, or to run again.
func (h *Holdings) Pending() bool {
	for i := range h.Records {
		r := &h.Records[i]
		if r.Commit || r.Header.Get(HeaderHistoric) != "" {
			continue
		}
		c, err := saga.DecodeCommand(r.Data)
		if err != nil {
			continue
		}
		if start, ok := c.(saga.Start); ok && (h.Saga == nil || start.Previous == h.Saga.Run && start.Run != h.Saga.Run) {
			return true
		}
	}
	return false
}

// Purge removes a saga that has ended from its stream, and leaves tombstones that remember it for a time, at least
// [MinRemember]: until then a Start of its id is refused. Whether the saga may go is for the caller to know. One that was
// begun to be purged is gone on with. The error is [ErrChanged] where the saga was changed since it was examined.
func (n *Namespace) Purge(ctx context.Context, h *Holdings, remember time.Duration) error {
	for _, act := range []struct {
		from Stage
		do   func(context.Context, *Holdings, time.Duration) error
	}{
		{StageWhole, n.markPurged}, {StageMarked, n.bury}, {StageBuried, n.sweepRest}, {StageBuried, n.buryCommands},
	} {
		if h.Stage != act.from {
			continue
		}
		if err := act.do(ctx, h, remember); err != nil {
			return fmt.Errorf("saga %s: purging it: %w", h.Key, err)
		}
	}
	return nil
}

// markPurged is act 1.
func (n *Namespace) markPurged(ctx context.Context, h *Holdings, _ time.Duration) error {
	if h.start == nil {
		// The log of a saga that never ends is cut, and its Start with it.
		var err error
		if h.start, err = saga.EncodeCommand(saga.Start{Run: h.Saga.Run, Definition: h.Saga.Definition, Time: h.Saga.StartedAt}); err != nil {
			return err
		}
	}
	m := replacement(n.subjects.commands(h.Key), h.command, 0)
	m.Data = h.start
	h.grave.write(m.Header, historicPurging)
	sequence, err := n.pub.publish(ctx, m)
	if isConflict(err) {
		return ErrChanged
	}
	if err != nil {
		return err
	}
	h.command, h.Stage = sequence, StageMarked
	return nil
}

// bury is act 2.
func (n *Namespace) bury(ctx context.Context, h *Holdings, remember time.Duration) error {
	now := time.Now().UTC()
	data, err := saga.EncodeCommit(&saga.Commit{
		Version: h.Saga.Version + 1, Time: now, By: saga.Owner{Worker: "retention"},
		// A build that knows nothing of purges reads an end.
		Events: []saga.Event{saga.SagaTerminated{Order: saga.Order{ID: purgedRun, Run: h.Saga.Run, Reason: purgedRun, Time: now}}},
		Snapshot: &saga.Instance{
			Run: purgedRun, Definition: h.Saga.Definition, Status: saga.StatusTerminated,
			StartedAt: h.Saga.StartedAt, UpdatedAt: now, EndedAt: h.Saga.EndedAt,
		},
	})
	if err != nil {
		return err
	}
	m := replacement(n.subjects.commits(h.Key), h.commit, remember)
	m.Data = data
	h.grave.write(m.Header, historicPurged)
	sequence, err := n.pub.publish(ctx, m)
	if isConflict(err) {
		return errors.Join(ErrChanged, n.unmark(ctx, h))
	}
	if err != nil {
		return err
	}
	h.commit, h.Stage = sequence, StageBuried
	return nil
}

// unmark takes act 1 back. The Start that it leaves is not delivered; it refuses others, as the last command of a saga has
// to.
func (n *Namespace) unmark(ctx context.Context, h *Holdings) error {
	m := replacement(n.subjects.commands(h.Key), h.command, 0)
	m.Data = h.start
	m.Header[HeaderHistoric] = []string{historicKept}
	_, err := n.pub.publish(ctx, m)
	if isConflict(err) {
		return nil // another command is the last now, and the log is later than the mark
	}
	return err
}

// sweepRest is act 3: the subjects of timers and of the outbox have a token more than those of commands and commits.
func (n *Namespace) sweepRest(ctx context.Context, h *Holdings, _ time.Duration) error {
	stream, err := n.js.Stream(ctx, h.Stream)
	if err != nil {
		return err
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject(n.subjects.saga(h.Key, "*.>")))
}

// buryCommands is act 4. What has come since act 1 came too late for everything, and goes, too.
func (n *Namespace) buryCommands(ctx context.Context, h *Holdings, remember time.Duration) error {
	subject := n.subjects.commands(h.Key)
	for {
		m := replacement(subject, h.command, remember+tombstoneMargin)
		h.grave.write(m.Header, historicPurged)
		sequence, err := n.pub.publish(ctx, m)
		if err == nil {
			h.command, h.Stage = sequence, StageGone
			return nil
		}
		if !isConflict(err) {
			return err
		}
		last, err := n.fromLeader(ctx, h.Stream, leaderRequest{LastFor: subject})
		if err != nil && !errors.Is(err, errNotStored) {
			return err
		}
		h.command = last.Sequence
		select {
		case <-time.After(refusalRest):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// replacement gives a message that takes the place of all that a subject has, provided its last stands at sequence at, and
// that goes by itself after a time, 0 for never.
func replacement(subject string, at uint64, after time.Duration) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Header[jetstream.MsgRollup] = []string{jetstream.MsgRollupSubject}
	m.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(at, 10)}
	if after > 0 {
		m.Header[jetstream.MsgTTLHeader] = []string{strconv.FormatInt(int64(max(after, MinRemember)/time.Second), 10)}
	}
	return m
}
