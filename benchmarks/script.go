package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

// script is what one saga of a definition writes: the data of its Start command and of each of its commits. It is
// recorded from the engine, so that the floor sends what the engine sends, whatever that is.
type script struct {
	start   []byte
	commits [][]byte
}

// messages is how many messages one saga stores.
func (s *script) messages() int { return 1 + len(s.commits) }

// record runs one saga by the engine and reads back what it has stored.
func record(ctx context.Context, s *server, number int, def *saga.Definition[order]) (_ *script, err error) {
	a, err := openArena(ctx, s, number, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	stop, err := (&engineSide{def}).work(ctx, a, observer{begun: func() {}, ended: func(string) {}})
	if err != nil {
		return nil, err
	}
	defer stop()
	client, err := engine.OpenClient(ctx, engine.Config{Conn: a.client, Namespace: a.namespace})
	if err != nil {
		return nil, err
	}
	var ended *engine.EndedError
	if _, err := engine.For(client, def).Run(ctx, sagaID(0), theOrder); err != nil && !errors.As(err, &ended) {
		return nil, fmt.Errorf("recording a saga: %w", err)
	}
	return read(ctx, a)
}

// read takes what the only saga of an arena with one stream has stored.
func read(ctx context.Context, a *arena) (*script, error) {
	stream, err := a.ns.JetStream().Stream(ctx, a.ns.Streams()[0])
	if err != nil {
		return nil, err
	}
	var s script
	for sequence := stream.CachedInfo().State.FirstSeq; sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		m, err := stream.GetMsg(ctx, sequence)
		if err != nil {
			return nil, fmt.Errorf("recording a saga: message %d: %w", sequence, err)
		}
		switch {
		case strings.HasSuffix(m.Subject, "."+commands) && s.start == nil:
			s.start = m.Data
		case strings.HasSuffix(m.Subject, "."+commits):
			s.commits = append(s.commits, m.Data)
		default:
			return nil, fmt.Errorf("recording a saga: the floor has no counterpart to a message on %s", m.Subject)
		}
	}
	return &s, nil
}

// theState is theOrder as a client sends it.
func theState() (saga.State, error) {
	data, err := json.Marshal(theOrder)
	if err != nil {
		return saga.State{}, err
	}
	return saga.ParseState(data)
}
