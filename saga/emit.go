package saga

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/uuid"
)

// Emission is a domain event that a step gave to the outside.
type Emission struct {
	// ID is derived from the step and the place among its emissions: a consumer that remembers ids sees each once.
	ID      string          `json:"id"`
	Topic   string          `json:"topic"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// Size estimates the length of the emission's JSON, in bytes.
func (e *Emission) Size() int {
	const names = 40 // and what stands between them
	return names + len(e.ID) + len(e.Topic) + len(e.Payload)
}

// maxEmissions is how many one attempt may emit: they travel within one commit.
const maxEmissions = 1_000

// emitSpace is the UUIDv5 namespace of emissions' ids.
var emitSpace = uuid.MustParse("2f6b9a10-58c4-5e0d-8a33-656d697474ed")

// Emit has an event published on the saga's outbox when, and only when, the step completes: it is part of the commit
// that completes the step, and published after it, at least once, with an id that consumers can tell repeats by. What a step
// emitted stays when the step is undone: it happened.
//
// The topic is one token, as a step's name; the payload is anything that encoding/json takes. A handler that emits from
// several goroutines has them take turns. Outside a handler the error tells so.
func Emit(ctx context.Context, topic string, payload any) error {
	c, ok := ctx.Value(handlerKey{}).(*handlerContext)
	if !ok {
		return fmt.Errorf("emitting on topic %q: the context is not a handler's", topic)
	}
	if err := CheckName("topic", topic); err != nil {
		return err
	}
	if len(c.emits) == maxEmissions {
		return fmt.Errorf("emitting on topic %q: step %q has emitted %d events, which is the most", topic, c.info.Step, maxEmissions)
	}
	data, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("emitting on topic %q: a payload of type %T cannot be encoded: %w", topic, payload, err)
	}
	id := uuid.NewSHA1(emitSpace, []byte(c.info.IdempotencyKey()+"\x00"+strconv.Itoa(len(c.emits))))
	c.emits = append(c.emits, Emission{ID: id.String(), Topic: topic, Payload: data})
	return nil
}
