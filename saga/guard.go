package saga

import (
	"encoding/json"
	"fmt"
)

// guardedResult is what the guard of a step keeps of an attempt that succeeded.
type guardedResult struct {
	Patch
	Emits      []Emission        `json:"emits,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// GuardKey is the key under which the guard of a step keeps its result; see [StepNode.Guarded].
func (i Info) GuardKey() string { return "step/" + i.IdempotencyKey() }

// Record gives what the guard of a step is to keep of a successful attempt, which was given a state.
func (r *Result) Record(given State) ([]byte, error) {
	data, err := json.Marshal(guardedResult{given.Diff(r.State), r.Emits, r.Attributes})
	if err != nil {
		return nil, fmt.Errorf("step %q: the result to guard: %w", r.Task.Step, err)
	}
	return data, nil
}

// Recall makes the result that of an earlier attempt, of which the guard has kept the record.
func (r *Result) Recall(given State, record []byte) error {
	var kept guardedResult
	if err := json.Unmarshal(record, &kept); err != nil {
		return fmt.Errorf("step %q: the result that the guard has kept: %w", r.Task.Step, err)
	}
	r.State, r.Emits, r.Attributes = given.Apply(kept.Patch), kept.Emits, kept.Attributes
	return nil
}

// GuardedSteps gives the names of the plan's steps that need a guard.
func (p *Plan) GuardedSteps() (names []string) {
	p.Root.each(func(n *PlanNode) {
		if n.Step != nil && n.Step.Guarded {
			names = append(names, n.Name)
		}
	})
	return names
}
