package saga

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
)

// Steps is what the log says of a saga's steps, by their keys. Most sagas have a few, which are kept in a row; an index
// is made once there are many. The zero value is empty.
type Steps struct {
	list  []stepEntry
	index map[string]int // nil while there are few
}

type stepEntry struct {
	key   string
	state StepState
}

// How many steps are searched one by one, and for how many there is room from the beginning.
const (
	fewSteps   = 12
	usualSteps = 4
)

// Get gives what the log says of a step; the zero StepState for one that it does not mention.
func (s *Steps) Get(key string) StepState {
	if i := s.find(key); i >= 0 {
		return s.list[i].state
	}
	return StepState{}
}

// Len is how many steps the log mentions.
func (s *Steps) Len() int { return len(s.list) }

// All gives the steps in the order of their keys.
func (s *Steps) All() iter.Seq2[string, StepState] {
	return func(yield func(string, StepState) bool) {
		for _, e := range s.sorted() {
			if !yield(e.key, e.state) {
				return
			}
		}
	}
}

func (s *Steps) sorted() []stepEntry {
	return slices.SortedFunc(slices.Values(s.list), func(a, b stepEntry) int { return cmp.Compare(a.key, b.key) })
}

func (s *Steps) find(key string) int {
	if s.index != nil {
		if i, ok := s.index[key]; ok {
			return i
		}
		return -1
	}
	for i := range s.list {
		if s.list[i].key == key {
			return i
		}
	}
	return -1
}

// at gives the place of a step, which it makes if need be. It holds until the next call.
func (s *Steps) at(key string) *StepState {
	i := s.find(key)
	if i < 0 {
		if s.list == nil {
			s.list = make([]stepEntry, 0, usualSteps)
		}
		i = len(s.list)
		s.list = append(s.list, stepEntry{key: key})
		switch {
		case s.index != nil:
			s.index[key] = i
		case len(s.list) > fewSteps:
			s.reindex()
		}
	}
	return &s.list[i].state
}

func (s *Steps) reindex() {
	s.index = make(map[string]int, 2*len(s.list))
	for i, e := range s.list {
		s.index[e.key] = i
	}
}

// drop forgets the steps whose keys the function names.
func (s *Steps) drop(forgotten func(key string) bool) {
	s.list = slices.DeleteFunc(s.list, func(e stepEntry) bool { return forgotten(e.key) })
	s.index = nil
	if len(s.list) > fewSteps {
		s.reindex()
	}
}

// reset gives no steps, in the room that these have.
func (s *Steps) reset() Steps {
	clear(s.list)
	return Steps{list: s.list[:0]}
}

func (s *Steps) clone() Steps { return Steps{slices.Clone(s.list), maps.Clone(s.index)} }

// IsZero reports whether the log mentions no step.
func (s Steps) IsZero() bool { return len(s.list) == 0 }

// manySteps is how many steps are written at length.
const manySteps = 100

// MarshalJSON gives an object by key, in the keys' order. Where there are many, as over the items of a ForEach, a
// completed step is written as the number of its attempts.
func (s Steps) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, e := range s.sorted() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, e.key), ':')
		if len(s.list) > manySteps && e.state == (StepState{Status: StepDone, Attempt: e.state.Attempt}) {
			b = strconv.AppendInt(b, int64(e.state.Attempt), 10)
			continue
		}
		var err error
		if b, err = appendAny(b, e.state); err != nil {
			return nil, fmt.Errorf("step %s: %w", e.key, err)
		}
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Steps) UnmarshalJSON(data []byte) error {
	var states map[string]wireStep
	if err := json.Unmarshal(data, &states); err != nil {
		return err
	}
	*s = Steps{}
	for _, key := range slices.Sorted(maps.Keys(states)) {
		state := StepState(states[key])
		if state.Status == StepGaveUp && state.Failure == "" { // as snapshots were before there was the field
			state.Failure = cmp.Or(state.Error, noReason)
		}
		*s.at(key) = state
	}
	return nil
}

// wireStep is a step's state as written among others.
type wireStep StepState

// UnmarshalJSON reads an object, or the number of attempts of a completed step.
func (w *wireStep) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		return json.Unmarshal(data, (*StepState)(w))
	}
	*w = wireStep{Status: StepDone}
	return json.Unmarshal(data, &w.Attempt)
}
