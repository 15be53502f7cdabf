package saga

// BranchNode is one branch of a [Parallel] block or a [Race].
type BranchNode[S any] struct {
	name  string
	nodes []Node[S]
}

// Branch is a sequence of nodes under a name that is unique within its block.
func Branch[S any](name string, nodes ...Node[S]) BranchNode[S] {
	return BranchNode[S]{name: name, nodes: nodes}
}

// BranchesNode is a block whose branches run at once.
type BranchesNode[S any] struct {
	kind     NodeKind
	name     string
	branches []BranchNode[S]
}

// Parallel runs its branches at once, each on its own copy of the state, and goes on when all are done. What each
// branch changed is merged, field by field; where two branches have changed one field, the saga fails and names both.
// When a branch fails for good, the others start nothing more, and all are undone.
func Parallel[S any](name string, branches ...BranchNode[S]) BranchesNode[S] {
	return BranchesNode[S]{KindParallel, name, branches}
}

// Race runs its branches at once, each on its own copy of the state, and goes on with the state of the first that is
// done. The others start nothing more, their attempts under way may finish, and they are undone. A branch that fails for good
// is undone and out of the race; the race fails when all have.
func Race[S any](name string, branches ...BranchNode[S]) BranchesNode[S] {
	return BranchesNode[S]{KindRace, name, branches}
}

func (n BranchesNode[S]) build(b *builder[S]) *PlanNode {
	what := string(n.kind)
	b.claim(what, n.name)
	node := &PlanNode{Kind: n.kind, Name: n.name}
	if len(n.branches) == 0 {
		b.fault("%s %q has no branches", what, n.name)
	}
	defer b.enter(what, n.name)()
	for _, branch := range n.branches {
		b.checkNodeName("branch", branch.name)
		node.Children = append(node.Children, b.branch(what, n.name, branch.name, branch.nodes))
	}
	b.labels(what, node)
	return node
}
