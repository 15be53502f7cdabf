package journaltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Fixture is a journal under test, and what the suite needs to see that the port does not show.
type Fixture struct {
	Journal saga.Journal
	// Store puts a message at the end of a saga's log as it is, past the codec, and gives its revision. Without it
	// the tests of unreadable logs are reported as skipped.
	Store func(key saga.Key, data []byte) (revision uint64)
	// Timers gives the times of a saga's pending timers by name. Without it the tests of timers are reported as
	// skipped.
	Timers func(key saga.Key) map[string]time.Time
}

// Suite tests that a journal does what [saga.Journal] promises. It calls open for a fixture once per test; the
// journals that it gives may share their storage, since no saga's name is used in two tests.
func Suite(t *testing.T, open func(t *testing.T) Fixture) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, subject)
	}{
		{"an empty log is no error", testEmpty},
		{"what was appended is loaded", testRoundTrip},
		{"revisions grow and are what load gives", testRevisions},
		{"an append at another revision conflicts and writes nothing", testConflict},
		{"an append that is repeated conflicts with itself", testRepeat},
		{"sagas do not see each other", testSeparate},
		{"every legal name has a log of its own", testNames},
		{"loading begins at the last snapshot", testSnapshots},
		{"a base that is wrong is not believed", testWrongBase},
		{"of racing appenders one wins each version", testRace},
		{"a load at any replica shows a prefix while the log grows", testPrefix},
		{"a call whose context has ended does nothing", testContext},
		{"timers are set and cancelled with their commit", testTimers},
		{"a log from a newer build is unknown", testUnknown},
		{"a log that is no history is corrupt", testCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, subject{open(t), strings.ReplaceAll(strings.TrimPrefix(test.name, "a "), " ", "-")})
		})
	}
}

// subject is the fixture of one test.
type subject struct {
	Fixture
	test string
}

// key names a saga that no other test uses.
func (s subject) key(id string) saga.Key { return saga.Key{Definition: s.test, ID: id} }

// author writes one saga's log, as an activation would, and remembers what it wrote.
type author struct {
	t       *testing.T
	journal saga.Journal
	key     saga.Key
	me      saga.Owner
	written []saga.Commit
	at      uint64 // where the log stands
	base    uint64
}

func (s subject) author(t *testing.T, id string) *author {
	return &author{t: t, journal: s.Journal, key: s.key(id), me: saga.Owner{Worker: "worker-1", Command: "run-1", Delivery: 1}}
}

// next makes the next commit: SagaStarted for the first, the events given, or a claim, for any other.
func (a *author) next(events ...saga.Event) *saga.Commit {
	version := uint64(len(a.written) + 1)
	switch {
	case version == 1:
		events = append([]saga.Event{saga.SagaStarted{Run: "run-1", Definition: 1, State: a.state(`{"n":1}`)}}, events...)
	case len(events) == 0:
		events = []saga.Event{saga.ActivationClaimed{}}
	}
	c := &saga.Commit{Version: version, Time: time.Unix(1_700_000_000, 123).UTC(), By: a.me, Base: a.base, Events: events}
	if version%saga.SnapshotEvery == 0 {
		c.Snapshot = a.fold(append(slices.Clone(a.written), *c))
	}
	return c
}

func (a *author) state(json string) saga.State {
	a.t.Helper()
	s, err := saga.ParseState([]byte(json))
	if err != nil {
		a.t.Fatalf("state %s: %v", json, err)
	}
	return s
}

func (a *author) fold(commits []saga.Commit) *saga.Instance {
	a.t.Helper()
	in, err := saga.Fold(a.key, commits)
	if err != nil {
		a.t.Fatalf("folding %d commits: %v", len(commits), err)
	}
	return in
}

// append appends a commit and fails the test if it does not get in.
func (a *author) append(c *saga.Commit) {
	a.t.Helper()
	revision, err := a.journal.Append(a.t.Context(), a.key, a.at, c)
	if err != nil {
		a.t.Fatalf("Append of commit %d at revision %d: %v", c.Version, a.at, err)
	}
	if revision <= a.at {
		a.t.Fatalf("Append of commit %d at revision %d gave revision %d; it must grow", c.Version, a.at, revision)
	}
	a.wrote(c, revision)
}

func (a *author) wrote(c *saga.Commit, revision uint64) {
	a.at = revision
	if c.Snapshot != nil || c.Version == 1 {
		a.base = revision
	}
	a.written = append(a.written, *c)
}

func (a *author) appendMany(n int) {
	a.t.Helper()
	for range n {
		a.append(a.next())
	}
}

func (a *author) load(c saga.Consistency) saga.Log {
	a.t.Helper()
	log, err := a.journal.Load(a.t.Context(), a.key, c)
	if err != nil {
		a.t.Fatalf("Load of %s: %v", a.key, err)
	}
	return log
}

// stands fails the test unless the log is, to its end, what was written.
func (a *author) stands() {
	a.t.Helper()
	log := a.load(saga.Latest)
	if log.Revision != a.at {
		a.t.Errorf("the log of %s stands at revision %d, want %d", a.key, log.Revision, a.at)
	}
	if log.Base != a.base {
		a.t.Errorf("the log of %s was loaded from base %d, want %d", a.key, log.Base, a.base)
	}
	a.isTail(log)
}

// isTail fails the test unless the log's commits are the last that were written, to the byte.
func (a *author) isTail(log saga.Log) {
	a.t.Helper()
	if len(log.Commits) > len(a.written) {
		a.t.Fatalf("the log of %s has %d commits, %d were written", a.key, len(log.Commits), len(a.written))
	}
	want := a.written[len(a.written)-len(log.Commits):]
	for i := range log.Commits {
		if got, want := encode(a.t, &log.Commits[i]), encode(a.t, &want[i]); got != want {
			a.t.Fatalf("commit of %s:\n got %s\nwant %s", a.key, got, want)
		}
	}
	if got, want := a.fold(log.Commits), a.fold(a.written); !sameInstance(got, want) {
		a.t.Errorf("folded from the last snapshot on, %s is %+v; from its beginning, %+v", a.key, got, want)
	}
}

func encode(t *testing.T, c *saga.Commit) string {
	t.Helper()
	data, err := saga.EncodeCommit(c)
	if err != nil {
		t.Fatalf("encoding commit %d: %v", c.Version, err)
	}
	return string(data)
}

// sameInstance compares by what a snapshot would hold, and what a snapshot leaves out.
func sameInstance(a, b *saga.Instance) bool {
	wrap := func(in *saga.Instance) (string, error) {
		data, err := saga.EncodeCommit(&saga.Commit{Snapshot: in})
		return string(data), err
	}
	x, errX := wrap(a)
	y, errY := wrap(b)
	return errX == nil && errY == nil && x == y && a.Key == b.Key && a.Version == b.Version
}

func testEmpty(t *testing.T, s subject) {
	for _, c := range []saga.Consistency{saga.Any, saga.Latest} {
		if log := s.author(t, "never-started").load(c); len(log.Commits) != 0 || log.Revision != 0 || log.Base != 0 {
			t.Errorf("Load at consistency %d of a saga without commits: %+v, want the zero Log", c, log)
		}
	}
}

func testRoundTrip(t *testing.T, s subject) {
	a := s.author(t, "one-of-each")
	at := time.Unix(1_700_000_060, 7).UTC()
	failure := saga.Failure{Error: "broken: \u2028 \"quoted\" <&>", Stack: "goroutine 1\n", RetryAt: at}
	patch := saga.Patch{Set: a.state(`{"name":"M\u00fcller <&> \"x\"","deep":{"a":[1,2.50,null]}}`), Unset: []string{"n"}}
	for _, events := range [][]saga.Event{
		{saga.StepCompleted{Step: "a", Attempt: 1, Took: time.Second, Patch: patch}},
		{saga.StepFailed{Step: "b", Attempt: 1, Failure: failure}, saga.CancelRequested{ID: "c", Reason: "r", By: "me"}},
		{saga.ActivationClaimed{}, saga.StepFailed{Step: "b", Attempt: 2, Failure: saga.Failure{Error: "e", Permanent: true, GaveUp: true}}},
		{saga.CompensationStarted{Reason: saga.ReasonFailed, Step: "b", Error: "e"}},
		{saga.CompensationFailed{Step: "a", Attempt: 1, Failure: failure}},
		{saga.TimerSet{Name: "t", At: at, Step: "a"}, saga.SagaParked{}},
		{saga.TimerFired{Name: "t"}},
		{saga.StepCompensated{Step: "a", Attempt: 2, Patch: saga.Patch{}}, saga.SagaCompensated{Reason: saga.ReasonFailed, Error: "e"}},
	} {
		if len(a.written) == 0 {
			a.append(a.next())
		}
		c := a.next(events...)
		if _, parks := events[len(events)-1].(saga.SagaParked); parks {
			c.Snapshot = a.fold(append(slices.Clone(a.written), *c))
		}
		a.append(c)
		a.stands()
	}
}

func testRevisions(t *testing.T, s subject) {
	a, b := s.author(t, "a"), s.author(t, "b")
	for range 5 {
		a.append(a.next())
		b.append(b.next())
		a.stands()
		b.stands()
	}
}

func testConflict(t *testing.T, s subject) {
	a := s.author(t, "one")
	if _, err := a.journal.Append(t.Context(), a.key, 7, a.next()); !errors.Is(err, saga.ErrConflict) {
		t.Errorf("Append at revision 7 of an empty log: error %v, want ErrConflict", err)
	}
	a.stands()
	a.append(a.next())
	first := a.at
	a.appendMany(2)
	other := s.author(t, "other")
	other.append(other.next())
	for name, at := range map[string]uint64{
		"the beginning": 0, "an old revision": first, "the one before the last": a.at - 1,
		"one that is not there yet": a.at + 1, "another saga's": other.at, "the highest number": math.MaxUint64,
	} {
		revision, err := a.journal.Append(t.Context(), a.key, at, a.next(saga.CancelRequested{ID: name}))
		if !errors.Is(err, saga.ErrConflict) {
			t.Errorf("Append at %s, %d, of a log that stands at %d: revision %d, error %v, want ErrConflict",
				name, at, a.at, revision, err)
		}
		a.stands()
	}
	a.append(a.next())
	a.stands()
}

func testRepeat(t *testing.T, s subject) {
	a := s.author(t, "one")
	for range 3 {
		c, at := a.next(), a.at
		a.append(c)
		if _, err := a.journal.Append(t.Context(), a.key, at, c); !errors.Is(err, saga.ErrConflict) {
			t.Errorf("the second Append of commit %d: error %v, want ErrConflict", c.Version, err)
		}
		a.stands()
	}
}

func testSeparate(t *testing.T, s subject) {
	var authors []*author
	for _, definition := range []string{"d", "d-1", "d_1"} {
		for _, id := range []string{"1", "11", "1-1", "d"} {
			a := s.author(t, id)
			a.key.Definition = s.test + definition
			authors = append(authors, a)
		}
	}
	for i, a := range authors {
		a.me.Worker = fmt.Sprintf("worker-%d", i)
		a.appendMany(1 + i%3)
	}
	for _, a := range authors {
		a.stands()
	}
}

func testNames(t *testing.T, s subject) {
	names := []string{
		"a", "A", "0", "-", "_", "$JS", "a/b", `a\b`, `"quoted"`, "{}", "[x]", "a:b", "a,b;c", "%2E", "~!@#$^&()+=|?<",
		"caf\u00e9", "cafe\u0301", "\u65e5\u672c\u8a9e", "\U0001f680", "\u200d", "\ufeffbom",
		strings.Repeat("x", saga.MaxNameBytes), strings.Repeat("\u00fc", saga.MaxNameBytes/2),
	}
	var authors []*author
	for i, name := range names {
		a := s.author(t, name)
		a.key.Definition = name
		if err := a.key.Validate(); err != nil {
			t.Fatalf("the suite's own name %q: %v", name, err)
		}
		a.me.Worker = fmt.Sprintf("worker-%d", i)
		authors = append(authors, a)
	}
	for _, a := range authors {
		a.appendMany(2)
	}
	for _, a := range authors {
		a.stands()
	}
}

func testSnapshots(t *testing.T, s subject) {
	for _, n := range []int{1, 2, saga.SnapshotEvery - 1, saga.SnapshotEvery, saga.SnapshotEvery + 1, 200} {
		t.Run(fmt.Sprintf("after %d commits", n), func(t *testing.T) {
			a := s.author(t, fmt.Sprintf("n-%d", n))
			a.appendMany(n)
			a.stands()
			if got, want := len(a.load(saga.Latest).Commits), n-max(n/saga.SnapshotEvery*saga.SnapshotEvery, 1)+1; got != want {
				t.Errorf("Load gave %d commits, want the %d since the last snapshot", got, want)
			}
		})
	}
}

func testWrongBase(t *testing.T, s subject) {
	other := s.author(t, "other")
	other.appendMany(saga.SnapshotEvery)
	for name, base := range map[string]func(a *author, plain uint64) uint64{
		"none":                       func(*author, uint64) uint64 { return 0 },
		"of no message":              func(a *author, _ uint64) uint64 { return a.at + 1_000_000 },
		"the highest number":         func(*author, uint64) uint64 { return math.MaxUint64 },
		"another saga's snapshot":    func(*author, uint64) uint64 { return other.base },
		"of a commit without":        func(_ *author, plain uint64) uint64 { return plain },
		"of the commit before":       func(a *author, _ uint64) uint64 { return a.at },
		"just before the snapshot's": func(a *author, _ uint64) uint64 { return a.base - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			a := s.author(t, strings.ReplaceAll(name, " ", "-"))
			a.appendMany(saga.SnapshotEvery + 1)
			plain := a.at
			a.append(a.next())
			c := a.next()
			c.Base = base(a, plain)
			a.append(c)
			log := a.load(saga.Latest)
			if log.Revision != a.at {
				t.Errorf("the log stands at revision %d, want %d", log.Revision, a.at)
			}
			a.isTail(log)
		})
	}
}

func testContext(t *testing.T, s subject) {
	a := s.author(t, "one")
	a.append(a.next())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.journal.Append(ended, a.key, a.at, a.next()); !errors.Is(err, context.Canceled) {
		t.Errorf("Append under a cancelled context: error %v, want context.Canceled", err)
	}
	if _, err := a.journal.Load(ended, a.key, saga.Latest); !errors.Is(err, context.Canceled) {
		t.Errorf("Load under a cancelled context: error %v, want context.Canceled", err)
	}
	a.stands()
}

func testTimers(t *testing.T, s subject) {
	if s.Timers == nil {
		t.Skip("the fixture cannot show timers: Fixture.Timers is nil")
	}
	a, other := s.author(t, "one"), s.author(t, "other")
	at := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	pending := func(what string, want map[string]time.Time) {
		t.Helper()
		if got := s.Timers(a.key); !maps.EqualFunc(got, want, time.Time.Equal) {
			t.Errorf("%s, the pending timers are %v, want %v", what, got, want)
		}
	}
	a.append(a.next())
	other.append(other.next())
	pending("before any was set", nil)
	a.append(a.next(saga.TimerSet{Name: "t-1", At: at, Step: "a"}, saga.SagaParked{}))
	other.append(other.next(saga.TimerSet{Name: "t-1", At: at.Add(time.Hour)}, saga.SagaParked{}))
	pending("after one was set", map[string]time.Time{"t-1": at})
	a.append(a.next(saga.CancelRequested{ID: "c"}, saga.TimerCancelled{Name: "t-1"}, saga.ActivationClaimed{}))
	pending("after it was cancelled", nil)
	a.append(a.next(saga.TimerSet{Name: "t-2", At: at, Step: "a"}, saga.TimerSet{Name: "t-3", At: at.Add(time.Minute)}))
	pending("after two were set at once", map[string]time.Time{"t-2": at, "t-3": at.Add(time.Minute)})
	a.stands()
	other.stands()
}

// refusal loads a log that cannot be read, and gives the error. A replica may be behind and show what was there before;
// it is asked again for a while.
func (s subject) refusal(t *testing.T, key saga.Key, c saga.Consistency) error {
	t.Helper()
	const patience = 10 * time.Second
	for deadline := time.Now().Add(patience); ; {
		_, err := s.Journal.Load(t.Context(), key, c)
		if err != nil || c == saga.Latest || time.Now().After(deadline) {
			return err
		}
	}
}

func testUnknown(t *testing.T, s subject) {
	if s.Store == nil {
		t.Skip("the fixture cannot store what the codec refuses: Fixture.Store is nil")
	}
	for name, data := range map[string]string{
		"event type":    `{"f":1,"v":2,"t":"2026-01-01T00:00:00Z","by":{},"e":[{"type":"StarsAligned","data":{}}]}`,
		"commit format": `{"f":999,"v":2,"e":"in some later shape"}`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []saga.Consistency{saga.Any, saga.Latest} {
				a := s.author(t, fmt.Sprintf("%s-%d", strings.ReplaceAll(name, " ", "-"), c))
				a.append(a.next())
				s.Store(a.key, []byte(data))
				err := s.refusal(t, a.key, c)
				var unknown *saga.UnknownError
				var corrupt *saga.CorruptError
				if !errors.As(err, &unknown) || errors.As(err, &corrupt) || unknown.What != name {
					t.Errorf("Load at consistency %d: error %v, want an UnknownError about the %s", c, err, name)
				}
			}
		})
	}
}

func testCorrupt(t *testing.T, s subject) {
	if s.Store == nil {
		t.Skip("the fixture cannot store what the codec refuses: Fixture.Store is nil")
	}
	commit := func(version uint64) []byte {
		return []byte(encode(t, &saga.Commit{Version: version, Events: []saga.Event{saga.ActivationClaimed{}}}))
	}
	for name, data := range map[string][]byte{
		"an empty message":     {},
		"no JSON":              []byte("\x00\xff not json"),
		"cut off":              commit(2)[:20],
		"no format number":     []byte(`{"v":2,"e":[{"type":"ActivationClaimed","data":{}}]}`),
		"no events":            []byte(`{"f":1,"v":2,"e":[]}`),
		"event without data":   []byte(`{"f":1,"v":2,"e":[{"type":"ActivationClaimed"}]}`),
		"data of another type": []byte(`{"f":1,"v":2,"e":[{"type":"StepCompleted","data":{"step":7}}]}`),
		"a version left out":   commit(3),
		"a version repeated":   commit(1),
	} {
		t.Run(name, func(t *testing.T) {
			a := s.author(t, strings.ReplaceAll(name, " ", "-"))
			a.append(a.next())
			s.corrupt(t, a, s.Store(a.key, data), "at the end")
			a = s.author(t, strings.ReplaceAll(name, " ", "-")+"-within")
			a.append(a.next())
			revision := s.Store(a.key, data)
			c := a.next()
			c.Version++
			if _, err := s.Journal.Append(t.Context(), a.key, revision, c); err != nil {
				t.Fatalf("Append after what Store put there: %v", err)
			}
			s.corrupt(t, a, revision, "within")
		})
	}
}

// corrupt fails the test unless loading the saga, or at the latest folding it, gives a CorruptError.
func (s subject) corrupt(t *testing.T, a *author, revision uint64, where string) {
	t.Helper()
	log, err := s.Journal.Load(t.Context(), a.key, saga.Latest)
	if err == nil {
		_, err = saga.Fold(a.key, log.Commits)
	}
	var corrupt *saga.CorruptError
	if !errors.As(err, &corrupt) {
		t.Errorf("with revision %d unreadable %s of the log, loading gives error %v, want a CorruptError", revision, where, err)
		return
	}
	if corrupt.Key != a.key {
		t.Errorf("the CorruptError is about %s, want %s", corrupt.Key, a.key)
	}
}
