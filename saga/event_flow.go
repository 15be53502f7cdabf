package saga

import (
	"encoding/json"
	"time"
)

// This file holds the events of what is not a step: what was asked of the state, how far blocks have got, what the saga
// waits for. Node is always a node's key; see [StepName].

// BranchTaken tells which branch a choice takes, whether a step with a condition runs, and which branch has won a race.
type BranchTaken struct {
	Node   string `json:"node"`
	Branch string `json:"branch"`
}

// TurnStarted begins a turn of a loop.
type TurnStarted struct {
	Node string `json:"node"`
	Turn int    `json:"turn"` // 1 for the first
	// Forget are the nodes of the turns before of which nothing needs to be known any more: nothing can be undone.
	Forget []string `json:"forget,omitempty"`
}

// LoopEnded tells that a loop's condition wants no further turn.
type LoopEnded struct {
	Node string `json:"node"`
}

// BranchesJoined ends a parallel block or a race: what the named branches have changed is merged into the scope around
// it.
type BranchesJoined struct {
	Node     string   `json:"node"`
	Scope    string   `json:"scope,omitempty"`
	Branches []string `json:"branches"`
}

// BlockFailed tells that a block failed by itself: two branches changed one field, a loop wanted one turn too many,
// a deadline passed, no signal came in time, a child did not complete.
type BlockFailed struct {
	Node   string `json:"node"` // empty for the saga's own deadline
	Error  string `json:"error"`
	Reason Reason `json:"reason,omitempty"` // default: failed
}

// ItemsFound begins a ForEach over what was found in the state.
type ItemsFound struct {
	Node  string  `json:"node"`
	Items []State `json:"items"`
}

// BranchTurned tells that a branch, or an item, is not wanted, that none of its attempts is under way any more, and that it
// is undone from here on.
type BranchTurned struct {
	Scope string `json:"scope"`
}

// ItemEnded tells that an item is through.
type ItemEnded struct {
	Node  string `json:"node"`
	Index int    `json:"index"`
	Error string `json:"error,omitempty"` // why it failed; what it had done is undone
}

// ItemsCollected ends a ForEach.
type ItemsCollected struct {
	Node  string `json:"node"`
	Scope string `json:"scope,omitempty"`
	Patch
	// Forget are the nodes of which nothing needs to be known any more, nor of the items: nothing can be undone.
	Forget []string `json:"forget,omitempty"`
}

// WaitStarted begins a wait, or a block with a deadline.
type WaitStarted struct {
	Node  string    `json:"node"`
	Until time.Time `json:"until"`
}

// WaitEnded tells that a wait's time has come.
type WaitEnded struct {
	Node string `json:"node"`
}

// SignalReceived tells that a signal came. It is kept until a wait takes it.
type SignalReceived struct {
	Signal
}

// SignalTaken tells which signal a wait takes. Its handler runs once that is recorded, so that no other wait takes it, too.
type SignalTaken struct {
	Node string `json:"node"`
	ID   string `json:"id"`
}

// SignalRefused tells that a wait could not make anything of a signal, which is put aside.
type SignalRefused struct {
	Node  string `json:"node"`
	ID    string `json:"id"`
	Error string `json:"error"`
}

// ChildStarted tells that a child was sent its Start.
type ChildStarted struct {
	Node string   `json:"node"`
	Ref  ChildRef `json:"child"`
}

// ChildEnded tells how a child has ended.
type ChildEnded struct {
	ID     string   `json:"id"` // of the child's message
	Ref    ChildRef `json:"child"`
	Step   string   `json:"step"` // the key of the node that started it
	Status Status   `json:"status"`
	State  State    `json:"state"`
	Error  string   `json:"error,omitempty"`
	// Refused tells that the child, which had completed, cannot be undone.
	Refused bool   `json:"refused,omitempty"`
	Version uint64 `json:"version"` // of the child's log
}

// ChildRecalled tells that a child was told to undo what it has done.
type ChildRecalled struct {
	Node string `json:"node"`
}

// AttributesChanged tells the search attributes, all of them.
type AttributesChanged struct {
	Values map[string]string `json:"values"`
}

// EmissionsPublished tells that everything emitted so far is on the outbox's topics.
type EmissionsPublished struct{}

// SagaPaused tells that someone had the saga halt: what is under way ends, and nothing else begins.
type SagaPaused struct{ Order }

// SagaResumed ends a pause.
type SagaResumed struct{ Order }

// SagaTerminated ends a saga at once, and leaves what it has done as it is.
type SagaTerminated struct{ Order }

// UndoRequested turns a saga around that had completed: its parent is undone.
type UndoRequested struct{ Order }

// StepRetried gives steps that had failed for good, or whose undo had, another round of attempts.
type StepRetried struct {
	Order
	Steps []string `json:"steps"`
}

// StepSkipped tells that someone had the saga go on as if the step had completed; it is not undone.
type StepSkipped struct {
	Order
	Step string `json:"step"`
}

// StepResolved tells that someone has undone the step by other means, after its undo had failed for good.
type StepResolved struct {
	Order
	Step string `json:"step"`
}

// SagaReset takes the saga back to where it was at a version, and goes on from there. What was done since stays done.
type SagaReset struct {
	Order
	To   uint64    `json:"to"`
	Saga *Instance `json:"saga"` // as it was
	// Unsettled are the steps of which an attempt may be under way, or was made by a worker that vanished.
	Unsettled []string `json:"unsettled,omitempty"`
}

// CommandDismissed tells of a command that there was nothing to do for, or that could not be carried out. It is logged before
// the command is acknowledged, so that no other delivery of the same command can carry it out when the saga has moved on, and
// own a saga that no command would be delivered for any more.
type CommandDismissed struct {
	ID      string `json:"id"`
	Command string `json:"command"` // its kind
	Reason  string `json:"reason"`
}

// Signal is a message to a saga, as a command and as kept until a wait takes it.
type Signal struct {
	ID      string          `json:"id"`            // of the sender's choice: a signal that is sent twice is received once
	Run     string          `json:"run,omitempty"` // that is meant; a sender that leaves it open may see the signal end with a run before
	Name    string          `json:"name"`
	Payload json.RawMessage `json:"payload,omitempty"`
	By      string          `json:"by,omitempty"`
	Time    time.Time       `json:"time"` // of the client that sent it
}

// CommandID is the id that the sender gave it.
func (c Signal) CommandID() string { return c.ID }

func (BranchTaken) event()        {}
func (TurnStarted) event()        {}
func (LoopEnded) event()          {}
func (BranchesJoined) event()     {}
func (BlockFailed) event()        {}
func (ItemsFound) event()         {}
func (BranchTurned) event()       {}
func (ItemEnded) event()          {}
func (ItemsCollected) event()     {}
func (WaitStarted) event()        {}
func (WaitEnded) event()          {}
func (SignalReceived) event()     {}
func (SignalTaken) event()        {}
func (SignalRefused) event()      {}
func (ChildStarted) event()       {}
func (ChildEnded) event()         {}
func (ChildRecalled) event()      {}
func (AttributesChanged) event()  {}
func (EmissionsPublished) event() {}
func (CommandDismissed) event()   {}
func (SagaPaused) event()         {}
func (SagaResumed) event()        {}
func (SagaTerminated) event()     {}
func (UndoRequested) event()      {}
func (StepRetried) event()        {}
func (StepSkipped) event()        {}
func (StepResolved) event()       {}
func (SagaReset) event()          {}
