package saga

import (
	"time"
)

// Order is what every command of an operator bears: who wants it, and why.
type Order struct {
	ID     string    `json:"id"`
	Run    string    `json:"run"` // the run that is meant; another is left alone
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
	Time   time.Time `json:"time"`
}

// CommandID is the id that the client gave it.
func (o Order) CommandID() string { return o.ID }

// order gives what the commands of operators have in common.
func (o Order) order() Order { return o }

// operator is a command of an operator.
type operator interface {
	Command
	order() Order
}

// Pause has a saga halt: attempts under way may finish, and nothing else begins until [Resume].
type Pause struct{ Order }

// Resume ends a pause.
type Resume struct{ Order }

// Terminate ends a saga at once. Nothing is undone.
type Terminate struct{ Order }

// Retry gives the steps at which a saga is stuck another round of attempts.
type Retry struct {
	Order
	Steps []string `json:"steps,omitempty"` // default: all at which it is stuck
}

// Skip has a saga go on as if a step had completed. The step is not undone.
type Skip struct {
	Order
	Step string `json:"step"`
}

// Resolve tells a stuck saga that a step whose undo failed for good was undone by other means.
type Resolve struct {
	Order
	Step string `json:"step"`
}

// Reset takes a saga back to where it was at a version of its log. The client gives the saga as it was.
type Reset struct {
	Order
	To   uint64    `json:"to"`
	Saga *Instance `json:"saga"`
}

// Undo has a saga that has completed undone. A parent sends it to its children.
type Undo struct{ Order }

// ChildDone tells a saga how a child of its has ended.
type ChildDone struct {
	ID     string   `json:"id"`
	Run    string   `json:"run"` // of the parent
	Ref    ChildRef `json:"child"`
	Step   string   `json:"step"` // the key of the node that started it
	Status Status   `json:"status"`
	State  State    `json:"state"`
	Error  string   `json:"error,omitempty"`
	// Refused tells that the child, which had completed, cannot be undone.
	Refused bool   `json:"refused,omitempty"`
	Version uint64 `json:"version"` // of the child's log
}

// CommandID is of the child's run, its version, and the command of its that this answers: a parent that asks again gets another.
func (c ChildDone) CommandID() string { return c.ID }
