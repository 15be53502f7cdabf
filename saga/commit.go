package saga

import (
	"time"
)

// SnapshotEvery is after how many commits a snapshot is considered, so that loading a saga reads a bounded tail however
// long its log is. One that is large has to be worth it; see docs/decisions/0003-large-snapshots.md.
const SnapshotEvery = 64

// Owner names the activation that owns a saga, and the one that wrote a commit: one delivery of one command to
// one worker. Owners are compared whole.
type Owner struct {
	Worker   string `json:"w,omitempty"` // the worker's instance id, new with each start of the process
	Command  string `json:"c,omitempty"` // the command's id
	Delivery uint64 `json:"n,omitempty"` // how many times the command had been delivered; 0: not yet
	// Stream and Sequence are where the command is stored. They are zero for a Start, which is stored once. A copy
	// that is found in another stream may be this very command, moved there.
	Stream   string `json:"s,omitempty"`
	Sequence uint64 `json:"q,omitempty"`
}

// isCopyOf reports whether both belong to one command that was stored twice in the same stream, such as a timer that
// the server fired twice.
func (o Owner) isCopyOf(other Owner) bool {
	return o.Command == other.Command && o.Stream == other.Stream && o.Sequence != other.Sequence
}

// Commit is one message of a saga's log: events that became fact together.
type Commit struct {
	Version uint64    // the saga's own count of commits: 1, 2, 3 ... without holes
	Time    time.Time // of the worker that wrote it
	By      Owner
	// Base is the revision of the last commit with a snapshot, 0 for none: where a reader should begin. It is
	// a hint, to be checked, since revisions change when a shard moves.
	Base uint64
	// Keep is how many of its last commits the log keeps, where it is cut now and then; 0 where it is kept whole. Only
	// commits with a snapshot say so.
	Keep   uint64
	Events []Event
	// Snapshot is the saga as it is after the events; nil in most commits. It must not be changed.
	Snapshot *Instance
}

// Ends reports whether the commit ends the run.
func (c *Commit) Ends() bool {
	return len(c.Events) > 0 && ends(c.Events[len(c.Events)-1])
}
