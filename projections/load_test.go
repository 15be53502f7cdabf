package projections_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
)

// load is sagas that run one after another for each of some callers, so that at any time some are under way. Every tenth
// fails.
type load struct {
	begun, running, ended atomic.Int64

	over    atomic.Bool
	callers sync.WaitGroup
}

// load runs sagas until it is ended, and least of them at least. Each takes some time, which bounds their rate.
func (s *site) load(callers int, least int64, takes time.Duration) *load {
	s.t.Helper()
	l := &load{}
	sagas := engine.For(s.client, s.def)
	for range callers {
		l.callers.Go(func() {
			for !l.over.Load() || l.begun.Load() < least {
				i := l.begun.Add(1)
				state := order{Customer: fmt.Sprintf("customer-%d", i%7), Fail: i%10 == 0, Takes: takes}
				l.running.Add(1)
				_, err := sagas.Run(s.t.Context(), fmt.Sprintf("load-%06d", i), state)
				l.running.Add(-1)
				var failed *engine.EndedError
				if err != nil && (!state.Fail || !errors.As(err, &failed)) {
					if s.t.Context().Err() == nil {
						s.t.Error(err)
					}
					return
				}
				l.ended.Add(1)
			}
		})
	}
	s.t.Cleanup(func() { l.end() })
	return l
}

// end begins no more sagas than were to be run at least, and gives how many there are when the last has ended.
func (l *load) end() int64 {
	l.over.Store(true)
	l.callers.Wait()
	return l.ended.Load()
}

// rate gives how many sagas end in a second, over a while.
func (l *load) rate(span time.Duration) float64 {
	before, begun := l.ended.Load(), time.Now()
	<-time.After(span)
	return float64(l.ended.Load()-before) / time.Since(begun).Seconds()
}

// underWay fails the test if no saga is running.
func (l *load) underWay(t testing.TB) {
	t.Helper()
	if l.running.Load() == 0 {
		t.Fatalf("no saga is running, %d have ended", l.ended.Load())
	}
}
