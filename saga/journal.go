package saga

import (
	"context"
)

// Consistency says how recent what [Journal.Load] gives must be.
type Consistency uint8

const (
	// Any replica may answer: fast, and perhaps behind. What it shows is true; what it does not show may be
	// there all the same.
	Any Consistency = iota
	// Latest asks the log's leader: everything acknowledged before the call is shown.
	Latest
)

// Log is the end of a saga's log.
type Log struct {
	// Commits run from the last snapshot, or from version 1, to the end; empty for a saga without commits.
	Commits []Commit
	// Revision is where the log stands, for [Journal.Append]: opaque, 0 for an empty log.
	Revision uint64
	// Base is the revision of the first of Commits.
	Base uint64
}

// Journal is the log that an [Activation] needs. The engine runs on the one in package streams; the conformance
// suite in package testutil/journaltest says what any must do. It is safe for concurrent use.
type Journal interface {
	// Append stores a commit as the next of the saga's log, provided the log still stands at revision at, and
	// gives the new revision. Otherwise it stores nothing and the error is [ErrConflict]. After any other
	// error the commit may be in the log or not; the same call may be repeated, and answers ErrConflict if it
	// was. When Append returns nil, the timers that the commit sets are set, and those that it cancels are
	// cancelled or will fire in vain.
	Append(ctx context.Context, key Key, at uint64, c *Commit) (revision uint64, err error)

	// Load gives the end of the saga's log. A saga without commits has an empty log; that is no error. A log
	// that cannot be read as a history gives a [*CorruptError], one that is newer than this build an
	// [*UnknownError].
	Load(ctx context.Context, key Key, c Consistency) (Log, error)
}
