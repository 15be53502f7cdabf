package projections_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestARebuildReadsTwentyThousandRecordsASecond(t *testing.T) {
	sagas := 1500
	if long {
		sagas = 200_000
	}
	server := testutil.StartServerProcess(t, t.TempDir())
	s := siteOn(t, server.ClientURL())
	end := s.worker()
	begun := time.Now()
	s.startMany(0, sagas)
	s.projector()
	s.ended(int64(sagas))
	end() // what is measured is the rebuild
	t.Logf("%d sagas were run, and are in the read models, after %v", sagas, time.Since(begun))
	v, _ := s.verify(projections.VerifyConfig{})

	machine := testutil.WatchMachine(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	reads := 0
	readers.Go(func() { // readers see all sagas, all the time
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			n, err := s.reader().Count(t.Context(), projections.Query{}) //nolint:contextcheck // the test's own
			if err != nil || n != int64(sagas) {
				t.Errorf("a reader saw %d sagas, %v; want %d", n, err, sagas)
				return
			}
			reads++
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
	begun = time.Now()
	next, err := projections.Rebuild(t.Context(), s.rdb, "default", "the test wants it")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rebuild", func() bool {
		g, err := s.reader().Generations(t.Context())
		return err == nil && g.Current == next
	})
	took := time.Since(begun)
	cancel()
	readers.Wait()
	rate := float64(v.Records) / took.Seconds()
	t.Logf("%d records in %v: %.0f a second; %d reads meanwhile", v.Records, took, rate, reads)
	if long && rate < 20_000 && machine.HoldsTimes(t, server.PID(), s.redis.PID()) {
		t.Errorf("the rebuild read %.0f records a second, want 20,000", rate)
	}
	s.clean(int64(sagas))
}
