package projections_test

import (
	"testing"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

func TestReadModelsFollowTheSagas(t *testing.T) {
	s := newSite(t)
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

func TestPagesGoThroughAllSagasInOrder(t *testing.T) {
	s := newSite(t)
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
