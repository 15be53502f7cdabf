package main

import (
	"context"
)

// side is one of the two that are compared.
type side interface {
	// work takes commands until stop is called, which returns when nothing is left of it.
	work(ctx context.Context, a *arena, o observer) (stop func(), err error)
	// starter gives what starts a saga and returns when that is stored.
	starter(ctx context.Context, a *arena) (start func(ctx context.Context, id string) error, err error)
}

// observer is told what a side does, from many goroutines at once.
type observer struct {
	begun func()          // a command was delivered
	ended func(id string) // a saga has ended
}
