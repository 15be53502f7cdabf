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
	plan  *Plan
	do    map[string]Handler[S]
	undo  map[string]Handler[S]
	plain bool // S is the same after a trip through JSON: see plainType
	own   bool // S has an encoding of its own, which may break the rules that encoding/json keeps
}

// Plan gives the definition as data.
func (d *Definition[S]) Plan() *Plan { return d.plan }

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
	b := &builder[S]{
		def:   &Definition[S]{do: map[string]Handler[S]{}, undo: map[string]Handler[S]{}},
		names: map[string]bool{},
	}
	if err := CheckName("definition", name); err != nil {
		b.fault("%v", err)
	}
	if version < 1 {
		b.fault("version %d is below 1", version)
	}
	b.checkState()
	if len(nodes) == 0 {
		b.fault("has no steps")
	}
	root := &PlanNode{Kind: KindSequence}
	for i, n := range nodes {
		if n == nil {
			b.fault("node %d is nil", i+1)
			continue
		}
		root.Children = append(root.Children, n.build(b))
	}
	if len(b.faults) > 0 {
		return nil, &DefinitionError{Name: name, Faults: b.faults}
	}
	b.def.plan = newPlan(name, version, root)
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

// builder gathers a definition and its faults while the nodes are visited in the order of the plan.
type builder[S any] struct {
	def    *Definition[S]
	names  map[string]bool
	pivot  string // the pivot already passed, if any
	faults []string
}

func (b *builder[S]) fault(format string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

// checkState refuses state types that JSON cannot carry there and back as an object.
func (b *builder[S]) checkState() {
	t := reflect.TypeFor[S]()
	if t.Kind() != reflect.Struct {
		b.fault("state type %v is not a struct", t)
		return
	}
	zero, err := json.Marshal(new(S))
	if err != nil {
		b.fault("state type %v cannot be encoded: %v", t, err)
		return
	}
	if _, err := splitObject(string(zero)); err != nil {
		b.fault("state type %v does not encode as a JSON object", t)
		return
	}
	if err := json.Unmarshal(zero, new(S)); err != nil {
		b.fault("state type %v cannot be decoded: %v", t, err)
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
