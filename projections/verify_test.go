package projections_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/testutil"
)

// verifyNow is what most tests want of a verification.
var verifyNow projections.VerifyConfig

// verify compares, and gives what was found.
func (s *site) verify(conf projections.VerifyConfig) (projections.Verification, []projections.Difference) {
	s.t.Helper()
	var found []projections.Difference
	conf.Found = func(d projections.Difference) { found = append(found, d) }
	v, err := projections.Verify(s.t.Context(), s.rdb, s.client.Source(), conf)
	if err != nil {
		s.t.Fatal(err)
	}
	return v, found
}

// clean fails the test if the read models differ from the streams.
func (s *site) clean(sagas int64) {
	s.t.Helper()
	v, found := s.verify(projections.VerifyConfig{})
	for i, d := range found {
		if i == 5 {
			break
		}
		s.t.Errorf("difference: %+v", d)
	}
	if v.Sagas != sagas || v.Differences != 0 {
		s.t.Errorf("verified %d sagas and found %d differences; want %d and none", v.Sagas, v.Differences, sagas)
	}
	s.t.Logf("verified %d sagas, %d records in %v", v.Sagas, v.Records, v.Took)
}

func TestVerifyFindsWhatDiffersAndRepairsIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	stop := s.projector()
	s.start(0, 100)
	s.ended(100)
	s.clean(100)
	stop()
	g, err := s.reader().Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	damage := 0
	for _, key := range s.rdb.Keys(t.Context(), "jetsaga:{default:*}:m:"+g.Current+":*").Val() {
		_, what, _ := strings.Cut(key, "}:m:"+g.Current+":")
		switch {
		case what == "sagas" && damage < 3:
			for field, value := range s.rdb.HGetAll(t.Context(), key).Val() {
				damage++
				switch damage {
				case 1:
					s.rdb.HDel(t.Context(), key, field)
				case 2:
					s.rdb.HSet(t.Context(), key, field, strings.Replace(value, `"s":"comp`, `"s":"xomp`, 1))
				case 3:
					s.rdb.HSet(t.Context(), key, "order.ghost", value)
				}
				break
			}
		case what == "s:all" && damage == 3:
			damage++
			s.rdb.ZPopMin(t.Context(), key, 1)
		case what == "counts" && damage == 4:
			damage++
			s.rdb.HIncrBy(t.Context(), key, "order.completed", 5)
		}
	}
	if damage != 5 {
		t.Fatalf("only %d things were damaged", damage)
	}
	_, found := s.verify(projections.VerifyConfig{Patience: time.Millisecond})
	kinds := map[string]int{}
	for _, d := range found {
		kinds[d.What]++
	}
	if kinds["missing"] != 1 || kinds["differs"] != 1 || kinds["left over"] != 1 || kinds["index"] == 0 || kinds["total"] == 0 {
		t.Errorf("found %v", kinds)
	}
	if v, found := s.verify(projections.VerifyConfig{Patience: time.Millisecond, Repair: true}); v.Differences == 0 || v.Repaired != v.Differences {
		t.Errorf("of %d differences %d were repaired: %+v", v.Differences, v.Repaired, found)
	}
	s.clean(100)
}

func TestARebuildNeverShowsReadersAHalf(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	s.projector()
	const sagas = 600
	s.startMany(0, sagas)
	s.ended(sagas)
	for range 3 {
		s.rebuild(4, 0)
	}
	s.clean(sagas)
}

func TestAWipedRedisIsBuiltAnew(t *testing.T) {
	sagas := 600
	if long {
		sagas = 20_000
	}
	s := newSite(t)
	s.worker()
	s.projector()
	s.startMany(0, sagas/3)
	s.ended(int64(sagas / 6))
	var starting sync.WaitGroup
	starting.Go(func() { s.startMany(sagas/3, sagas) })
	if err := s.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := s.reader().Count(t.Context(), projections.Query{}); err == nil {
		t.Log("the read models were built before anybody could ask")
	}
	starting.Wait()
	s.ended(int64(sagas))
	t.Logf("all %d sagas are in the read models %v after FLUSHALL", sagas, time.Since(begun))
	s.clean(int64(sagas))
}

func TestAnotherProjectorGoesOnWithinASecond(t *testing.T) {
	machine := testutil.WatchMachine(t)
	server := testutil.StartServerProcess(t, t.TempDir())
	s := siteOn(t, server.ClientURL())
	s.worker()
	active := testutil.StartProcess(t, "projector", server.ClientURL(), s.redis.URL())
	active.WaitLine("ready")
	s.start(0, 100)
	s.ended(100) // it is active on all streams
	s.projector()
	s.start(100, 200)
	s.ended(200)
	active.Kill()
	killed := time.Now()
	s.start(200, 220)
	s.ended(220)
	took := time.Since(killed)
	t.Logf("sagas started after the kill are in the read models after %v", took)
	const margin = 500 * time.Millisecond // for the sagas themselves, and for how often the test looks
	if took > time.Second+margin && machine.HoldsTimes(t, server.PID()) {
		t.Errorf("it took %v, want a second", took)
	}
	s.clean(220)
}

func TestReadModelsOfOtherStreamsAreReplaced(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	s.rdb.HSet(t.Context(), "jetsaga:{default}:models", "epoch", "of another", "format", "1", "current", "0000-a")
	s.rdb.HSet(t.Context(), "jetsaga:{default:007}:m:0000-a:counts", "order.completed", "17")
	s.projector()
	s.start(0, 20)
	s.ended(20)
	eventually(t, "the foreign keys removed", func() bool {
		return s.rdb.Exists(t.Context(), "jetsaga:{default:007}:m:0000-a:counts").Val() == 0
	})
	s.clean(20)
}

func TestARedisThatLostItsLastWritesIsReadUpAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	s.projector()
	s.start(0, 100)
	s.ended(100)
	// As after a failover to a replica that was behind: some shards, and how far they were read, are as they were.
	dump := map[string]string{}
	for _, key := range s.rdb.Keys(t.Context(), "jetsaga:{default:*}:m:*").Val() {
		dump[key] = s.rdb.Dump(t.Context(), key).Val()
	}
	s.start(100, 200)
	s.ended(200)
	for _, key := range s.rdb.Keys(t.Context(), "jetsaga:{default:1*}:m:*").Val() {
		s.rdb.Del(t.Context(), key)
		if dump[key] != "" {
			s.rdb.Restore(t.Context(), key, 0, dump[key])
		}
	}
	s.start(200, 300)
	s.ended(300)
	s.clean(300)
}

func TestAKilledProjectorLeavesNoDifference(t *testing.T) {
	t.Parallel()
	kills, sagas := 3, int64(1000)
	if long {
		kills, sagas = 20, 20_000
	}
	server := testutil.StartServerProcess(t, t.TempDir())
	s := siteOn(t, server.ClientURL())
	s.worker()
	start := func() *testutil.Process {
		p := testutil.StartProcess(t, "projector", server.ClientURL(), s.redis.URL())
		p.WaitLine("ready")
		return p
	}
	l := s.load(32, sagas, 15*time.Millisecond)
	members := [2]*testutil.Process{start(), start()}
	killed, slowest := time.Time{}, time.Duration(0)
	for i := range kills {
		at, told := atWork(t, members, 1+i%3)
		if i > 0 {
			slowest = max(slowest, told.Sub(killed))
		}
		l.underWay(t)
		members[at].Kill()
		l.underWay(t)
		killed = time.Now()
		members[at] = start() // while the other takes over
	}
	n := l.end()
	s.ended(n)
	t.Logf("%d sagas, %d kills; after each a projector was at work within %v", n, kills, slowest)
	s.clean(n)
}

// atWork returns when one of two projectors has told so many times that it has written something, and gives which, and
// when it told so first.
func atWork(t *testing.T, members [2]*testutil.Process, times int) (which int, first time.Time) {
	t.Helper()
	var told [2]int
	late := time.After(time.Minute)
	for {
		var line string
		select {
		case line = <-members[0].Lines():
			which = 0
		case line = <-members[1].Lines():
			which = 1
		case <-late:
			t.Fatal("neither projector has written anything for a minute")
		}
		if !strings.HasPrefix(line, "applied ") {
			t.Fatalf("a projector says %q, or has ended", line)
		}
		if first.IsZero() {
			first = time.Now()
		}
		if told[which]++; told[which] == times {
			return which, first
		}
	}
}

// startMany begins sagas from several goroutines.
func (s *site) startMany(from, to int) {
	const many = 16
	sagas := engine.For(s.client, s.def)
	var starting sync.WaitGroup
	for w := range many {
		starting.Go(func() {
			for i := from + w; i < to; i += many {
				state := order{Customer: fmt.Sprintf("customer-%d", i%7), Fail: i%10 == 0}
				if _, err := sagas.Start(s.t.Context(), fmt.Sprintf("o-%06d", i), state); err != nil {
					s.t.Error(err)
					return
				}
			}
		})
	}
	starting.Wait()
}
