package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// A soak is a million sagas, worked off in tenths.
const (
	soakSagas = 1_000_000
	soakParts = 10
)

// reading is what the worker's memory was after a number of sagas.
type reading struct {
	Sagas      int     `json:"sagas"` // since the worker began
	Rate       float64 `json:"sagas_per_second"`
	Heap       uint64  `json:"heap_bytes"` // live, after a full collection
	Goroutines int     `json:"goroutines"`
}

// soak has one worker run a great many sagas and reads its memory after each tenth. The server runs elsewhere, so that
// what is read is the worker's; what the sagas leave in the streams stays there.
func (b *bench) soak(ctx context.Context) (_ []reading, err error) {
	sagas := soakSagas
	if b.options.sagas > 0 {
		sagas = max(b.options.sagas, soakParts)
	}
	s, err := b.server(ctx, false)
	if err != nil {
		return nil, err
	}
	b.arenas++
	a, err := openArena(ctx, s, b.arenas, 4)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	r := newRecorder(sagas)
	stop, err := (&engineSide{succeeding}).work(ctx, a, r.observer())
	if err != nil {
		return nil, err
	}
	defer stop()
	var readings []reading
	for part := range soakParts {
		from, upTo := sagas*part/soakParts, sagas*(part+1)/soakParts
		begin := time.Now()
		if err := a.fill(ctx, from, upTo); err != nil {
			return readings, err
		}
		if err := r.wait(ctx, upTo); err != nil {
			return readings, err
		}
		took := time.Since(begin)
		readings = append(readings, reading{
			Sagas: upTo, Rate: float64(upTo-from) / took.Seconds(), Heap: liveHeap(), Goroutines: runtime.NumGoroutine(),
		})
		_, _ = fmt.Fprintf(b.log, "%d sagas: heap %s\n", upTo, megabytes(readings[part].Heap))
	}
	return readings, nil
}

// heapsOf gives the first reading's heap and the largest.
func heapsOf(readings []reading) (first, most uint64) {
	for _, r := range readings {
		most = max(most, r.Heap)
	}
	return readings[0].Heap, most
}
