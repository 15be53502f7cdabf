package saga

import (
	"fmt"
	"strconv"
	"strings"
)

// Drawing gives the plan as a tree of lines, for a terminal.
func (p *Plan) Drawing() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, version %d\n", p.Name, p.Version)
	drawAll(&b, p.Root.Children, "")
	return b.String()
}

func drawAll(b *strings.Builder, nodes []*PlanNode, indent string) {
	for i, n := range nodes {
		edge, below := "├─ ", "│  "
		if i == len(nodes)-1 {
			edge, below = "└─ ", "   "
		}
		b.WriteString(indent + edge + n.caption() + "\n")
		n.drawBelow(b, indent+below)
	}
}

// drawBelow draws what a node holds: the parts of a block each under its label.
func (n *PlanNode) drawBelow(b *strings.Builder, indent string) {
	for i, child := range n.Children {
		if child.Label == "" {
			drawAll(b, child.Children, indent)
			continue
		}
		edge, below := "├─ ", "│  "
		if i == len(n.Children)-1 {
			edge, below = "└─ ", "   "
		}
		b.WriteString(indent + edge + "[" + child.Label + "]\n")
		drawAll(b, child.Children, indent+below)
	}
}

// caption says in one line what a node is.
func (n *PlanNode) caption() string {
	s := n.Name
	switch n.Kind {
	case KindStep:
	case KindChoice:
		s += " ?"
	case KindParallel:
		s += ": all at once"
	case KindRace:
		s += ": the first of"
	case KindForEach:
		s += fmt.Sprintf(": for each item, %d at once", n.Each.Limit)
		if n.Each.Gather {
			s += ", failures gathered"
		}
	case KindLoop:
		s += ": repeat"
		if n.Loop.Max != Unlimited {
			s += fmt.Sprintf(", %d times at the most", n.Loop.Max)
		}
	case KindSleep:
		s += ": wait"
	case KindWithin:
		s += fmt.Sprintf(": within %v", n.Within)
	case KindAwait:
		if n.Await.Approval {
			s += ": wait for an approval"
		} else {
			s += ": wait for the signal " + n.Await.Signal
		}
		if n.Await.Timeout > 0 {
			s += fmt.Sprintf(", %v at the most", n.Await.Timeout)
		}
	case KindChild:
		s += fmt.Sprintf(": the saga %s, version %d", n.Child.Definition, n.Child.Version)
		if n.Child.Detached {
			s += ", left to itself"
		}
	case KindSequence:
	}
	return s + n.Step.remarks()
}

// remarks says what is special about a step.
func (s *StepSpec) remarks() string {
	if s == nil {
		return ""
	}
	var b strings.Builder
	add := func(is bool, remark string) {
		if is {
			b.WriteString(", " + remark)
		}
	}
	add(s.Conditional, "if its condition holds")
	add(s.Optional, "optional")
	add(s.Guarded, "guarded")
	add(s.Pivot, "pivot")
	add(s.Undo != nil, "undone on failure")
	return b.String()
}

// Mermaid gives the plan as a mermaid flowchart.
func (p *Plan) Mermaid() string {
	m := &chart{}
	m.b.WriteString("flowchart TD\n")
	last := m.sequence(p.Root, []exit{{from: m.node("((start))")}})
	m.join(last, m.node("((done))"))
	return m.b.String()
}

// chart draws a mermaid flowchart.
type chart struct {
	b     strings.Builder
	count int
}

// exit is an edge that has no end yet.
type exit struct {
	from, label string
}

// node draws a node of a shape, such as "[text]", and gives its id.
func (m *chart) node(shape string) string {
	m.count++
	id := "n" + strconv.Itoa(m.count)
	fmt.Fprintf(&m.b, "  %s%s\n", id, shape)
	return id
}

func (m *chart) join(exits []exit, to string) {
	for _, e := range exits {
		if e.label != "" {
			fmt.Fprintf(&m.b, "  %s -- %s --> %s\n", e.from, quoted(e.label), to)
		} else {
			fmt.Fprintf(&m.b, "  %s --> %s\n", e.from, to)
		}
	}
}

// quoted gives a text as mermaid takes any text.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`"`, "#quot;", "<", "#lt;", ">", "#gt;").Replace(text) + `"`
}

// sequence draws nodes one after another, and gives the edges that leave the last.
func (m *chart) sequence(n *PlanNode, in []exit) []exit {
	for _, child := range n.Children {
		in = m.draw(child, in)
	}
	return in
}

// draw draws a node that these edges come to, and gives the edges that leave it.
func (m *chart) draw(n *PlanNode, in []exit) []exit {
	text := quoted(n.caption())
	switch n.Kind {
	case KindChoice:
		id := m.node("{" + text + "}")
		m.join(in, id)
		var out []exit
		otherwise := false
		for _, branch := range n.Children {
			otherwise = otherwise || branch.Label == labelElse
			out = append(out, m.sequence(branch, []exit{{id, branch.Label}})...)
		}
		if !otherwise {
			out = append(out, exit{id, "else"})
		}
		return out
	case KindParallel, KindRace:
		id := m.node("{{" + text + "}}")
		m.join(in, id)
		var out []exit
		for _, branch := range n.Children {
			out = append(out, m.sequence(branch, []exit{{id, branch.Label}})...)
		}
		joined := m.node("{{" + quoted(map[NodeKind]string{KindParallel: "all are done", KindRace: "one is done"}[n.Kind]) + "}}")
		m.join(out, joined)
		return []exit{{from: joined}}
	case KindLoop, KindForEach:
		id := m.node("{{" + text + "}}")
		m.join(in, id)
		last := m.sequence(n.Children[0], []exit{{id, "each"}})
		m.join(last, id)
		return []exit{{id, "then"}}
	case KindWithin:
		id := m.node("[/" + text + "/]")
		m.join(in, id)
		return m.sequence(n.Children[0], []exit{{from: id}})
	case KindAwait, KindSleep:
		return m.leaf(n, "[/"+text+"/]", in)
	case KindChild:
		return m.leaf(n, "[["+text+"]]", in)
	default:
		return m.leaf(n, "["+text+"]", in)
	}
}

// leaf draws a node that may have something that runs in its place.
func (m *chart) leaf(n *PlanNode, shape string, in []exit) []exit {
	id := m.node(shape)
	m.join(in, id)
	out := []exit{{from: id}}
	for _, instead := range n.Children {
		out = append(out, m.sequence(instead, []exit{{id, instead.Label}})...)
	}
	return out
}
