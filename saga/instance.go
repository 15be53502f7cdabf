package saga

import (
	"errors"
	"fmt"
	"maps"
	"time"
)

// Status is where a saga stands.
type Status string

// The statuses of a saga. The last three are ends.
const (
	// StatusPending is a saga that was started and that no worker has taken up. It is never in a log: a client
	// tells it from the Start command.
	StatusPending      Status = "pending"
	StatusRunning      Status = "running"      // going forward
	StatusCompensating Status = "compensating" // being undone
	StatusCompleted    Status = "completed"    // every step completed
	StatusCompensated  Status = "compensated"  // every completed step undone
	StatusStuck        Status = "stuck"        // an operator is needed
)

// Ended reports whether the status is an end.
func (s Status) Ended() bool {
	return s == StatusCompleted || s == StatusCompensated || s == StatusStuck
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
)

// StepState is what the log says of one step.
type StepState struct {
	Status      StepStatus `json:"status,omitempty"`
	Attempt     int        `json:"attempt,omitempty"`      // attempts that ended
	UndoAttempt int        `json:"undo_attempt,omitempty"` // attempts of the undo that ended
	Error       string     `json:"error,omitempty"`        // of the last failed attempt
	RetryAt     time.Time  `json:"retry_at,omitzero"`      // when the next attempt is due
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
	// Unsettled: an attempt may have been made whose result is not in the log, because its worker is gone or late.
	// Only another attempt can tell whether it had its effect, so the saga is not turned around before.
	Unsettled bool `json:"unsettled,omitempty"`

	Steps  map[string]StepState    `json:"steps,omitempty"`
	Timers map[string]PendingTimer `json:"timers,omitempty"`
	// Cancel is the first request to cancel, whether or not it could have an effect.
	Cancel *CancelRequested `json:"cancel,omitempty"`
	// Failed is the step that failed for good, and Error what it failed with; Reason is why the saga was undone.
	Failed string `json:"failed,omitempty"`
	Error  string `json:"error,omitempty"`
	Reason Reason `json:"reason,omitempty"`

	StartedAt time.Time `json:"started_at"`
	UpdatedAt time.Time `json:"updated_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
}

// NewInstance gives the saga that an empty log tells of.
func NewInstance(key Key) *Instance { return &Instance{Key: key} }

// Ended reports whether the saga has come to an end.
func (in *Instance) Ended() bool { return in.Status.Ended() }

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
	c.Steps, c.Timers = maps.Clone(in.Steps), maps.Clone(in.Timers)
	return &c
}
