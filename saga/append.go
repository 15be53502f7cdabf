package saga

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// This file writes commits without reflection: there is one for every step of every saga. It writes byte for byte what
// encoding/json makes of a wireCommit, except that the values of a state stay as they are where encoding/json would
// escape for HTML, and leaves to encoding/json what is rare.

// AppendCommit appends what [EncodeCommit] gives to b, which may be nil.
func AppendCommit(b []byte, c *Commit) (_ []byte, err error) {
	b = numberField(append(b, '{'), "f", Format)
	b = numberField(b, "v", c.Version)
	if b, err = c.Time.AppendText(append(name(b, "t"), '"')); err != nil {
		return nil, err
	}
	b = c.By.appendJSON(name(append(b, '"'), "by"))
	if c.Base != 0 {
		b = numberField(b, "base", c.Base)
	}
	if c.Keep != 0 {
		b = numberField(b, "keep", c.Keep)
	}
	b = append(name(b, "e"), '[')
	for i, e := range c.Events {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendEvent(b, e); err != nil {
			return nil, err
		}
	}
	b = append(b, ']')
	if c.Snapshot != nil {
		if b, err = appendAny(name(b, "snap"), c.Snapshot); err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
	}
	return append(b, '}'), nil
}

func appendEvent(b []byte, e Event) (_ []byte, err error) {
	kind := EventName(e)
	if kind == "" {
		return nil, fmt.Errorf("event type %T has no wire name", e)
	}
	b = name(textField(append(b, '{'), "type", kind), "data")
	switch e := e.(type) {
	case SagaStarted:
		b, err = e.appendJSON(b)
	case StepCompleted:
		b, err = e.appendJSON(b)
	case SagaCompleted:
		b = append(b, "{}"...)
	case StepCompensated:
		b, err = StepCompleted{Step: e.Step, Attempt: e.Attempt, Took: e.Took, Scope: e.Scope, Patch: e.Patch, Emits: e.Emits}.appendJSON(b)
	default:
		b, err = appendAny(b, e)
	}
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", kind, err)
	}
	return append(b, '}'), nil
}

func (e SagaStarted) appendJSON(b []byte) (_ []byte, err error) {
	b = textField(append(b, '{'), "run", e.Run)
	b = numberField(b, "definition", e.Definition)
	b = e.State.appendJSON(name(b, "state"))
	if len(e.Unsettled) > 0 {
		b = namesField(b, "unsettled", e.Unsettled)
	}
	if !e.Deadline.IsZero() {
		if b, err = appendAny(name(b, "deadline"), e.Deadline); err != nil {
			return nil, err
		}
	}
	if e.Parent != nil {
		if b, err = appendAny(name(b, "parent"), e.Parent); err != nil {
			return nil, err
		}
	}
	if len(e.Attributes) > 0 {
		if b, err = appendAny(name(b, "attributes"), e.Attributes); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func (e StepCompleted) appendJSON(b []byte) (_ []byte, err error) {
	b = textField(append(b, '{'), "step", e.Step)
	b = numberField(b, "attempt", e.Attempt)
	b = numberField(b, "took_ns", e.Took)
	if e.Scope != "" {
		b = textField(b, "scope", e.Scope)
	}
	if !e.Set.IsZero() {
		b = e.Set.appendJSON(name(b, "set"))
	}
	if len(e.Unset) > 0 {
		b = namesField(b, "unset", e.Unset)
	}
	if e.Signal != "" {
		b = textField(b, "signal", e.Signal)
	}
	if len(e.Emits) > 0 {
		if b, err = appendAny(name(b, "emits"), e.Emits); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func (o Owner) appendJSON(b []byte) []byte {
	b = append(b, '{')
	if o.Worker != "" {
		b = textField(b, "w", o.Worker)
	}
	if o.Command != "" {
		b = textField(b, "c", o.Command)
	}
	if o.Delivery != 0 {
		b = numberField(b, "n", o.Delivery)
	}
	if o.Stream != "" {
		b = textField(b, "s", o.Stream)
	}
	if o.Sequence != 0 {
		b = numberField(b, "q", o.Sequence)
	}
	return append(b, '}')
}

// name begins a field of the object under way. The name needs no escape.
func name(b []byte, field string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), field...)
	return append(b, '"', ':')
}

func numberField[N ~int | ~int64 | ~uint64](b []byte, field string, n N) []byte {
	b = name(b, field)
	if n < 0 {
		return strconv.AppendInt(b, int64(n), 10)
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

func namesField(b []byte, field string, names []string) []byte {
	b = append(name(b, field), '[')
	for i, n := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, n)
	}
	return append(b, ']')
}

func textField(b []byte, field, text string) []byte { return appendText(name(b, field), text) }

// appendText writes what encoding/json writes as it is, and leaves to it what it escapes.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(text) // text cannot fail
			return append(b, quoted...)
		}
	}
	b = append(append(b, '"'), text...)
	return append(b, '"')
}

func appendAny(b []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(b, data...), err
}
