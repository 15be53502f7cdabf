package main

import (
	"context"
	"log/slog"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

// engineSide is the engine at its default settings, with handlers that do nothing.
type engineSide struct {
	def *saga.Definition[order]
}

func (e *engineSide) work(ctx context.Context, a *arena, o observer) (stop func(), err error) {
	worker, err := engine.New(engine.Config{
		Conn: a.worker, Namespace: a.namespace, Name: "bench", Logger: slog.New(slog.DiscardHandler),
		Hooks: engine.Hooks{
			Activated: func(saga.Key, saga.Command, uint64) { o.begun() },
			Finished: func(key saga.Key, _ saga.Command, action saga.ActionKind, _ error) {
				if action == saga.ActAck {
					o.ended(key.ID)
				}
			},
		},
	})
	if err != nil {
		return nil, err
	}
	if err := worker.Register(e.def); err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() { failed <- worker.Run(ctx) }()
	select {
	case err := <-failed:
		return nil, err
	case <-worker.Ready():
		return worker.Stop, nil
	}
}

func (e *engineSide) starter(ctx context.Context, a *arena) (func(context.Context, string) error, error) {
	client, err := engine.OpenClient(ctx, engine.Config{Conn: a.client, Namespace: a.namespace})
	if err != nil {
		return nil, err
	}
	sagas := engine.For(client, e.def)
	return func(ctx context.Context, id string) error {
		_, err := sagas.Start(ctx, id, theOrder)
		return err
	}, nil
}
