package saga

import (
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
	Step              string
	Undo              bool // the handler runs as the step's compensation
	Attempt           int  // 1 for the first
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
	name := i.Key.Definition + "\x00" + i.Key.ID + "\x00" + i.Run + "\x00" + i.Step + "\x00" + kind
	return uuid.NewSHA1(keySpace, []byte(name)).String()
}

type infoKey struct{}

// NewContext gives a context that carries info. The engine calls it before each handler; a handler's own unit
// test may.
func NewContext(ctx context.Context, info Info) context.Context {
	return context.WithValue(ctx, infoKey{}, info)
}

// FromContext gives the [Info] of the running handler, or the zero Info outside one.
func FromContext(ctx context.Context) Info {
	info, _ := ctx.Value(infoKey{}).(Info)
	return info
}
