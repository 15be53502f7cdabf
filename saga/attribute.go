package saga

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// AttributeNode declares a search attribute.
type AttributeNode[S any] struct {
	name  string
	value func(*S) string
}

// maxAttributeBytes is the longest value of an attribute, in bytes; a longer one is cut.
const maxAttributeBytes = 256

// Attribute declares a search attribute: read models index sagas by what the function gives for their state, which is
// recorded whenever it changes. It is not a step; it stands among a definition's nodes, before or after them. An empty
// value is no value.
func Attribute[S any](name string, value func(*S) string) AttributeNode[S] {
	return AttributeNode[S]{name: name, value: value}
}

func (n AttributeNode[S]) build(b *builder[S]) *PlanNode {
	if err := CheckName("attribute", n.name); err != nil {
		b.fault("%v", err)
	}
	switch {
	case n.value == nil:
		b.fault("attribute %q has a nil function", n.name)
	case b.depth > 0:
		b.fault("attribute %q is declared within another node; it belongs to the definition", n.name)
	}
	for _, a := range b.def.attributes {
		if a.name == n.name {
			b.fault("attribute %q occurs twice", n.name)
		}
	}
	b.def.attributes = append(b.def.attributes, n)
	return nil
}

// AttributesOf gives the search attributes of a state, nil where none is declared.
func (d *Definition[S]) AttributesOf(state *S) map[string]string {
	if len(d.attributes) == 0 {
		return nil
	}
	values := make(map[string]string, len(d.attributes))
	for _, a := range d.attributes {
		if v := a.value(state); v != "" {
			values[a.name] = clip(v, maxAttributeBytes)
		}
	}
	return values
}

// attributesIn is AttributesOf for a state as it is recorded; nil also for one that does not decode, and where an attribute's
// function panics: the step that comes next will tell.
func (d *Definition[S]) attributesIn(state State) (values map[string]string) {
	defer func() {
		if recover() != nil {
			values = nil
		}
	}()
	var live S
	if json.Unmarshal(state.JSON(), &live) != nil {
		return nil
	}
	return d.AttributesOf(&live)
}

// index records the search attributes after events that have changed the state into another than the one that a handler left,
// whose attributes came with it.
func (a *Activation) index(now time.Time, events []Event, left State) {
	changes := func(e Event) bool { return a.plan.changesState(e, left.equal(a.in.State)) }
	if a.plan == nil || a.plan.attributes == nil || !slices.ContainsFunc(events, changes) {
		return
	}
	values := a.plan.attributes(a.in.State)
	if values == nil || maps.Equal(values, a.in.Attributes) {
		return
	}
	e := AttributesChanged{Values: values}
	a.events = append(a.events, e)
	a.in.apply(e, stamp{version: a.in.Version + 1, time: now, by: a.me})
}

// changesState reports whether an event changes the saga's state, other than into the one that a handler left. Of steps that run
// at once, as undos do, each leaves a state that lacks what the others have changed.
func (p *Plan) changesState(e Event, left bool) bool {
	switch e := e.(type) {
	case BranchesJoined:
		return e.Scope == ""
	case ItemsCollected:
		return e.Scope == ""
	case StepCompleted:
		n := p.Node(e.Step)
		return e.Scope == "" && (!left || n != nil && n.Kind == KindChild)
	case StepCompensated:
		return e.Scope == "" && !left
	case SagaReset:
		return true
	default:
		return false
	}
}
