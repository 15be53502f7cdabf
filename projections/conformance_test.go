package projections_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

// kinds are the kinds of Redis that read models work on.
var kinds = map[string]func(t *testing.T) redis.UniversalClient{
	"redis-server": func(t *testing.T) redis.UniversalClient { return testutil.Redis(t).Client(t) },
	"cluster":      func(t *testing.T) redis.UniversalClient { return testutil.RedisCluster(t) },
	"miniredis": func(t *testing.T) redis.UniversalClient {
		rdb := redis.NewClient(&redis.Options{Addr: testutil.MiniRedis(t).Addr()})
		t.Cleanup(func() { _ = rdb.Close() })
		return rdb
	},
}

// conformance is what read models promise on every kind of Redis. Each part begins with an empty one.
var conformance = []struct {
	name string
	run  func(t *testing.T, s *site)
}{
	{"they follow the sagas", followsTheSagas},
	{"pages go through all sagas in order", goesThroughAllInOrder},
	{"they are built anew, and nobody sees a half", isBuiltAnew},
	{"they come back when they are wiped", comesBack},
	{"what is forgotten is missed and put back", forgets},
	{"what is purged is gone", losesWhatIsPurged},
	{"a view is told of each event once", tellsAView},
	{"what is refused of a view is set aside", setsAside},
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := kind(t)
			for _, part := range conformance {
				t.Run(part.name, func(t *testing.T) {
					wipe(t, rdb)
					part.run(t, siteWith(t, testutil.NATS(t).ClientURL(), rdb))
				})
			}
		})
	}
}

// wipe removes all there is in a Redis.
func wipe(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	var err error
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error { return node.FlushAll(ctx).Err() })
	} else {
		err = rdb.FlushAll(t.Context()).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// isBuiltAnew has read models built beside those that are read.
func isBuiltAnew(_ *testing.T, s *site) {
	s.worker()
	s.projector()
	s.start(0, 100)
	s.ended(100)
	s.rebuild(2, 0)
	s.clean(100)
}

// comesBack wipes Redis under the read models.
func comesBack(t *testing.T, s *site) {
	s.worker()
	s.projector()
	s.start(0, 60)
	s.ended(60)
	wipe(t, s.rdb)
	s.start(60, 80)
	s.ended(80)
	s.clean(80)
}

// losesWhatIsPurged has a retention purge sagas.
func losesWhatIsPurged(t *testing.T, s *site) {
	s.worker()
	s.projector()
	s.start(0, 50) // of which 5 fail
	s.ended(50)
	if _, err := s.client.Retain(t.Context(), engine.Retention{
		Rules: []engine.RetentionRule{{Status: saga.StatusCompleted, Keep: time.Nanosecond}}, Rate: 10_000}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "45 are gone", func() bool { return s.count(projections.Query{}) == 5 })
	s.clean(5)
}

// tellsAView has a view count, over a change of who runs it.
func tellsAView(t *testing.T, s *site) {
	s.worker()
	stop := s.view(perCustomer(1))
	s.start(0, 35)
	eventually(t, "some progress", func() bool { _, err := s.readView("orders"); return err == nil })
	stop()
	s.view(perCustomer(1))
	s.start(35, 70)
	eventually(t, "the view has all", func() bool {
		orders, err := s.readView("orders")
		return err == nil && orders["customer-1"] == "10"
	})
	steps, err := s.readView("steps")
	if err != nil || steps["ship"] > "63" {
		t.Errorf("steps %v, %v; of 70 orders 7 are not shipped", steps, err)
	}
}

// followsTheSagas checks what the read models say of sagas before and after they have ended.
func followsTheSagas(t *testing.T, s *site) {
	s.projector()
	s.start(0, 50)
	eventually(t, "50 sagas pending", func() bool {
		n, err := s.reader().Count(t.Context(), projections.Query{Statuses: []saga.Status{saga.StatusPending}})
		return err == nil && n == 50
	})
	s.worker()
	s.ended(50)
	counts, err := s.reader().Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := counts["order"]; got[saga.StatusCompleted] != 45 || got[saga.StatusCompensated] != 5 || len(got) != 2 {
		t.Errorf("counts %v, want 45 completed and 5 compensated", counts)
	}
	steps, err := s.reader().Steps(t.Context(), "order")
	if err != nil {
		t.Fatal(err)
	}
	if r, c, sh := steps["reserve"], steps["charge"], steps["ship"]; r.Completed.Count != 50 || r.Undone.Count != 5 ||
		c.Completed.Count != 50 || c.Undone.Count != 5 || sh.Completed.Count != 45 || sh.Failed.Count != 5 {
		t.Errorf("steps %+v", steps)
	}
	page, err := s.reader().List(t.Context(), projections.Query{Attributes: map[string]string{"customer": "customer-3"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Sagas) != 7 || page.Next != "" {
		t.Errorf("customer-3 has %d sagas, next %q; want 7 and no more", len(page.Sagas), page.Next)
	}
	for _, got := range page.Sagas {
		in, err := s.client.Get(t.Context(), got.Key)
		if err != nil {
			t.Fatal(err)
		}
		if got.Version != in.Version || got.Status != in.Status || got.Reason != in.Reason || got.Run != in.Run ||
			!got.StartedAt.Equal(in.StartedAt) || !got.EndedAt.Equal(in.EndedAt) || !got.UpdatedAt.Equal(in.UpdatedAt) {
			t.Errorf("summary %+v\nof %+v", got, in)
		}
	}
}

// goesThroughAllInOrder reads lists page by page.
func goesThroughAllInOrder(t *testing.T, s *site) {
	s.worker()
	s.projector()
	s.start(0, 300)
	s.ended(300)
	for _, q := range []projections.Query{
		{Limit: 7}, {Limit: 100, Ascending: true}, {Limit: 13, Order: projections.ByUpdate},
		{Limit: 50, Definition: "order", Statuses: []saga.Status{saga.StatusCompleted, saga.StatusCompensated}},
		{Limit: 11, Attributes: map[string]string{"customer": "customer-1"}, Statuses: []saga.Status{saga.StatusCompleted}},
	} {
		want := int64(300)
		if q.Attributes != nil {
			want = 39 // of the 43 of that customer, 4 fail
		}
		if n, err := s.reader().Count(t.Context(), q); err != nil || n != want {
			t.Errorf("%+v: Count %d, %v; want %d", q, n, err, want)
		}
		seen := map[saga.Key]bool{}
		var last *projections.Summary
		for {
			page, err := s.reader().List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for i := range page.Sagas {
				got := &page.Sagas[i]
				if seen[got.Key] {
					t.Errorf("%+v: %s twice", q, got.Key)
				}
				seen[got.Key] = true
				if last != nil {
					a, b := last.StartedAt, got.StartedAt
					if q.Order == projections.ByUpdate {
						a, b = last.UpdatedAt, got.UpdatedAt
					}
					if q.Ascending {
						a, b = b, a
					}
					if a.UnixMicro() < b.UnixMicro() {
						t.Errorf("%+v: %s and %s are in the wrong order", q, last.Key, got.Key)
					}
				}
				last = got
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if int64(len(seen)) != want {
			t.Errorf("%+v: %d sagas, want %d", q, len(seen), want)
		}
	}
}

// forgets removes a saga from the read models, and has it put back.
func forgets(t *testing.T, s *site) {
	s.worker()
	stop := s.projector()
	s.start(0, 20)
	s.ended(20)
	stop()
	key := saga.Key{Definition: "order", ID: "o-000010"}
	if err := projections.Forget(t.Context(), s.rdb, "default", key, saga.Key{Definition: "order", ID: "unknown"}); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.reader().Get(t.Context(), key); err != nil || ok {
		t.Errorf("the saga is still there: %v", err)
	}
	_, found := s.verify(projections.VerifyConfig{Patience: time.Millisecond})
	if len(found) != 1 || found[0].What != "missing" || found[0].Saga != key.String() {
		t.Errorf("found %+v, want the one that was forgotten", found)
	}
	if v, _ := s.verify(projections.VerifyConfig{Patience: time.Millisecond, Repair: true}); v.Differences != 1 {
		t.Errorf("repaired %d differences, want 1", v.Differences)
	}
	s.clean(20)
}
