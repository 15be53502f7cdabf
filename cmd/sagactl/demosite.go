package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jetsaga/jetsaga/streams/embedded"
)

// site is the directory of a demo. What the run was asked to do is kept in it, so that a demo that was killed goes on
// with the same orders.
type site struct {
	dir     string
	resumed bool
	lock    *embedded.Lock // two demos never share a directory
}

// Names in a site: the marks say that a run is under way, with what it was asked to do, and that it has finished.
const (
	siteRunning  = "running"
	siteFinished = "finished"
)

// describeDemo says what a run was asked to do, for comparison with a later one.
func describeDemo(f demoFlags) string {
	if f.input != "" {
		path, err := filepath.Abs(f.input)
		if err != nil {
			path = f.input
		}
		return "--input " + path
	}
	return fmt.Sprintf("--orders %d --seed %d", f.orders, f.seed)
}

// openSite opens the directory for a run. An unfinished run of the same orders is resumed; one of other orders is left
// alone; what a finished one has left is removed.
func openSite(dir, run string, fresh bool) (*site, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("demo directory: %w", err)
	}
	lock, err := embedded.Acquire(dir)
	if err != nil {
		return nil, fmt.Errorf("another demo is running here: %w", err)
	}
	s := &site{dir: dir, lock: lock}
	if err := s.prepare(run, fresh); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// prepare decides between resuming and beginning.
func (s *site) prepare(run string, fresh bool) error {
	was, err := os.ReadFile(s.path(siteRunning))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := s.requireOurs(); err != nil {
			return err
		}
		return s.begin(run)
	case err != nil:
		return fmt.Errorf("demo directory: %w", err)
	}
	_, err = os.Stat(s.path(siteFinished))
	if fresh || err == nil {
		return s.begin(run)
	}
	if before := strings.TrimSpace(string(was)); before != run {
		return usagef("%s holds an unfinished demo (%s); finish it with these flags, or begin anew with --fresh", s.dir, before)
	}
	s.resumed = true
	return nil
}

func (s *site) close() error { return s.lock.Release() }

// requireOurs refuses a directory with anything in it that is not a demo's, since beginning removes what is there.
func (s *site) requireOurs() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("demo directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == embedded.LockName {
			continue
		}
		return usagef("%s is not empty and not a demo's; choose another --data", s.dir)
	}
	return nil
}

// begin removes what an earlier run left and marks the directory as under way.
func (s *site) begin(run string) error {
	for _, name := range []string{"nats", "ledgers", siteFinished, siteRunning} {
		if err := os.RemoveAll(s.path(name)); err != nil {
			return fmt.Errorf("demo directory: %w", err)
		}
	}
	if err := os.WriteFile(s.path(siteRunning), []byte(run+"\n"), 0o600); err != nil {
		return fmt.Errorf("demo directory: %w", err)
	}
	return nil
}

// finish marks the run as finished: the next one begins anew.
func (s *site) finish() error {
	if err := os.WriteFile(s.path(siteFinished), nil, 0o600); err != nil {
		return fmt.Errorf("demo directory: %w", err)
	}
	return nil
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) verb() string {
	if s.resumed {
		return "Resuming the"
	}
	return "Running the"
}
