package sagatest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/jetsaga/jetsaga/saga"
)

// Replace has a function run in the place of a step's handler: for steps whose handlers call services that a test has not. The
// step is given as for [Kit.Fail], so that "undo charge-card" is for a compensation. S is what the handler works on: the saga's
// state, or within a ForEach an item. What takes a signal is replaced in the same way, and does not see the payload.
//
// What [Kit.Stub] and [Kit.Fail] say comes first. A step that no definition of the kit has, or that works on another type, ends
// the test.
func Replace[S any](k *Kit, step string, do func(ctx context.Context, state *S) error) {
	k.t.Helper()
	r := &replacement{on: reflect.TypeFor[S](), run: func(ctx context.Context, d saga.Runnable, state saga.State) saga.Result {
		return instead(ctx, d, do, state)
	}}
	if err := k.w.mayReplace(step, r.on); err != nil {
		k.t.Fatalf("to replace %q: %v", step, err)
	}
	k.w.replaced[step] = r
}

// replacement runs in the place of a handler that works on a type.
type replacement struct {
	on  reflect.Type
	run func(ctx context.Context, d saga.Runnable, state saga.State) saga.Result
}

// instead runs a function as a handler is run.
func instead[S any](ctx context.Context, d saga.Runnable, do func(ctx context.Context, state *S) error, state saga.State) (r saga.Result) {
	defer func() {
		if v := recover(); v != nil {
			r = saga.Result{Err: &saga.PanicError{Value: v, Stack: string(debug.Stack())}}
		}
	}()
	var live S
	if err := json.Unmarshal(state.JSON(), &live); err != nil {
		return saga.Result{Err: saga.Permanent(err)}
	}
	if err := do(ctx, &live); err != nil {
		return saga.Result{Err: err}
	}
	data, err := json.Marshal(&live)
	if err == nil {
		r.State, err = saga.ParseState(data)
	}
	if err != nil {
		return saga.Result{Err: saga.Permanent(err)}
	}
	if def, ok := d.(*saga.Definition[S]); ok {
		r.Attributes = def.AttributesOf(&live)
	}
	return r
}

// replacement gives what runs in the place of a step's handler; nil for nothing.
func (w *world) replacement(d saga.Runnable, info saga.Info) *replacement {
	key, name := attemptNames(info)
	for _, given := range []string{key, name} {
		if r := w.replaced[given]; r != nil && r.on == stateType(d, info.Step) {
			return r
		}
	}
	return nil
}

// mayReplace says why what works on a type cannot run in the place of a step's handler.
func (w *world) mayReplace(step string, on reflect.Type) error {
	key, isUndo := strings.CutPrefix(step, undoPrefix)
	err := errors.New("no definition of the kit has such a step")
	for _, versions := range w.registry {
		for _, d := range versions {
			name := saga.StepName(key)
			switch n := d.Plan().Node(name); {
			case n == nil:
			case n.Kind != saga.KindStep && n.Kind != saga.KindAwait:
				err = fmt.Errorf("it is a %s of %s, which has no handler", n.Kind, d.Plan().Name)
			case isUndo && n.Step.Undo == nil:
				err = fmt.Errorf("the step of %s has no compensation", d.Plan().Name)
			case stateType(d, name) != on:
				err = fmt.Errorf("the step of %s works on %v, not on %v", d.Plan().Name, stateType(d, name), on)
			default:
				return nil
			}
		}
	}
	return err
}

// stateType gives what a step's handler works on.
func stateType(d saga.Runnable, step string) reflect.Type {
	typed, ok := d.(interface {
		StateType(node string) reflect.Type
	})
	if !ok {
		return nil
	}
	return typed.StateType(step)
}
