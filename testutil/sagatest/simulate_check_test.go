package sagatest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jetsaga/jetsaga/saga"
)

// check holds what came of the sagas against what has to hold.
func (t *trial) check() {
	for _, m := range t.w.messages {
		if !m.done {
			t.fault("saga %s: %s %s was not answered", m.key, saga.CommandName(m.command), m.command.CommandID())
		}
	}
	for _, key := range t.w.keys() {
		in := t.w.fold(key)
		if !in.Ended() || in.Status == saga.StatusStuck {
			t.fault("saga %s is %s (parked %v, paused %v, unsettled %v, signals %d)", key, in.Status, in.Parked, in.Paused, in.Unsettled, len(in.Signals))
		}
		t.checkLog(key, in)
		t.checkEffects(key, in)
		t.checkChildren(key, in)
		t.checkOutbox(key, in)
	}
}

// checkOutbox holds what was published against what the log told to publish: each event, in the log's order, and nothing else.
func (t *trial) checkOutbox(key saga.Key, in *saga.Instance) {
	if len(in.Outbox) > 0 {
		t.fault("saga %s has ended with %d emissions unpublished", key, len(in.Outbox))
	}
	of := func(emissions []saga.Emission) (own []string) {
		for _, e := range emissions {
			if t.w.emitted[e.ID].Key == key {
				own = append(own, fmt.Sprint(e.ID, e.Topic, string(e.Payload)))
			}
		}
		return own
	}
	if logged, published := of(t.emitted), of(t.w.emissions); !slices.Equal(logged, published) {
		t.fault("saga %s has emitted, by its log,\n%q\nand published\n%q", key, logged, published)
	}
}

// checkLog folds the log in every way that there is, and looks for what may not be in it.
func (t *trial) checkLog(key saga.Key, want *saga.Instance) {
	history, err := t.w.journal.History(context.Background(), key)
	if err != nil {
		t.fault("saga %s: %v", key, err)
		return
	}
	whole := saga.NewInstance(key)
	if len(history) > 0 && history[0].Version > 1 { // what was before is forgotten
		if whole, err = saga.Fold(key, history[:1]); err != nil {
			t.fault("saga %s: %v", key, err)
			return
		}
		history = history[1:]
	}
	over := whole.Ended()
	taken := map[string]bool{}
	for i := range history {
		c := history[i]
		if c.Version != whole.Version+1 {
			t.fault("saga %s: version %d follows %d", key, c.Version, whole.Version)
		}
		back := slices.ContainsFunc(c.Events, func(e saga.Event) bool { _, ok := e.(saga.SagaReset); return ok })
		if back {
			clear(taken) // what was there then is there again
		}
		for _, e := range c.Events {
			if over && !reopens(e) && !records(e, whole.Status) {
				t.fault("saga %s: version %d: %s after the end", key, c.Version, saga.EventName(e))
			}
			switch e := e.(type) {
			case saga.StepCompleted:
				if e.Signal != "" && taken[e.Signal] {
					t.fault("saga %s: signal %s was taken twice", key, e.Signal)
				}
				taken[e.Signal] = e.Signal != ""
			case saga.StepCompensated:
				if s := whole.Steps.Get(e.Step); s.Status == saga.StepUndone && !back {
					t.fault("saga %s: version %d: %s is undone twice", key, c.Version, e.Step)
				}
			case saga.BranchTaken:
				if b := whole.Blocks[e.Node]; b != nil && b.Branch != "" && !back {
					t.fault("saga %s: version %d: %s has taken branch %s before", key, c.Version, e.Node, b.Branch)
				}
			case saga.ItemEnded:
				if b := whole.Blocks[e.Node]; b != nil && !back && b.Items[e.Index].Ended {
					t.fault("saga %s: version %d: item %d of %s was through before", key, c.Version, e.Index, e.Node)
				}
			}
			if reopens(e) {
				over = false
			}
		}
		over = over || c.Ends()
		snapshot := c.Snapshot
		c.Snapshot = nil
		whole.Evolve(&c)
		if got, want := whole.Attributes["load"], loadOf(whole); got != want {
			t.fault("saga %s: version %d: the attribute is %s, the state says %s", key, c.Version, got, want)
		}
		if snapshot != nil && !same(whole, snapshot) {
			t.fault("saga %s: version %d: the snapshot is\n%s\nfolding gives\n%s", key, c.Version, encode(snapshot), encode(whole))
		}
	}
	if !same(whole, want) {
		t.fault("saga %s: folding from a snapshot gives\n%s\nfrom the beginning\n%s", key, encode(want), encode(whole))
	}
}

// reopens reports whether an event may follow the end of a run, and begins it anew.
func reopens(e saga.Event) bool {
	switch e.(type) {
	case saga.StepRetried, saga.StepSkipped, saga.StepResolved, saga.UndoRequested, saga.SagaStarted, saga.SagaReset, saga.SagaTerminated:
		return true
	default:
		return false
	}
}

// records reports whether an event does nothing but take note of what has come, for a saga that has ended like this.
func records(e saga.Event, ended saga.Status) bool {
	switch e.(type) {
	case saga.TimerCancelled, saga.CommandDismissed, saga.ChildEnded:
		return true
	case saga.SignalReceived:
		return ended == saga.StatusStuck
	default:
		return false
	}
}

func encode(in *saga.Instance) []byte {
	data, err := json.Marshal(in)
	if err != nil {
		panic(err)
	}
	return data
}

func same(a, b *saga.Instance) bool { return bytes.Equal(encode(a), encode(b)) }

// checkEffects holds what the participant has done against what the log tells.
func (t *trial) checkEffects(key saga.Key, in *saga.Instance) {
	if in.Status == saga.StatusTerminated {
		return // left as it was
	}
	plan := t.w.plan(key.Definition, in.Definition)
	done, undone := map[string]bool{}, map[string]bool{}
	for _, info := range t.p.done {
		if info.Key != key {
			continue
		}
		if info.Undo {
			undone[info.StepKey] = true
		} else {
			done[info.StepKey] = true
		}
	}
	for step, s := range in.Steps.All() {
		spec := plan.Step(step)
		switch {
		case s.Status == saga.StepDone && !done[step] && plan.Node(step).Kind == saga.KindStep && !strings.HasPrefix(step, "count"):
			t.fault("saga %s: %s is completed, says the log, and was never done", key, step)
		case in.Status == saga.StatusCompensated && s.Status == saga.StepDone && spec.Undo != nil && plan.Node(step).Kind != saga.KindChild:
			t.fault("saga %s was compensated, and %s stands", key, step)
		}
	}
	if t.wasReset[key] {
		return // what was done since then may stand, unknown to the log, and what was undone may count as done
	}
	for step := range done {
		s := in.Steps.Get(step)
		undoable := plan.Step(step) != nil && plan.Step(step).Undo != nil
		switch s.Status {
		case saga.StepDone:
			if undone[step] {
				t.fault("saga %s: %s is completed, and was undone", key, step)
			}
		case saga.StepUndone, saga.StepResolvedByOp:
			if !undone[step] {
				t.fault("saga %s: %s is undone, says the log, and was not", key, step)
			}
		case saga.StepSkippedOver:
		default:
			if undoable && !forgotten(plan, step) {
				t.fault("saga %s (%s, %s): %s has its effect, and the log says %q", key, in.Status, in.Reason, step, s.Status)
			}
		}
	}
	for step := range undone {
		// A worker that was late may have undone what it was told may be done, before another found out that it is not.
		if s := in.Steps.Get(step); s.Status != saga.StepUndone && s.Status != saga.StepResolvedByOp && s.Status != saga.StepSkippedOver && s.Status != saga.StepGaveUp {
			t.fault("saga %s: %s was undone, and the log says %q", key, step, s.Status)
		}
	}
}

// forgotten reports whether a step may be missing from the log because nothing of it can be undone.
func forgotten(plan *saga.Plan, step string) bool {
	return strings.Contains(step, "#") && plan.Step(step).Undo == nil
}

// checkChildren holds the children of a saga that was undone against its end.
func (t *trial) checkChildren(key saga.Key, in *saga.Instance) {
	for step, b := range in.Blocks {
		if b.Child == nil {
			continue
		}
		child := t.w.fold(b.Child.Ref.Key)
		// By somebody, after the parent had ended.
		mended := b.Child.Status == saga.StatusStuck || b.Child.Status == "" || t.wasReset[b.Child.Ref.Key]
		if in.Status != saga.StatusTerminated && child.Status != b.Child.Status && !mended {
			t.fault("saga %s, %s: %s (%s): the child is %s, the parent knows it as %s", key, in.Status, step, in.Steps.Get(step).Status, child.Status, b.Child.Status)
		}
		resolved := in.Steps.Get(step).Status == saga.StepResolvedByOp
		if in.Status == saga.StatusCompensated && !resolved && !t.wasReset[key] && !t.wasReset[b.Child.Ref.Key] && child.Status == saga.StatusCompleted {
			t.fault("saga %s was compensated, and its child %s of %s stands", key, b.Child.Ref.Key, step)
		}
	}
}
