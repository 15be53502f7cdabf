package projections_test

import (
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestSagasGoOnWhileRedisIsAway(t *testing.T) {
	second := time.Second / 20
	if long {
		second = time.Second
	}
	for _, test := range []struct {
		name                 string
		noProjector          bool
		whole, gone, stopped time.Duration
	}{
		{"with read models", false, 10 * second, 30 * second, 10 * second},
		// Read models that wait take no processor time meanwhile, which is no merit of the worker.
		{"without a projector", true, 10 * second, 10 * second, 30 * second},
	} {
		t.Run(test.name, func(t *testing.T) {
			machine := testutil.WatchMachine(t)
			server := testutil.StartServerProcess(t, t.TempDir())
			s := siteOn(t, server.ClientURL())
			done := &effects{done: map[string]int{}}
			def := careful(done)
			s.workerOf(engine.Config{Redis: s.rdb, NoProjector: test.noProjector}, s.def, def)
			guarded := s.guarded(def)
			l := s.load(32, 1000, 0)
			eventually(t, "the load", func() bool { return l.ended.Load() >= 500 })
			guarded.begin(0, 2)
			whole := l.rate(test.whole)

			s.redis.Kill()
			guarded.begin(2, 4) // they wait beside
			gone := l.rate(test.gone)
			if err := s.redis.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			// One that does not answer is worse than one that is gone.
			if err := s.redis.Stop(); err != nil {
				t.Fatal(err)
			}
			guarded.begin(4, 6)
			stopped := l.rate(test.stopped)
			if err := s.redis.Continue(); err != nil {
				t.Fatal(err)
			}
			back := time.Now()
			t.Logf("%.0f sagas a second with Redis, %.0f without, %.0f with one that does not answer", whole, gone, stopped)
			if min(gone, stopped) < 0.9*whole && long && machine.HoldsTimes(t, server.PID(), s.redis.PID()) {
				t.Errorf("%.0f sagas a second end while Redis is gone, %.0f while it does not answer, %.0f with it", gone, stopped, whole)
			}
			const careful = 6
			guarded.ended(careful)
			done.once(t, 2*careful)
			n := l.end() + careful
			if !test.noProjector {
				s.caughtUp()
				t.Logf("%d sagas; caught up %v after Redis was back", n, time.Since(back))
				s.clean(n)
			}
		})
	}
}
