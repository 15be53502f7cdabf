package saga

import (
	"time"
)

// TaskKind is what kind of work a [Task] is.
type TaskKind uint8

// The kinds of task.
const (
	// TaskStep is an attempt of a step, of its undo, or of what takes a signal.
	TaskStep TaskKind = iota
	// TaskAsk asks the state: which branch, another turn, which items, how long.
	TaskAsk
	// TaskCollect takes the items of a ForEach into the state.
	TaskCollect
	// TaskResult takes the state that a child ended with into the state.
	TaskResult
	// TaskStart starts a child.
	TaskStart
	// TaskRecall has a child undo what it has done.
	TaskRecall
)

// Asks reports whether the task only asks the state, so that it may be done again, or for nothing.
func (k TaskKind) Asks() bool { return k == TaskAsk || k == TaskCollect || k == TaskResult }

// Task is one attempt to make: of a step, or of its undo, or of what else the plan needs from outside.
type Task struct {
	Kind      TaskKind
	Step      string // the node's key; see [StepName]
	Undo      bool
	Attempt   int       // 1 for the first
	PutOff    int       // attempts before it that did not count, in a row
	NotBefore time.Time // zero: at once
	Scope     string    // the part of the state that it works on; see [Instance.View]
	Deadline  time.Time // of the block around it; zero for none
	Signal    *Signal   // that it takes; nil for none

	child uint64 // the version of the child's log that a TaskRecall answers
}

// same reports whether both are one attempt.
func (t *Task) same(other *Task) bool {
	return t.Kind == other.Kind && t.Step == other.Step && t.Undo == other.Undo && t.Attempt == other.Attempt && t.PutOff == other.PutOff && t.child == other.child &&
		(t.Signal == other.Signal || t.Signal != nil && other.Signal != nil && t.Signal.ID == other.Signal.ID)
}

// Input is what a task gets besides the state.
type Input struct {
	Items  []State  // of a ForEach, as they are; or the state that a child ended with
	Errors []string // why each item failed, empty for one that is done; or why the child's state is not there
}

// Answer is what the state answered.
type Answer struct {
	Choice string
	Rest   time.Duration
	Until  time.Time
	Items  []State
}

// Result is how a [Task] ended.
type Result struct {
	Task  Task
	State State // the state that the handler left; ignored with an error
	// Given is the state that the handler was given: what it changed is told by comparison. It need not be what the log tells
	// by now, where undos of branches run at once. An [Activation] knows it by itself.
	Given State
	Err   error // nil for success
	Took  time.Duration
	// Delay is the rest before the next attempt by the policy, jitter included, should there be one; an error
	// made by [RetryAfter] overrides it.
	Delay time.Duration
	// Answer is what a task that asks the state was told.
	Answer *Answer
	// Emits is what the handler has emitted.
	Emits []Emission
	// Attributes are the search attributes of the state that the handler left; nil where none are declared.
	Attributes map[string]string
	// Child is the child that was started.
	Child *ChildRef
}

// input gives what a task gets besides the state.
func (in *Instance) input(t *Task) *Input {
	b, input := in.block(t.Step), &Input{}
	switch {
	case t.Kind == TaskCollect:
		input.Items, input.Errors = make([]State, len(b.Items)), make([]string, len(b.Items))
		for i, it := range b.Items {
			input.Items[i], input.Errors[i] = it.State, it.Error
		}
	case t.Kind == TaskResult && b.Child != nil:
		input.Items = []State{b.Child.State}
		if b.Child.State.IsZero() {
			input.Errors = []string{b.Child.Error} // see [Word.Stateless]
		}
	}
	return input
}
