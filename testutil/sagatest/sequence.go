package sagatest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/jetsaga/jetsaga/saga"
)

// sequence puts effects in an order that is the same for all orders in which a definition allows the same effects to come: what
// happens at once, in branches, for several items, in sagas of which none has started the other, comes by its name; all else as it came.
func (w *world) sequence(effects []Effect) (ordered []Effect) {
	ways := map[string][]turning{}
	for _, e := range effects {
		ways[e.id] = w.way(e.Key, e.Run, e.Step)
	}
	rest := slices.Clone(effects)
	for len(rest) > 0 {
		first := 0
		for i, e := range rest {
			held := slices.ContainsFunc(rest[:i], func(before Effect) bool { return !atOnce(ways[before.id], ways[e.id]) })
			if !held && e.name() < rest[first].name() {
				first = i
			}
		}
		ordered = append(ordered, rest[first])
		rest = slices.Delete(rest, first, first+1)
	}
	return ordered
}

// name tells the effect from those of all sagas.
func (e Effect) name() string { return e.Key.String() + " " + e.Run + " " + e.String() }

// turning is where the way to a step turns off, and whether what lies on the other sides happens at once with it.
type turning struct {
	side   string
	atOnce bool
}

// atOnce reports whether two steps may happen in any order.
func atOnce(a, b []turning) bool {
	for i := range min(len(a), len(b)) {
		if a[i].side != b[i].side {
			return a[i].atOnce
		}
	}
	return false
}

// way gives the turnings to a step: through the saga that waits for this one, if one does, and down the plan.
func (w *world) way(key saga.Key, run, step string) (way []turning) {
	start := w.findStart(key, run)
	if parent := start.Parent; parent != nil {
		way = w.way(parent.Key, parent.Run, parent.Step)
	} else {
		way = []turning{{key.String(), true}, {run, false}}
	}
	turns := strings.Split(step, "#")
	below, _ := wayBelow(w.plan(key.Definition, start.Definition).Root, turns[0], turns[1:])
	return append(way, below...)
}

// wayBelow gives the turnings from a node to the one with that name, in these turns of the loops and for these items around it.
func wayBelow(n *saga.PlanNode, name string, turns []string) (way []turning, found bool) {
	if n.Name == name {
		return nil, true
	}
	for i, child := range n.Children {
		here, rest := turning{side: strconv.Itoa(i), atOnce: n.Kind == saga.KindParallel || n.Kind == saga.KindRace}, turns
		if n.Each != nil || n.Loop != nil {
			if len(turns) == 0 {
				return nil, false
			}
			here, rest = turning{side: turns[0], atOnce: n.Each != nil && n.Each.Limit > 1}, turns[1:]
		}
		if way, found = wayBelow(child, name, rest); found {
			return append([]turning{here}, way...), true
		}
	}
	return nil, false
}
