package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jetsaga/jetsaga/streams/embedded"
)

// site is the directory of a demo. What the run was asked to do is kept in it, so that a demo that was killed, at
// whatever moment, goes on with the same orders.
type site struct {
	dir     string
	resumed bool
	lock    *embedded.Lock // two demos never share a directory
}

// Names in a site.
const (
	siteMark    = "demo.json" // what the run was asked to do, and whether it has finished
	siteNewMark = "demo.json.new"
	siteNATS    = "nats"
	siteLedgers = "ledgers"
)

// task is what a run is asked to do.
type task struct {
	Orders int    `json:"orders"`
	Seed   uint64 `json:"seed,omitempty"`
	// Input is the file that the orders were in, for people, and Digest its content.
	Input  string `json:"input,omitempty"`
	Digest string `json:"digest,omitempty"`
}

// command gives the flags that ask for the task.
func (t task) command() string {
	if t.Input != "" {
		return "--input " + t.Input
	}
	return fmt.Sprintf("--orders %d --seed %d", t.Orders, t.Seed)
}

// same reports whether both have the same orders.
func (t task) same(other task) bool {
	return t.Orders == other.Orders && t.Seed == other.Seed && t.Digest == other.Digest
}

// digest gives what tells an input from another.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// mark is the content of siteMark.
type mark struct {
	task
	Finished bool `json:"finished"`
}

// defaultSite gives where a demo keeps everything unless told otherwise: the same for every run of a user.
func defaultSite() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "jetsaga", "demo")
}

// openSite opens the directory for a run. An unfinished run of the same orders is resumed; one of other orders is left
// alone; what a finished one has left is removed.
func openSite(dir string, t task, fresh bool) (*site, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("demo directory: %w", err)
	}
	lock, err := embedded.Acquire(dir)
	if err != nil {
		return nil, fmt.Errorf("another demo is running here: %w", err)
	}
	s := &site{dir: dir, lock: lock}
	if err := s.prepare(t, fresh); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// prepare decides between resuming and beginning.
func (s *site) prepare(t task, fresh bool) error {
	data, err := os.ReadFile(s.path(siteMark))
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.requireOurs(); err != nil {
			return err
		}
		return s.begin(t)
	}
	if err != nil {
		return fmt.Errorf("demo directory: %w", err)
	}
	var was mark
	err = json.Unmarshal(data, &was)
	switch {
	case err != nil && !fresh:
		return usagef("%s cannot be read (%w); begin anew with --fresh", s.path(siteMark), err)
	case fresh || was.Finished:
		return s.beginAgain(t)
	case !was.same(t) && was.command() == t.command():
		return usagef("%s holds an unfinished demo of what %s contained before; begin anew with --fresh", s.dir, t.Input)
	case !was.same(t):
		return usagef("%s holds an unfinished demo; finish it with %s, or begin anew with --fresh", s.dir, was.command())
	}
	s.resumed = true
	return nil
}

func (s *site) close() error { return s.lock.Release() }

// requireOurs refuses a directory with anything in it that is not a demo's, since beginning again removes what is there.
func (s *site) requireOurs() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("demo directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() != embedded.LockName && e.Name() != siteNewMark {
			return usagef("%s is not empty and not a demo's; choose another --data", s.dir)
		}
	}
	return nil
}

// begin marks the directory as a run's. Nothing else is in it before.
func (s *site) begin(t task) error { return s.write(mark{task: t}) }

// beginAgain removes what an earlier run left. Until all of it is gone the mark says that it has finished, so that a
// kill half-way never leaves a half that would be resumed.
func (s *site) beginAgain(t task) error {
	if err := s.write(mark{task: t, Finished: true}); err != nil {
		return err
	}
	for _, name := range []string{siteNATS, siteLedgers} {
		if err := os.RemoveAll(s.path(name)); err != nil {
			return fmt.Errorf("demo directory: %w", err)
		}
	}
	return s.begin(t)
}

// finish marks the run as finished: the next one begins anew.
func (s *site) finish(t task) error { return s.write(mark{task: t, Finished: true}) }

// neverBegan says that nothing was started, so that there is nothing to go on with; what an earlier run left unfinished
// stays so.
func (s *site) neverBegan(t task) error {
	if s.resumed {
		return nil
	}
	return s.finish(t)
}

// write replaces the mark whole.
func (s *site) write(m mark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("demo directory: %w", err)
	}
	if err := os.WriteFile(s.path(siteNewMark), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("demo directory: %w", err)
	}
	if err := os.Rename(s.path(siteNewMark), s.path(siteMark)); err != nil {
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
