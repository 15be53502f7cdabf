package saga

// DefaultTurns is how many turns a [Loop] makes at the most by default.
const DefaultTurns = 1_000

// DefaultKept is how many of the last commits are kept by default of a saga with a loop that has no end. A snapshot is among
// them, so the saga stays what it is; what is lost is the account of how it came to be.
const DefaultKept = 1_000

// LoopNode repeats its nodes. Its methods give changed copies.
type LoopNode[S any] struct {
	name  string
	again Condition[S]
	nodes []Node[S]
	max   int
	keep  int
}

// Loop repeats the nodes for as long as the condition holds, which is asked before each turn. Its steps have a key of
// their own in each turn. After [DefaultTurns] turns the saga fails; see [LoopNode.Max].
func Loop[S any](name string, again func(*S) bool, nodes ...Node[S]) LoopNode[S] {
	return LoopNode[S]{name: name, again: again, nodes: nodes, max: DefaultTurns}
}

// Max sets how many turns there are at the most; a condition that wants more fails the saga. [Unlimited] is for a loop
// that may run for ever: it cannot have compensations, and its turns leave nothing behind but the state.
func (n LoopNode[S]) Max(turns int) LoopNode[S] {
	n.max = turns
	return n
}

// Keep sets how many of the saga's last commits are kept at the least, where the loop has no end: the log is cut now and
// then, once everybody has read it, so that it stays bounded, and so is its outbox. Default: [DefaultKept].
func (n LoopNode[S]) Keep(commits int) LoopNode[S] {
	n.keep = commits
	return n
}

func (n LoopNode[S]) build(b *builder[S]) *PlanNode {
	b.claim("loop", n.name)
	if n.again == nil {
		b.fault("loop %q has a nil condition", n.name)
	}
	if n.max < 1 && n.max != Unlimited {
		b.fault("loop %q: Max %d is neither positive nor Unlimited", n.name, n.max)
	}
	if b.pivot != "" && n.max != Unlimited {
		b.fault("loop %q: fails after %d turns, but after the pivot %q nothing can be undone: set Max(Unlimited)", n.name, n.max, b.pivot)
	}
	defer b.enter("loop", n.name)()
	body := b.branch("loop", n.name, "", n.nodes)
	if n.max == Unlimited && body.index() {
		b.fault("loop %q: a compensation within a loop without a bound could never be forgotten: set Max", n.name)
	}
	b.def.ask[n.name] = func(state *S, _ Task, _ Input) (Answer, error) {
		if n.again(state) {
			return Answer{Choice: labelRun}, nil
		}
		return Answer{Choice: labelNone}, nil
	}
	spec := &LoopSpec{Max: n.max, Keep: n.keep}
	switch {
	case n.keep != 0 && n.max != Unlimited:
		b.fault("loop %q: Keep is for a loop without an end; the log of any other is kept whole", n.name)
	case n.keep < 0:
		b.fault("loop %q: Keep %d is negative", n.name, n.keep)
	case n.keep == 0 && n.max == Unlimited:
		spec.Keep = DefaultKept
	}
	return &PlanNode{Kind: KindLoop, Name: n.name, Loop: spec, Children: []*PlanNode{body}}
}
