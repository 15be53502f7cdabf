package projections_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/testutil"
)

const (
	modelsMarker = "jetsaga:{default}:models"
	viewMarker   = "jetsaga:{default:v:per_customer}"
)

// told is a log that says when it was told of an error.
type told struct {
	slog.Handler
	want func(error) bool
	came chan struct{}
	once sync.Once
}

func toldOf(want func(error) bool) *told {
	return &told{Handler: slog.DiscardHandler, want: want, came: make(chan struct{})}
}

func (h *told) Enabled(context.Context, slog.Level) bool { return true }

func (h *told) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok && h.want(err) {
			h.once.Do(func() { close(h.came) })
		}
		return true
	})
	return nil
}

func isNewer(err error) bool { return errors.Is(err, projections.ErrNewer) }

// marker gives what a marker says.
func (s *site) marker(key string) map[string]string {
	s.t.Helper()
	fields, err := s.rdb.HGetAll(s.t.Context(), key).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	return fields
}

func TestReadersSeeTheOldViewUntilTheNewOneIsBuiltWhileBothVersionsRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	versioned := func(version int, gate <-chan struct{}) projections.View {
		v := perCustomer(version)
		apply := v.Apply
		v.Apply = func(w *projections.Writes, e projections.Event) error {
			<-gate
			w.Do("HSET", w.Key("orders"), "version", version)
			return apply(w, e)
		}
		return v
	}
	open, gate := make(chan struct{}), make(chan struct{})
	close(open)
	letGo := sync.OnceFunc(func() { close(gate) })
	shows := func(version, n string) func() bool {
		return func() bool {
			orders, err := s.readView("orders")
			return err == nil && orders["version"] == version && orders["customer-3"] == n
		}
	}
	s.view(versioned(1, open))
	s.start(0, 70)
	eventually(t, "the first version has all", shows("1", "10"))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	seen := map[string]int{}
	readers.Go(func() {
		for last := "1"; ctx.Err() == nil; {
			orders, err := s.readView("orders") //nolint:contextcheck // the test's own
			if err != nil || orders["version"] < last {
				t.Errorf("a reader saw %v, %v, after version %s", orders, err, last)
				return
			}
			last = orders["version"]
			seen[last]++
		}
	})
	s.view(versioned(2, gate))
	t.Cleanup(letGo) // before the view is stopped
	eventually(t, "the second version is being built", func() bool { return s.marker(viewMarker)["next"] != "" })
	s.start(70, 140)
	eventually(t, "the first version is kept up meanwhile", shows("1", "20"))
	letGo()
	eventually(t, "the second version has taken its place", shows("2", "40"))
	built := s.marker(viewMarker)
	s.start(140, 210)
	eventually(t, "the second version has all", shows("2", "60"))

	// A worker that comes back with the first version.
	log := toldOf(isNewer)
	s.run(projections.NewViewProjector(projections.ProjectorConfig{
		Redis: s.rdb, Source: s.client.Source(), Logger: slog.New(log)}, versioned(1, open)))
	<-log.came
	if after := s.marker(viewMarker); !maps.Equal(after, built) {
		t.Errorf("the marker is %v, was %v", after, built)
	}
	cancel()
	readers.Wait()
	if seen["1"] == 0 || seen["2"] == 0 {
		t.Errorf("readers saw the versions %v, want both", seen)
	}
	eventually(t, "nothing is left of the first version", func() bool {
		feeds, err := s.client.Source().Feeds(t.Context(), "view-")
		keys := s.rdb.Keys(t.Context(), viewMarker+":*").Val()
		return err == nil && len(feeds) == 4 && len(keys) == 4
	})
}

func TestReadModelsOfAnOlderFormAreReadUntilNewOnesAreBuilt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	stop := s.projector()
	const sagas = 40
	s.start(0, sagas)
	s.ended(sagas)
	stop()
	s.rdb.HSet(t.Context(), modelsMarker, "format", "0")
	old := s.marker(modelsMarker)["current"]

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	readers.Go(func() {
		for ctx.Err() == nil {
			if n, err := s.reader().Count(t.Context(), projections.Query{}); err != nil || n != sagas { //nolint:contextcheck // the test's own
				t.Errorf("a reader saw %d sagas, %v; want %d", n, err, sagas)
				return
			}
		}
	})
	s.projector()
	eventually(t, "new ones are built", func() bool {
		m := s.marker(modelsMarker)
		return m["current"] != old && m["next"] == "" && m["format"] == "1" && m["current_format"] == ""
	})
	cancel()
	readers.Wait()
	s.clean(sagas)
}

func TestReadModelsOfANewerFormAreLeftAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	stop := s.projector()
	s.start(0, 20)
	s.ended(20)
	stop()
	// A newer build builds its own beside those of this one.
	s.rdb.HSet(t.Context(), modelsMarker, "format", "2", "current_format", "1", "current_version", "0", "next", "zzzz-a", "began", "1")
	before := s.marker(modelsMarker)
	s.projector()
	s.start(20, 40)
	s.ended(40)
	if after := s.marker(modelsMarker); !maps.Equal(after, before) {
		t.Errorf("the marker is %v, was %v", after, before)
	}
	// It has done so, and this one has nothing to read or to write any more.
	s.rdb.HSet(t.Context(), modelsMarker, "current", "zzzz-a")
	s.rdb.HDel(t.Context(), modelsMarker, "next", "began", "current_format", "current_version")
	before = s.marker(modelsMarker)
	log := toldOf(isNewer)
	s.run(projections.NewProjector(projections.ProjectorConfig{Redis: s.rdb, Source: s.client.Source(), Logger: slog.New(log)}))
	<-log.came
	if after := s.marker(modelsMarker); !maps.Equal(after, before) {
		t.Errorf("the marker is %v, was %v", after, before)
	}
	if _, err := s.reader().Count(t.Context(), projections.Query{}); !errors.Is(err, projections.ErrNewer) {
		t.Errorf("a reader got %v, want that they are newer", err)
	}
}

// Whoever asks for a rebuild may have a clock that is behind.
func TestTheNamesOfGenerationsRise(t *testing.T) {
	rdb := testutil.Redis(t).Client(t)
	const current = "zz-1"
	if err := rdb.HSet(t.Context(), modelsMarker, "current", current).Err(); err != nil {
		t.Fatal(err)
	}
	if next, err := projections.Rebuild(t.Context(), rdb, "default", "a test"); err != nil || next <= current {
		t.Errorf("after %q comes %q, %v", current, next, err)
	}
}
