package saga

import (
	"time"
)

// Event is a fact in a saga's life. Its wire name is stable: see eventTypes in codec.go.
type Event interface {
	event()
}

// SagaStarted begins a run. It is the first event of a log, and follows an end when the saga is run again.
type SagaStarted struct {
	Run        string `json:"run"` // the Start command's id
	Definition int    `json:"definition"`
	State      State  `json:"state"`
	// Unsettled are the steps of which an attempt may have been made whose result is not in the log: an earlier delivery
	// of the Start may have run them.
	Unsettled  []string          `json:"unsettled,omitempty"`
	Deadline   time.Time         `json:"deadline,omitzero"`
	Parent     *Parent           `json:"parent,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// ActivationClaimed makes the activation that wrote it the owner of the saga: whoever owned it before can
// append nothing any more.
type ActivationClaimed struct {
	// Unsettled are the steps of which the activation before may have made an attempt whose result is not in the log.
	Unsettled []string `json:"unsettled,omitempty"`
}

// StepCompleted tells that a step's handler returned without error, and what it changed.
type StepCompleted struct {
	Step    string        `json:"step"` // the step's key; see [StepName]
	Attempt int           `json:"attempt"`
	Took    time.Duration `json:"took_ns"`
	// Scope is the part of the state that the step works on: empty for the saga's own; see [Instance.View].
	Scope string `json:"scope,omitempty"`
	Patch
	Signal string     `json:"signal,omitempty"` // the id of the signal that it took
	Emits  []Emission `json:"emits,omitempty"`
}

// StepFailed tells that an attempt of a step failed. Either a next attempt is due at RetryAt, or the step has
// failed for good and GaveUp is set.
type StepFailed struct {
	Step    string        `json:"step"`
	Attempt int           `json:"attempt"`
	Took    time.Duration `json:"took_ns"`
	Failure
}

// Failure is how an attempt ended that did not succeed.
type Failure struct {
	Error     string    `json:"error"`
	Stack     string    `json:"stack,omitempty"`     // of a panic
	Permanent bool      `json:"permanent,omitempty"` // marked by the handler as not worth a retry
	GaveUp    bool      `json:"gave_up,omitempty"`   // there will be no further attempt
	Unknown   bool      `json:"unknown,omitempty"`   // the attempt may have had its effect all the same
	RetryAt   time.Time `json:"retry_at,omitzero"`
	// PutOff tells that the attempt does not count, and how many of those there were in a row: see [PutOff]. The event's Attempt is
	// that of the last attempt that counts.
	PutOff int `json:"put_off,omitempty"`
}

// Reason is why a saga was undone.
type Reason string

// The reasons for compensation.
const (
	ReasonFailed    Reason = "failed"    // a step failed for good
	ReasonCancelled Reason = "cancelled" // a Cancel command
	ReasonTimedOut  Reason = "timed-out" // a deadline passed
	ReasonUndone    Reason = "undone"    // the saga had completed, and its parent is undone
)

// CompensationStarted turns the saga around: completed steps are undone from here on.
type CompensationStarted struct {
	Reason Reason `json:"reason"`
	Step   string `json:"step,omitempty"` // the step that failed
	Error  string `json:"error,omitempty"`
}

// StepCompensated tells that a completed step was undone.
type StepCompensated struct {
	Step    string        `json:"step"`
	Attempt int           `json:"attempt"`
	Took    time.Duration `json:"took_ns"`
	Scope   string        `json:"scope,omitempty"`
	Patch
	Emits []Emission `json:"emits,omitempty"`
}

// CompensationFailed tells that an attempt of an undo failed.
type CompensationFailed struct {
	Step    string        `json:"step"`
	Attempt int           `json:"attempt"`
	Took    time.Duration `json:"took_ns"`
	Failure
}

// CancelRequested tells that someone asked for the saga to be undone. Past the pivot it has no effect.
type CancelRequested struct {
	ID     string `json:"id"` // the Cancel command's id
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
}

// TimerSet tells that the server was asked to send a Timer command at a time. The schedule is stored before the
// commit that holds this event.
type TimerSet struct {
	Name string    `json:"name"` // never used twice in one log
	At   time.Time `json:"at"`
	Step string    `json:"step,omitempty"` // the step or wait that is due first
}

// TimerFired tells that a timer's command arrived.
type TimerFired struct {
	Name string `json:"name"`
}

// TimerCancelled tells that a timer is not wanted any more; the commit takes its schedule back.
type TimerCancelled struct {
	Name string `json:"name"`
}

// SagaParked tells that nothing is to be done until a timer or a command: no activation owns the saga.
type SagaParked struct{}

// SagaCompleted ends a saga whose every step completed.
type SagaCompleted struct{}

// SagaCompensated ends a saga whose completed steps were all undone.
type SagaCompensated struct {
	Reason Reason `json:"reason"`
	Error  string `json:"error,omitempty"`
}

// SagaStuck ends a saga that can neither go on nor be undone without an operator.
type SagaStuck struct {
	Steps []string `json:"steps"` // whose undo gave up, or which failed past the pivot
	Error string   `json:"error,omitempty"`
}

func (SagaStarted) event()         {}
func (ActivationClaimed) event()   {}
func (StepCompleted) event()       {}
func (StepFailed) event()          {}
func (CompensationStarted) event() {}
func (StepCompensated) event()     {}
func (CompensationFailed) event()  {}
func (CancelRequested) event()     {}
func (TimerSet) event()            {}
func (TimerFired) event()          {}
func (TimerCancelled) event()      {}
func (SagaParked) event()          {}
func (SagaCompleted) event()       {}
func (SagaCompensated) event()     {}
func (SagaStuck) event()           {}
