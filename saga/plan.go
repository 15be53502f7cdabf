package saga

import (
	"time"
)

// Plan is a definition as data: what the machine walks. It holds no handler, so it can be printed, compared and
// simulated. Build one with [Define].
type Plan struct {
	Name    string    `json:"name"`
	Version int       `json:"version"`
	Root    *PlanNode `json:"root"`

	steps  map[string]*PlanNode
	pivots []string
}

// NodeKind is a node's construct.
type NodeKind string

// The kinds of node.
const (
	// KindSequence runs its children one after another, and undoes them last to first.
	KindSequence NodeKind = "sequence"
	// KindStep is a leaf: one handler, and perhaps its undo.
	KindStep NodeKind = "step"
)

// PlanNode is one node of a plan's tree.
type PlanNode struct {
	Kind     NodeKind    `json:"kind"`
	Name     string      `json:"name,omitempty"` // unique within the plan; empty for a sequence
	Children []*PlanNode `json:"children,omitempty"`
	Step     *StepSpec   `json:"step,omitempty"` // for a KindStep, else nil
}

// StepSpec is what a plan says of one step, every default filled in.
type StepSpec struct {
	Retry   RetryPolicy   `json:"retry"`
	Timeout time.Duration `json:"timeout,omitempty"` // of one attempt; 0 for none
	Pivot   bool          `json:"pivot,omitempty"`
	// Undo is nil for a step that has no compensation.
	Undo *UndoSpec `json:"undo,omitempty"`
}

// UndoSpec is what a plan says of a step's compensation.
type UndoSpec struct {
	Retry   RetryPolicy   `json:"retry"`
	Timeout time.Duration `json:"timeout,omitempty"`
}

// Step gives the spec of the step with that name, or nil.
func (p *Plan) Step(name string) *StepSpec {
	if n := p.steps[name]; n != nil {
		return n.Step
	}
	return nil
}

// Policy gives the retry policy that governs a task.
func (p *Plan) Policy(t Task) RetryPolicy {
	spec := p.Step(t.Step)
	if t.Undo {
		return spec.Undo.Retry
	}
	return spec.Retry
}

// Timeout gives how long one attempt of a task may take; 0 for no limit.
func (p *Plan) Timeout(t Task) time.Duration {
	spec := p.Step(t.Step)
	if t.Undo {
		return spec.Undo.Timeout
	}
	return spec.Timeout
}

// newPlan indexes the tree. The caller has checked that names are unique.
func newPlan(name string, version int, root *PlanNode) *Plan {
	p := &Plan{Name: name, Version: version, Root: root, steps: map[string]*PlanNode{}}
	root.each(func(n *PlanNode) {
		if n.Kind == KindStep {
			p.steps[n.Name] = n
			if n.Step.Pivot {
				p.pivots = append(p.pivots, n.Name)
			}
		}
	})
	return p
}

// each visits the node and all below it, in the order of the plan.
func (n *PlanNode) each(visit func(*PlanNode)) {
	visit(n)
	for _, child := range n.Children {
		child.each(visit)
	}
}
