package saga

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// DefaultItemLimit is how many items of a [ForEach] are worked on at once by default.
const DefaultItemLimit = 10

// Item is what came of one item of a [ForEach].
type Item[E any] struct {
	Index int
	Value E      // the item as its nodes left it
	Error string // why it failed; empty for an item that is done
}

// EachNode runs its nodes for each of many items. Its methods give changed copies.
type EachNode[S, E any] struct {
	name    string
	items   func(*S) []E
	nodes   []Node[E]
	collect func(*S, []Item[E])
	spec    EachSpec
}

// ForEach runs the nodes for each of the items that the function finds in the state, [DefaultItemLimit] at once. An
// item is the state of its nodes: their handlers get it, change it, and undo it. E is a struct. The items are found once and
// recorded: the function must depend on nothing but the state, and change nothing.
//
// When an item fails for good, no further item is begun, and all are undone; see [EachNode.Gather].
func ForEach[S, E any](name string, items func(*S) []E, nodes ...Node[E]) EachNode[S, E] {
	return EachNode[S, E]{name: name, items: items, nodes: nodes, spec: EachSpec{Limit: DefaultItemLimit}}
}

// Limit sets how many items are worked on at once. Default: [DefaultItemLimit].
func (n EachNode[S, E]) Limit(items int) EachNode[S, E] {
	n.spec.Limit = items
	return n
}

// Gather goes on with the other items when one fails for good: what that one had done is undone at once, and Collect is
// told its error.
func (n EachNode[S, E]) Gather() EachNode[S, E] {
	n.spec.Gather = true
	return n
}

// Collect takes the items, in their order, into the state when all are through. It depends on nothing but its arguments.
func (n EachNode[S, E]) Collect(into func(state *S, items []Item[E])) EachNode[S, E] {
	n.collect = into
	return n
}

func (n EachNode[S, E]) build(b *builder[S]) *PlanNode {
	b.claim("for-each", n.name)
	if n.items == nil {
		b.fault("for-each %q has a nil function", n.name)
	}
	if n.spec.Limit < 1 {
		b.fault("for-each %q: limit %d is below 1", n.name, n.spec.Limit)
	}
	defer b.enter("for-each", n.name)()
	inner := &builder[E]{shared: b.shared, def: newDefinition[E]()}
	inner.checkState("item")
	spec := n.spec
	before := len(b.built)
	body := inner.branch("for-each", n.name, "", n.nodes)
	for _, name := range b.built[before:] {
		b.def.inner[name] = inner.def
	}
	b.def.ask[n.name] = func(state *S, t Task, in Input) (Answer, error) {
		if t.Kind == TaskCollect {
			return Answer{}, n.gathered(state, in)
		}
		return n.found(state)
	}
	return &PlanNode{Kind: KindForEach, Name: n.name, Each: &spec, Children: []*PlanNode{body}}
}

func (n EachNode[S, E]) found(state *S) (Answer, error) {
	found := n.items(state)
	items := make([]State, len(found))
	for i := range found {
		data, err := json.Marshal(&found[i])
		if err == nil {
			items[i], err = ParseState(data)
		}
		if err != nil {
			return Answer{}, fmt.Errorf("item %d of %q cannot be encoded: %w", i, n.name, err)
		}
	}
	return Answer{Items: items}, nil
}

func (n EachNode[S, E]) gathered(state *S, in Input) error {
	if n.collect == nil {
		return nil
	}
	items := make([]Item[E], len(in.Items))
	for i, s := range in.Items {
		items[i] = Item[E]{Index: i, Error: in.Errors[i]}
		if err := json.Unmarshal(s.JSON(), &items[i].Value); err != nil {
			return fmt.Errorf("item %d of %q does not decode as %v: %w", i, n.name, reflect.TypeFor[E](), err)
		}
	}
	n.collect(state, items)
	return nil
}
