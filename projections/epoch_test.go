package projections_test

import (
	"fmt"
	"testing"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

func TestReadModelsAreBuiltAnewWhenAnyStreamWasMadeAnew(t *testing.T) {
	t.Parallel()
	const sagas = 40
	s := newSite(t)
	end := s.worker()
	stop := s.projector()
	s.start(0, sagas)
	s.ended(sagas)
	end()
	stop()
	before, err := s.reader().Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ns := s.client.Namespace()
	last := ns.Streams()[len(ns.Streams())-1]
	lost, again := int64(0), ""
	for i := range sagas {
		if id := fmt.Sprintf("o-%06d", i); ns.Home(saga.Key{Definition: "order", ID: id}) == last {
			lost++
			again = id
		}
	}
	if lost == 0 || lost == sagas {
		t.Fatalf("%d of %d sagas are in the last stream", lost, sagas)
	}
	if err := ns.JetStream().DeleteStream(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	s.worker() // makes it anew
	if _, err := engine.For(s.client, s.def).Run(t.Context(), again, order{Customer: "customer-0"}); err != nil {
		t.Fatal(err)
	}
	s.projector()
	eventually(t, "new read models", func() bool {
		g, err := s.reader().Generations(t.Context())
		return err == nil && g.Current != "" && g.Current != before.Current
	})
	s.clean(sagas - lost + 1)
}

func TestReadModelsOfABuildThatKnewOfTheFirstStreamAloneAreKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	end := s.worker()
	stop := s.projector()
	s.start(0, 3)
	s.ended(3)
	end()
	stop()
	marker := func() string { return s.rdb.HGet(t.Context(), "jetsaga:{default}:models", "streams").Val() }
	digest := marker()
	if digest == "" {
		t.Fatal("the marker says nothing of the streams")
	}
	before, err := s.reader().Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.rdb.HDel(t.Context(), "jetsaga:{default}:models", "streams").Err(); err != nil {
		t.Fatal(err)
	}
	s.projector()
	eventually(t, "the streams in the marker", func() bool { return marker() == digest })
	if g, err := s.reader().Generations(t.Context()); err != nil || g != before {
		t.Errorf("the read models are %+v, were %+v, %v", g, before, err)
	}
	if n, err := s.reader().Count(t.Context(), projections.Query{}); err != nil || n != 3 {
		t.Errorf("they show %d sagas, %v", n, err)
	}
}
