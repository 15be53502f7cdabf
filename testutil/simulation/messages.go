package simulation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// ask has the state asked.
func (a *activation) ask(action saga.Action) {
	a.w.sight(Asked)
	state, answer, err := a.runnerOf(action.Plan).Ask(action.Task, action.State, *action.Input)
	a.do(a.core.Ran(a.on.clock(), saga.Result{Task: action.Task, State: state, Answer: &answer, Err: err}))
}

// publish puts emissions on the outbox, as often as it takes.
func (a *activation) publish(action saga.Action) {
	if a.w.conf.Broken == SkipPublish {
		a.do(a.core.Published(a.on.clock()))
		return
	}
	if a.w.strikes(loseRequest) {
		a.later(a.w.latency(), func() { a.publish(action) })
		return
	}
	a.w.after(a.w.latency(), func() {
		for _, e := range action.Emissions {
			a.w.published[e.ID]++
		}
		a.later(a.w.latency(), func() { a.do(a.core.Published(a.on.clock())) })
	})
}

// tell sends a parent word of its child's end, as often as it takes.
func (a *activation) tell(action saga.Action) {
	parent := a.w.byKey[action.Word.To]
	lost := a.w.strikes(loseRequest)
	if !lost && a.w.conf.Broken != SkipTell {
		a.w.after(a.w.latency(), func() { parent.send(action.Word.Done) })
	}
	if lost || a.w.strikes(loseAnswer) {
		a.later(2*a.w.latency(), func() { a.tell(action) })
		return
	}
	a.later(2*a.w.latency(), func() { a.do(a.core.Told(a.on.clock())) })
}

var errNoAnswer = errors.New("no answer from the server")

// runMessage begins an attempt whose work is a message to a child.
func (a *activation) runMessage(action saga.Action) {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &running{action: action, begun: a.on.clock(), ctx: ctx, cancel: cancel, called: true}
	a.runs = append(a.runs, r)
	send := a.recall
	if action.Task.Kind == saga.TaskStart {
		send = a.startChild
	}
	arrives, answered := !a.w.strikes(loseRequest), !a.w.strikes(loseAnswer)
	result := saga.Result{Task: action.Task}
	send(action, &result, arrives)
	if !arrives || !answered {
		result = saga.Result{Task: action.Task, Err: errNoAnswer}
	}
	a.later(2*time.Millisecond+a.w.between(0, 20*a.w.latency()), func() { a.ended(r, result) })
}

// startChild sends a child its Start. One that has it already is the same child.
func (a *activation) startChild(action saga.Action, result *saga.Result, arrives bool) {
	info := a.info(action)
	_, answer, err := a.runnerOf(action.Plan).Ask(action.Task, action.State, saga.Input{})
	if err != nil {
		panic(err)
	}
	spec := action.Plan.Node(action.Task.Step).Child
	ref := saga.NewChildRef(info.Key, info.Run, info.StepKey, spec.Definition, answer.Choice)
	start := saga.Start{Run: ref.Run, Definition: spec.Version, State: answer.Items[0], Time: a.on.clock()}
	if !spec.Detached {
		start.Parent = &saga.Parent{Key: info.Key, Run: info.Run, Step: info.StepKey}
	}
	result.Child = &ref
	if !arrives || a.w.conf.Broken == SkipChildStart {
		return
	}
	a.w.sight(ChildBegun)
	a.w.after(a.w.latency(), func() {
		s := a.w.byKey[ref.Key]
		if s == nil {
			s = a.w.newSubject(ref.Key)
			s.parent = start.Parent
		}
		if len(s.commands) == 0 {
			s.starts = append(s.starts, start)
			s.send(start)
			s.deeds()
		}
	})
}

// recall tells a child to undo what it has done.
func (a *activation) recall(action saga.Action, _ *saga.Result, arrives bool) {
	child, undo, _ := a.core.Instance().Recall(action.Task.Step, a.w.clock())
	if !arrives || a.w.conf.Broken == SkipRecall {
		return
	}
	a.w.sight(ChildRecalled)
	s := a.w.byKey[child]
	a.w.after(a.w.between(0, 20*a.w.latency()), func() { s.send(undo) })
}

// deeds are what clients and operators do with a saga while it lives.
func (s *subject) deeds() {
	for range pick(s.w.rng, 0, 0, 0, 1, 1, 2) {
		s.w.after(s.soon(), s.cancel)
	}
	if !s.w.conf.Language {
		return
	}
	for range pick(s.w.rng, 0, 1, 2, 3) {
		s.w.after(s.soon(), func() { s.signal(pick(s.w.rng, ring.Name(), knock.Name())) })
	}
	if s.w.chance(0.1) {
		s.w.after(s.soon(), func() {
			s.give(saga.Pause{Order: s.newOrder()})
			s.w.after(s.soon(), func() { s.give(saga.Resume{Order: s.newOrder()}) })
		})
	}
	if s.w.chance(0.04) {
		s.w.after(s.soon(), func() { s.give(saga.Terminate{Order: s.newOrder()}) })
	}
	if s.w.chance(0.1) {
		s.w.after(s.soon(), s.decide)
	}
	if s.w.chance(0.05) {
		s.w.after(s.soon(), s.meddle)
	}
}

// meddle has an operator pass over any step, or have it tried again, whether or not that makes sense.
func (s *subject) meddle() {
	f, ok := s.shadow.course.(*flow)
	if !ok {
		return
	}
	step := pick(s.w.rng, slices.Sorted(maps.Keys(f.def.find))...)
	if known := slices.Sorted(maps.Keys(f.steps)); len(known) > 0 && s.w.chance(0.7) {
		step = pick(s.w.rng, known...)
	}
	if s.w.chance(0.6) {
		s.give(saga.Skip{Order: s.newOrder(), Step: step})
	} else {
		s.give(saga.Retry{Order: s.newOrder(), Steps: []string{step}})
	}
}

// newOrder gives what the order of an operator bears.
func (s *subject) newOrder() saga.Order {
	s.orders++
	return saga.Order{
		ID: fmt.Sprintf("%s-o%d", s.key.ID, s.orders), Run: s.starts[len(s.starts)-1].Run, Reason: "because", By: "operator", Time: s.w.clock(),
	}
}

// give sends an order, now and then twice.
func (s *subject) give(cmd saga.Command) {
	s.send(cmd)
	if s.w.chance(0.1) {
		s.w.after(s.w.between(0, time.Second), func() { s.send(cmd) })
	}
}

// signal sends a signal, now and then twice, or one that nothing can take.
func (s *subject) signal(name string) {
	s.orders++
	payload := fmt.Sprintf(`{"n":%d}`, s.w.rng.IntN(1000))
	if s.w.chance(0.15) {
		payload = badPayload
	}
	s.give(saga.Signal{
		ID: fmt.Sprintf("%s-s%d", s.key.ID, s.orders), Run: s.starts[len(s.starts)-1].Run,
		Name: name, Payload: []byte(payload), By: "client", Time: s.w.clock(),
	})
}

// decide decides about one of the approvals that the saga waits for, if any.
func (s *subject) decide() {
	f, ok := s.shadow.course.(*flow)
	if !ok {
		return
	}
	for _, p := range f.awaits() {
		if p.isApproval() {
			s.approve(p)
			return
		}
	}
}

// approve decides about an approval with its token.
func (s *subject) approve(p place) {
	ctx := saga.NewContext(context.Background(), saga.Info{Key: s.key, Run: s.shadow.run, Step: p.name, StepKey: p.key()})
	token, err := saga.ParseToken(saga.ApprovalToken(ctx, p.name))
	if err != nil {
		panic(err)
	}
	cmd, err := token.Decide(saga.Decision{Approved: s.w.chance(0.7), By: pick(s.w.rng, "a", "bb", "ccc")}, s.shadow.run, s.w.clock())
	if err != nil {
		panic(err)
	}
	s.give(cmd)
}

// nudge has clients and operators do what the sagas wait for that are left when all else has come to rest. It reports whether there
// was anything to do.
func (w *world) nudge() (more bool) {
	for _, s := range w.subjects {
		if s.nudges < maxNudges && s.nudge() {
			s.nudges++
			more = true
		}
	}
	return more
}

// maxNudges is how often a saga is helped along. No plan has as many waits.
const maxNudges = 300

func (s *subject) nudge() (more bool) {
	f, ok := s.shadow.course.(*flow)
	switch {
	case !ok || s.shadow.run == "":
		return false
	case s.shadow.status == saga.StatusStuck && s.helped < 2:
		s.helped++
		return s.help(f)
	case s.shadow.ended():
		return false
	case f.paused:
		s.resume()
		return true
	}
	for _, p := range f.awaits() {
		if f.oldest(p.signalName()) != nil {
			s.w.violate(NoSagaIsLost, s.key, "%s waits for the signal %s, which is there", p.key(), p.signalName())
			return false
		}
		if p.isApproval() {
			s.approve(p)
		} else {
			s.signal(p.signal)
		}
		more = true
	}
	return more
}

// resume ends a pause to which there would be no end.
func (s *subject) resume() {
	s.w.sight(PausedToTheEnd)
	s.give(saga.Resume{Order: s.newOrder()})
}

// longPause is how long operators let a saga halt at the most.
const longPause = 10 * time.Minute

// help has an operator deal with a saga that is stuck.
func (s *subject) help(f *flow) bool {
	var stuck []string
	f.below(f.root(), func(key string, _ place) {
		if step := f.steps[key]; step.undoGaveUp || step.gaveUp {
			stuck = append(stuck, key)
		}
	})
	if len(stuck) == 0 {
		return false
	}
	step := pick(s.w.rng, stuck...)
	switch s.w.rng.IntN(6) {
	case 0:
		s.give(saga.Retry{Order: s.newOrder()})
	case 1:
		s.give(saga.Retry{Order: s.newOrder(), Steps: []string{step}})
	case 2:
		s.give(saga.Skip{Order: s.newOrder(), Step: step})
	case 3, 4:
		s.give(saga.Resolve{Order: s.newOrder(), Step: step})
	default:
		s.give(saga.Terminate{Order: s.newOrder()})
	}
	s.w.sight(Helped)
	return true
}
