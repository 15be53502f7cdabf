package saga

import (
	"time"
)

// Command is an imperative message to a saga, such as a [Start], a [Signal] or a [Timer]. Commands are delivered at least
// once; acting on one twice has no further effect.
type Command interface {
	// CommandID identifies the command among all that a saga is ever sent.
	CommandID() string
}

// Start begins a run of a saga.
type Start struct {
	Run string `json:"run"` // a new id, which names the run
	// Definition is the version to follow; 0 leaves it to the worker, which takes the highest that it knows, at
	// the price of one more commit.
	Definition int   `json:"definition,omitempty"`
	State      State `json:"state"`
	// Previous is the ended run after which this one begins; empty for a saga's first.
	Previous string    `json:"previous,omitempty"`
	Time     time.Time `json:"time"` // of the client that sent it
	// Deadline is when the saga is to have ended, or is undone; zero for never.
	Deadline time.Time `json:"deadline,omitzero"`
	// Parent is the saga to tell of the end; nil for none.
	Parent *Parent `json:"parent,omitempty"`
	// Attributes are the search attributes of the state.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// CommandID is the run.
func (c Start) CommandID() string { return c.Run }

// Cancel asks that a saga be undone.
type Cancel struct {
	ID     string    `json:"id"`
	Run    string    `json:"run"` // the run that is meant; another is left alone
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
	Time   time.Time `json:"time"`
}

// CommandID is the id that the client gave it.
func (c Cancel) CommandID() string { return c.ID }

// Timer is sent by the server when a timer's time has come.
type Timer struct {
	Name    string `json:"name"`
	Version uint64 `json:"version"` // of the commit that set it
}

// CommandID is the timer's name, which is never used twice in one log.
func (c Timer) CommandID() string { return c.Name }
