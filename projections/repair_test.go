package projections_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

func TestSagasThatGoOnAreNoDifference(t *testing.T) {
	sagas := 3000
	if long {
		sagas = 50_000
	}
	s := newSite(t)
	s.worker()
	s.projector()
	s.start(0, 10)
	s.ended(10)
	var starting sync.WaitGroup
	done := make(chan struct{})
	starting.Go(func() { defer close(done); s.startMany(10, sagas) })
	for n := 1; ; n++ {
		if v, found := s.verify(verifyNow); len(found) > 0 {
			t.Fatalf("verification %d of %d sagas: %+v", n, v.Sagas, found[0])
		}
		select {
		case <-done:
			t.Logf("verified %d times meanwhile", n)
			s.ended(int64(sagas))
			s.clean(int64(sagas))
			return
		default:
		}
	}
}

func TestARepairWhileSagasGoOnLeavesNoDifference(t *testing.T) {
	sagas := 2000
	if long {
		sagas = 20_000
	}
	s := newSite(t)
	s.worker()
	s.projector()
	s.startMany(0, sagas/2)
	s.ended(int64(sagas / 2))
	var starting sync.WaitGroup
	starting.Go(func() { s.startMany(sagas/2, sagas) })
	for _, key := range s.rdb.Keys(t.Context(), "jetsaga:{default:*}:m:*").Val() {
		switch {
		case strings.HasSuffix(key, ":counts"):
			s.rdb.HIncrBy(t.Context(), key, "order.completed", 5)
		case strings.HasSuffix(key, ":s:all"):
			s.rdb.ZPopMin(t.Context(), key, 1)
		}
	}
	var repairing sync.WaitGroup // two at once
	for range 2 {
		repairing.Go(func() {
			v, err := projections.Verify(t.Context(), s.rdb, s.client.Source(), projections.VerifyConfig{Repair: true})
			if err != nil {
				t.Error(err)
			}
			t.Logf("of %d differences %d were repaired", v.Differences, v.Repaired)
		})
	}
	repairing.Wait()
	starting.Wait()
	s.ended(int64(sagas))
	s.verify(projections.VerifyConfig{Repair: true}) // what did not rest then does now
	s.clean(int64(sagas))
}

// before calls a function before a client's first call with a command of one of some names, but for those it lets pass.
type before struct {
	names []string
	pass  atomic.Int64
	once  sync.Once
	f     func()
}

func (h *before) see(cmds ...redis.Cmder) {
	named := slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return slices.Contains(h.names, cmd.Name()) })
	if named && h.pass.Add(-1) < 0 {
		h.once.Do(h.f)
	}
}

func (h *before) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *before) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.see(cmd)
		return next(ctx, cmd)
	}
}

func (h *before) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.see(cmds...)
		return next(ctx, cmds)
	}
}

func TestARepairKeepsWhatWasCountedSinceItLooked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	s.projector()
	// All in one shard.
	var ids []string
	for i := 0; len(ids) < 12; i++ {
		if id := fmt.Sprintf("o-%d", i); shard.Of("order", id) == 7 {
			ids = append(ids, id)
		}
	}
	run := func(ids ...string) {
		for _, id := range ids {
			if _, err := engine.For(s.client, s.def).Run(t.Context(), id, order{Customer: "c"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(ids[:10]...)
	s.ended(10)
	g, err := s.reader().Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	prefix := "jetsaga:{default:007}:m:" + g.Current + ":"
	comparing := s.redis.Client(t)
	comparing.AddHook(&before{names: []string{"zrange"}, f: func() {
		run(ids[10])
		s.ended(11)
	}})
	if v, err := projections.Verify(t.Context(), comparing, s.client.Source(), verifyNow); err != nil || v.Differences != 0 {
		t.Errorf("%d differences, %v, where a saga has gone on", v.Differences, err)
	}
	s.rdb.HIncrBy(t.Context(), prefix+"counts", "order.completed", 5)
	s.rdb.ZPopMin(t.Context(), prefix+"s:all", 1)
	repairing := s.redis.Client(t)
	repairing.AddHook(&before{names: []string{"evalsha", "eval", "hset", "zadd", "zrem"}, f: func() {
		run(ids[11])
		s.ended(12)
	}})
	v, err := projections.Verify(t.Context(), repairing, s.client.Source(), projections.VerifyConfig{Repair: true})
	if err != nil || v.Differences != 2 || v.Repaired != 2 {
		t.Errorf("of %d differences %d were repaired, %v; want 2", v.Differences, v.Repaired, err)
	}
	s.clean(12)
}

// spoil puts what is no summary in the place of a saga's.
func (s *site) spoil(id, value string) {
	s.t.Helper()
	g, err := s.reader().Generations(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	key := "jetsaga:{default:" + shard.Of("order", id).String() + "}:m:" + g.Current + ":sagas"
	if err := s.rdb.HSet(s.t.Context(), key, "order."+id, value).Err(); err != nil {
		s.t.Fatal(err)
	}
}

func TestWhatIsNoSummaryIsPassedOverAndMadeAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	stop := s.projector()
	s.start(1, 10)
	s.ended(9)
	stop()
	// With the token that a summary could have, without one, with nothing but one, and nothing.
	garbage := []string{"7 {no JSON", "garbage", "4", " 4 {}", "\x00\xff\n", "-"}
	for i, value := range garbage {
		s.spoil(fmt.Sprintf("o-%06d", i+1), value)
	}
	if page, err := s.reader().List(t.Context(), projections.Query{}); err != nil || len(page.Sagas) != 9-len(garbage) {
		t.Errorf("a list has %d sagas, %v; want those that are left", len(page.Sagas), err)
	}
	if _, ok, err := s.reader().Get(t.Context(), saga.Key{Definition: "order", ID: "o-000001"}); ok || err != nil {
		t.Errorf("what is no summary was given: %t, %v", ok, err)
	}

	// Its saga goes on.
	s.projector()
	for i := range garbage[:3] {
		id := fmt.Sprintf("o-%06d", i+1)
		if _, err := engine.For(s.client, s.def).Run(t.Context(), id, order{Customer: "again"}, engine.OrAgain()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a summary made anew", func() bool {
			got, ok, err := s.reader().Get(t.Context(), saga.Key{Definition: "order", ID: id})
			return err == nil && ok && got.Status == saga.StatusCompleted && got.Steps["ship"].Completed.Count == 2
		})
	}
	// One is forgotten, and the others are repaired.
	if err := projections.Forget(t.Context(), s.rdb, "default", saga.Key{Definition: "order", ID: "o-000004"}); err != nil {
		t.Error(err)
	}
	conf := projections.VerifyConfig{Patience: time.Millisecond, Repair: true}
	if v, found := s.verify(conf); v.Differences < int64(len(garbage)-3) || v.Repaired != v.Differences {
		t.Errorf("of %d differences %d were repaired: %+v", v.Differences, v.Repaired, found)
	}
	s.clean(9)
}

func TestATotalThatIsNoNumberIsRepaired(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	stop := s.projector()
	s.start(1, 20)
	s.ended(19)
	stop()
	for _, key := range s.rdb.Keys(t.Context(), "jetsaga:{default:*}:m:*:counts").Val() {
		s.rdb.HSet(t.Context(), key, "order.completed", "many", "order.stuck", "none")
	}
	if v, found := s.verify(projections.VerifyConfig{Repair: true}); v.Differences == 0 || v.Repaired != v.Differences {
		t.Errorf("of %d differences %d were repaired: %+v", v.Differences, v.Repaired, found)
	}
	s.clean(19)
	if _, err := s.reader().Counts(t.Context()); err != nil {
		t.Error(err)
	}
}
