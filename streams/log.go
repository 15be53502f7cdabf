package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// Conflict codes of nats-server (server/errors.json): JSStreamWrongLastSequenceErrF, and
// JSStreamWrongLastSequenceConstantErr, with which a replicated stream answers when another message to the
// same subject is on its way.
const (
	codeWrongLastSequence         = 10071
	codeWrongLastSequenceConstant = 10164
)

// Log is the sagas' logs in JetStream: a [saga.Journal] and what tools need beside it.
type Log struct {
	n *Namespace
}

var _ saga.Journal = (*Log)(nil)

// Log gives the namespace's log.
func (n *Namespace) Log() *Log { return &Log{n} }

// TooLargeError tells that a message would burst the server's limit. Nothing was sent.
type TooLargeError struct {
	Key   saga.Key
	What  string // "commit" or "command"
	Size  int    // bytes
	Limit int64  // bytes: the server's max_payload
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("saga %s: its %s would be %d bytes, the server takes %d; keep large data elsewhere and its address in the state",
		e.Key, e.What, e.Size, e.Limit)
}

// ErrEncoding tells that a commit or a command cannot be written at all, however often it is tried. Nothing was sent.
var ErrEncoding = errors.New("cannot be encoded")

// headerAllowance is what subject and headers of a message may add to its data.
const headerAllowance = 1 << 10

func (n *Namespace) checkSize(key saga.Key, what string, data []byte) error {
	if limit := n.nc.MaxPayload(); int64(len(data))+headerAllowance > limit {
		return &TooLargeError{Key: key, What: what, Size: len(data), Limit: limit}
	}
	return nil
}

// Append implements [saga.Journal]. Beside its errors there are [*TooLargeError] and [ErrEncoding].
//
// The schedules of timers that the commit sets are sent first and not awaited in between: both messages go over
// one connection to one stream, which stores them in order.
func (l *Log) Append(ctx context.Context, key saga.Key, at uint64, c *saga.Commit) (uint64, error) {
	d, err := newDraft(l.n.subjects.commits(key), at, c)
	if err != nil {
		return 0, fmt.Errorf("saga %s: commit %d: %w: %w", key, c.Version, ErrEncoding, err)
	}
	defer d.discard()
	if err := l.n.checkSize(key, "commit", d.msg.Data); err != nil {
		return 0, err
	}
	var schedules []*schedule
	for _, e := range c.Events {
		switch e := e.(type) {
		case saga.TimerSet:
			s := l.n.newSchedule(key, e.Name, saga.PendingTimer{At: e.At, Version: c.Version})
			if err := s.send(); err != nil {
				return 0, err
			}
			schedules = append(schedules, s)
		case saga.TimerCancelled:
			// A message can take back one schedule; any further one fires in vain.
			d.cancel(l.n.subjects.timer(key, e.Name))
		}
	}
	sequence, err := l.n.pub.publish(ctx, &d.msg)
	if err != nil && isConflict(err) {
		sequence, err = l.insist(ctx, key, at, &d.msg, err)
	}
	if err != nil {
		return 0, l.appendError(key, c, err)
	}
	for _, s := range schedules {
		if err := s.wait(ctx); err != nil {
			return 0, fmt.Errorf("saga %s: commit %d is in, its timer is not: %w", key, c.Version, err)
		}
	}
	return sequence, nil
}

// Post sends a commit as [Log.Append] does, and does not wait. It reports whether the commit is on its way; if so, then is called
// once, with the revision, or with 0 where it is not known to be stored: Append tells. It is called on a goroutine that it must
// not block, which may be before Post returns. A commit that takes more than its one message, or that cannot be sent, is left to
// Append. With the end of ctx the wait ends, too.
func (l *Log) Post(ctx context.Context, key saga.Key, at uint64, c *saga.Commit, then func(revision uint64)) bool {
	for _, e := range c.Events {
		switch e.(type) {
		case saga.TimerSet, saga.TimerCancelled:
			return false
		}
	}
	d, err := newDraft(l.n.subjects.commits(key), at, c)
	if err != nil {
		return false
	}
	defer d.discard()
	return l.n.checkSize(key, "commit", d.msg.Data) == nil && l.n.pub.post(ctx, &d.msg, then) == nil
}

// A replicated stream may refuse a message though the log stands where it is expected to: while the one before it is
// still being applied, and after a change of leader. Such a refusal is tried again, so often and after such a rest.
const (
	refusals    = 20
	refusalRest = 5 * time.Millisecond
)

// insist sends a commit again that was refused, for as long as the refusal proves to be of the server's making.
func (l *Log) insist(ctx context.Context, key saga.Key, at uint64, m *nats.Msg, refusal error) (uint64, error) {
	for try := 1; ; try++ {
		last, err := l.n.fromLeader(ctx, l.n.stream(key), leaderRequest{LastFor: m.Subject})
		if err != nil && !errors.Is(err, errNotStored) || last.Sequence != at {
			return 0, refusal
		}
		select {
		case <-time.After(refusalRest):
		case <-ctx.Done():
			return 0, refusal
		}
		sequence, err := l.n.pub.publish(ctx, m)
		if err == nil || try == refusals || !isConflict(err) {
			return sequence, err
		}
		refusal = err
	}
}

func (l *Log) appendError(key saga.Key, c *saga.Commit, err error) error {
	if isConflict(err) {
		return fmt.Errorf("saga %s: appending commit %d: %w", key, c.Version, saga.ErrConflict)
	}
	return fmt.Errorf("saga %s: appending commit %d: %w", key, c.Version, err)
}

// isConflict reports whether the server refused a message because its expected last sequence was another.
func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == codeWrongLastSequence || api.ErrorCode == codeWrongLastSequenceConstant)
}

// Load implements [saga.Journal]: one read of the last message where that is a snapshot, else one more of the
// literal subject from the last snapshot on. A log that gives way to a tombstone meanwhile, or to what is restored, is read anew.
func (l *Log) Load(ctx context.Context, key saga.Key, c saga.Consistency) (saga.Log, error) {
	stream, subject := l.n.stream(key), l.n.subjects.commits(key)
	for before := uint64(0); ; {
		last, err := l.last(ctx, stream, subject, c)
		if errors.Is(err, errNotStored) {
			return saga.Log{}, nil
		}
		if err != nil {
			return saga.Log{}, fmt.Errorf("saga %s: loading: %w", key, err)
		}
		commit, err := decode(key, last)
		if err != nil {
			return saga.Log{}, err
		}
		if last.Header.Get(HeaderHistoric) == historicRestoring {
			return saga.Log{}, errRestoring(key)
		}
		if begins(commit) {
			return saga.Log{Commits: []saga.Commit{commit}, Revision: last.Sequence, Base: last.Sequence}, nil
		}
		log, whole, err := l.loadFrom(ctx, key, stream, subject, commit, last)
		if err != nil || whole {
			return log, err
		}
		if last.Sequence == before {
			return saga.Log{}, &saga.CorruptError{Key: key, Version: commit.Version,
				Err: fmt.Errorf("the log in stream %s has a hole before this version", stream)}
		}
		before, c = last.Sequence, saga.Latest
	}
}

func (l *Log) last(ctx context.Context, stream, subject string, c saga.Consistency) (stored, error) {
	if c == saga.Latest {
		return l.n.fromLeader(ctx, stream, leaderRequest{LastFor: subject})
	}
	return l.n.lastDirect(ctx, stream, subject)
}

// stepsBack is how many commits are read one by one before they are searched for in batches: a step costs a round
// trip, a search has the server look through everything that was stored in between.
const stepsBack = 12

// loadFrom reads what lies between the last snapshot and the last commit: back from the last by its hints, else from
// the commit's base on. Where that proves wrong, the log is read from its beginning; and where a lagging replica leaves
// a hole, from the leader. A log that is not whole even then has a hole, or is not there any more.
func (l *Log) loadFrom(
	ctx context.Context, key saga.Key, stream, subject string, end saga.Commit, last stored,
) (log saga.Log, whole bool, err error) {
	search := func(from uint64) func() ([]stored, error) {
		return func() ([]stored, error) { return l.n.between(ctx, stream, subject, from, last.Sequence) }
	}
	for _, read := range []func() ([]stored, error){
		func() ([]stored, error) { return l.n.back(ctx, stream, last, stepsBack, isBase) },
		search(end.Base),
		search(1),
		func() ([]stored, error) { return l.n.each(ctx, stream, subject, last.Sequence) },
	} {
		messages, err := read()
		if err != nil {
			return saga.Log{}, false, fmt.Errorf("saga %s: loading: %w", key, err)
		}
		if log, whole, err = assemble(key, messages, last.Sequence); whole || err != nil {
			return log, whole, err
		}
	}
	return saga.Log{}, false, nil
}

// isBase reports whether a log can be read from this commit on.
func isBase(m stored) bool {
	c, err := saga.DecodeCommit(m.Data)
	return err == nil && begins(c)
}

func begins(c saga.Commit) bool { return c.Snapshot != nil || c.Version == 1 }

// assemble makes a log of messages, from the last snapshot among them on, and reports whether it is whole.
func assemble(key saga.Key, messages []stored, last uint64) (log saga.Log, whole bool, err error) {
	for _, m := range messages {
		c, err := decode(key, m)
		if err != nil {
			return saga.Log{}, false, err
		}
		if begins(c) {
			log.Commits, log.Base = log.Commits[:0], m.Sequence
		}
		log.Commits = append(log.Commits, c)
		log.Revision = m.Sequence
	}
	if log.Base == 0 || log.Revision != last {
		return log, false, nil
	}
	for i := 1; i < len(log.Commits); i++ {
		if log.Commits[i].Version != log.Commits[i-1].Version+1 {
			return log, false, nil
		}
	}
	return log, true, nil
}

// History gives a saga's whole log, oldest first, as of the call; that of a saga that never ends begins with a snapshot,
// once it was compacted. A saga without commits has none, nor has one that was purged.
func (l *Log) History(ctx context.Context, key saga.Key) ([]saga.Commit, error) {
	messages, _, err := l.n.all(ctx, l.n.stream(key), l.n.subjects.commits(key))
	if err != nil {
		return nil, fmt.Errorf("saga %s: reading its history: %w", key, err)
	}
	if len(messages) == 0 || messages[len(messages)-1].Header.Get(HeaderHistoric) == historicPurged {
		return nil, nil
	}
	commits := make([]saga.Commit, 0, len(messages))
	for _, m := range messages {
		c, err := decode(key, m)
		if err != nil {
			return nil, err
		}
		if len(commits) > 0 || begins(c) { // a log that was compacted begins with what cannot be read by itself
			commits = append(commits, c)
		}
	}
	return commits, nil
}

// decode reads a commit; what this build does not know stays an [*saga.UnknownError], anything else is corrupt.
func decode(key saga.Key, m stored) (saga.Commit, error) {
	c, err := saga.DecodeCommit(m.Data)
	var unknown *saga.UnknownError
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &unknown):
		return c, fmt.Errorf("saga %s: %w", key, err)
	default:
		return c, &saga.CorruptError{Key: key, Version: c.Version, Err: fmt.Errorf("at stream sequence %d: %w", m.Sequence, err)}
	}
}
