package engine

import (
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Hooks are functions that a worker calls as things happen: the one place for metrics, traces and tests to look
// in. Each may be nil. They are called on the goroutines that drive sagas, several at once, and hold those up while they
// run: they must not block, nor wait for a saga. What they are given must not be changed or kept.
type Hooks struct {
	// Activated: a command was delivered and an activation begins. count is the delivery's count.
	Activated func(key saga.Key, command saga.Command, count uint64)
	// Ran: a handler returned. err is what it failed with, or nil.
	Ran func(info saga.Info, took time.Duration, err error)
	// Committed: a commit is in the log.
	Committed func(key saga.Key, c *saga.Commit)
	// Conflicted: an append found that the log had moved on.
	Conflicted func(key saga.Key, version uint64)
	// Poked: another worker said that the log has moved on.
	Poked func(key saga.Key)
	// Finished: the activation is over. action is ack, retry, reject or drop; reason says why for the middle two.
	Finished func(key saga.Key, command saga.Command, action saga.ActionKind, reason error)
	// SetAside: a command was put among the dead letters, for the reason given.
	SetAside func(key saga.Key, reason error)
}

func (h *Hooks) activated(key saga.Key, command saga.Command, count uint64) {
	if h.Activated != nil {
		h.Activated(key, command, count)
	}
}

func (h *Hooks) ran(info saga.Info, took time.Duration, err error) {
	if h.Ran != nil {
		h.Ran(info, took, err)
	}
}

func (h *Hooks) committed(key saga.Key, c *saga.Commit) {
	if h.Committed != nil {
		h.Committed(key, c)
	}
}

func (h *Hooks) conflicted(key saga.Key, version uint64) {
	if h.Conflicted != nil {
		h.Conflicted(key, version)
	}
}

func (h *Hooks) poked(key saga.Key) {
	if h.Poked != nil {
		h.Poked(key)
	}
}

func (h *Hooks) finished(key saga.Key, command saga.Command, action saga.ActionKind, reason error) {
	if h.Finished != nil {
		h.Finished(key, command, action, reason)
	}
}

func (h *Hooks) setAside(key saga.Key, reason error) {
	if h.SetAside != nil {
		h.SetAside(key, reason)
	}
}
