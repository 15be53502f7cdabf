package saga

// Condition is a question about a saga's state. It is asked once, and the answer is recorded: it must depend on
// nothing but the state, and change nothing.
type Condition[S any] func(state *S) bool

// The labels of an [If].
const (
	labelThen = "then"
	labelElse = "else"
	labelNone = "none" // no branch applies; see [PlanNode.none]
	labelRun  = "run"  // the answer to [StepNode.OnlyIf]
	labelSkip = "skip"
)

// IfNode is a choice by conditions. Its methods give changed copies.
type IfNode[S any] struct {
	name     string
	branches []ifBranch[S] // the last may have a nil condition: Else
}

type ifBranch[S any] struct {
	label string
	when  Condition[S]
	nodes []Node[S]
	bare  bool // of an Else
}

// If runs the nodes if the condition holds. The branch that is taken is recorded, and never asked for again.
func If[S any](name string, when func(*S) bool, nodes ...Node[S]) IfNode[S] {
	return IfNode[S]{name: name}.with(ifBranch[S]{label: labelThen, when: when, nodes: nodes})
}

// ElseIf runs the nodes if no condition before holds, and this one does.
func (n IfNode[S]) ElseIf(label string, when func(*S) bool, nodes ...Node[S]) IfNode[S] {
	return n.with(ifBranch[S]{label: label, when: when, nodes: nodes})
}

// Else runs the nodes if no condition holds. Call it last.
func (n IfNode[S]) Else(nodes ...Node[S]) IfNode[S] {
	return n.with(ifBranch[S]{label: labelElse, nodes: nodes, bare: true})
}

func (n IfNode[S]) with(b ifBranch[S]) IfNode[S] {
	n.branches = append(append([]ifBranch[S](nil), n.branches...), b)
	return n
}

func (n IfNode[S]) build(b *builder[S]) *PlanNode {
	b.claim("choice", n.name)
	node := &PlanNode{Kind: KindChoice, Name: n.name}
	for i, branch := range n.branches {
		switch {
		case branch.when == nil && !branch.bare:
			b.fault("choice %q: branch %q has a nil condition", n.name, branch.label)
		case branch.bare && i < len(n.branches)-1:
			b.fault("choice %q: Else is not the last branch", n.name)
		}
		node.Children = append(node.Children, b.branch("choice", n.name, branch.label, branch.nodes))
	}
	b.labels("choice", node)
	none := node.none()
	b.def.ask[n.name] = func(state *S, _ Task, _ Input) (Answer, error) {
		for _, branch := range n.branches {
			if branch.when == nil || branch.when(state) {
				return Answer{Choice: branch.label}, nil
			}
		}
		return Answer{Choice: none}, nil
	}
	return node
}

// none gives the answer that no branch of a choice applies, which is none of their labels.
func (n *PlanNode) none() string {
	none := labelNone
	for n.branch(none) != nil {
		none = "no " + none
	}
	return none
}

// SwitchNode is a choice by a value. Its methods give changed copies.
type SwitchNode[S any] struct {
	name  string
	value func(*S) string
	cases []ifBranch[S]
}

// Switch runs the [SwitchNode.Case] of the value that the function gives. It is asked once, and the case that is taken
// is recorded: the function must depend on nothing but the state, and change nothing.
func Switch[S any](name string, value func(*S) string) SwitchNode[S] {
	return SwitchNode[S]{name: name, value: value}
}

// Case runs the nodes for a value.
func (n SwitchNode[S]) Case(value string, nodes ...Node[S]) SwitchNode[S] {
	n.cases = append(append([]ifBranch[S](nil), n.cases...), ifBranch[S]{label: value, nodes: nodes})
	return n
}

// Default runs the nodes for every other value. Without it, nothing runs for those.
func (n SwitchNode[S]) Default(nodes ...Node[S]) SwitchNode[S] {
	n.cases = append(append([]ifBranch[S](nil), n.cases...), ifBranch[S]{label: labelElse, nodes: nodes, bare: true})
	return n
}

func (n SwitchNode[S]) build(b *builder[S]) *PlanNode {
	b.claim("switch", n.name)
	node := &PlanNode{Kind: KindChoice, Name: n.name}
	if n.value == nil {
		b.fault("switch %q has a nil function", n.name)
	}
	cases, otherwise := map[string]bool{}, false
	for _, c := range n.cases {
		if c.bare {
			otherwise = true
		} else {
			cases[c.label] = true
		}
		node.Children = append(node.Children, b.branch("switch", n.name, c.label, c.nodes))
	}
	b.labels("switch", node)
	other := node.none()
	if otherwise {
		other = labelElse
	}
	b.def.ask[n.name] = func(state *S, _ Task, _ Input) (Answer, error) {
		if v := n.value(state); cases[v] {
			return Answer{Choice: v}, nil
		}
		return Answer{Choice: other}, nil
	}
	return node
}
