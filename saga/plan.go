package saga

import (
	"slices"
	"strings"
	"time"
)

// Plan is a definition as data: what the machine walks. It holds no handler, so it can be printed, compared and
// simulated. Build one with [Define].
type Plan struct {
	Name    string    `json:"name"`
	Version int       `json:"version"`
	Root    *PlanNode `json:"root"`

	nodes  map[string]*PlanNode // by name
	pivots []string
	keep   uint64 // how many of the last commits are kept; 0 for all

	// attributes gives the search attributes of a state, and nil where they cannot be told; it is nil where none is
	// declared, and for a plan that was read.
	attributes func(State) map[string]string
}

// NodeKind is a node's construct.
type NodeKind string

// The kinds of node.
const (
	// KindSequence runs its children one after another, and undoes them last to first.
	KindSequence NodeKind = "sequence"
	// KindStep is one handler, and perhaps its undo. Its only child, if any, is the fallback.
	KindStep NodeKind = "step"
	// KindChoice runs the child that an evaluation of the state names by its label, or none.
	KindChoice NodeKind = "choice"
	// KindParallel runs its children at once and goes on when all are done.
	KindParallel NodeKind = "parallel"
	// KindRace runs its children at once and goes on with the first that is done; the others are undone.
	KindRace NodeKind = "race"
	// KindForEach runs its only child for each item that an evaluation of the state gives.
	KindForEach NodeKind = "for-each"
	// KindLoop runs its only child for as long as an evaluation of the state wants another turn.
	KindLoop NodeKind = "loop"
	// KindSleep waits for a time.
	KindSleep NodeKind = "sleep"
	// KindWithin runs its only child, and fails when that takes too long.
	KindWithin NodeKind = "within"
	// KindAwait waits for a signal. Its only child, if any, is what runs when none has come in time.
	KindAwait NodeKind = "await"
	// KindChild runs another saga.
	KindChild NodeKind = "child"
)

// PlanNode is one node of a plan's tree.
type PlanNode struct {
	Kind NodeKind `json:"kind"`
	Name string   `json:"name,omitempty"` // unique within the plan; empty for a sequence
	// Label is which branch of its parent a node is: a case of a choice, a branch of a parallel block or a race.
	Label    string      `json:"label,omitempty"`
	Children []*PlanNode `json:"children,omitempty"`

	Step   *StepSpec     `json:"step,omitempty"`   // for a KindStep, KindAwait and KindChild, else nil
	Each   *EachSpec     `json:"each,omitempty"`   // for a KindForEach, else nil
	Loop   *LoopSpec     `json:"loop,omitempty"`   // for a KindLoop, else nil
	Await  *AwaitSpec    `json:"await,omitempty"`  // for a KindAwait, else nil
	Child  *ChildSpec    `json:"child,omitempty"`  // for a KindChild, else nil
	Within time.Duration `json:"within,omitempty"` // for a KindWithin

	undoable bool // something below it has an undo
}

// StepSpec is what a plan says of one step, every default filled in.
type StepSpec struct {
	Retry   RetryPolicy   `json:"retry"`
	Timeout time.Duration `json:"timeout,omitempty"` // of one attempt; 0 for none
	Pivot   bool          `json:"pivot,omitempty"`
	// Optional: the saga goes on when the step has failed for good.
	Optional bool `json:"optional,omitempty"`
	// Conditional: an evaluation of the state says whether the step runs at all.
	Conditional bool `json:"conditional,omitempty"`
	// Guarded: nobody else runs the step's handlers while one runs, and a result that is known to the guard is not made again.
	Guarded bool `json:"guarded,omitempty"`
	// Undo is nil for a step that has no compensation.
	Undo *UndoSpec `json:"undo,omitempty"`
}

// UndoSpec is what a plan says of a step's compensation.
type UndoSpec struct {
	Retry   RetryPolicy   `json:"retry"`
	Timeout time.Duration `json:"timeout,omitempty"`
}

// EachSpec is what a plan says of a [ForEach].
type EachSpec struct {
	Limit  int  `json:"limit"`            // how many items are worked on at once
	Gather bool `json:"gather,omitempty"` // an item that fails does not keep the others from being worked on
}

// LoopSpec is what a plan says of a [Loop].
type LoopSpec struct {
	Max int `json:"max"` // how many turns there are at the most; [Unlimited] for no end
	// Keep is how many of the last commits are kept of a saga whose loop has no end; 0 for all.
	Keep int `json:"keep,omitempty"`
}

// AwaitSpec is what a plan says of an [Await].
type AwaitSpec struct {
	Signal   string        `json:"signal"`
	Approval bool          `json:"approval,omitempty"`
	Timeout  time.Duration `json:"timeout,omitempty"` // 0 for none
}

// ChildSpec is what a plan says of a [Child].
type ChildSpec struct {
	Definition string `json:"definition"`
	Version    int    `json:"version"`
	Detached   bool   `json:"detached,omitempty"` // started, and left to itself
}

// Node gives the node with that name, or nil. A step's key is as good as its name: see [StepName].
func (p *Plan) Node(name string) *PlanNode { return p.nodes[StepName(name)] }

// Step gives the spec of the step with that name or key, or nil.
func (p *Plan) Step(name string) *StepSpec {
	if n := p.Node(name); n != nil {
		return n.Step
	}
	return nil
}

// Policy gives the retry policy that governs a task.
func (p *Plan) Policy(t Task) RetryPolicy {
	spec := p.Step(t.Step)
	switch {
	case spec == nil:
		return RetryPolicy{}.withDefaults(1)
	case !t.Undo:
		return spec.Retry
	case spec.Undo == nil:
		return RetryPolicy{}.withDefaults(Unlimited)
	default:
		return spec.Undo.Retry
	}
}

// Timeout gives how long one attempt of a task may take; 0 for no limit.
func (p *Plan) Timeout(t Task) time.Duration {
	spec := p.Step(t.Step)
	switch {
	case spec == nil:
		return 0
	case !t.Undo:
		return spec.Timeout
	case spec.Undo == nil:
		return 0
	default:
		return spec.Undo.Timeout
	}
}

// StepName gives the name, within the plan, of the node that a key belongs to. Within loops and over items, one node
// has many keys: "pack#3" is the step pack in the third turn, or for the fourth item, and "pack#3#0" one level deeper.
func StepName(key string) string {
	if i := strings.IndexByte(key, keyMark); i >= 0 {
		return key[:i]
	}
	return key
}

// The marks within keys and scopes, which no node's name contains.
const (
	keyMark   = '#' // before a turn of a loop, or the index of an item
	scopeMark = '/' // before each part of a scope
)

// newPlan indexes the tree. The caller has checked that names are unique.
func newPlan(name string, version int, root *PlanNode) *Plan {
	p := &Plan{Name: name, Version: version, Root: root, nodes: map[string]*PlanNode{}}
	root.each(func(n *PlanNode) {
		if n.Name != "" {
			p.nodes[n.Name] = n
		}
		if n.Step != nil && n.Step.Pivot {
			p.pivots = append(p.pivots, n.Name)
		}
		if n.Loop != nil {
			p.keep = max(p.keep, uint64(max(n.Loop.Keep, 0)))
		}
	})
	root.index()
	return p
}

// index finds out what can be undone.
func (n *PlanNode) index() (undoable bool) {
	n.undoable = n.Kind == KindChild && !n.Child.Detached || n.Step != nil && n.Step.Undo != nil
	for _, child := range n.Children {
		n.undoable = child.index() || n.undoable
	}
	return n.undoable
}

// each visits the node and all below it, in the order of the plan.
func (n *PlanNode) each(visit func(*PlanNode)) {
	visit(n)
	for _, child := range n.Children {
		child.each(visit)
	}
}

// holds reports whether the node with that name is this one, or below it.
func (n *PlanNode) holds(name string) bool {
	if n.Name == name {
		return true
	}
	return slices.ContainsFunc(n.Children, func(child *PlanNode) bool { return child.holds(name) })
}

// branch gives the child with that label, or nil.
func (n *PlanNode) branch(label string) *PlanNode {
	for _, child := range n.Children {
		if child.Label == label {
			return child
		}
	}
	return nil
}
