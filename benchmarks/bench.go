package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// bench runs variants on servers that it starts when they are needed.
type bench struct {
	options options
	log     io.Writer // what is under way, for people
	servers map[bool]*server
	arenas  int
}

func newBench(o options, log io.Writer) *bench {
	return &bench{options: o, log: log, servers: map[bool]*server{}}
}

// close stops the servers.
func (b *bench) close() error {
	var errs []error
	for _, s := range b.servers {
		errs = append(errs, s.stop())
	}
	return errors.Join(errs...)
}

// server gives a server, started at the first call.
func (b *bench) server(ctx context.Context, syncAlways bool) (*server, error) {
	if s := b.servers[syncAlways]; s != nil {
		return s, nil
	}
	s, err := openServer(ctx, b.options, syncAlways)
	if err == nil {
		b.servers[syncAlways] = s
	}
	return s, err
}

// run measures one variant: floor and engine in turn, after a short round of each that does not count.
func (b *bench) run(ctx context.Context, v variant) (result, error) {
	s, err := b.server(ctx, v.syncAlways)
	if errors.Is(err, errExternal) {
		return result{Variant: v.name, About: v.about, Skipped: err.Error()}, nil
	}
	if err != nil {
		return result{}, err
	}
	b.arenas++
	played, err := record(ctx, s, b.arenas, v.def)
	if err != nil {
		return result{}, err
	}
	if b.options.sagas > 0 {
		v.sagas = b.options.sagas
	}
	if b.options.rounds > 0 {
		v.rounds = b.options.rounds
	}
	var floors, engines []measure
	for round := range v.rounds + 1 {
		warmUp := round == 0
		for _, c := range []struct {
			name string
			side side
			into *[]measure
		}{{sideFloor, &floor{played}, &floors}, {sideEngine, &engineSide{v.def}, &engines}} {
			if b.options.only != "" && b.options.only != c.name {
				continue
			}
			sagas := v.sagas
			if warmUp {
				sagas = max(1, sagas/warmUpShare)
			}
			m, err := b.once(ctx, s, v, &contest{side: c.side, script: played, sagas: sagas, atOnce: v.atOnce})
			if err != nil {
				return result{}, fmt.Errorf("variant %s, %s: %w", v.name, c.name, err)
			}
			if warmUp {
				continue
			}
			*c.into = append(*c.into, m)
			_, _ = fmt.Fprintf(b.log, "%s: round %d of %d: %s: %.0f sagas/s\n", v.name, round, v.rounds, c.name, m.rate())
		}
	}
	return newResult(v, len(played.commits), floors, engines), nil
}

// warmUpShare is which part of a variant's sagas the round has that does not count.
const warmUpShare = 10

// The names of the sides.
const (
	sideFloor  = "floor"
	sideEngine = "engine"
)

// once makes one measurement in an arena of its own.
func (b *bench) once(ctx context.Context, s *server, v variant, c *contest) (_ measure, err error) {
	b.arenas++
	c.arena, err = openArena(ctx, s, b.arenas, v.streams)
	if err != nil {
		return measure{}, err
	}
	defer func() { err = errors.Join(err, c.arena.close(ctx)) }()
	return v.run(ctx, c, b.options)
}
