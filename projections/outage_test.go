package projections_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/testutil"
)

// sagasPerSecond runs sagas for a while, and gives how many ended in a second.
func (s *site) sagasPerSecond(prefix string, d time.Duration) float64 {
	s.t.Helper()
	sagas := engine.For(s.client, s.def)
	var mu sync.Mutex
	var running sync.WaitGroup
	n, begun := 0, time.Now()
	for w := range 32 {
		running.Go(func() {
			for i := 0; time.Since(begun) < d; i++ {
				if _, err := sagas.Run(s.t.Context(), fmt.Sprintf("%s-%d-%d", prefix, w, i), order{Customer: "c"}); err != nil {
					s.t.Error(err)
					return
				}
				mu.Lock()
				n++
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return float64(n) / time.Since(begun).Seconds()
}

func TestSagasGoOnWhileRedisIsAway(t *testing.T) {
	span := time.Second
	if long {
		span = 30 * time.Second
	}
	machine := testutil.WatchMachine(t)
	server := testutil.StartServerProcess(t, t.TempDir())
	s := siteOn(t, server.ClientURL())
	s.worker()
	s.projector()
	s.sagasPerSecond("warm", 300*time.Millisecond)
	with := s.sagasPerSecond("with", span)
	s.redis.Kill()
	without := s.sagasPerSecond("away", span)
	if err := s.redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%.0f sagas a second with Redis, %.0f without", with, without)
	if without < 0.9*with && long && machine.HoldsTimes(t, server.PID()) {
		t.Errorf("without Redis %.0f sagas a second end, with it %.0f", without, with)
	}
	// One that does not answer is worse than one that is gone.
	if err := s.redis.Stop(); err != nil {
		t.Fatal(err)
	}
	stopped := s.sagasPerSecond("stopped", span)
	if err := s.redis.Continue(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%.0f sagas a second with a Redis that does not answer", stopped)
	if stopped < 0.9*with && long && machine.HoldsTimes(t, server.PID()) {
		t.Errorf("with a Redis that does not answer %.0f sagas a second end, with it %.0f", stopped, with)
	}
	back := time.Now()
	var n int64
	eventually(t, "the read models have caught up", func() bool {
		lag := uint64(0)
		g, err := s.reader().Generations(context.Background())
		if err != nil || g.Current == "" || g.Next != "" {
			return false
		}
		for _, stream := range s.client.Source().Streams() {
			l, err := projections.Lag(t.Context(), s.client.Source(), stream, g.Current)
			if err != nil {
				return false
			}
			lag += l
		}
		n, err = s.reader().Count(t.Context(), projections.Query{})
		return err == nil && lag == 0
	})
	t.Logf("%d sagas; caught up %v after Redis was back", n, time.Since(back))
	s.clean(n)
}
