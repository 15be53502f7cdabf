package projections_test

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

// questions are what a witness asks of read models. No answer is from one key alone.
var questions = []func(ctx context.Context, r *projections.Reader) (any, error){
	func(ctx context.Context, r *projections.Reader) (any, error) {
		return r.List(ctx, projections.Query{Limit: 200})
	},
	func(ctx context.Context, r *projections.Reader) (any, error) {
		return r.List(ctx, projections.Query{Attributes: map[string]string{"customer": "customer-3"}})
	},
	func(ctx context.Context, r *projections.Reader) (any, error) {
		return r.Count(ctx, projections.Query{Statuses: []saga.Status{saga.StatusCompleted}})
	},
	func(ctx context.Context, r *projections.Reader) (any, error) { return r.Counts(ctx) },
	func(ctx context.Context, r *projections.Reader) (any, error) { return r.Steps(ctx, "order") },
}

// ask gives the answers to all questions.
func (s *site) ask() []any {
	s.t.Helper()
	var answers []any
	for _, question := range questions {
		answer, err := question(s.t.Context(), s.reader())
		if err != nil {
			s.t.Fatal(err)
		}
		answers = append(answers, answer)
	}
	return answers
}

// alter makes a summary one that its saga's log does not tell of.
func alter(s *projections.Summary) {
	s.Status = map[saga.Status]saga.Status{saga.StatusCompleted: saga.StatusStuck, saga.StatusCompensated: saga.StatusTerminated}[s.Status]
	s.Attributes = map[string]string{"customer": "altered"}
	for step, totals := range s.Steps {
		totals.Completed.Count++
		s.Steps[step] = totals
	}
}

// rebuild has the read models of sagas that have all ended built anew, and gives how long that took. Those that it begins
// with are altered in each summary, index and total, and witnesses ask all the while, each of them again after a rest: they
// have to see wholly what was there before or wholly what comes after, and once the latter, never the former again.
func (s *site) rebuild(witnesses int, rest time.Duration) (took time.Duration) {
	s.t.Helper()
	fresh := s.ask()
	if err := projections.Alter(s.t.Context(), s.rdb, "default", alter); err != nil {
		s.t.Fatal(err)
	}
	old := s.ask()
	for i := range questions {
		if reflect.DeepEqual(old[i], fresh[i]) {
			s.t.Fatalf("question %d: the altered read models answer the same: %+v", i, old[i])
		}
	}
	before, err := s.reader().Generations(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	w := witness{t: s.t, reader: s.reader(), old: old, fresh: fresh}
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	var asking sync.WaitGroup
	for i := range witnesses {
		asking.Go(func() { w.ask(ctx, i, rest) })
	}
	eventually(s.t, "what was there before is seen", func() bool { return w.sawOld.Load() >= int64(len(questions)) })
	begun := time.Now()
	next, err := projections.Rebuild(s.t.Context(), s.rdb, "default", "the test wants it")
	if err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the rebuild", func() bool {
		g, err := s.reader().Generations(s.t.Context())
		if err == nil && g.Current == next && took == 0 {
			took = time.Since(begun)
		}
		return took > 0
	})
	eventually(s.t, "the old generation removed", func() bool {
		left, err := projections.Keys(s.t.Context(), s.rdb, "default", before.Current)
		feeds, failure := s.client.Source().Feeds(s.t.Context(), "models-")
		return err == nil && failure == nil && left == 0 && len(feeds) == len(s.client.Source().Streams())
	})
	enough := w.sawFresh.Load() + int64(len(questions))
	eventually(s.t, "what comes after is seen", func() bool { return s.t.Failed() || w.sawFresh.Load() >= enough })
	cancel()
	asking.Wait()
	s.t.Logf("%d answers of the old read models, %d of the new ones", w.sawOld.Load(), w.sawFresh.Load())
	return took
}

// witness holds the answers of read models against what those say that are replaced, and those that come.
type witness struct {
	t                testing.TB
	reader           *projections.Reader
	old, fresh       []any
	sawOld, sawFresh atomic.Int64
}

// ask asks until ctx ends, beginning with one of the questions.
func (w *witness) ask(ctx context.Context, first int, rest time.Duration) {
	replaced := false
	for i := first; ; i++ {
		question := i % len(questions)
		answer, err := questions[question](w.t.Context(), w.reader) //nolint:contextcheck // no question is broken off
		switch {
		case err != nil:
			w.t.Errorf("question %d: %v", question, err)
			return
		case reflect.DeepEqual(answer, w.fresh[question]):
			replaced = true
			w.sawFresh.Add(1)
		case reflect.DeepEqual(answer, w.old[question]) && !replaced:
			w.sawOld.Add(1)
		default:
			w.t.Errorf("question %d is answered, after the new read models were seen: %v: %+v\nwant %+v\nor %+v",
				question, replaced, answer, w.old[question], w.fresh[question])
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(rest):
		}
	}
}
