package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/engine"
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
	return s.run(s.client.View(v))
}

func (s *site) readView(hash string) (fields map[string]string, err error) {
	err = projections.ReadView(s.t.Context(), s.rdb, "default", "per_customer", func(key func(string) string) (err error) {
		fields, err = s.rdb.HGetAll(s.t.Context(), key(hash)).Result()
		return err
	})
	return fields, err
}

func TestAViewIsToldOfEachEventExactlyOnce(t *testing.T) {
	t.Parallel()
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

// The log of such a saga is cut while it goes on, but not before the view has read it.
func TestAViewThatWasAwayIsToldOfAllThatASagaDidThatNeverEnds(t *testing.T) {
	t.Parallel()
	const keep, readings = 70, 400
	s := newSite(t)
	enough := make(chan struct{})
	meter := saga.Must(saga.Define("read-meter", 1,
		saga.Loop("readings", func(*order) bool { return true },
			saga.Step("read", func(ctx context.Context, o *order) error {
				if len(o.Log) == readings {
					close(enough)
					<-ctx.Done()
					return ctx.Err()
				}
				o.Log += "."
				return nil
			}),
		).Max(saga.Unlimited).Keep(keep),
	))
	s.workerOf(engine.Config{}, meter)
	v := projections.View{Name: "per_customer", Apply: func(w *projections.Writes, e projections.Event) error {
		if _, ok := e.Event.(saga.StepCompleted); ok {
			w.Do("HINCRBY", w.Key("steps"), "read", 1)
		}
		return nil
	}}
	stop := s.view(v)
	eventually(t, "it reads", func() bool {
		_, err := s.readView("steps")
		return err == nil
	})
	stop()
	if _, err := engine.For(s.client, meter).Start(t.Context(), "m-1", order{}); err != nil {
		t.Fatal(err)
	}
	<-enough
	s.view(v)
	eventually(t, "the view is told of all", func() bool {
		steps, err := s.readView("steps")
		return err == nil && steps["read"] == fmt.Sprint(readings)
	})
}

// refuses a client some commands, while it is on.
type refuses struct {
	atomic.Bool

	names []string
}

func (h *refuses) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *refuses) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if h.Load() && slices.Contains(h.names, cmd.Name()) {
			return fmt.Errorf("the test refuses %s", cmd.Name())
		}
		return next(ctx, cmd)
	}
}

func (h *refuses) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// setsAside has a view ask for what Redis refuses. It is noted by the script that carries out the rest, and nothing else.
func setsAside(t *testing.T, s *site) {
	refused := &refuses{names: []string{"hset"}}
	s.rdb.AddHook(refused)
	refused.Store(true)
	defer refused.Store(false)
	s.worker()
	s.view(projections.View{Name: "per_customer", Apply: func(w *projections.Writes, e projections.Event) error {
		if _, ok := e.Event.(saga.SagaCompleted); ok {
			w.Do("SADD", w.Key("set"), e.Key.ID)
			if e.Key.ID == "o-000003" {
				w.Do("INCR", w.Key("set"))
				w.Do("SADD", w.Key("long"), make([]any, projections.MaxWords-2)...)
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
	poison, err := s.readView(".poison")
	if err != nil || len(poison) != 1 {
		t.Fatalf("set aside %v, %v; want one", poison, err)
	}
	for field, value := range poison {
		var p projections.Poison
		if err := json.Unmarshal([]byte(value), &p); err != nil {
			t.Fatal(err)
		}
		if p.Saga != "order.o-000003" || !p.Commit || p.Time.IsZero() || !strings.Contains(p.Reason, ": INCR: ") ||
			field != fmt.Sprintf("%s %d %s", p.Stream, p.Sequence, p.Reason) {
			t.Errorf("%s: set aside %+v", field, p)
		}
	}
}

func TestAnEventAtWhichAViewPanicsIsSetAside(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	s.view(projections.View{Name: "per_customer", Apply: func(w *projections.Writes, e projections.Event) error {
		if _, ok := e.Event.(saga.SagaCompleted); ok {
			w.Do("SADD", w.Key("set"), e.Key.ID)
			if e.Key.ID == "o-000003" {
				panic("three is too much")
			}
		}
		return nil
	}})
	s.start(1, 6)
	set := func() (ids []string) {
		_ = projections.ReadView(t.Context(), s.rdb, "default", "per_customer", func(key func(string) string) (err error) {
			ids, err = s.rdb.SMembers(t.Context(), key("set")).Result()
			return err
		})
		return ids
	}
	eventually(t, "the rest goes on", func() bool { return len(set()) == 4 })
	if slices.Contains(set(), "o-000003") {
		t.Error("what was asked for before the panic was carried out")
	}
	poison, err := s.readView(".poison")
	if err != nil || len(poison) != 1 {
		t.Fatalf("set aside %v, %v; want one", poison, err)
	}
	for _, value := range poison {
		var p projections.Poison
		if err := json.Unmarshal([]byte(value), &p); err != nil {
			t.Fatal(err)
		}
		if p.Saga != "order.o-000003" || p.Sequence == 0 || p.Time.IsZero() ||
			!strings.Contains(p.Reason, "three is too much") || !strings.Contains(p.Stack, "view_test.go") {
			t.Errorf("set aside %+v", p)
		}
	}
}

func TestACommandOfAViewHasSoManyWordsAndNoMore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	var over atomic.Int64
	over.Store(1)
	log := toldOf(func(err error) bool { return strings.Contains(err.Error(), "SADD has 4001 words") })
	conf := projections.ProjectorConfig{Redis: s.rdb, Source: s.client.Source(), Logger: slog.New(log)}
	s.run(projections.NewViewProjector(conf, projections.View{Name: "per_customer", Apply: func(w *projections.Writes, e projections.Event) error {
		if _, ok := e.Event.(saga.SagaCompleted); ok {
			words := make([]any, projections.MaxWords-2+int(over.Load()))
			for i := range words {
				words[i] = fmt.Sprintf("%s-%d", e.Key.ID, i)
			}
			w.Do("SADD", w.Key("set"), words...)
		}
		return nil
	}}))
	s.start(1, 3)
	// It waits until it is mended, and then has lost nothing.
	<-log.came
	over.Store(0)
	eventually(t, "the view goes on", func() bool {
		var n int64
		err := projections.ReadView(t.Context(), s.rdb, "default", "per_customer", func(key func(string) string) (err error) {
			n, err = s.rdb.SCard(t.Context(), key("set")).Result()
			return err
		})
		return err == nil && n == 2*(projections.MaxWords-2)
	})
}

func TestAViewIsBuiltAnewWhenThatIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, err := projections.RebuildView(t.Context(), s.rdb, "default", "per_customer", "there is none"); !isUnready(err) {
		t.Errorf("a rebuild of no view: %v", err)
	}
	s.worker()
	s.view(perCustomer(1))
	s.start(0, 21)
	told := func() bool {
		orders, err := s.readView("orders")
		return err == nil && orders["customer-3"] == "3"
	}
	eventually(t, "the view has all", told)
	if err := projections.ReadView(t.Context(), s.rdb, "default", "per_customer", func(key func(string) string) error {
		return s.rdb.HSet(t.Context(), key("orders"), "customer-3", 17).Err()
	}); err != nil {
		t.Fatal(err)
	}
	next, err := projections.RebuildView(t.Context(), s.rdb, "default", "per_customer", "it is wrong")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the view is built anew", told)
	if m := s.marker(viewMarker); m["current"] != next || m["next"] != "" {
		t.Errorf("the marker is %v, want %s current", m, next)
	}
}

func isUnready(err error) bool {
	var unready *projections.NotReadyError
	return errors.As(err, &unready)
}

func TestAViewThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
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
	if !isUnready(err) {
		t.Errorf("reading a view that is not there: %v", err)
	}
}
