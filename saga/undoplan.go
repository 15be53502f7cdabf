package saga

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Undoing is one thing that would be undone, and what is undone at once with it or after it.
type Undoing struct {
	Step string `json:"step,omitempty"` // the step's key; empty for things that are undone at once
	// Child is the saga that would be told to undo what it has done, where the step has started one.
	Child *Key `json:"child,omitempty"`
	// AtOnce are what would be undone side by side, each from its first to its last.
	AtOnce [][]Undoing `json:"at_once,omitempty"`
	// Perhaps: nobody knows whether the step has had its effect; its undo must cope with that.
	Perhaps bool `json:"perhaps,omitempty"`
}

// UndoPlan tells what would be undone, in this order, if the saga were cancelled now. Attempts that are under way would be
// waited for first, and undone, too, if they succeed. It is empty past the pivot, and for a saga that has ended.
func UndoPlan(p *Plan, in *Instance) []Undoing {
	if in.Version == 0 || in.Ended() || p.pastPivot(in) {
		return nil
	}
	w := &walk{p: p, in: in, now: time.Time{}}
	return w.wouldUndo(p.Root, frame{})
}

// wouldUndo gives what is to be undone below a node, the first first.
func (w *walk) wouldUndo(n *PlanNode, at frame) (list []Undoing) {
	if !n.undoable {
		return nil
	}
	key := at.key(n)
	switch n.Kind {
	case KindStep, KindAwait:
		list = w.wouldUndoAll(n.Children, at)
		if s := w.in.Steps.Get(key); n.Step.Undo != nil && s.mayBeDone() {
			list = append(list, Undoing{Step: key, Perhaps: s.Doubt && s.Status != StepUndoRetrying})
		}
		return list
	case KindChoice:
		if taken := n.branch(w.in.block(key).Branch); taken != nil {
			return w.wouldUndo(taken, at)
		}
		return nil
	case KindParallel, KindRace:
		var sides [][]Undoing
		for _, branch := range n.Children {
			sides = append(sides, w.wouldUndo(branch, at))
		}
		return atOnce(sides)
	case KindForEach:
		var sides [][]Undoing
		for i := len(w.in.block(key).Items) - 1; i >= 0; i-- {
			sides = append(sides, w.wouldUndo(n.Children[0], at.turn(i)))
		}
		return atOnce(sides)
	case KindLoop:
		for turn := w.in.block(key).Turn; turn > 0; turn-- {
			list = append(list, w.wouldUndo(n.Children[0], at.turn(turn))...)
		}
		return list
	case KindChild:
		c, status := w.in.block(key).Child, w.in.Steps.Get(key).Status
		settled := status == StepUndoGaveUp || status == StepResolvedByOp || status == StepSkippedOver
		if c == nil || n.Child.Detached || settled || c.Status != "" && c.Status != StatusCompleted {
			return nil
		}
		return []Undoing{{Step: key, Child: &c.Ref.Key}}
	default:
		return w.wouldUndoAll(n.Children, at)
	}
}

func (w *walk) wouldUndoAll(nodes []*PlanNode, at frame) (list []Undoing) {
	for _, child := range slices.Backward(nodes) {
		list = append(list, w.wouldUndo(child, at)...)
	}
	return list
}

// atOnce gives what is undone side by side, where there is more than one side.
func atOnce(sides [][]Undoing) []Undoing {
	sides = slices.DeleteFunc(sides, func(s []Undoing) bool { return len(s) == 0 })
	switch len(sides) {
	case 0:
		return nil
	case 1:
		return sides[0]
	default:
		return []Undoing{{AtOnce: sides}}
	}
}

// DrawUndoing gives what would be undone as numbered lines, for a terminal.
func DrawUndoing(list []Undoing) string {
	var b strings.Builder
	drawUndoing(&b, list, "", "")
	return b.String()
}

func drawUndoing(b *strings.Builder, list []Undoing, indent, number string) {
	for i, u := range list {
		at := number + strconv.Itoa(i+1) + "."
		switch {
		case len(u.AtOnce) > 0:
			fmt.Fprintf(b, "%s%s at once:\n", indent, at)
			for j, side := range u.AtOnce {
				fmt.Fprintf(b, "%s   side %d\n", indent, j+1)
				drawUndoing(b, side, indent+"      ", at)
			}
			continue
		case u.Child != nil:
			fmt.Fprintf(b, "%s%s %s: the saga %s undoes what it has done\n", indent, at, u.Step, u.Child)
		case u.Perhaps:
			fmt.Fprintf(b, "%s%s undo %s, which may not have had its effect\n", indent, at, u.Step)
		default:
			fmt.Fprintf(b, "%s%s undo %s\n", indent, at, u.Step)
		}
	}
}
