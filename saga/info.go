package saga

import (
	"cmp"
	"context"

	"github.com/google/uuid"
)

// keySpace is the UUIDv5 namespace of idempotency keys. It is part of the contract with every participant
// that remembers a key, so it never changes.
var keySpace = uuid.MustParse("6c1f8f4e-0d5b-5c6a-9d43-6a6574736167")

// Info tells a handler what it is part of. A handler finds it in its context with [FromContext].
type Info struct {
	Key               Key
	Run               string // this run of the saga; a saga that is run again has a new one
	DefinitionVersion int
	Step              string // its name in the plan
	StepKey           string // its key in the log, which bears turns of loops and items; empty where it is the name
	Undo              bool   // the handler runs as the step's compensation
	Attempt           int    // 1 for the first
}

// IdempotencyKey is the same for every attempt of one step (or of one undo) of one run, whichever worker runs
// it, and differs from every other. Pass it to whatever the step calls, so that an effect that is asked for
// twice happens once.
func (i Info) IdempotencyKey() string {
	kind := "do"
	if i.Undo {
		kind = "undo"
	}
	// No name can contain a control character, so the parts cannot run into each other.
	name := i.Key.Definition + "\x00" + i.Key.ID + "\x00" + i.Run + "\x00" + cmp.Or(i.StepKey, i.Step) + "\x00" + kind
	return uuid.NewSHA1(keySpace, []byte(name)).String()
}

// turns gives the part of the step's key after its name.
func (i Info) turns() string { return turnsOf(i.StepKey) }

type handlerKey struct{}

// handlerContext is the context of one attempt.
type handlerContext struct {
	context.Context //nolint:containedctx // this is a context
	info            Info
	emits           []Emission
	effects         Effects // nil without
}

func (c *handlerContext) Value(key any) any {
	if key == (handlerKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// NewContext gives a context that carries info, and takes what the handler emits. The engine calls it before each
// handler; a handler's own unit test may.
func NewContext(ctx context.Context, info Info) context.Context {
	return &handlerContext{Context: ctx, info: info}
}

// FromContext gives the [Info] of the running handler, or the zero Info outside one.
func FromContext(ctx context.Context) Info {
	if c, ok := ctx.Value(handlerKey{}).(*handlerContext); ok {
		return c.info
	}
	return Info{}
}

// Emitted gives what a handler has emitted that was given the context, or one derived from it: see [Emit].
func Emitted(ctx context.Context) []Emission {
	if c, ok := ctx.Value(handlerKey{}).(*handlerContext); ok {
		return c.emits
	}
	return nil
}
