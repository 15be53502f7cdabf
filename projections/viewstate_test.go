package projections_test

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

func TestAnOperatorSeesTheStateOfAView(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	source := s.client.Source()
	if names, err := projections.Views(t.Context(), source); err != nil || len(names) != 0 {
		t.Errorf("before there are any, views are %q, %v", names, err)
	}
	if _, err := projections.ViewPoisoned(t.Context(), s.rdb, "default", "per_customer", 10); !isUnready(err) {
		t.Errorf("what was set aside of no view: %v", err)
	}
	s.worker()
	s.view(projections.View{Name: "per_customer", Apply: func(w *projections.Writes, e projections.Event) error {
		if _, ok := e.Event.(saga.SagaCompleted); ok {
			w.Do("SET", w.Key("last"), e.Key.ID)
			w.Do("HSET", w.Key("last"), e.Key.ID, 1) // of another type
		}
		return nil
	}})
	s.start(1, 6)
	state := func() (g projections.Generations, lag uint64) {
		g, err := projections.ViewGenerations(t.Context(), s.rdb, "default", "per_customer")
		if err != nil {
			t.Fatal(err)
		}
		if g.Current == "" {
			return g, 1
		}
		for _, stream := range source.Streams() {
			n, err := projections.ViewLag(t.Context(), source, stream, "per_customer", g.Current)
			if err != nil {
				t.Fatal(err)
			}
			lag += n
		}
		return g, lag
	}
	all := func(most int) []projections.Poison {
		list, err := projections.ViewPoisoned(t.Context(), s.rdb, "default", "per_customer", most)
		if err != nil && !isUnready(err) {
			t.Fatal(err)
		}
		return list
	}
	eventually(t, "each order that completed is set aside", func() bool { return len(all(10)) == 5 })
	eventually(t, "nothing is left to read", func() bool { _, lag := state(); return lag == 0 })
	list := all(3)
	if len(list) != 3 || !slices.IsSortedFunc(list, func(a, b projections.Poison) int { return a.Time.Compare(b.Time) }) || list[0].Key.Definition != "order" {
		t.Errorf("set aside first: %+v", list)
	}
	if names, err := projections.Views(t.Context(), source); err != nil || !slices.Equal(names, []string{"per_customer"}) {
		t.Errorf("the views are %q, %v", names, err)
	}
	before, _ := state()
	next, err := projections.RebuildView(t.Context(), s.rdb, "default", "per_customer", "to see it")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is built anew", func() bool { g, _ := state(); return g.Current == next && g.Next == "" })
	if next == before.Current {
		t.Error("no other generation")
	}
}

// Others name their consumers as they like, and so do definitions, whose queues have their names.
func TestConsumersThatAreNamedLikeAProjectorsAreLeftAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	deploy := saga.Must(saga.Define("models-deploy", 1, saga.Step("deploy", does("deploy"))))
	s.workerOf(engine.Config{}, s.def, deploy)
	ns := s.client.Namespace()
	for _, name := range []string{"models-export", "view-per_customer-export", "view-export"} {
		for _, stream := range ns.Streams() {
			conf := jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy}
			if _, err := ns.JetStream().CreateConsumer(t.Context(), stream, conf); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The keys of generations that are no more go after their feeds.
	left := []string{"jetsaga:{default:007}:m:0:counts", viewMarker + ":0:orders"}
	for _, key := range left {
		if err := s.rdb.HSet(t.Context(), key, "field", "value").Err(); err != nil {
			t.Fatal(err)
		}
	}
	s.projector()
	s.view(perCustomer(1))
	eventually(t, "what was left over is removed", func() bool {
		n, err := s.rdb.Exists(t.Context(), left...).Result()
		return err == nil && n == 0
	})
	for _, name := range []string{"models-deploy", "models-export", "view-per_customer-export", "view-export"} {
		for _, stream := range ns.Streams() {
			if _, err := ns.JetStream().Consumer(t.Context(), stream, name); err != nil {
				t.Errorf("stream %s: consumer %s: %v", stream, name, err)
			}
		}
	}
	if names, err := projections.Views(t.Context(), s.client.Source()); err != nil || !slices.Equal(names, []string{"per_customer"}) {
		t.Errorf("the views are %q, %v", names, err)
	}
}
