package projections_test

import (
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
	took := s.rebuild(1, 20*time.Millisecond)
	rate := float64(v.Records) / took.Seconds()
	t.Logf("%d records in %v: %.0f a second", v.Records, took, rate)
	if long && rate < 20_000 && machine.HoldsTimes(t, server.PID(), s.redis.PID()) {
		t.Errorf("the rebuild read %.0f records a second, want 20,000", rate)
	}
	s.clean(int64(sagas))
}
