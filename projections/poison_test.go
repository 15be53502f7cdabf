package projections_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// publish stores what nobody can read among a saga's records.
func (s *site) publish(key saga.Key, last, data string) {
	s.t.Helper()
	js, err := jetstream.New(s.nc)
	if err != nil {
		s.t.Fatal(err)
	}
	subject := "saga.default." + shard.Of(key.Definition, key.ID).String() + "." + key.Definition + "." + key.ID + "." + last
	if _, err := js.Publish(s.t.Context(), subject, []byte(data)); err != nil {
		s.t.Fatal(err)
	}
}

func TestRecordsThatCannotBeReadAreSetAsideAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.projector()
	s.publish(saga.Key{Definition: "order", ID: "bad"}, "evt", "no JSON")
	s.publish(saga.Key{Definition: "order", ID: "worse"}, "cmd", `{"f":1,"type":"Start"}`)
	s.publish(saga.Key{Definition: "order", ID: "newer"}, "cmd", `{"f":1,"type":"Levitate","data":{}}`)
	s.worker()
	s.start(1, 10)
	s.ended(9)
	damaged := saga.Key{Definition: "order", ID: "o-000004"}
	s.publish(damaged, "evt", `{"f":99,"v":5}`)
	eventually(t, "all is set aside", func() bool {
		poison, err := s.reader().Poisoned(t.Context(), 10)
		if err != nil {
			return false
		}
		seen := map[string]bool{}
		for _, p := range poison {
			if p.Reason == "" || p.Sequence == 0 || p.Time.IsZero() {
				t.Fatalf("poison %+v", p)
			}
			seen[p.Key.ID] = true
		}
		return len(poison) == 3 && seen["bad"] && seen["worse"] && seen["o-000004"]
	})
	if got, ok, err := s.reader().Get(t.Context(), damaged); err != nil || !ok || got.Status != saga.StatusCompleted || got.Damaged == "" {
		t.Errorf("the saga that was damaged: %+v, %v", got, err)
	}
	v, found := s.verify(verifyNow)
	if len(found) != 0 {
		t.Errorf("of %d sagas, %+v differ", v.Sagas, found)
	}
}
