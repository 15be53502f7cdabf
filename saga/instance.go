package saga

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Status is where a saga stands.
type Status string

// The statuses of a saga. The last four are ends.
const (
	// StatusPending is a saga that was started and that no worker has taken up. It is never in a log: a client
	// tells it from the Start command.
	StatusPending      Status = "pending"
	StatusRunning      Status = "running"      // going forward
	StatusCompensating Status = "compensating" // being undone
	StatusCompleted    Status = "completed"    // every step completed
	StatusCompensated  Status = "compensated"  // every completed step undone
	StatusStuck        Status = "stuck"        // an operator is needed
	StatusTerminated   Status = "terminated"   // ended by an operator, and left as it was
)

// Ended reports whether the status is an end.
func (s Status) Ended() bool {
	return s == StatusCompleted || s == StatusCompensated || s == StatusStuck || s == StatusTerminated
}

// StepStatus is where a step stands. The zero value is a step that has not been tried, or not to any end.
type StepStatus string

// The statuses of a step.
const (
	StepPending      StepStatus = ""
	StepRetrying     StepStatus = "retrying"      // failed, and due again
	StepDone         StepStatus = "completed"     // its handler returned without error
	StepGaveUp       StepStatus = "failed"        // failed for good
	StepUndoRetrying StepStatus = "undo-retrying" // completed; its undo failed, and is due again
	StepUndone       StepStatus = "compensated"   // completed, then undone
	StepUndoGaveUp   StepStatus = "stuck"         // completed; its undo failed for good
	StepSkippedOver  StepStatus = "skipped"       // passed over by an operator
	StepResolvedByOp StepStatus = "resolved"      // completed, then undone by an operator by other means
)

// StepState is what the log says of one step.
type StepState struct {
	Status      StepStatus `json:"status,omitempty"`
	Attempt     int        `json:"attempt,omitempty"`      // attempts that ended
	UndoAttempt int        `json:"undo_attempt,omitempty"` // attempts of the undo that ended
	Error       string     `json:"error,omitempty"`        // of the last failed attempt
	RetryAt     time.Time  `json:"retry_at,omitzero"`      // when the next attempt is due
	Doubt       bool       `json:"doubt,omitempty"`        // an attempt failed, and may have had its effect
	// Failure is what the step failed with for good. It stays when what the step may have done all the same is undone.
	Failure string `json:"failure,omitempty"`
	// PutOff is how many attempts, of the step or of its undo, did not count since the last that did: see [PutOff].
	PutOff int `json:"put_off,omitempty"`
}

// mayBeDone reports whether the step has, or may have, an effect that is not undone.
func (s StepState) mayBeDone() bool {
	switch s.Status {
	case StepDone, StepUndoRetrying:
		return true
	case StepRetrying, StepGaveUp:
		return s.Doubt
	default:
		return false
	}
}

// PendingTimer is a timer that was set and has neither fired nor been cancelled.
type PendingTimer struct {
	At      time.Time `json:"at"`
	Version uint64    `json:"version"` // of the commit that set it
	Step    string    `json:"step,omitempty"`
}

// Instance is a saga as its log tells it: the fold of its commits. It is plain data; a snapshot is its JSON.
type Instance struct {
	Key     Key    `json:"-"` // told by the subject, not by the log
	Version uint64 `json:"-"` // of the last commit; 0 for a saga without commits

	Run        string `json:"run"`
	Definition int    `json:"definition"` // the definition's version
	Status     Status `json:"status"`
	// Parked: nothing to do until a timer or a command; no activation owns the saga.
	Parked bool  `json:"parked,omitempty"`
	State  State `json:"state"`
	// Owner may append; zero when the saga is parked or has ended.
	Owner Owner `json:"owner,omitzero"`
	// Paused: an operator had it halt.
	Paused bool `json:"paused,omitempty"`
	// Unsettled are the steps of which an attempt may have been made whose result is not in the log, because its worker
	// is gone or late. Only another attempt can tell whether it had its effect, so the saga is not turned around before.
	Unsettled []string `json:"unsettled_steps,omitempty"`

	Steps  Steps             `json:"steps,omitzero"`
	Blocks map[string]*Block `json:"blocks,omitempty"` // by the node's key
	// Scopes are what the branches under way have changed in their copies of the state: see [Instance.View].
	Scopes map[string]Patch `json:"scopes,omitempty"`
	// Turned are the scopes of the branches and items that are being undone while the saga runs.
	Turned  []string `json:"turned,omitempty"`
	Signals []Signal `json:"signals,omitempty"` // which came and which nothing has taken, oldest first
	// Seen are the ids of the last [SeenKept] signals, answers of children and commands of operators, oldest first.
	Seen   []string                `json:"seen,omitempty"`
	Timers map[string]PendingTimer `json:"timers,omitempty"`
	// Clock is the latest time that a timer has told: what was due then is due, whatever a worker's own clock says.
	Clock time.Time `json:"clock,omitzero"`
	// Outbox is what steps have emitted that is not known to be published.
	Outbox     []Emission        `json:"outbox,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Deadline   time.Time         `json:"deadline,omitzero"`
	Parent     *Parent           `json:"parent,omitempty"`
	// Cancel is the first request to cancel, whether or not it could have an effect.
	Cancel *CancelRequested `json:"cancel,omitempty"`
	// Failed is the step that failed for good, and Error what it failed with; Reason is why the saga was undone.
	Failed string `json:"failed,omitempty"`
	Error  string `json:"error,omitempty"`
	Reason Reason `json:"reason,omitempty"`
	// Stuck are the steps at which a stuck saga needs an operator.
	Stuck []string `json:"stuck,omitempty"`

	StartedAt time.Time `json:"started_at"`
	UpdatedAt time.Time `json:"updated_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
}

// NewInstance gives the saga that an empty log tells of.
func NewInstance(key Key) *Instance { return &Instance{Key: key} }

// empty makes it the saga that an empty log tells of.
func (in *Instance) empty(key Key) { *in = Instance{Key: key, Steps: in.Steps.reset()} }

// Ended reports whether the saga has come to an end.
func (in *Instance) Ended() bool { return in.Status.Ended() }

// over reports whether the saga has ended for good: one that is stuck may go on, and takes what comes for it meanwhile.
func (in *Instance) over() bool { return in.Ended() && in.Status != StatusStuck }

// StuckAt reports whether the saga is stuck at a step, so that an operator may have it go on from there. Any other end is
// final: a saga that was stuck and has been terminated is not stuck any more.
func (in *Instance) StuckAt(step string) bool {
	return in.Status == StatusStuck && slices.Contains(in.Stuck, step)
}

// BlockFailed reports whether the saga has failed at a node that is no step, such as a [Parallel] whose branches cannot be joined.
// That cannot be tried again: the saga has to be taken back to before it.
func (in *Instance) BlockFailed(key string) bool {
	return in.block(key).Failed != "" && in.Steps.Get(key).Status == StepPending
}

// Fold gives the saga that a log tells of. The commits begin with version 1 or with a snapshot and have no
// holes; otherwise the error is a [*CorruptError].
func Fold(key Key, commits []Commit) (*Instance, error) {
	in := NewInstance(key)
	for i := range commits {
		c := &commits[i]
		if c.Version != in.Version+1 && (i > 0 || c.Snapshot == nil) {
			return nil, &CorruptError{Key: key, Version: c.Version, Err: fmt.Errorf("follows version %d", in.Version)}
		}
		if i == 0 && c.Snapshot == nil {
			if _, ok := c.Events[0].(SagaStarted); !ok {
				return nil, &CorruptError{Key: key, Version: c.Version, Err: errors.New("does not begin with SagaStarted")}
			}
		}
		in.Evolve(c)
	}
	return in, nil
}

// clone gives a copy that shares nothing that changes.
func (in *Instance) clone() *Instance {
	c := *in
	c.Steps, c.Timers = in.Steps.clone(), maps.Clone(in.Timers)
	c.Blocks, c.Scopes = cloneBlocks(in.Blocks), maps.Clone(in.Scopes)
	c.Unsettled, c.Signals = slices.Clone(in.Unsettled), slices.Clone(in.Signals)
	c.Seen, c.Outbox, c.Turned = slices.Clone(in.Seen), slices.Clone(in.Outbox), slices.Clone(in.Turned)
	return &c
}

// size estimates the length of the saga's JSON, in bytes, rather too high than too low.
func (in *Instance) size() int {
	const done, full, item, entry = 12, 160, 24, 128
	n := 8*entry + in.State.Size() + len(in.Error)
	for i := range in.Steps.list {
		e := &in.Steps.list[i]
		n += len(e.key) + done
		if e.state.Status != StepDone || len(in.Steps.list) <= manySteps {
			n += full + len(e.state.Error) + len(e.state.Failure)
		}
	}
	for key, b := range in.Blocks {
		n += entry + len(key) + len(b.Failed)
		for i := range b.Items {
			n += item + b.Items[i].State.Size() + len(b.Items[i].Error)
		}
		if b.Child != nil {
			n += 2*entry + b.Child.State.Size() + len(b.Child.Error)
		}
		if b.Signal != nil {
			n += entry + len(b.Signal.Payload)
		}
	}
	for scope, p := range in.Scopes {
		n += len(scope) + p.Set.Size() + entry
	}
	for i := range in.Signals {
		n += entry + len(in.Signals[i].ID) + len(in.Signals[i].Payload)
	}
	for _, names := range [][]string{in.Seen, in.Unsettled, in.Turned, in.Stuck} {
		for _, name := range names {
			n += len(name) + 3
		}
	}
	for name, value := range in.Attributes {
		n += len(name) + len(value) + 6
	}
	return n + entry*len(in.Timers) + emitted(in.Outbox)
}

// SeenKept is how many ids of signals and of operators' commands a saga remembers: one of these that comes again is
// not taken again.
const SeenKept = 256

// see takes note of an id.
func (in *Instance) see(id string) {
	if len(in.Seen) >= SeenKept {
		in.Seen = slices.Delete(in.Seen, 0, len(in.Seen)-SeenKept+1)
	}
	in.Seen = append(in.Seen, id)
}

// settled takes note that a result of the step is in the log.
func (in *Instance) settled(step string) {
	if i := slices.Index(in.Unsettled, step); i >= 0 {
		in.Unsettled = slices.Delete(slices.Clone(in.Unsettled), i, i+1)
	}
	if len(in.Unsettled) == 0 {
		in.Unsettled = nil
	}
}

// signal gives the oldest signal of that name that nothing has taken.
func (in *Instance) signal(name string) *Signal {
	for i := range in.Signals {
		if in.Signals[i].Name == name {
			s := in.Signals[i]
			return &s
		}
	}
	return nil
}

// dropSignal forgets the signal that a wait has taken.
func (in *Instance) dropSignal(node string) {
	if b, ok := in.Blocks[node]; ok {
		b.Signal = nil
	}
}

// takeSignal gives a signal, and has nothing else take it.
func (in *Instance) takeSignal(id string) *Signal {
	i := slices.IndexFunc(in.Signals, func(s Signal) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	taken := in.Signals[i]
	if in.Signals = slices.Delete(in.Signals, i, i+1); len(in.Signals) == 0 {
		in.Signals = nil
	}
	return &taken
}
