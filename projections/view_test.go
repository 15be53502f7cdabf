package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

// perCustomer counts a customer's orders, and steps by name.
func perCustomer(version int) projections.View {
	return projections.View{
		Name: "per_customer", Version: version, Definitions: []string{"order"},
		Apply: func(w *projections.Writes, e projections.Event) error {
			switch event := e.Event.(type) {
			case saga.SagaStarted:
				var o order
				if err := json.Unmarshal(event.State.JSON(), &o); err != nil {
					return err
				}
				w.Do("HINCRBY", w.Key("orders"), o.Customer, version)
			case saga.StepCompleted:
				w.Do("HINCRBY", w.Key("steps"), event.Step, 1)
			}
			return nil
		},
	}
}

// view runs a view until the returned function is called or the test ends.
func (s *site) view(v projections.View) (stop func()) {
	s.t.Helper()
	p, err := s.client.View(v)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

func (s *site) readView(hash string) (fields map[string]string, err error) {
	err = projections.ReadView(s.t.Context(), s.rdb, "default", "per_customer", func(key func(string) string) (err error) {
		fields, err = s.rdb.HGetAll(s.t.Context(), key(hash)).Result()
		return err
	})
	return fields, err
}

func TestAViewIsToldOfEachEventExactlyOnce(t *testing.T) {
	s := newSite(t)
	s.worker()
	stop := s.view(perCustomer(1))
	var starting sync.WaitGroup
	starting.Go(func() { s.startMany(0, 700) })
	for range 5 { // members come and go, two of them at once
		next := s.view(perCustomer(1))
		eventually(t, "some progress", func() bool { _, err := s.readView("orders"); return err == nil })
		stop()
		stop = next
	}
	starting.Wait()
	want := map[string]string{"reserve": "700", "charge": "700", "ship": "630"}
	eventually(t, "the view has all", func() bool {
		steps, err := s.readView("steps")
		return err == nil && fmt.Sprint(steps) == fmt.Sprint(want)
	})
	if orders, err := s.readView("orders"); err != nil || len(orders) != 7 || orders["customer-3"] != "100" {
		t.Errorf("orders %v, %v; want 100 for each of 7 customers", orders, err)
	}
	stop()
	s.view(perCustomer(2)) // counts each order twice
	eventually(t, "the view is built anew", func() bool {
		orders, err := s.readView("orders")
		return err == nil && orders["customer-3"] == "200"
	})
	if steps, err := s.readView("steps"); err != nil || fmt.Sprint(steps) != fmt.Sprint(want) {
		t.Errorf("steps %v, %v; want %v", steps, err, want)
	}
	if err := s.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the view is back", func() bool {
		steps, err := s.readView("steps")
		return err == nil && fmt.Sprint(steps) == fmt.Sprint(want)
	})
}

func TestWhatRedisRefusesOfAViewIsSetAside(t *testing.T) {
	s := newSite(t)
	s.worker()
	s.view(projections.View{Name: "per_customer", Apply: func(w *projections.Writes, e projections.Event) error {
		if _, ok := e.Event.(saga.SagaCompleted); ok {
			w.Do("SADD", w.Key("set"), e.Key.ID)
			if e.Key.ID == "o-000003" {
				w.Do("INCR", w.Key("set"))
			}
		}
		return nil
	}})
	s.start(1, 6)
	eventually(t, "the rest goes on", func() bool {
		var ids []string
		err := projections.ReadView(t.Context(), s.rdb, "default", "per_customer", func(key func(string) string) (err error) {
			ids, err = s.rdb.SMembers(t.Context(), key("set")).Result()
			return err
		})
		return err == nil && len(ids) == 5
	})
	eventually(t, "it is set aside", func() bool {
		poison, err := s.readView(".poison")
		return err == nil && len(poison) == 1
	})
}

func TestAViewThatCannotBeIsRefused(t *testing.T) {
	s := newSite(t)
	_, err := s.client.View(projections.View{Name: "no-such", Version: -1, Definitions: []string{"a b"}})
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, want := range []string{"Name", "Version", "Apply", "Definitions"} {
		if !strings.Contains(err.Error(), "projections.View."+want) {
			t.Errorf("%v does not tell of %s", err, want)
		}
	}
	err = projections.ReadView(t.Context(), s.rdb, "default", "unknown", func(func(string) string) error { return nil })
	var unready *projections.NotReadyError
	if !errors.As(err, &unready) {
		t.Errorf("reading a view that is not there: %v", err)
	}
}
