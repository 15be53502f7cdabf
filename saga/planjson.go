package saga

import (
	"encoding/json"
	"errors"
	"fmt"
)

// maxPlanDepth is how deep the nodes of a plan may be nested that comes from outside.
const maxPlanDepth = 100

// ParsePlan reads the JSON of a plan, such as one that a worker has published. A plan that cannot be walked is refused.
func ParsePlan(data []byte) (*Plan, error) {
	var p Plan
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if p.Name == "" || p.Root == nil {
		return nil, errors.New("plan: it has no name, or no nodes")
	}
	if err := p.Root.sound(maxPlanDepth); err != nil {
		return nil, fmt.Errorf("plan %q: %w", p.Name, err)
	}
	return newPlan(p.Name, p.Version, p.Root), nil
}

// sound refuses a node that lacks what its kind has to have.
func (n *PlanNode) sound(depth int) error {
	if n == nil {
		return errors.New("a node is null")
	}
	if depth == 0 {
		return errors.New("its nodes are nested too deeply")
	}
	whole := true
	switch n.Kind {
	case KindStep:
		whole = n.Step != nil
	case KindAwait:
		whole = n.Step != nil && n.Await != nil
	case KindChild:
		whole = n.Step != nil && n.Child != nil
	case KindForEach:
		whole = n.Each != nil && n.Each.Limit > 0 && len(n.Children) == 1
	case KindLoop:
		whole = n.Loop != nil && len(n.Children) == 1
	case KindWithin:
		whole = len(n.Children) == 1
	case KindSequence, KindChoice, KindParallel, KindRace, KindSleep:
	default:
		return &UnknownError{What: "kind of node", Name: string(n.Kind)}
	}
	if !whole || n.Name == "" && n.Kind != KindSequence {
		return fmt.Errorf("the %s %q lacks a part", n.Kind, n.Name)
	}
	for _, child := range n.Children {
		if err := child.sound(depth - 1); err != nil {
			return err
		}
	}
	return nil
}
