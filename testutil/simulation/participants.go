package simulation

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// participants are what the handlers call: they keep their effects by idempotency key, so that what is asked for
// twice happens once, and refuse for ever what they have refused once.
type participants struct {
	w       *world
	effects map[string]*effect
	order   []*effect
}

// effect is one thing that a participant was asked to do.
type effect struct {
	info   saga.Info // of the first asking
	script script
	done   bool
}

// script is how a participant answers. It depends on the key and the attempt alone, not on who asks or when.
type script struct {
	failures   int           // how many attempts fail before one succeeds
	refusesAt  int           // the attempt that fails for good; 0 for none
	retryAfter time.Duration // that a failure asks for; below 0 for none
	panics     bool          // instead of failing
	flaky      bool          // may fail although the effect is there already
	deaf       bool
	took       time.Duration
}

func newParticipants(w *world) *participants {
	return &participants{w: w, effects: map[string]*effect{}}
}

// find gives what a handler is to effect.
func (p *participants) find(info saga.Info) *effect {
	key := info.IdempotencyKey()
	e := p.effects[key]
	if e == nil {
		e = &effect{info: info, script: newScript(p.w.conf.Seed, key, info.Undo)}
		p.effects[key] = e
		p.order = append(p.order, e)
	}
	return e
}

func newScript(seed uint64, key string, undo bool) script {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	s := script{
		retryAfter: -1,
		flaky:      rng.IntN(2) == 0, deaf: rng.IntN(4) == 0,
		took: time.Duration(rng.Int64N(int64(50 * time.Millisecond))),
	}
	switch n := rng.IntN(100); {
	case n < 60:
	case n < 85:
		s.failures = 1 + rng.IntN(3)
	case n < 88:
		s.failures = 6
	case n < 96 && (!undo || n < 91):
		s.refusesAt = 1 + rng.IntN(2)
		s.failures = s.refusesAt
	}
	if rng.IntN(300) == 0 {
		s.failures, s.retryAfter = 3+saga.SnapshotEvery, time.Millisecond
	} else if rng.IntN(5) == 0 {
		s.retryAfter = pick(rng, 0, 50*time.Millisecond, 3*time.Second, 20*time.Second)
	}
	s.panics = rng.IntN(12) == 0
	if rng.IntN(8) == 0 {
		s.took = time.Duration(rng.Int64N(int64(4 * time.Second)))
	}
	return s
}

var (
	errUnavailable = errors.New("participant is not available")
	errRefused     = errors.New("participant refuses")
)

// perform does what is asked for, once. lastAttempt tells that no further attempt will follow a failure.
func (p *participants) perform(info saga.Info, lastAttempt bool) error {
	e := p.find(info)
	s := e.script
	switch {
	case e.done && s.flaky && !lastAttempt && p.w.chance(0.5):
		return fmt.Errorf("attempt %d: %w", info.Attempt, errUnavailable)
	case e.done:
		return nil
	case info.Attempt == s.refusesAt:
		return saga.Permanent(fmt.Errorf("attempt %d: %w", info.Attempt, errRefused))
	case info.Attempt > s.failures:
		e.done = true
		return nil
	case s.panics && info.Attempt == 1:
		p.w.sight(HandlerPanicked)
		panic(errUnavailable)
	case s.retryAfter >= 0:
		return saga.RetryAfter(fmt.Errorf("attempt %d: %w", info.Attempt, errUnavailable), s.retryAfter)
	default:
		return fmt.Errorf("attempt %d: %w", info.Attempt, errUnavailable)
	}
}
