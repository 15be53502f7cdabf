package saga

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
)

// Runner runs a definition's handlers for one activation. It is not safe for concurrent use.
type Runner interface {
	// Run runs the task's handler on a state and gives the state that results. With an error the state is
	// untouched. A panic of the handler, or of the state's own encoding, comes back as a [*PanicError]; a state
	// that does not decode or encode as an error marked by [Permanent].
	Run(ctx context.Context, t Task, s State) (State, error)
	// Ask asks a state what the task wants to know, or has it take the input, for a task that asks and for one that starts a child.
	// It has no effect outside. The state is the one that results. Panics and errors are as with Run.
	Ask(t Task, s State, in Input) (State, Answer, error)
	// Attributes gives the search attributes of the state that the last Run without an error left; nil where the definition
	// declares none.
	Attributes() map[string]string
}

// NewRunner gives what runs the handlers for one activation.
func (d *Definition[S]) NewRunner() Runner { return &runner[S]{def: d} }

type runner[S any] struct {
	def *Definition[S]
	// live is the value that the last handler left, of the state that it made, and base what it encodes to. It spares decoding the
	// state again for the next step, where the type allows.
	live     *S
	of, base State

	attributes map[string]string
	items      map[Runnable]Runner // of the nodes that work on items
}

func (r *runner[S]) Run(ctx context.Context, t Task, s State) (next State, err error) {
	r.attributes = nil
	if inner := r.inner(t); inner != nil {
		return inner.Run(ctx, t, s)
	}
	defer func() {
		if v := recover(); v != nil {
			next, err = State{}, panicError(v)
		}
	}()
	live, base, err := r.take(s)
	if err != nil {
		return State{}, err
	}
	name := StepName(t.Step)
	handler := r.def.do[name]
	if t.Undo {
		handler = r.def.undo[name]
	}
	if t.Signal != nil {
		ctx = withSignal(ctx, t.Signal)
	}
	if err := handler(ctx, live); err != nil {
		return State{}, err
	}
	return r.leave(t, live, s, base)
}

func (r *runner[S]) Ask(t Task, s State, in Input) (next State, answer Answer, err error) {
	if inner := r.inner(t); inner != nil {
		return inner.Ask(t, s, in)
	}
	defer func() {
		if v := recover(); v != nil {
			next, err = State{}, panicError(v)
		}
	}()
	live, base, err := r.take(s)
	if err != nil {
		return State{}, Answer{}, err
	}
	answer, err = r.def.ask[StepName(t.Step)](live, t, in)
	if err != nil || t.Kind == TaskAsk || t.Kind == TaskStart {
		return s, answer, err
	}
	next, err = r.leave(t, live, s, base)
	return next, answer, err
}

func (r *runner[S]) Attributes() map[string]string { return r.attributes }

// panicError makes the error of a panic, within the function that recovers it.
func panicError(v any) error { return &PanicError{Value: v, Stack: string(debug.Stack())} }

// inner gives what runs a node that works on an item; nil for one that works on the saga's state.
func (r *runner[S]) inner(t Task) Runner {
	def, ok := r.def.inner[StepName(t.Step)]
	if !ok {
		return nil
	}
	if r.items == nil {
		r.items = map[Runnable]Runner{}
	}
	inner, ok := r.items[def]
	if !ok {
		inner = def.NewRunner()
		r.items[def] = inner
	}
	return inner
}

// leave gives the state that a handler left, which it was given as s, where base is what the value encoded to before.
func (r *runner[S]) leave(t Task, live *S, s, base State) (next State, err error) {
	left, text, err := r.encode(live)
	if err != nil {
		return State{}, Permanent(fmt.Errorf("the state that step %q left cannot be encoded: %w", t.Step, err))
	}
	next = left
	if !base.equal(s) {
		next = s.merge(base, left)
	}
	r.attributes = r.def.AttributesOf(live)
	// \ufffd escaped is what encoding/json puts for invalid UTF-8: then the live value is not what was kept.
	if r.def.plain && !strings.Contains(text, `\ufffd`) {
		r.live, r.of, r.base = live, next, left
	}
	return next, nil
}

// encode gives a value as a state, and as text.
func (r *runner[S]) encode(live *S) (s State, text string, err error) {
	if text, err = encodeState(live); err != nil {
		return State{}, "", err
	}
	if r.def.own {
		s, err = parseCompact(text)
	} else {
		s, err = splitObject(text)
	}
	return s, text, err
}

// take gives a value that the handler may change, and leaves none behind: after a failure the next attempt
// starts from the state as recorded. What the value encodes to, base, need not be the state: that may have fields that this
// build does not know, lack some that it knows, or spell them otherwise. None of these is a change.
func (r *runner[S]) take(s State) (live *S, base State, err error) {
	live = r.live
	r.live = nil
	if live != nil && r.of.equal(s) {
		return live, r.base, nil
	}
	live = new(S)
	if err := json.Unmarshal(s.JSON(), live); err != nil {
		return nil, State{}, Permanent(fmt.Errorf("the state does not decode as %T: %w", *live, err))
	}
	if base, _, err = r.encode(live); err != nil {
		return live, s, nil //nolint:nilerr // the handler may leave one that can be encoded
	}
	return live, base, nil
}
