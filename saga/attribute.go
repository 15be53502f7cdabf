package saga

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
