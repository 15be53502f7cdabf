package projections_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

// count gives how many sagas the read models have that a query asks for.
func (s *site) count(q projections.Query) int64 {
	s.t.Helper()
	n, err := s.reader().Count(s.t.Context(), q)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// caughtUp returns when the read models know all that is in the streams.
func (s *site) caughtUp() {
	s.t.Helper()
	source := s.client.Source()
	eventually(s.t, "the projector has caught up", func() bool {
		g, err := s.reader().Generations(s.t.Context())
		if err != nil || g.Current == "" {
			return false
		}
		for _, stream := range source.Streams() {
			if lag, err := projections.Lag(s.t.Context(), source, stream, g.Current); err != nil || lag > 0 {
				return false
			}
		}
		return true
	})
}

// imports restores all that was exported to a directory.
func (s *site) imports(dir string) {
	s.t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := s.client.Import(s.t.Context(), bytes.NewReader(file), func(r engine.RefusedImport) { s.t.Error(r) }); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestReadModelsFollowWhatIsPurgedAndWhatComesBack(t *testing.T) {
	t.Parallel()
	const sagas, failed = 200, 20
	s := newSite(t)
	s.worker()
	s.projector()
	s.start(0, sagas)
	s.ended(sagas)
	dir := t.TempDir()
	completed := engine.Retention{
		Rules:   []engine.RetentionRule{{Status: saga.StatusCompleted, Keep: time.Nanosecond}},
		Archive: engine.DirectoryArchive(dir), Rate: 10_000,
	}
	report, err := s.client.Retain(t.Context(), completed)
	if err != nil || report.Purged != sagas-failed {
		t.Fatalf("the report is %+v, %v", report, err)
	}
	left := func(when string, all, ended int64) {
		t.Helper()
		if n := s.count(projections.Query{}); n != all {
			t.Errorf("%s there are %d sagas, want %d", when, n, all)
		}
		if n := s.count(projections.Query{Statuses: []saga.Status{saga.StatusCompleted}}); n != ended {
			t.Errorf("%s %d have completed, want %d", when, n, ended)
		}
		if n := s.count(projections.Query{Attributes: map[string]string{"customer": "customer-1"}}); (n > sagas/10) != (ended > 0) {
			t.Errorf("%s a customer has %d sagas", when, n)
		}
	}
	eventually(t, "the read models have forgotten what was purged", func() bool { return s.count(projections.Query{}) == failed })
	left("after the purge", failed, 0)
	s.clean(failed)

	// A rebuild reads tombstones, and does not bring back what they stand for.
	if err := s.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.caughtUp()
	left("after a rebuild", failed, 0)
	s.clean(failed)

	s.imports(dir)
	eventually(t, "the read models have what was imported", func() bool { // a saga is known from its Start on
		return s.count(projections.Query{}) == sagas && s.count(projections.Query{Statuses: []saga.Status{saga.StatusCompleted}}) == sagas-failed
	})
	left("after the import", sagas, sagas-failed)
	s.clean(sagas)
}

func TestReadModelsThatSleptThroughPurgesAreBuiltAnew(t *testing.T) {
	t.Parallel()
	const sagas, failed = 30, 3
	s := newSite(t)
	s.worker()
	project := func(remember time.Duration) (stop func()) {
		conf := projections.ProjectorConfig{Redis: s.rdb, Source: s.client.Source(), Logger: quiet(), Remember: remember}
		return s.run(projections.NewProjector(conf))
	}
	stop := project(time.Hour)
	s.start(0, sagas)
	s.ended(sagas)
	s.caughtUp()
	stop()
	before := s.marker(modelsMarker)["current"]
	stop = project(time.Hour)
	s.start(sagas, sagas+1) // which fails, too
	s.ended(sagas + 1)
	if after := s.marker(modelsMarker); after["current"] != before || after["next"] != "" {
		t.Fatalf("they were built anew after a moment: %v", after)
	}
	stop()
	report, err := s.client.Retain(t.Context(), engine.Retention{
		Rules: []engine.RetentionRule{{Status: saga.StatusCompleted, Keep: time.Nanosecond}}, Remember: time.Second, Rate: 10_000})
	if err != nil || report.Purged != sagas-failed {
		t.Fatalf("the report is %+v, %v", report, err)
	}
	eventually(t, "the tombstones go", func() bool {
		left := 0
		for _, stream := range s.client.Source().Streams() {
			if err := s.client.Source().Scan(t.Context(), stream, func(r projections.Record) error {
				if r.Purged {
					left++
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		return left == 0
	})
	project(time.Second)
	eventually(t, "the read models have forgotten what was purged", func() bool { return s.count(projections.Query{}) == failed+1 })
	s.clean(failed + 1)
	if after := s.marker(modelsMarker)["current"]; after == before {
		t.Error("they were not built anew")
	}
}

func TestPurgesUnderLoadLeaveTheReadModelsRight(t *testing.T) {
	sagas := 600
	if long {
		sagas = 20_000
	}
	s := newSite(t)
	s.worker()
	s.projector()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			_, err = s.client.Retain(ctx, engine.Retention{Rules: []engine.RetentionRule{{Keep: time.Nanosecond}}, Rate: 10_000})
		}
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		done <- err
	}()
	s.start(0, sagas)
	eventually(t, "all sagas are purged", func() bool {
		n, err := s.reader().Count(t.Context(), projections.Query{})
		if err != nil || n > 0 {
			return false
		}
		_, err = s.client.Get(t.Context(), saga.Key{Definition: "order", ID: fmt.Sprintf("o-%06d", sagas-1)})
		return errors.Is(err, engine.ErrNotFound)
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := s.client.Retain(t.Context(), engine.Retention{Rules: []engine.RetentionRule{{Keep: time.Nanosecond}}, Rate: 10_000}); err != nil {
		t.Fatal(err)
	}
	s.caughtUp()
	s.clean(0)
}

func TestAViewKeepsWhatItWasToldOfPurgedSagasAndIsNotToldAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	s.view(perCustomer(1))
	s.start(0, 21) // of which 3 fail
	want := map[string]string{"reserve": "21", "charge": "21", "ship": "18"}
	told := func() bool {
		steps, err := s.readView("steps")
		return err == nil && fmt.Sprint(steps) == fmt.Sprint(want)
	}
	eventually(t, "the view is told of all", told)
	dir := t.TempDir()
	purge := func() int {
		t.Helper()
		report, err := s.client.Retain(t.Context(), engine.Retention{
			Rules: []engine.RetentionRule{{Keep: time.Nanosecond}}, Archive: engine.DirectoryArchive(dir), Rate: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		return report.Purged
	}
	purged := 0
	eventually(t, "all are purged, once the view has acknowledged them", func() bool { purged += purge(); return purged == 21 })
	s.imports(dir)

	// What comes next is told after all that came back: of a run again, and of another saga.
	again := func(id string, opts ...engine.StartOption) {
		t.Helper()
		if _, err := engine.For(s.client, s.def).Start(t.Context(), id, order{Customer: "another"}, opts...); err != nil {
			t.Fatal(err)
		}
	}
	again("o-000001", engine.OrAgain())
	again("o-100000")
	want = map[string]string{"reserve": "23", "charge": "23", "ship": "20"}
	eventually(t, "the view is told of what is new, and of nothing twice", told)

	// One that is built anew is told of what came back.
	s.view(perCustomer(2))
	eventually(t, "the new view is told of all", func() bool {
		orders, err := s.readView("orders")
		return err == nil && orders["another"] == "4" && told()
	})
}

func TestAViewThatSleptThroughPurgesIsToldOfOtherSagasThatHaveTheirIDs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker()
	stop := s.view(perCustomer(1))
	told := func(want map[string]string) {
		t.Helper()
		eventually(t, fmt.Sprint("the view is told of ", want), func() bool {
			steps, err := s.readView("steps")
			return err == nil && maps.Equal(steps, want)
		})
	}
	s.start(0, 21) // of which 3 fail
	told(map[string]string{"reserve": "21", "charge": "21", "ship": "18"})
	eventually(t, "the view has acknowledged it", func() bool {
		lag := uint64(0)
		for _, stream := range s.client.Source().Streams() {
			n, err := projections.ViewLag(t.Context(), s.client.Source(), stream, "per_customer", s.marker(viewMarker)["current"])
			if err != nil {
				t.Fatal(err)
			}
			lag += n
		}
		return lag == 0
	})
	stop()
	report, err := s.client.Retain(t.Context(), engine.Retention{
		Rules: []engine.RetentionRule{{Keep: time.Nanosecond}}, Rate: 10_000})
	if err != nil || report.Purged != 21 {
		t.Fatalf("the report is %+v, %v", report, err)
	}
	for _, name := range s.client.Source().Streams() { // their tombstones go when they were to be remembered for long enough
		stream, err := s.client.Namespace().JetStream().Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("saga.default.*.order.>")); err != nil {
			t.Fatal(err)
		}
	}
	s.start(0, 21)
	stop = s.view(perCustomer(1))
	told(map[string]string{"reserve": "42", "charge": "42", "ship": "36"})

	// A Redis that was set back has the view read the same again.
	stop()
	at := viewMarker + ":" + s.marker(viewMarker)["current"] + ":.at"
	if err := s.rdb.HDel(t.Context(), at, s.client.Source().Streams()...).Err(); err != nil {
		t.Fatal(err)
	}
	s.view(perCustomer(1))
	s.start(100, 101)
	told(map[string]string{"reserve": "43", "charge": "43", "ship": "36"})
	versions, err := s.readView(".versions")
	if err != nil || len(versions) != 22 {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	for name, version := range versions {
		if !regexp.MustCompile(`^[1-9]\d* [0-9a-f]{8}$`).MatchString(version) {
			t.Errorf("%s has the version %q", name, version)
		}
	}
}
