package journaltest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

func testRace(t *testing.T, s subject) {
	const writers, versions = 16, 40
	r := &race{journal: s.Journal, key: s.key("contended"), winners: make([]atomic.Pointer[saga.Owner], versions+1)}
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() { r.run(t, saga.Owner{Worker: fmt.Sprintf("worker-%d", w), Command: "run-1", Delivery: 1}) })
	}
	group.Wait()
	log, err := s.Journal.Load(t.Context(), r.key, saga.Latest)
	if err != nil || len(log.Commits) != versions {
		t.Fatalf("Load gave %d commits, error %v, want %d commits", len(log.Commits), err, versions)
	}
	for _, c := range log.Commits {
		if w := r.winners[c.Version].Load(); w == nil || *w != c.By {
			t.Errorf("version %d is by %v, but Append told %v that it was in", c.Version, c.By, w)
		}
	}
}

// race is between appenders to one log.
type race struct {
	journal saga.Journal
	key     saga.Key
	winners []atomic.Pointer[saga.Owner] // by version; there is no version 0
}

// run appends to the log, wherever it stands, until it has all versions.
func (r *race) run(t *testing.T, me saga.Owner) {
	for {
		log, err := r.journal.Load(t.Context(), r.key, saga.Latest)
		if err != nil {
			t.Errorf("Load: %v", err)
			return
		}
		c := &saga.Commit{Version: 1, By: me, Events: []saga.Event{saga.SagaStarted{Run: "run-1", Definition: 1}}}
		if n := len(log.Commits); n > 0 {
			c.Version, c.Base = log.Commits[n-1].Version+1, log.Base
			c.Events = []saga.Event{saga.ActivationClaimed{}}
		}
		if c.Version == uint64(len(r.winners)) {
			return
		}
		_, err = r.journal.Append(t.Context(), r.key, log.Revision, c)
		switch {
		case err == nil && !r.winners[c.Version].CompareAndSwap(nil, &me):
			t.Errorf("version %d was won twice: by %v and by %v", c.Version, r.winners[c.Version].Load(), me)
		case err != nil && !errors.Is(err, saga.ErrConflict):
			t.Errorf("Append: %v", err)
			return
		}
	}
}

func testPrefix(t *testing.T, s subject) {
	const versions = 60
	a := s.author(t, "growing")
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				log, err := s.Journal.Load(t.Context(), a.key, saga.Any)
				if err != nil {
					t.Errorf("Load: %v", err)
					return
				}
				for i, c := range log.Commits {
					if c.Version != uint64(i+1) {
						t.Errorf("commit %d of a prefix has version %d", i+1, c.Version)
						return
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	a.appendMany(versions)
	close(done)
	group.Wait()
	a.stands()
}
