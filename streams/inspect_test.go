package streams_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestInspectShowsANamespaceThatOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		want  string
		drift func(*jetstream.StreamConfig)
	}{
		{"max age", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
		{"no stream has shard", func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[1:] }},
		{"lacks the metadata", func(c *jetstream.StreamConfig) { c.Metadata = nil }},
	} {
		t.Run(c.want, func(t *testing.T) {
			nc := testutil.Connect(t, testutil.NATS(t))
			js := ensureOn(t, nc, streams.Config{}).JetStream()
			stream, err := js.Stream(t.Context(), "SAGA_default_1")
			if err != nil {
				t.Fatal(err)
			}
			conf := stream.CachedInfo().Config
			c.drift(&conf)
			if _, err := js.UpdateStream(t.Context(), conf); err != nil {
				t.Fatal(err)
			}
			ns, differences, err := streams.Inspect(t.Context(), streams.Config{Conn: nc})
			if err != nil || !strings.Contains(strings.Join(differences, "\n"), c.want) {
				t.Fatalf("Inspect: %q, %v; want %q", differences, err, c.want)
			}
			if states, err := ns.StreamStates(t.Context()); err != nil || len(states) != 4 {
				t.Errorf("StreamStates: %v, %v", states, err)
			}
		})
	}
}

func TestInspectFindsNothingWhereThereIsNothing(t *testing.T) {
	nc := testutil.Connect(t, testutil.NATS(t))
	if _, _, err := streams.Inspect(t.Context(), streams.Config{Conn: nc}); !errors.Is(err, streams.ErrNotFound) {
		t.Errorf("error is %v, want ErrNotFound", err)
	}
}

func TestSagasAreListedWhateverTheirShard(t *testing.T) {
	ns := ensure(t)
	var want []string
	for i := range 40 {
		k := key(fmt.Sprintf("o-%02d", i))
		c := saga.Commit{Version: 1, Time: time.Now(), Events: []saga.Event{saga.SagaStarted{Run: "r", Definition: 1, State: state(t, "{}")}}}
		if _, err := ns.Log().Append(t.Context(), k, 0, &c); err != nil {
			t.Fatal(err)
		}
		want = append(want, k.ID)
	}
	var got []string
	if err := ns.Sagas(t.Context(), func(k saga.Key) bool { got = append(got, k.ID); return true }); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("sagas are %v", got)
	}
	seen := 0
	if err := ns.Sagas(t.Context(), func(saga.Key) bool { seen++; return seen < 3 }); err != nil || seen != 3 {
		t.Errorf("asked to stop after 3: %d, %v", seen, err)
	}
}
