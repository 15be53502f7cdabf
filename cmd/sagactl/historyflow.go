package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jetsaga/jetsaga/saga"
)

// fillFlow takes what an event tells that is not about a step: blocks, waits, signals and children.
func (r *entry) fillFlow(event saga.Event) {
	switch e := event.(type) {
	case saga.BranchTaken:
		r.Step, r.Note = e.Node, "takes "+e.Branch
	case saga.TurnStarted:
		r.Step, r.Note = e.Node, fmt.Sprintf("turn %d", e.Turn)
	case saga.LoopEnded:
		r.Step = e.Node
	case saga.BranchesJoined:
		r.Step, r.Note = e.Node, "merges "+strings.Join(e.Branches, ", ")
	case saga.BlockFailed:
		r.Step, r.Error, r.Note = e.Node, e.Error, string(e.Reason)
	case saga.ItemsFound:
		r.Step, r.Note = e.Node, fmt.Sprintf("%d items", len(e.Items))
	case saga.BranchTurned:
		r.Note = e.Scope
	case saga.ItemEnded:
		r.Step, r.Error, r.Note = e.Node, e.Error, fmt.Sprintf("item %d", e.Index)
	case saga.ItemsCollected:
		r.Step, r.Set, r.Unset = e.Node, e.Set, e.Unset
	case saga.WaitStarted:
		r.Step, r.Note = e.Node, "until "+e.Until.Local().Format(timeFormat)
	case saga.WaitEnded:
		r.Step = e.Node
	case saga.SignalReceived:
		r.Note = fmt.Sprintf("%s from %s: %s", e.Name, cmp.Or(e.By, "nobody named"), clip(string(e.Payload), 80))
	case saga.SignalTaken:
		r.Step, r.Note = e.Node, e.ID
	case saga.SignalRefused:
		r.Step, r.Error, r.Note = e.Node, e.Error, e.ID
	case saga.ChildStarted:
		r.Step, r.Note = e.Node, e.Ref.Key.String()
	case saga.ChildEnded:
		r.Step, r.Error, r.Note = e.Step, e.Error, fmt.Sprintf("%s: %s", e.Ref.Key, e.Status)
	case saga.ChildRecalled:
		r.Step = e.Node
	case saga.AttributesChanged:
		r.Note = attributes(e.Values)
	default:
		r.fillOrder(event)
	}
}

// fillOrder takes what an event tells that an operator has caused.
func (r *entry) fillOrder(event saga.Event) {
	switch e := event.(type) {
	case saga.CommandDismissed:
		r.Error, r.Note = e.Reason, e.Command+" "+e.ID
	case saga.SagaPaused:
		r.Note = orderedBy(e.Order)
	case saga.SagaResumed:
		r.Note = orderedBy(e.Order)
	case saga.SagaTerminated:
		r.Note = orderedBy(e.Order)
	case saga.UndoRequested:
		r.Note = orderedBy(e.Order)
	case saga.StepRetried:
		r.Step, r.Note = strings.Join(e.Steps, ", "), orderedBy(e.Order)
	case saga.StepSkipped:
		r.Step, r.Note = e.Step, orderedBy(e.Order)
	case saga.StepResolved:
		r.Step, r.Note = e.Step, orderedBy(e.Order)
	case saga.SagaReset:
		r.Note = fmt.Sprintf("to version %d, %s", e.To, orderedBy(e.Order))
	}
}

// orderedBy says who wanted something, and why.
func orderedBy(o saga.Order) string {
	text := "by " + cmp.Or(o.By, "nobody named")
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return text
}

func attributes(values map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, name+"="+values[name])
	}
	return strings.Join(parts, ", ")
}

// describeBlock says in words how far a block has got.
func describeBlock(b *saga.Block) string {
	var parts []string
	if b.Branch != "" {
		parts = append(parts, "took "+b.Branch)
	}
	if b.Turn > 0 {
		parts = append(parts, fmt.Sprintf("turn %d", b.Turn))
	}
	if b.Found {
		parts = append(parts, fmt.Sprintf("%d of %d items are through", b.Ended, len(b.Items)))
	}
	if c := b.Child; c != nil {
		parts = append(parts, fmt.Sprintf("child %s: %s", c.Ref.Key, cmp.Or(string(c.Status), "under way")))
	}
	switch {
	case b.Failed != "":
		parts = append(parts, "failed: "+b.Failed)
	case b.Done:
		parts = append(parts, "done")
	case !b.Until.IsZero():
		parts = append(parts, "until "+b.Until.Local().Format(timeFormat))
	}
	return strings.Join(parts, ", ")
}

// remedies says what an operator can do for a saga that needs one.
func remedies(in *saga.Instance) string {
	at := in.Key.Definition + " " + in.Key.ID
	switch {
	case in.Paused && !in.Ended():
		return "sagactl resume " + at
	case in.Status != saga.StatusStuck || len(in.Stuck) == 0:
		return ""
	case in.BlockFailed(in.Stuck[0]):
		return fmt.Sprintf("mend the handlers of %s, and sagactl reset %s VERSION, to before it; or sagactl terminate %s", in.Stuck[0], at, at)
	case in.Reason == "":
		return fmt.Sprintf("sagactl retry %s, or sagactl skip %s %s", at, at, in.Stuck[0])
	default:
		return fmt.Sprintf("sagactl retry %s, or sagactl resolve %s %s", at, at, in.Stuck[0])
	}
}
