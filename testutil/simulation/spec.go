package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// spec is a node of a random plan, as the model knows it.
type spec struct {
	kind    saga.NodeKind
	name    string
	label   string  // of a branch, within its parent
	kids    []*spec // sequences, but for a sequence itself
	parent  *spec
	retry   saga.RetryPolicy
	undo    *saga.RetryPolicy // nil for none
	pivot   bool
	option  bool // optional
	asked   bool // OnlyIf
	shared  bool // changes the shared field
	emits   bool
	limit   int
	gather  bool
	max     int // turns
	wait    time.Duration
	timeout time.Duration
	signal  string // of a wait; empty for an approval
	child   *definition
	alone   bool // a detached child
	each    bool // within the items of a ForEach
}

// The labels that the language has by itself.
const (
	bodyLabel     = ""
	fallbackLabel = "fallback"
	timeoutLabel  = "timeout"
	elseLabel     = "else"
	noneLabel     = "none"
	runLabel      = "run"
	skipLabel     = "skip"
)

// The signals that the sagas of random plans wait for.
var (
	ring  = saga.DeclareSignal[ping]("ring")
	knock = saga.DeclareSignal[ping]("knock")
)

// planner makes a random plan.
type planner struct {
	w       *world
	rng     *rand.Rand
	name    string
	version int
	nodes   int           // so far
	past    bool          // a pivot has passed
	within  int           // blocks in which there can be no pivot
	forever int           // loops without an end, in which nothing can be undone
	kids    []*definition // that may be started as children
	each    bool
}

// maxNodes is about how many nodes a plan has at the most.
const maxNodes = 14

// maxDepth is how deep blocks are nested.
const maxDepth = 3

func (p *planner) chance(percent int) bool { return p.rng.IntN(100) < percent }

// sequence makes nodes that run one after another.
func (p *planner) sequence(label string, depth int) *spec {
	seq := &spec{kind: saga.KindSequence, label: label}
	for range 1 + p.rng.IntN(3) {
		seq.add(p.node(depth))
		if p.nodes >= maxNodes {
			break
		}
	}
	return seq
}

func (s *spec) add(kid *spec) {
	kid.parent = s
	s.kids = append(s.kids, kid)
}

func (p *planner) node(depth int) *spec {
	p.nodes++
	n := &spec{name: fmt.Sprintf("v%d-n%d", p.version, p.nodes), each: p.each}
	kind := p.rng.IntN(100)
	if depth >= maxDepth && kind >= 65 {
		kind = p.rng.IntN(65)
	}
	switch {
	case kind < 40:
		p.step(n, depth)
	case kind < 47:
		n.kind, n.wait = saga.KindSleep, pick(p.rng, 0, 30*time.Millisecond, time.Second, 10*time.Second)
	case kind < 57:
		p.await(n, depth)
	case kind < 65:
		p.child(n, depth)
	case kind < 71:
		p.choice(n, depth)
	case kind < 79:
		p.branches(n, depth, saga.KindParallel)
	case kind < 86:
		p.branches(n, depth, saga.KindRace)
	case kind < 92:
		p.forEach(n, depth)
	case kind < 96 || p.past:
		p.loop(n, depth)
	default:
		n.kind, n.wait = saga.KindWithin, pick(p.rng, 20*time.Millisecond, 200*time.Millisecond, 3*time.Second, 30*time.Second)
		p.block(n, depth, bodyLabel)
	}
	return n
}

func (p *planner) step(n *spec, depth int) {
	n.kind = saga.KindStep
	n.emits, n.asked = p.chance(20), p.chance(8)
	n.shared = !p.past && p.chance(6)
	final := false
	switch {
	case p.past:
		n.retry = retryPolicy(p.rng, saga.Unlimited)
	case p.within == 0 && depth <= 1 && p.chance(8):
		n.pivot, final = true, true
		n.retry = retryPolicy(p.rng, 1, 3, saga.Unlimited)
	default:
		n.retry = retryPolicy(p.rng, 1, 2, 3, 5, saga.Unlimited)
		if p.forever == 0 && p.chance(75) {
			undo := retryPolicy(p.rng, saga.Unlimited, saga.Unlimited, saga.Unlimited, 2)
			n.undo = &undo
		}
	}
	switch {
	case final:
		p.past = true
	case p.chance(8):
		n.option = true
	case depth < maxDepth && p.chance(8):
		p.branch(n, depth, fallbackLabel)
	}
}

func (p *planner) await(n *spec, depth int) {
	n.kind = saga.KindAwait
	n.signal = pick(p.rng, ring.Name(), knock.Name(), ring.Name(), "")
	attempts := []int{1, 3, saga.Unlimited}
	if p.past {
		attempts = []int{saga.Unlimited}
	}
	n.retry = retryPolicy(p.rng, attempts...)
	if p.chance(40) {
		n.timeout = pick(p.rng, 50*time.Millisecond, time.Second, 10*time.Second)
		if p.past || p.chance(50) {
			p.branch(n, depth, timeoutLabel)
		}
	}
	if n.signal == "" && p.past || p.chance(30) {
		p.branch(n, depth, fallbackLabel)
	}
}

func (p *planner) child(n *spec, depth int) {
	if len(p.kids) == 0 || p.forever > 0 {
		p.step(n, depth)
		return
	}
	n.kind, n.child = saga.KindChild, pick(p.rng, p.kids...)
	n.alone = p.chance(20)
	n.option = !n.alone && (p.past || p.chance(20))
}

func (p *planner) choice(n *spec, depth int) {
	n.kind = saga.KindChoice
	for _, label := range []string{"a", "b", elseLabel}[:1+p.rng.IntN(3)] {
		p.branch(n, depth, label)
	}
	if last := n.kids[len(n.kids)-1]; last.label == "b" && p.chance(50) {
		last.label = elseLabel
	}
}

func (p *planner) branches(n *spec, depth int, kind saga.NodeKind) {
	n.kind = kind
	for i := range 2 + p.rng.IntN(2) {
		p.block(n, depth, fmt.Sprintf("b%d", i))
	}
}

func (p *planner) forEach(n *spec, depth int) {
	n.kind = saga.KindForEach
	n.limit, n.gather = pick(p.rng, 1, 2, 3, 10), p.chance(50)
	each := p.each
	p.each = true
	p.block(n, depth, bodyLabel)
	p.each = each
}

func (p *planner) loop(n *spec, depth int) {
	n.kind, n.max = saga.KindLoop, pick(p.rng, 1, 3, 5, saga.Unlimited)
	if p.past {
		n.max = saga.Unlimited
	}
	if n.max == saga.Unlimited {
		p.forever++
		defer func() { p.forever-- }()
	}
	p.block(n, depth, bodyLabel)
}

// block adds a branch in which there can be no pivot.
func (p *planner) block(n *spec, depth int, label string) {
	p.within++
	p.branch(n, depth, label)
	p.within--
}

// branch adds a branch. A pivot within one is none for the others, and one for what follows: that is left to the rows at the top.
func (p *planner) branch(n *spec, depth int, label string) {
	p.within++
	n.add(p.sequence(label, depth+1))
	p.within--
}

// print writes the plan as an outline.
func (s *spec) print(b *strings.Builder, indent int) {
	if s.kind != saga.KindSequence {
		fmt.Fprintf(b, "%*s%s %s", indent, "", s.kind, s.name)
		s.printDetails(b)
		b.WriteByte('\n')
	} else if s.label != "" {
		fmt.Fprintf(b, "%*s%s:\n", indent, "", s.label)
	}
	for _, kid := range s.kids {
		kid.print(b, indent+2)
	}
}

func (s *spec) printDetails(b *strings.Builder) {
	note := func(when bool, format string, args ...any) {
		if when {
			fmt.Fprintf(b, " "+format, args...)
		}
	}
	note(s.kind == saga.KindStep || s.kind == saga.KindAwait, "attempts %d", s.retry.Attempts)
	note(s.undo != nil, "undoable")
	note(s.undo != nil && s.undo.Attempts > 0, "at most %dx", 2)
	note(s.pivot, "PIVOT")
	note(s.option, "optional")
	note(s.asked, "only-if")
	note(s.shared, "shared")
	note(s.emits, "emits")
	note(s.limit > 0, "limit %d", s.limit)
	note(s.gather, "gather")
	note(s.kind == saga.KindLoop, "max %d", s.max)
	note(s.wait > 0, "%v", s.wait)
	note(s.kind == saga.KindAwait, "for %q", s.signal)
	note(s.timeout > 0, "timeout %v", s.timeout)
	if s.child != nil {
		fmt.Fprintf(b, " of %s %d", s.child.Plan().Name, s.child.Plan().Version)
	}
	note(s.alone, "detached")
}
