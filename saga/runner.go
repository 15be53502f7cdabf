package saga

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
)

// Runner runs a definition's handlers for one activation. It is not safe for concurrent use.
type Runner interface {
	// Run runs the task's handler on a state and gives the state that results. With an error the state is
	// untouched. A panic of the handler, or of the state's own encoding, comes back as a [*PanicError]; a state
	// that does not decode or encode as an error marked by [Permanent].
	Run(ctx context.Context, t Task, s State) (State, error)
}

// NewRunner gives what runs the handlers for one activation.
func (d *Definition[S]) NewRunner() Runner { return &runner[S]{def: d} }

type runner[S any] struct {
	def *Definition[S]
	// live is the value that the last handler left, and of what it encoded to. It spares decoding the state
	// again for the next step, where the type allows.
	live *S
	of   State
}

func (r *runner[S]) Run(ctx context.Context, t Task, s State) (next State, err error) {
	defer func() {
		if v := recover(); v != nil {
			next, err = State{}, &PanicError{Value: v, Stack: string(debug.Stack())}
		}
	}()
	live, err := r.take(s)
	if err != nil {
		return State{}, err
	}
	handler := r.def.do[t.Step]
	if t.Undo {
		handler = r.def.undo[t.Step]
	}
	if err := handler(ctx, live); err != nil {
		return State{}, err
	}
	encoded, err := json.Marshal(live)
	if err != nil {
		return State{}, Permanent(fmt.Errorf("the state that step %q left cannot be encoded: %w", t.Step, err))
	}
	if r.def.own {
		next, err = ParseState(encoded)
	} else {
		next, err = splitObject(string(encoded))
	}
	if err != nil {
		return State{}, Permanent(fmt.Errorf("the state that step %q left: %w", t.Step, err))
	}
	// \ufffd escaped is what encoding/json puts for invalid UTF-8: then the live value is not what was kept.
	if r.def.plain && !bytes.Contains(encoded, []byte(`\ufffd`)) {
		r.live, r.of = live, next
	}
	return next, nil
}

// take gives a value that the handler may change, and leaves none behind: after a failure the next attempt
// starts from the state as recorded.
func (r *runner[S]) take(s State) (*S, error) {
	live := r.live
	r.live = nil
	if live != nil && r.of.equal(s) {
		return live, nil
	}
	live = new(S)
	if err := json.Unmarshal(s.JSON(), live); err != nil {
		return nil, Permanent(fmt.Errorf("the state does not decode as %T: %w", *live, err))
	}
	return live, nil
}
