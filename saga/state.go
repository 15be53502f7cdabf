package saga

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// State is a saga's state as it travels: a JSON object, held by its top-level fields so that a commit can carry
// only those that a step changed. A State is immutable; its methods give new ones. The zero value is {}.
type State struct {
	fields []field
}

// field is one top-level member: the name as encoded between its quotes, the value as compact JSON.
type field struct {
	name, value string
}

// ParseState reads a JSON object. Anything else, and an object that names a field twice, is refused.
func ParseState(data []byte) (State, error) {
	if text, ok := compactText(data); ok {
		return parseCompact(text)
	}
	var compact bytes.Buffer
	compact.Grow(len(data))
	if err := json.Compact(&compact, data); err != nil {
		return State{}, fmt.Errorf("state is not JSON: %w", err)
	}
	return parseCompact(compact.String())
}

// compactText gives JSON as text, if it is valid and has no blank between its tokens.
func compactText(data []byte) (text string, ok bool) {
	if !json.Valid(data) {
		return "", false
	}
	text = string(data)
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i) - 1
		case ' ', '\t', '\r', '\n':
			return "", false
		}
	}
	return text, true
}

// parseCompact is ParseState of compact, valid JSON.
func parseCompact(text string) (State, error) {
	s, err := splitObject(text)
	if err != nil {
		return State{}, err
	}
	for i := range s.fields {
		s.fields[i].spellAlike()
	}
	if name, twice := s.repeated(); twice {
		return State{}, fmt.Errorf("state names the field %q twice", unspelled(name))
	}
	return s, nil
}

// repeated gives a field name that occurs twice, if there is one.
func (s State) repeated() (string, bool) {
	names := make([]string, 0, usualFields)
	for _, f := range s.fields {
		names = append(names, f.name)
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return names[i], true
		}
	}
	return "", false
}

// spellAlike spells the name as encoding/json does, so that one field has one name whoever wrote it.
func (f *field) spellAlike() {
	if !utf8.ValidString(f.name) || strings.ContainsAny(f.name, "\\<>&\u2028\u2029") {
		f.name = spelled(unspelled(f.name))
	}
}

// spelled gives a name as encoding/json writes it between its quotes. Any text has a spelling.
func spelled(name string) string {
	quoted, _ := json.Marshal(name)
	return string(quoted[1 : len(quoted)-1])
}

// unspelled gives the name that is spelled so in valid JSON.
func unspelled(spelling string) (name string) {
	_ = json.Unmarshal([]byte(`"`+spelling+`"`), &name)
	return name
}

// maxNesting is how many levels deep a state's fields may be nested: encoding/json reads 10,000, and the commit around
// the state takes a few of those.
const maxNesting = 9_000

// usualFields is for how many fields there is room from the beginning.
const usualFields = 8

// splitObject cuts compact, valid JSON into the object's top-level fields. It trusts the validity and checks
// only that the value is an object, and not nested too deeply.
//
// The fields are parts of the text, which lives as long as any of them.
func splitObject(b string) (State, error) {
	if len(b) < 2 || b[0] != '{' {
		return State{}, errors.New("state is not a JSON object")
	}
	if b == "{}" {
		return State{}, nil
	}
	s := State{make([]field, 0, usualFields)}
	for i := 1; b[i] != '}'; {
		f, end, nesting := fieldAt(b, i)
		if nesting > maxNesting {
			return State{}, fmt.Errorf("state is nested %d levels deep, at most %d are allowed", nesting, maxNesting)
		}
		s.fields = append(s.fields, f)
		i = end
	}
	return s, nil
}

// fieldAt gives the member of an object that begins at b[i], or after a comma there, the index after it, and how deep its
// value goes.
func fieldAt(b string, i int) (f field, end, nesting int) {
	if b[i] == ',' {
		i++
	}
	nameEnd := stringEnd(b, i)
	end, nesting = valueEnd(b, nameEnd+1) // past the colon
	return field{name: b[i+1 : nameEnd-1], value: b[nameEnd+1 : end]}, end, nesting
}

// stringEnd gives the index after the string that begins at b[i].
func stringEnd(b string, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// valueEnd gives the index after the value that begins at b[i], which lies within an object, and how deep it goes.
func valueEnd(b string, i int) (end, nesting int) {
	for depth := 0; ; {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			continue
		case '{', '[':
			depth++
			nesting = max(nesting, depth)
		case '}', ']':
			if depth == 0 {
				return i, nesting
			}
			depth--
		case ',':
			if depth == 0 {
				return i, nesting
			}
		}
		i++
	}
}

// JSON gives the state as one compact object.
func (s State) JSON() []byte {
	n := 2
	for _, f := range s.fields {
		n += len(f.name) + len(f.value) + 4
	}
	return s.appendJSON(make([]byte, 0, n))
}

func (s State) appendJSON(b []byte) []byte {
	b = append(b, '{')
	for i, f := range s.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, f.name...)
		b = append(b, '"', ':')
		b = append(b, f.value...)
	}
	return append(b, '}')
}

// Size is the length of [State.JSON] in bytes.
func (s State) Size() int {
	n := 2 + max(len(s.fields)-1, 0)
	for _, f := range s.fields {
		n += len(f.name) + len(f.value) + 3
	}
	return n
}

// Field gives the JSON of one top-level field.
func (s State) Field(name string) (json.RawMessage, bool) {
	if i := s.index(spelled(name), 0); i >= 0 {
		return json.RawMessage(s.fields[i].value), true
	}
	return nil, false
}

// Fields gives the names of the top-level fields, in their order.
func (s State) Fields() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = unspelled(f.name)
	}
	return names
}

// IsZero reports whether the state has no field.
func (s State) IsZero() bool { return len(s.fields) == 0 }

// MarshalJSON is [State.JSON].
func (s State) MarshalJSON() ([]byte, error) { return s.JSON(), nil }

// UnmarshalJSON is [ParseState].
func (s *State) UnmarshalJSON(data []byte) error {
	parsed, err := ParseState(data)
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

// index finds a field, trying the place at hint first: two states of one saga mostly agree in their order.
func (s State) index(name string, hint int) int {
	if hint < len(s.fields) && s.fields[hint].name == name {
		return hint
	}
	return slices.IndexFunc(s.fields, func(f field) bool { return f.name == name })
}

// equal reports whether both hold the same fields with the same bytes in the same order.
func (s State) equal(other State) bool {
	if n := len(s.fields); n > 0 && n == len(other.fields) && &s.fields[0] == &other.fields[0] {
		return true
	}
	return slices.Equal(s.fields, other.fields)
}

// Patch is what a step changed: the top-level fields that it set, and those that it removed, by their names as JSON
// spells them.
type Patch struct {
	Set   State    `json:"set,omitzero"`
	Unset []string `json:"unset,omitempty"`
}

// IsZero reports whether the patch changes nothing.
func (p Patch) IsZero() bool { return p.Set.IsZero() && len(p.Unset) == 0 }

// Diff gives the patch that turns s into next.
func (s State) Diff(next State) Patch {
	var p Patch
	for i, f := range next.fields {
		if at := s.index(f.name, i); at < 0 || s.fields[at].value != f.value {
			p.Set.fields = append(p.Set.fields, f)
		}
	}
	for i, f := range s.fields {
		if next.index(f.name, i) < 0 {
			p.Unset = append(p.Unset, f.name)
		}
	}
	return p
}

// merge gives the state with what has changed from base to left, which both are encodings of what it decodes to. A field that it spells
// in another case goes when the one that it stands for has changed.
func (s State) merge(base, left State) State {
	changes := base.Diff(left)
	for _, f := range s.fields {
		changed := func(name string) bool { return name != f.name && strings.EqualFold(name, f.name) }
		if base.index(f.name, 0) < 0 && left.index(f.name, 0) < 0 &&
			(slices.ContainsFunc(changes.Unset, changed) || slices.ContainsFunc(changes.Set.fields, func(set field) bool { return changed(set.name) })) {
			changes.Unset = append(changes.Unset, f.name)
		}
	}
	return s.Apply(changes)
}

// Apply gives the state with the patch applied. Fields keep their place; new ones come last.
func (s State) Apply(p Patch) State {
	if p.IsZero() {
		return s
	}
	fields := make([]field, 0, len(s.fields)+len(p.Set.fields))
	for _, f := range s.fields {
		if !slices.Contains(p.Unset, f.name) {
			fields = append(fields, f)
		}
	}
	next := State{fields}
	for _, f := range p.Set.fields {
		if at := next.index(f.name, len(next.fields)); at >= 0 {
			next.fields[at] = f
		} else {
			next.fields = append(next.fields, f)
		}
	}
	return next
}

// applied is Apply where next may be the very state that results: then it is that one, and no other is made.
func (s State) applied(p Patch, next State) State {
	if len(next.fields) < len(s.fields) || len(p.Unset) > 0 {
		return s.Apply(p)
	}
	set := p.Set.fields
	for i, f := range s.fields {
		if len(set) > 0 && set[0].name == f.name {
			f, set = set[0], set[1:]
		}
		if next.fields[i] != f {
			return s.Apply(p)
		}
	}
	if !slices.Equal(next.fields[len(s.fields):], set) {
		return s.Apply(p)
	}
	return next
}
