package sagatest_test

import (
	"slices"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil/sagatest"
)

// planned gives the steps of a plan for undoing, those of one side after those of another, and the children among them.
func planned(list []saga.Undoing, children map[string]saga.Key) (steps []string) {
	for _, u := range list {
		if u.Step != "" {
			steps = append(steps, u.Step)
		}
		if u.Child != nil {
			children[u.Step] = *u.Child
		}
		for _, side := range u.AtOnce {
			steps = append(steps, planned(side, children)...)
		}
	}
	return steps
}

// undone gives the steps that were undone, and children that were told to undo, in the commits of a run after a version; and the steps
// of which it became known only after it that they were done, or may be, or are to be undone once more.
func undone(history []saga.Commit, version uint64) (steps []string, late map[string]bool) {
	late = map[string]bool{}
	for _, c := range history {
		for _, event := range c.Events {
			switch e := event.(type) {
			case saga.SagaStarted:
				if c.Version > version {
					return steps, late
				}
			case saga.StepRetried:
				for _, step := range e.Steps {
					late[step] = late[step] || c.Version > version && !slices.Contains(steps, step)
				}
			case saga.StepCompleted:
				late[e.Step] = c.Version > version
			case saga.StepFailed:
				late[e.Step] = c.Version > version && e.Unknown
			case saga.ChildStarted:
				late[e.Node] = c.Version > version
			case saga.StepCompensated:
				if c.Version > version && !slices.Contains(steps, e.Step) {
					steps = append(steps, e.Step)
				}
			case saga.ChildRecalled:
				if c.Version > version && !slices.Contains(steps, e.Node) {
					steps = append(steps, e.Node)
				}
			case saga.CompensationFailed:
				if c.Version > version && e.GaveUp && !slices.Contains(steps, e.Step) {
					steps = append(steps, e.Step)
				}
			}
		}
	}
	return steps, late
}

// What a cancel undoes, and in which order, is what the plan for undoing has told right before; and what was under way, if it was done.
func TestACancelUndoesWhatThePlanForUndoingHasTold(t *testing.T) {
	t.Parallel()
	for _, sc := range everyScenario() {
		t.Run(sc.name, func(t *testing.T) {
			def, definitions := sc.definitions(t)
			whole := sagatest.New(quiet{t}, definitions...)
			sc.finish(whole, sc.start(whole, def))
			for n := 1; n <= whole.Commits(); n++ {
				k := sagatest.New(quiet{t}, definitions...)
				s := sc.start(k, def)
				var was *saga.Instance
				k.Interrupt(n, func() {
					was = s.Instance()
					s.Cancel()
				})
				sc.finish(k, s)
				plan := saga.UndoPlan(def.Plan(), was)
				history, err := k.History(s.Key)
				if err != nil {
					t.Fatal(err)
				}
				did, late := undone(history, was.Version)
				if len(plan) == 0 || s.Instance().Status == saga.StatusCompleted {
					continue // there was nothing to undo, or a pivot was under way
				}
				children := map[string]saga.Key{}
				steps := planned(plan, children)
				steps = slices.DeleteFunc(steps, func(step string) bool { // one that was told before, or has ended by itself
					key, isChild := children[step]
					return isChild && !slices.Contains(did, step) && k.Get(key).Status != saga.StatusCompleted
				})
				did = slices.DeleteFunc(did, func(step string) bool { return late[step] })
				want, got := k.InSequence(s.Key, was.Run, steps), k.InSequence(s.Key, was.Run, did)
				if !slices.Equal(want, got) {
					t.Errorf("cancelled at commit %d, version %d: undone is\n%q\nthe plan was\n%s", n, was.Version, did, saga.DrawUndoing(plan))
				}
			}
		})
	}
}
