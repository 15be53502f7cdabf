package saga

import (
	"fmt"
	"time"
)

// SleepNode waits for a time.
type SleepNode[S any] struct {
	name  string
	rest  func(*S) time.Duration
	until func(*S) time.Time
}

// Sleep waits for as long as the function says, from when the saga gets there. It is asked once and the time is recorded, so
// the wait ends at that time whatever happens to workers. Zero and less is no wait.
func Sleep[S any](name string, rest func(*S) time.Duration) SleepNode[S] {
	return SleepNode[S]{name: name, rest: rest}
}

// SleepUntil waits until the time that the function gives. It is asked once and the time is recorded. A time that has
// passed is no wait. One outside the years 0 to 9999 fails the saga; the usual cause is milliseconds passed as seconds.
func SleepUntil[S any](name string, until func(*S) time.Time) SleepNode[S] {
	return SleepNode[S]{name: name, until: until}
}

// lastYear is the last whose times have a JSON.
const lastYear = 9999

func (n SleepNode[S]) build(b *builder[S]) *PlanNode {
	b.claim("sleep", n.name)
	if n.rest == nil && n.until == nil {
		b.fault("sleep %q has a nil function", n.name)
	}
	b.def.ask[n.name] = func(state *S, _ Task, _ Input) (Answer, error) {
		if n.until != nil {
			until := n.until(state)
			if year := until.UTC().Year(); year < 0 || year > lastYear {
				return Answer{}, fmt.Errorf("sleep %q until the year %d: only times of the years 0 to %d can be recorded", n.name, year, lastYear)
			}
			return Answer{Until: until}, nil
		}
		return Answer{Rest: n.rest(state)}, nil
	}
	return &PlanNode{Kind: KindSleep, Name: n.name}
}

// WithinNode is a block with a deadline.
type WithinNode[S any] struct {
	name  string
	limit time.Duration
	nodes []Node[S]
}

// Within runs the nodes one after another and fails the saga, which is undone, unless they are done when the limit has
// passed since the saga got there. Attempts under way have their context ended, and may finish.
func Within[S any](name string, limit time.Duration, nodes ...Node[S]) WithinNode[S] {
	return WithinNode[S]{name, limit, nodes}
}

func (n WithinNode[S]) build(b *builder[S]) *PlanNode {
	b.claim("within", n.name)
	if n.limit <= 0 {
		b.fault("within %q: limit %v is not positive", n.name, n.limit)
	}
	if b.pivot != "" {
		b.fault("within %q: can fail, but after the pivot %q nothing can be undone", n.name, b.pivot)
	}
	defer b.enter("within", n.name)()
	body := b.branch("within", n.name, "", n.nodes)
	return &PlanNode{Kind: KindWithin, Name: n.name, Within: n.limit, Children: []*PlanNode{body}}
}
