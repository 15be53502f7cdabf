package saga

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Parent is the saga that started another, and where in it.
type Parent struct {
	Key  Key    `json:"key"`
	Run  string `json:"run"`
	Step string `json:"step"` // the key of the [Child] node
}

// ChildNode runs another saga. Its methods give changed copies.
type ChildNode[S, C any] struct {
	name     string
	def      *Definition[C]
	input    func(*S) C
	id       func(*S) string
	result   func(*S, C)
	detached bool
	optional bool
}

// Child starts a saga of another definition and waits until it has ended. Its state is what input gives. When it has not
// completed, this saga fails; when this saga is undone, the child is cancelled, or undone if it had completed.
func Child[S, C any](name string, def *Definition[C], input func(*S) C) ChildNode[S, C] {
	return ChildNode[S, C]{name: name, def: def, input: input}
}

// Result takes the state that the child ended with into this saga's. It depends on nothing but its arguments.
func (n ChildNode[S, C]) Result(into func(state *S, child C)) ChildNode[S, C] {
	n.result = into
	return n
}

// ID gives the child's id. It depends on nothing but the state. Default: an id derived from this run and the node.
func (n ChildNode[S, C]) ID(id func(*S) string) ChildNode[S, C] {
	n.id = id
	return n
}

// Detached leaves the child to itself once it is started: nobody waits for it, and it is not undone with this saga.
func (n ChildNode[S, C]) Detached() ChildNode[S, C] {
	n.detached = true
	return n
}

// Optional goes on when the child has not completed.
func (n ChildNode[S, C]) Optional() ChildNode[S, C] {
	n.optional = true
	return n
}

func (n ChildNode[S, C]) build(b *builder[S]) *PlanNode {
	b.claim("child", n.name)
	node := &PlanNode{Kind: KindChild, Name: n.name, Child: &ChildSpec{Detached: n.detached}}
	if n.def == nil {
		b.fault("child %q has a nil definition", n.name)
	} else {
		node.Child.Definition, node.Child.Version = n.def.plan.Name, n.def.plan.Version
	}
	if n.input == nil {
		b.fault("child %q has a nil input function", n.name)
	}
	if n.detached && n.result != nil {
		b.fault("child %q is detached, so it has no result to take", n.name)
	}
	if b.pivot != "" && !n.detached && !n.optional {
		b.fault("child %q: can fail, but after the pivot %q nothing can be undone: make it Optional or Detached", n.name, b.pivot)
	}
	node.Step = &StepSpec{
		Retry: RetryPolicy{}.withDefaults(Unlimited), Optional: n.optional,
	}
	if !n.detached {
		node.Step.Undo = &UndoSpec{Retry: RetryPolicy{}.withDefaults(Unlimited)}
	}
	b.def.ask[n.name] = func(state *S, t Task, in Input) (Answer, error) {
		if t.Kind == TaskResult {
			return Answer{}, n.took(state, in)
		}
		return n.begin(state)
	}
	return node
}

func (n ChildNode[S, C]) begin(state *S) (Answer, error) {
	data, err := json.Marshal(n.input(state))
	if err != nil {
		return Answer{}, fmt.Errorf("the input of child %q cannot be encoded: %w", n.name, err)
	}
	input, err := ParseState(data)
	if err != nil {
		return Answer{}, fmt.Errorf("the input of child %q: %w", n.name, err)
	}
	a := Answer{Items: []State{input}}
	if n.id != nil {
		a.Choice = n.id(state)
		if err := CheckName("id", a.Choice); err != nil {
			return Answer{}, fmt.Errorf("child %q: %w", n.name, err)
		}
	}
	return a, nil
}

func (n ChildNode[S, C]) took(state *S, in Input) error {
	if n.result == nil {
		return nil
	}
	if len(in.Errors) > 0 && in.Errors[0] != "" {
		return fmt.Errorf("the state of child %q is not known: %s", n.name, in.Errors[0])
	}
	var child C
	if err := json.Unmarshal(in.Items[0].JSON(), &child); err != nil {
		return fmt.Errorf("the state of child %q does not decode as %T: %w", n.name, child, err)
	}
	n.result(state, child)
	return nil
}

// childSpace is the UUIDv5 namespace of children's ids and runs: a child that is started twice is the same child.
var childSpace = uuid.MustParse("7d1e4c52-3c1b-5d0e-9b7f-6368696c6473")

// NewChildRef derives what a child is called from the run of the saga that starts it, and the key of the node: a child that is
// started twice is one child. An empty id is derived, too.
func NewChildRef(parent Key, run, step, definition, id string) ChildRef {
	derived := uuid.NewSHA1(childSpace, []byte(parent.Definition+"\x00"+parent.ID+"\x00"+run+"\x00"+step)).String()
	if id == "" {
		id = derived
	}
	return ChildRef{Key: Key{Definition: definition, ID: id}, Run: derived}
}

// Recall gives the command that has the child of a node undo what it has done, for a [TaskRecall]; false where the node has no
// child. Its id is another with each version of the saga's log: a child that is asked again, as after a [Retry], answers again.
func (in *Instance) Recall(node string, at time.Time) (child Key, cmd Undo, ok bool) {
	c := in.block(node).Child
	if c == nil {
		return Key{}, Undo{}, false
	}
	return c.Ref.Key, Undo{Order{
		ID:  c.Ref.Run + "-undo-" + strconv.FormatUint(in.Version, 10),
		Run: c.Ref.Run, Reason: "its parent is undone", By: in.Key.String(), Time: at,
	}}, true
}

// ChildRef names one run of a child.
type ChildRef struct {
	Key Key    `json:"key"`
	Run string `json:"run"`
}
