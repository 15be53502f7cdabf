package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Sagas is a client for the sagas of one definition, typed by its state.
type Sagas[S any] struct {
	client     *Client
	plan       *saga.Plan
	attributes func(*S) map[string]string
}

// For gives the typed client for a definition.
func For[S any](c *Client, def *saga.Definition[S]) Sagas[S] {
	return Sagas[S]{c, def.Plan(), def.AttributesOf}
}

// Saga is a saga as its log has it.
type Saga[S any] struct {
	Key     saga.Key
	Run     string
	Version uint64 // of its last commit
	Status  saga.Status
	State   S
	// Reason is why a compensated saga was undone, and Error the text of the error behind it.
	Reason saga.Reason
	Error  string

	StartedAt, UpdatedAt, EndedAt time.Time
}

// Key gives the key of the saga with an id.
func (s Sagas[S]) Key(id string) saga.Key { return saga.Key{Definition: s.plan.Name, ID: id} }

// Start begins a saga; see [Client.Start].
func (s Sagas[S]) Start(ctx context.Context, id string, state S, opts ...StartOption) (Started, error) {
	encoded, err := json.Marshal(state)
	if err != nil {
		return Started{}, fmt.Errorf("saga %s: state: %w", s.Key(id), err)
	}
	parsed, err := saga.ParseState(encoded)
	if err != nil {
		return Started{}, fmt.Errorf("saga %s: %w", s.Key(id), err)
	}
	attributes := func(o *startOptions) { o.attributes = s.attributes(&state) }
	return s.client.Start(ctx, s.Key(id), s.plan.Version, parsed, append([]StartOption{attributes}, opts...)...)
}

// Get gives a saga as its log has it now; see [Client.Get].
func (s Sagas[S]) Get(ctx context.Context, id string) (*Saga[S], error) {
	return typed[S](s.client.Get(ctx, s.Key(id)))
}

// Wait returns when the saga has ended, in whatever way, and gives it; see [Client.Wait].
func (s Sagas[S]) Wait(ctx context.Context, id string) (*Saga[S], error) {
	return typed[S](s.client.Wait(ctx, s.Key(id)))
}

// Run starts a saga and waits for its end. A saga that does not end as completed gives an [*EndedError] beside the
// saga itself.
func (s Sagas[S]) Run(ctx context.Context, id string, state S, opts ...StartOption) (*Saga[S], error) {
	in, err := s.client.run(ctx, s.Key(id), func() (Started, error) { return s.Start(ctx, id, state, opts...) })
	ended, err := typed[S](in, err)
	if err == nil && ended.Status != saga.StatusCompleted {
		return ended, endedError(in)
	}
	return ended, err
}

// Cancel asks for a saga to be undone; see [Client.Cancel].
func (s Sagas[S]) Cancel(ctx context.Context, id string, opts ...RequestOption) error {
	return s.client.Cancel(ctx, s.Key(id), opts...)
}

func typed[S any](in *saga.Instance, err error) (*Saga[S], error) {
	if err != nil {
		return nil, err
	}
	s := &Saga[S]{
		Key: in.Key, Run: in.Run, Version: in.Version, Status: in.Status, Reason: in.Reason, Error: in.Error,
		StartedAt: in.StartedAt, UpdatedAt: in.UpdatedAt, EndedAt: in.EndedAt,
	}
	if err := json.Unmarshal(in.State.JSON(), &s.State); err != nil {
		return nil, fmt.Errorf("saga %s: its state does not decode as %T: %w", in.Key, s.State, err)
	}
	return s, nil
}
