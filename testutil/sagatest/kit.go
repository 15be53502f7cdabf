package sagatest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Kit is sagas in memory, with virtual time. It belongs to the goroutine of its test.
type Kit struct {
	t     testing.TB
	w     *world
	stubs map[string]func(info saga.Info) error
	ids   int

	attempting *actor // whose attempt a stub is asked about
}

// New gives a kit that knows the definitions: those of children, too.
func New(t testing.TB, definitions ...saga.Runnable) *Kit {
	t.Helper()
	k := &Kit{t: t, w: newWorld(definitions), stubs: map[string]func(saga.Info) error{}}
	k.w.call = k.call
	return k
}

// call runs a handler, unless the test has said what comes of it.
func (k *Kit) call(a *actor, action saga.Action, info saga.Info) saga.Result {
	key, name := attemptNames(info)
	stub := k.stubs[key]
	if stub == nil {
		stub = k.stubs[name]
	}
	if stub != nil {
		k.attempting = a
		if err := stub(info); err != nil {
			return saga.Result{Err: err}
		}
	}
	return a.attempt(action, info)
}

// attemptNames gives what a test calls the attempts of a step: by its key, and by its name.
func attemptNames(info saga.Info) (key, name string) {
	if info.Undo {
		return undoPrefix + info.StepKey, undoPrefix + info.Step
	}
	return info.StepKey, info.Step
}

const undoPrefix = "undo "

// Fail has the next attempts of a step fail with these errors, one each, before its handler is called again. An attempt whose
// result was lost with its worker does not count: what is made in its place fails as it did. The step is given by its name or,
// in loops and over items, by its key; an undo as "undo " and the step.
func (k *Kit) Fail(step string, errs ...error) {
	k.Stub(step, func(saga.Info) error {
		if len(errs) == 0 {
			return nil
		}
		err := errs[0]
		errs = errs[1:]
		k.attempting.lost = append(k.attempting.lost, func() { errs = append([]error{err}, errs...) })
		return err
	})
}

// Stub has a function called before each attempt of a step; where it gives an error, the attempt has failed with it, and the
// handler is not called. The step is given as for [Kit.Fail].
func (k *Kit) Stub(step string, f func(info saga.Info) error) { k.stubs[step] = f }

// Now is the virtual time.
func (k *Kit) Now() time.Time { return k.w.now }

// Run lets time pass until nothing is left to happen: all sagas have ended, or wait for a signal.
func (k *Kit) Run() {
	k.t.Helper()
	k.must(k.w.run(time.Time{}))
}

// Settle lets everything happen that can happen now.
func (k *Kit) Settle() {
	k.t.Helper()
	k.must(k.w.settle())
}

// Advance lets time pass.
func (k *Kit) Advance(d time.Duration) {
	k.t.Helper()
	k.must(k.w.run(k.w.now.Add(d)))
}

func (k *Kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// id gives an id that is the same each time a scenario is played.
func (k *Kit) id(kind string) string {
	k.ids++
	return fmt.Sprintf("%s-%d", kind, k.ids)
}

// Emitted gives what all sagas have emitted, in the order of publishing, each once.
func (k *Kit) Emitted() []saga.Emission { return slices.Clone(k.w.emissions) }

// Rejected gives the reasons of commands that could not be carried out.
func (k *Kit) Rejected() []error { return slices.Clone(k.w.rejected) }

// Send sends a saga a command of any kind.
func (k *Kit) Send(key saga.Key, c saga.Command) { k.w.send(key, c) }

// Get gives a saga of any definition, such as a child; nil where there is none.
func (k *Kit) Get(key saga.Key) *saga.Instance {
	if in := k.w.fold(key); in.Version > 0 {
		return in
	}
	return nil
}

// At gives a saga as it was at a version of its log.
func (k *Kit) At(key saga.Key, version uint64) (*saga.Instance, error) {
	history, err := k.w.journal.History(context.Background(), key)
	if err != nil {
		return nil, err
	}
	for i := range history {
		if history[i].Version == version {
			return saga.Fold(key, history[:i+1])
		}
	}
	return nil, fmt.Errorf("saga %s: the log has no version %d, or has forgotten it", key, version)
}

// Sagas gives the keys of all sagas, in the order of their names.
func (k *Kit) Sagas() []saga.Key { return k.w.keys() }

// Saga is one saga in a kit.
type Saga[S any] struct {
	k   *Kit
	Key saga.Key
	run string
}

// StartOption changes what Start does.
type StartOption func(*saga.Start)

// Deadline has the saga undone that has not ended by then.
func Deadline(at time.Time) StartOption { return func(s *saga.Start) { s.Deadline = at } }

// After begins a new run of a saga that has ended.
func After[S any](ended *Saga[S]) StartOption { return func(s *saga.Start) { s.Previous = ended.run } }

// Start starts a saga. Nothing of it happens before [Kit.Run] or one of its like.
func Start[S any](k *Kit, def *saga.Definition[S], id string, state S, opts ...StartOption) *Saga[S] {
	k.t.Helper()
	data, err := json.Marshal(state)
	k.must(err)
	start := saga.Start{Run: k.id("run"), Definition: def.Plan().Version, Time: k.w.now}
	start.State, err = saga.ParseState(data)
	k.must(err)
	for _, opt := range opts {
		opt(&start)
	}
	s := &Saga[S]{k: k, Key: saga.Key{Definition: def.Plan().Name, ID: id}, run: start.Run}
	k.must(s.Key.Validate())
	if start.Previous != "" {
		k.w.send(s.Key, start)
	} else if !k.w.start(s.Key, start) {
		k.t.Errorf("saga %s was started before: another run begins with After", s.Key)
	}
	return s
}

// Instance gives the saga as its log tells it.
func (s *Saga[S]) Instance() *saga.Instance { return s.k.w.fold(s.Key) }

// State gives the saga's state.
func (s *Saga[S]) State() (state S) {
	s.k.t.Helper()
	s.k.must(json.Unmarshal(s.Instance().State.JSON(), &state))
	return state
}

// Order gives what an operator's command to this run bears.
func (s *Saga[S]) Order() saga.Order {
	return saga.Order{ID: s.k.id("order"), Run: s.run, By: "operator", Reason: "test", Time: s.k.w.now}
}

// Send sends the saga a command of any kind.
func (s *Saga[S]) Send(c saga.Command) { s.k.w.send(s.Key, c) }

// Cancel asks for the saga to be undone.
func (s *Saga[S]) Cancel() {
	s.Send(saga.Cancel{ID: s.k.id("cancel"), Run: s.run, Reason: "cancelled by the test", Time: s.k.w.now})
}

// Signal sends the saga a signal.
func Signal[S, P any](s *Saga[S], signal saga.SignalType[P], payload P) {
	s.k.t.Helper()
	data, err := signal.Encode(payload)
	s.k.must(err)
	s.Send(saga.Signal{ID: s.k.id("signal"), Name: signal.Name(), Payload: data, Time: s.k.w.now})
}

// Approve decides an approval with its token.
func (s *Saga[S]) Approve(token string, d saga.Decision) {
	s.k.t.Helper()
	parsed, err := saga.ParseToken(token)
	s.k.must(err)
	signal, err := parsed.Decide(d, s.run, s.k.w.now)
	s.k.must(err)
	s.Send(signal)
}

// Token gives the token of an approval of the saga, by the key of the wait.
func (s *Saga[S]) Token(approval string) string {
	ctx := saga.NewContext(context.Background(), saga.Info{Key: s.Key, Run: s.run})
	return saga.ApprovalToken(ctx, approval)
}
