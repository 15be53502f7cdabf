package journaltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Memory is a [saga.Journal] in memory. It keeps commits as they would be stored, encoded, and numbers them as a
// stream does: over all sagas, so that a revision is not a version. The zero value is empty and ready to use; a
// Memory must not be copied. It is safe for concurrent use.
//
// Of the timers that commits set it keeps which are pending, and leaves it to the caller to say what time it is:
// see [Memory.Due].
type Memory struct {
	// Behind makes loads at [saga.Any] come from a replica that lags: it gives how many of the newest of a
	// saga's commits the replica lacks. It may be called from any goroutine that loads. Default: none lags. Set it
	// before the first call.
	Behind func(key saga.Key, commits int) int

	mu     sync.Mutex
	last   uint64 // the sequence number given last
	logs   map[saga.Key][]record
	timers map[timerID]saga.PendingTimer
}

var _ saga.Journal = (*Memory)(nil)

// record is one stored commit. It is never changed, so readers need the lock only to find it.
type record struct {
	sequence uint64
	data     []byte
}

type timerID struct {
	key  saga.Key
	name string
}

// Append implements [saga.Journal].
func (m *Memory) Append(ctx context.Context, key saga.Key, at uint64, c *saga.Commit) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("saga %s: appending commit %d: %w", key, c.Version, err)
	}
	data, err := saga.EncodeCommit(c)
	if err != nil {
		return 0, fmt.Errorf("saga %s: encoding commit %d: %w", key, c.Version, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if stands := revision(m.logs[key]); stands != at {
		return 0, fmt.Errorf("saga %s: appending commit %d at revision %d, where the log stands at %d: %w",
			key, c.Version, at, stands, saga.ErrConflict)
	}
	m.setTimers(key, c)
	return m.store(key, data), nil
}

// Store adds a message to a saga's log as it is, whether or not it is a commit, and gives its revision: what a test
// of unreadable logs needs.
func (m *Memory) Store(key saga.Key, data []byte) (revision uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.store(key, slices.Clone(data))
}

// store numbers a message and keeps it. The caller holds the lock.
func (m *Memory) store(key saga.Key, data []byte) (revision uint64) {
	if m.logs == nil {
		m.logs = map[saga.Key][]record{}
	}
	if len(m.logs[key]) == 0 {
		m.last++ // in a stream the saga's Start command comes before its first commit
	}
	m.last++
	m.logs[key] = append(m.logs[key], record{m.last, data})
	return m.last
}

// Load implements [saga.Journal].
func (m *Memory) Load(ctx context.Context, key saga.Key, c saga.Consistency) (saga.Log, error) {
	if err := ctx.Err(); err != nil {
		return saga.Log{}, fmt.Errorf("saga %s: loading: %w", key, err)
	}
	records := m.records(key)
	if c != saga.Latest && m.Behind != nil {
		lacks := min(max(m.Behind(key, len(records)), 0), len(records))
		records = records[:len(records)-lacks]
	}
	return read(key, records)
}

// History gives a saga's whole log, from version 1 on; that of one that was compacted begins with a snapshot. Its errors are those
// of Load.
func (m *Memory) History(ctx context.Context, key saga.Key) ([]saga.Commit, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("saga %s: reading its history: %w", key, err)
	}
	commits, err := decodeAll(key, m.records(key))
	for len(commits) > 0 && commits[0].Version != 1 && commits[0].Snapshot == nil {
		commits = commits[1:]
	}
	return commits, err
}

// Compact forgets what is older than the last keep commits of a saga, but nothing from a version on that has a snapshot: see
// [saga.ActAppend].
func (m *Memory) Compact(key saga.Key, keep, snapshot uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	records := m.logs[key]
	for uint64(len(records)) > keep {
		if c, err := decode(key, records[0]); err != nil || c.Version >= snapshot {
			break
		}
		records = records[1:]
	}
	if len(records) > 0 {
		m.logs[key] = slices.Clone(records)
	}
}

func (m *Memory) records(key saga.Key) []record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.logs[key]
}

// revision is where a log stands.
func revision(records []record) uint64 {
	if len(records) == 0 {
		return 0
	}
	return records[len(records)-1].sequence
}

// read gives the log from its last snapshot on.
func read(key saga.Key, records []record) (saga.Log, error) {
	if len(records) == 0 {
		return saga.Log{}, nil
	}
	commits, err := tail(key, records)
	if err != nil {
		return saga.Log{}, err
	}
	return saga.Log{
		Commits:  commits,
		Revision: revision(records),
		Base:     records[len(records)-len(commits)].sequence,
	}, nil
}

// tail decodes the commits from the last snapshot on, beginning where the last commit's base says, provided that
// what is found there bears it out; otherwise it looks for the snapshot backwards.
func tail(key saga.Key, records []record) ([]saga.Commit, error) {
	end, err := decode(key, records[len(records)-1])
	if err != nil {
		return nil, err
	}
	if end.Snapshot != nil || len(records) == 1 {
		return connected(key, []saga.Commit{end})
	}
	at, hinted := slices.BinarySearchFunc(records, end.Base, func(r record, sequence uint64) int {
		return cmp.Compare(r.sequence, sequence)
	})
	if hinted && at < len(records)-1 {
		commits, err := decodeAll(key, records[at:])
		if err == nil && (commits[0].Snapshot != nil || commits[0].Version == 1) {
			return connected(key, commits)
		}
	}
	commits := []saga.Commit{end}
	for i := len(records) - 2; i >= 0 && commits[len(commits)-1].Snapshot == nil; i-- {
		c, err := decode(key, records[i])
		if err != nil {
			return nil, err
		}
		commits = append(commits, c)
	}
	slices.Reverse(commits)
	return connected(key, commits)
}

// connected refuses commits that do not follow one from the other.
func connected(key saga.Key, commits []saga.Commit) ([]saga.Commit, error) {
	first := commits[0]
	if first.Snapshot == nil && first.Version != 1 {
		return nil, &saga.CorruptError{Key: key, Version: first.Version,
			Err: errors.New("the log begins here, without a snapshot")}
	}
	for i, c := range commits {
		if want := first.Version + uint64(i); c.Version != want {
			return nil, &saga.CorruptError{Key: key, Version: c.Version, Err: fmt.Errorf("version %d was to follow", want)}
		}
	}
	return commits, nil
}

func decodeAll(key saga.Key, records []record) ([]saga.Commit, error) {
	commits := make([]saga.Commit, len(records))
	for i, r := range records {
		var err error
		if commits[i], err = decode(key, r); err != nil {
			return nil, err
		}
	}
	return commits, nil
}

// decode reads a commit; what this build does not know stays a [*saga.UnknownError], anything else is corrupt.
func decode(key saga.Key, r record) (saga.Commit, error) {
	c, err := saga.DecodeCommit(r.data)
	var unknown *saga.UnknownError
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &unknown):
		return c, fmt.Errorf("saga %s: at revision %d: %w", key, r.sequence, err)
	default:
		return c, &saga.CorruptError{Key: key, Err: fmt.Errorf("at revision %d: %w", r.sequence, err)}
	}
}

// setTimers carries out what a commit says of timers. The caller holds the lock.
func (m *Memory) setTimers(key saga.Key, c *saga.Commit) {
	for _, e := range c.Events {
		switch e := e.(type) {
		case saga.TimerSet:
			m.setTimer(key, e.Name, saga.PendingTimer{At: e.At, Version: c.Version, Step: e.Step})
		case saga.TimerCancelled:
			delete(m.timers, timerID{key, e.Name})
		}
	}
}

// setTimer sets one timer; one of the same name gives way. The caller holds the lock.
func (m *Memory) setTimer(key saga.Key, name string, t saga.PendingTimer) {
	if m.timers == nil {
		m.timers = map[timerID]saga.PendingTimer{}
	}
	m.timers[timerID{key, name}] = t
}

// SetTimers sets timers without a commit, or again: what an activation asks for that acknowledges with
// [saga.Action] Rearm.
func (m *Memory) SetTimers(key saga.Key, timers map[string]saga.PendingTimer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, t := range timers {
		m.setTimer(key, name, t)
	}
}

// LoseTimer forgets a pending timer, as a crash between a commit and its schedule does. It reports whether the
// timer was there.
func (m *Memory) LoseTimer(key saga.Key, name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, pending := m.timers[timerID{key, name}]
	delete(m.timers, timerID{key, name})
	return pending
}

// Timers gives a saga's pending timers.
func (m *Memory) Timers(key saga.Key) map[string]saga.PendingTimer {
	m.mu.Lock()
	defer m.mu.Unlock()
	timers := map[string]saga.PendingTimer{}
	for id, t := range m.timers {
		if id.key == key {
			timers[id.name] = t
		}
	}
	return timers
}

// DueTimer is a timer whose time has come.
type DueTimer struct {
	Key  saga.Key
	At   time.Time
	Fire saga.Timer // the command to deliver
}

// Due takes the timers whose time has come and gives them in the order of their times.
func (m *Memory) Due(now time.Time) []DueTimer {
	m.mu.Lock()
	defer m.mu.Unlock()
	var due []DueTimer
	for id, t := range m.timers {
		if !t.At.After(now) {
			due = append(due, DueTimer{Key: id.key, At: t.At, Fire: saga.Timer{Name: id.name, Version: t.Version}})
			delete(m.timers, id)
		}
	}
	slices.SortFunc(due, func(a, b DueTimer) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Key.Definition, b.Key.Definition),
			cmp.Compare(a.Key.ID, b.Key.ID), cmp.Compare(a.Fire.Name, b.Fire.Name))
	})
	return due
}

// NextDue gives the time at which the next timer is due; pending is false where there is none.
func (m *Memory) NextDue() (at time.Time, pending bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.timers {
		if !pending || t.At.Before(at) {
			at, pending = t.At, true
		}
	}
	return at, pending
}
