package main

import (
	"context"
	"fmt"

	"github.com/jetsaga/jetsaga/saga"
)

// variant is one thing that is measured.
type variant struct {
	name       string
	about      string
	def        *saga.Definition[order]
	streams    int
	syncAlways bool // of the server
	atOnce     bool // tasks run at once: how many commits their results are stored in is up to timing
	paced      bool // how fast sagas end is up to what starts them: latency is what is compared
	sagas      int  // a round, in the short form
	rounds     int  // in the short form
	run        func(ctx context.Context, c *contest, o options) (measure, error)
}

// The variants that the thresholds are about.
const (
	throughputVariant = "success"
	latencyVariant    = "one-at-a-time"
)

// startingClients is how many goroutines start sagas where a client shares the cores.
const startingClients = 64

// variants gives all of them, in the order in which they run.
func variants() []variant {
	drain := func(ctx context.Context, c *contest, _ options) (measure, error) { return c.drain(ctx) }
	withClient := func(ctx context.Context, c *contest, _ options) (measure, error) {
		return c.startFrom(ctx, startingClients)
	}
	oneAtATime := func(ctx context.Context, c *contest, _ options) (measure, error) { return c.oneAtATime(ctx) }
	atRate := func(ctx context.Context, c *contest, o options) (measure, error) { return c.atRate(ctx, o.rate) }
	return []variant{
		{
			name: throughputVariant, about: "three steps succeed; from a backlog, 4 streams",
			def: succeeding, streams: 4, sagas: 20_000, rounds: 5, run: drain,
		}, {
			name: "one-stream", about: "the same on 1 stream",
			def: succeeding, streams: 1, sagas: 20_000, rounds: 3, run: drain,
		}, {
			name: "failure", about: "the third step fails, two are undone",
			def: failing, streams: 4, sagas: 10_000, rounds: 3, run: drain,
		}, {
			name: "parallel", about: "five branches at once, from a backlog",
			def: parallel, streams: 4, atOnce: true, sagas: 5_000, rounds: 3, run: drain,
		}, {
			name: "for-each", about: "a step for each of 1,000 items, ten at once",
			def: perItem, streams: 4, atOnce: true, sagas: 40, rounds: 3, run: drain,
		}, {
			name: "with-client", about: "success, while a client starts them on the same cores",
			def: succeeding, streams: 4, sagas: 20_000, rounds: 3, run: withClient,
		}, {
			name: "sync-always", about: "success, synced before each acknowledgement",
			def: succeeding, streams: 4, syncAlways: true, sagas: 2_000, rounds: 3, run: drain,
		}, {
			name: "backlog", about: "success, from a backlog of 200,000",
			def: succeeding, streams: 4, sagas: 200_000, rounds: 1, run: drain,
		}, {
			name: latencyVariant, about: "each is started when the one before has ended",
			def: succeeding, streams: 4, paced: true, sagas: 2_000, rounds: 5, run: oneAtATime,
		}, {
			name: "fixed-rate", about: "started at a fixed rate (-rate)",
			def: succeeding, streams: 4, paced: true, sagas: 3_000, rounds: 3, run: atRate,
		},
	}
}

// choose gives the variants with those names, in their own order; all for no names.
func choose(names []string) ([]variant, error) {
	if len(names) == 0 {
		return variants(), nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	var chosen []variant
	for _, v := range variants() {
		if wanted[v.name] {
			chosen = append(chosen, v)
			delete(wanted, v.name)
		}
	}
	for _, name := range names {
		if wanted[name] {
			return nil, fmt.Errorf("there is no variant %q; -list tells which there are", name)
		}
	}
	return chosen, nil
}
