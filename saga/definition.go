package saga

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Definition is a checked plan together with its handlers. It is safe for concurrent use.
type Definition[S any] struct {
	plan       *Plan
	do         map[string]Handler[S]
	undo       map[string]Handler[S]
	ask        map[string]question[S] // what is asked of the state, by node
	inner      map[string]Runnable    // of the nodes that work on the items of a ForEach
	attributes []AttributeNode[S]
	plain      bool // S is the same after a trip through JSON: see plainType
	own        bool // S has an encoding of its own, which may break the rules that encoding/json keeps
}

// question asks something of a state, and may change it where the task is to take something into it.
type question[S any] func(state *S, t Task, in Input) (Answer, error)

func newDefinition[S any]() *Definition[S] {
	return &Definition[S]{
		do: map[string]Handler[S]{}, undo: map[string]Handler[S]{}, ask: map[string]question[S]{}, inner: map[string]Runnable{},
	}
}

// Plan gives the definition as data; nil of a nil definition.
func (d *Definition[S]) Plan() *Plan {
	if d == nil {
		return nil
	}
	return d.plan
}

// StateType gives the type of what the handlers of a node work on: S, or within a [ForEach] that of its items.
func (d *Definition[S]) StateType(node string) reflect.Type {
	if items, ok := d.inner[node].(interface {
		StateType(node string) reflect.Type
	}); ok {
		return items.StateType(node)
	}
	return reflect.TypeFor[S]()
}

// Runnable is a definition of any state type, as the engine takes it. [*Definition] is its implementation.
type Runnable interface {
	// Plan gives the definition as data.
	Plan() *Plan
	// NewRunner gives what runs the handlers for one activation.
	NewRunner() Runner
}

// Node is a construct of the definition language for a saga whose state is S, such as a [StepNode].
type Node[S any] interface {
	// build registers the construct's handlers and faults, and gives its place in the plan.
	build(b *builder[S]) *PlanNode
}

// Define checks a definition and builds its plan. Name and version identify it: sagas that run follow the
// version that they began with, so a change to the plan is a new version. The nodes run one after another.
//
// S is a struct that encoding/json can carry. The error is a [*DefinitionError] that lists every fault found.
func Define[S any](name string, version int, nodes ...Node[S]) (*Definition[S], error) {
	b := &builder[S]{shared: &shared{names: map[string]bool{}}, def: newDefinition[S]()}
	if err := CheckName("definition", name); err != nil {
		b.fault("%v", err)
	}
	if version < 1 {
		b.fault("version %d is below 1", version)
	}
	b.checkState("state")
	root := b.sequence(nodes)
	if len(root.Children) == 0 && !slices.ContainsFunc(nodes, isNil[S]) {
		b.fault("has no steps")
	}
	if len(b.faults) > 0 {
		return nil, &DefinitionError{Name: name, Faults: b.faults}
	}
	b.def.plan = newPlan(name, version, root)
	if len(b.def.attributes) > 0 {
		b.def.plan.attributes = b.def.attributesIn
	}
	return b.def, nil
}

// Must gives the definition or panics with the error: for definitions in package variables, where a fault is a
// programming error that should stop the program before it starts.
func Must[S any](d *Definition[S], err error) *Definition[S] {
	if err != nil {
		panic(err)
	}
	return d
}

func isNil[S any](n Node[S]) bool { return n == nil }

// shared is what the builders of one definition share: one for the state, and one for each type of item.
type shared struct {
	names  map[string]bool
	built  []string // the names in the order of the plan
	pivot  string   // the pivot already passed, if any
	within []string // the blocks that the node is in, outermost first, in which there can be no pivot
	passed string   // a pivot within one of the branches of the node under way
	depth  int      // how many nodes the node is in
	faults []string
}

// builder gathers a definition and its faults while the nodes are visited in the order of the plan.
type builder[S any] struct {
	*shared
	def *Definition[S]
}

func (b *shared) fault(format string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

// claim takes a name for a node.
func (b *shared) claim(what, name string) {
	b.checkNodeName(what, name)
	if b.names[name] {
		b.fault("%s %q occurs twice", what, name)
	}
	b.names[name] = true
	b.built = append(b.built, name)
}

// checkNodeName refuses what cannot be part of a key: besides what [CheckName] refuses, the marks of keys and scopes.
func (b *shared) checkNodeName(what, name string) {
	if err := CheckName(what, name); err != nil {
		b.fault("%v", err)
		return
	}
	if i := strings.IndexAny(name, string([]rune{keyMark, scopeMark})); i >= 0 {
		b.fault("%v", &InvalidNameError{Field: what, Value: name, Reason: fmt.Sprintf("contains %q, which marks the parts of a step's key", name[i])})
	}
}

// enter begins a block in which there can be no pivot; what it gives ends it.
func (b *shared) enter(what, name string) (leave func()) {
	b.within = append(b.within, fmt.Sprintf("%s %q", what, name))
	return func() { b.within = b.within[:len(b.within)-1] }
}

// sequence builds nodes that run one after another.
func (b *builder[S]) sequence(nodes []Node[S]) *PlanNode {
	seq := &PlanNode{Kind: KindSequence}
	for i, n := range nodes {
		if n == nil {
			b.fault("node %d is nil", i+1)
			continue
		}
		if node := n.build(b); node != nil {
			seq.Children = append(seq.Children, node)
		}
	}
	return seq
}

// branch builds one of several sequences of a node. A pivot within one is none for the others.
func (b *builder[S]) branch(what, name, label string, nodes []Node[S]) *PlanNode {
	before, others := b.pivot, b.passed
	b.passed = "" // a pivot of the branches before is not passed in this one
	b.depth++
	seq := b.sequence(nodes)
	b.depth--
	seq.Label = label
	if len(nodes) == 0 {
		b.fault("%s %q: branch %q has no nodes", what, name, label)
	}
	b.passed = others
	if b.pivot != before {
		b.passed = b.pivot
	}
	b.pivot = before
	return seq
}

// labels checks that no two branches have one label, and lets what follows be after a pivot that one of them has.
func (b *shared) labels(what string, n *PlanNode) {
	seen := map[string]bool{}
	for _, child := range n.Children {
		switch {
		case child.Label == "":
			b.fault("%s %q: a branch has no name", what, n.Name)
		case seen[child.Label]:
			b.fault("%s %q: branch %q occurs twice", what, n.Name, child.Label)
		}
		seen[child.Label] = true
	}
	if b.passed != "" {
		b.pivot, b.passed = b.passed, ""
	}
}

// checkState refuses state types that JSON cannot carry there and back as an object.
func (b *builder[S]) checkState(what string) {
	t := reflect.TypeFor[S]()
	if t.Kind() != reflect.Struct {
		b.fault("%s type %v is not a struct", what, t)
		return
	}
	zero, err := json.Marshal(new(S))
	if err != nil {
		b.fault("%s type %v cannot be encoded: %v", what, t, err)
		return
	}
	if _, err := splitObject(string(zero)); err != nil {
		b.fault("%s type %v does not encode as a JSON object", what, t)
		return
	}
	if err := json.Unmarshal(zero, new(S)); err != nil {
		b.fault("%s type %v cannot be decoded: %v", what, t, err)
	}
	b.def.plain = plainType(t)
	b.def.own = reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]())
}

// plainType reports whether every value of the type is the same after a trip through JSON, so that a runner may
// keep the live value from step to step. It says no in doubt: to anything that can be shared (pointers, slices,
// maps), to custom encodings, and to fields that JSON leaves out.
func plainType(t reflect.Type) bool {
	if slices.ContainsFunc(ownEncodings, reflect.PointerTo(t).Implements) {
		return false
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Array:
		return plainType(t.Elem())
	case reflect.Struct:
		return plainFields(t)
	default:
		return false
	}
}

// ownEncodings are the ways in which a type has a say in how it travels, and whether at all.
var ownEncodings = []reflect.Type{
	reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
	reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	reflect.TypeFor[interface{ IsZero() bool }](), // asked by omitzero
}

// plainFields is plainType of a struct. Of two fields with one name, JSON leaves out one or both.
func plainFields(t reflect.Type) bool {
	names := map[string]bool{}
	for f := range t.Fields() {
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		name = cmp.Or(name, f.Name)
		if !f.IsExported() || f.Anonymous || tag == "-" || names[name] || !plainType(f.Type) {
			return false
		}
		names[name] = true
	}
	return true
}
