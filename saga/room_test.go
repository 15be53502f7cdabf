package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// press drives one saga against a journal that takes commits of so many bytes. Whatever runs at once ends at once.
type press struct {
	t     *testing.T
	def   saga.Runnable
	conf  saga.ActivationConfig
	takes int // bytes; 0 for any
	now   time.Time
	log   []saga.Commit
	sizes []int // of the log's commits
	loads int
	ran   []string // the handlers, in their order
}

func newPress(t *testing.T, def saga.Runnable) *press {
	t.Helper()
	return &press{t: t, def: def, now: storyTime, conf: saga.ActivationConfig{Worker: "w", Plan: func(string, int) *saga.Plan { return def.Plan() }}}
}

// deliver has the saga driven until its command is answered, and gives the answer.
func (p *press) deliver(command saga.Command) saga.Action {
	p.t.Helper()
	a := saga.NewActivation(p.conf, saga.Delivery{Key: theSaga, Command: command, Count: 1, Stream: "s", Sequence: 7})
	runner := p.def.NewRunner()
	var together []saga.Result
	action := a.Begin(p.now)
	for !action.Final() {
		switch action.Do {
		case saga.ActLoad:
			p.loads++
			action = a.Loaded(p.now, p.load())
		case saga.ActAppend:
			action = p.append(a, action.Commit)
		case saga.ActAsk:
			state, answer, err := runner.Ask(action.Task, action.State, *action.Input)
			action = a.Ran(p.now, saga.Result{Task: action.Task, State: state, Answer: &answer, Err: err})
		case saga.ActPublish:
			action = a.Published(p.now)
		case saga.ActRun:
			p.ran = append(p.ran, action.Task.Step)
			ctx := saga.NewContext(p.t.Context(), saga.Info{Key: theSaga, StepKey: action.Task.Step, Attempt: action.Task.Attempt})
			r := saga.Result{Task: action.Task}
			r.State, r.Err = runner.Run(ctx, action.Task, action.State)
			r.Emits = saga.Emitted(ctx)
			together = append(together, r)
			if action.More {
				action = a.Next(p.now)
				continue
			}
			action = a.Ran(p.now, together...)
			together = nil
		default:
			p.t.Fatalf("the action is %v", action.Do)
		}
	}
	return action
}

func (p *press) load() saga.Log {
	first := max(len(p.log)-1, 0)
	for first > 0 && p.log[first].Snapshot == nil {
		first--
	}
	return saga.Log{Commits: p.log[first:], Revision: uint64(len(p.log)), Base: uint64(first + 1)}
}

func (p *press) append(a *saga.Activation, c *saga.Commit) saga.Action {
	p.t.Helper()
	data, err := saga.EncodeCommit(c)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.takes > 0 && len(data) > p.takes {
		return a.TooLarge(fmt.Errorf("%d bytes, %d are taken", len(data), p.takes))
	}
	stored, err := saga.DecodeCommit(data)
	if err != nil {
		p.t.Fatal(err)
	}
	p.log, p.sizes = append(p.log, stored), append(p.sizes, len(data))
	return a.Appended(p.now, uint64(len(p.log)))
}

// run starts the saga and gives what its log tells in the end.
func (p *press) run() *saga.Instance {
	p.t.Helper()
	start := saga.Start{Run: "r1", Definition: 1, State: mustState(p.t, `{}`), Time: p.now}
	if answer := p.deliver(start); answer.Do != saga.ActAck {
		p.t.Fatalf("the answer is %v: %v", answer.Do, answer.Reason)
	}
	return p.fold()
}

func (p *press) fold() *saga.Instance {
	p.t.Helper()
	in, err := saga.Fold(theSaga, p.load().Commits)
	if err != nil {
		p.t.Fatal(err)
	}
	return in
}

// crate is a state of four parts.
type crate struct {
	A, B, C, D string   `json:",omitempty"`
	Log        string   `json:",omitempty"`
	Parts      []string `json:",omitempty"`
}

func crateOf(t *testing.T, in *saga.Instance) (c crate) {
	t.Helper()
	if err := json.Unmarshal(in.State.JSON(), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// fourParts gives a parallel block whose branches fill one part each with so many bytes.
func fourParts(bytes int) saga.Node[crate] {
	branch := func(name string, part func(*crate) *string) saga.BranchNode[crate] {
		fill := func(_ context.Context, c *crate) error { *part(c) = strings.Repeat("x", bytes); return nil }
		empty := func(_ context.Context, c *crate) error { *part(c) = ""; return nil }
		return saga.Branch(name, saga.Step("fill-"+name, fill).Compensate(empty))
	}
	return saga.Parallel("fill",
		branch("a", func(c *crate) *string { return &c.A }), branch("b", func(c *crate) *string { return &c.B }),
		branch("c", func(c *crate) *string { return &c.C }), branch("d", func(c *crate) *string { return &c.D }),
	)
}

func TestResultsThatComeTogetherShareCommitsAsFarAsThoseHaveRoom(t *testing.T) {
	for _, test := range []struct {
		room    int
		results []int // in each commit
	}{
		{0, []int{4}}, {4 * 3000, []int{4}}, {3 * 3000, []int{3, 1}}, {2 * 3000, []int{2, 2}}, {3000, []int{1, 1, 1, 1}}, {1, []int{1, 1, 1, 1}},
	} {
		t.Run(fmt.Sprintf("room for %d bytes", test.room), func(t *testing.T) {
			p := newPress(t, saga.Must(saga.Define("d", 1, fourParts(2500))))
			p.conf.MaxCommit = test.room
			in := p.run()
			if c := crateOf(t, in); in.Status != saga.StatusCompleted || len(c.A+c.B+c.C+c.D) != 4*2500 {
				t.Errorf("the saga ended %s with %d bytes", in.Status, in.State.Size())
			}
			var results []int
			for _, c := range p.log {
				n := 0
				for _, e := range c.Events {
					if _, completed := e.(saga.StepCompleted); completed {
						n++
					}
				}
				if n > 0 {
					results = append(results, n)
				}
			}
			if !slices.Equal(results, test.results) {
				t.Errorf("the commits have %v results, want %v", results, test.results)
			}
			if p.loads > 0 {
				t.Errorf("the log was loaded %d times", p.loads)
			}
		})
	}
}

// What a commit had no room for is decided anew when another has come in between.
func TestAResultThatWaitsForRoomOutlivesAConflict(t *testing.T) {
	def := saga.Must(saga.Define("d", 1, fourParts(10)))
	p := newPress(t, def)
	p.conf.MaxCommit = 1
	a := saga.NewActivation(p.conf, saga.Delivery{Key: theSaga, Command: saga.Start{Run: "r1", Definition: 1}, Count: 1})
	var results []saga.Result
	for action := a.Begin(storyTime); ; action = a.Next(storyTime) {
		results = append(results, saga.Result{Task: action.Task})
		if !action.More {
			break
		}
	}
	first := a.Ran(storyTime, results...)
	p.log = append(p.log, *first.Commit)
	second := a.Appended(storyTime, 1)
	cancel := saga.Commit{Version: 2, Time: storyTime, By: saga.Owner{Worker: "v"}, Events: []saga.Event{saga.CancelRequested{ID: "c"}}}
	p.log = append(p.log, cancel)
	if action := a.Conflicted(); second.Do != saga.ActAppend || action.Do != saga.ActLoad {
		t.Fatalf("the actions are %v and %v, want an append and a load", second.Do, action.Do)
	}
	action := a.Loaded(storyTime, p.load())
	for action.Do == saga.ActAppend && !action.Commit.Ends() {
		p.log = append(p.log, *action.Commit)
		action = a.Appended(storyTime, uint64(len(p.log)))
	}
	for _, step := range []string{"fill-a", "fill-b", "fill-c", "fill-d"} {
		in := p.fold()
		if s := in.Steps.Get(step); s.Status != saga.StepDone {
			t.Errorf("step %s is %q in the log, want it completed", step, s.Status)
		}
	}
	if in := p.fold(); in.Status != saga.StatusCompensating {
		t.Errorf("the saga is %s, want it compensating", in.Status)
	}
}

func TestBranchesThatLeaveTooLargeAStateTogetherFailTheirBlock(t *testing.T) {
	for _, test := range []struct {
		bytes int
		want  saga.Status
	}{{2400, saga.StatusCompleted}, {2600, saga.StatusCompensated}} {
		t.Run(fmt.Sprintf("of %d bytes each", test.bytes), func(t *testing.T) {
			p := newPress(t, saga.Must(saga.Define("d", 1, fourParts(test.bytes))))
			p.conf.MaxState = 10_000
			in := p.run()
			if in.Status != test.want {
				t.Fatalf("the saga ended %s: %s", in.Status, in.Error)
			}
			if test.want == saga.StatusCompleted {
				return
			}
			if in.Failed != "fill" || !strings.Contains(in.Error, "at most 10000 are kept") {
				t.Errorf("%s failed: %s", in.Failed, in.Error)
			}
			if n := strings.Count(strings.Join(p.ran, " "), "fill-"); n != 8 {
				t.Errorf("%v ran, want each branch and its undo", p.ran)
			}
		})
	}
}

// A block whose branches overwrite what was there is measured by what results.
func TestBranchesMayReplaceALargeStateByAnother(t *testing.T) {
	def := saga.Must(saga.Define("d", 1,
		saga.Step("before", func(_ context.Context, c *crate) error {
			c.A, c.B = strings.Repeat("y", 4000), strings.Repeat("y", 4000)
			return nil
		}),
		fourParts(2000),
	))
	p := newPress(t, def)
	p.conf.MaxState = 9000
	if in := p.run(); in.Status != saga.StatusCompleted {
		t.Errorf("the saga ended %s: %s", in.Status, in.Error)
	}
}

func TestWhatTheJournalFindsTooLargeIsSplitAndAtLastFails(t *testing.T) {
	note := func(text string) saga.Handler[crate] {
		return func(_ context.Context, c *crate) error { c.Log += text; return nil }
	}
	emit := func(ctx context.Context, _ *crate) error { return saga.Emit(ctx, "topic", strings.Repeat("x", 5000)) }
	large := func(*crate) []crate { return []crate{{A: strings.Repeat("x", 5000)}} }
	for _, test := range []struct {
		name    string
		nodes   []saga.Node[crate]
		status  saga.Status
		failed  string
		log     string
		commits int
	}{
		{"results", []saga.Node[crate]{fourParts(1500)}, saga.StatusCompleted, "", "", 7},
		{"an attempt", []saga.Node[crate]{
			saga.Step("a", note("a ")).Compensate(note("-a ")), saga.Step("b", emit).Compensate(note("-b ")),
		}, saga.StatusCompensated, "b", "a -b -a ", 0},
		{"the first attempt", []saga.Node[crate]{saga.Step("a", emit).Compensate(note("-a "))}, saga.StatusCompensated, "a", "-a ", 0},
		{"an optional attempt", []saga.Node[crate]{
			saga.Step("a", emit).Compensate(note("-a ")).Optional(), saga.Step("b", note("b ")),
		}, saga.StatusCompleted, "", "-a b ", 0},
		{"an undo", []saga.Node[crate]{
			saga.Step("a", note("a ")).Compensate(emit),
			saga.Step("b", func(context.Context, *crate) error { return saga.Permanent(errors.New("no")) }),
		}, saga.StatusStuck, "b", "a ", 0},
		{"items", []saga.Node[crate]{
			saga.Step("a", note("a ")).Compensate(note("-a ")), saga.ForEach("each", large, saga.Step("i", note("i "))),
		}, saga.StatusCompensated, "each", "a -a ", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPress(t, saga.Must(saga.Define("d", 1, test.nodes...)))
			p.takes = 3000
			in := p.run()
			if in.Status != test.status || in.Failed != test.failed {
				t.Fatalf("the saga ended %s, failed at %q: %s", in.Status, in.Failed, in.Error)
			}
			if c := crateOf(t, in); c.Log != test.log {
				t.Errorf("the log is %q, want %q", c.Log, test.log)
			}
			if test.failed != "" && test.status == saga.StatusCompensated && !strings.Contains(in.Error, "3000 are taken") {
				t.Errorf("the reason is %q", in.Error)
			}
			if test.commits > 0 && len(p.log) != test.commits {
				t.Errorf("the log has %d commits, want %d", len(p.log), test.commits)
			}
			if p.loads == 0 {
				t.Error("the journal found nothing too large")
			}
		})
	}
}

func TestASignalThatIsTooLargeIsSetAsideAndItsSagaWaitsOn(t *testing.T) {
	p := newPress(t, saga.Must(saga.Define("d", 1,
		saga.Await("word", saga.DeclareSignal[string]("word"), func(_ context.Context, c *crate, word string) error { c.Log += word; return nil }))))
	p.takes = 3000
	p.run()
	before := len(p.log)
	signal := saga.Signal{ID: "s1", Name: "word", Payload: []byte(`"` + strings.Repeat("x", 5000) + `"`), Time: storyTime}
	if answer := p.deliver(signal); answer.Do != saga.ActReject || !strings.Contains(answer.Reason.Error(), "3000 are taken") {
		t.Errorf("the answer is %v: %v", answer.Do, answer.Reason)
	}
	if in := p.fold(); len(p.log) != before || !in.Parked {
		t.Errorf("the log grew from %d to %d commits; the saga is parked: %v", before, len(p.log), in.Parked)
	}
	signal.ID, signal.Payload = "s2", []byte(`"yes"`)
	if answer := p.deliver(signal); answer.Do != saga.ActAck || p.fold().Status != saga.StatusCompleted {
		t.Errorf("a small one is answered by %v, and the saga is %s", answer.Do, p.fold().Status)
	}
}

// A Start that does not get into the log has run nothing, as far as that can be told before.
func TestAStartWithALargeStateIsInTheLogBeforeItsFirstStepRuns(t *testing.T) {
	p := newPress(t, saga.Must(saga.Define("d", 1, saga.Step("a", nothingOf[crate]))))
	p.conf.MaxState, p.takes = 2000, 3000
	start := saga.Start{Run: "r1", Definition: 1, State: mustState(t, `{"A":"`+strings.Repeat("x", 4000)+`"}`), Time: storyTime}
	if answer := p.deliver(start); answer.Do != saga.ActReject || len(p.ran) > 0 || len(p.log) > 0 {
		t.Errorf("the answer is %v, %v ran, and the log has %d commits", answer.Do, p.ran, len(p.log))
	}
}

// napping is a saga that sleeps time and again, with a state of so many bytes of which each turn changes so many.
func napping(bytes, changes, turns int) saga.Runnable {
	return saga.Must(saga.Define("d", 1,
		saga.Step("fill", func(_ context.Context, c *crate) error { c.A = strings.Repeat("x", bytes); return nil }),
		saga.Loop("turns", func(c *crate) bool { return len(c.D) < turns },
			saga.Step("work", func(_ context.Context, c *crate) error {
				c.D += "x"
				c.B = strings.Repeat(string(rune('a'+len(c.D)%26)), changes)
				return nil
			}),
			saga.Sleep("nap", func(*crate) time.Duration { return time.Hour }),
		).Max(turns),
	))
}

func TestASnapshotOfALargeSagaIsWorthTheEventsThatNeedNotBeReadAnyMore(t *testing.T) {
	for _, test := range []struct{ bytes, changes, turns int }{
		{300 << 10, 10, 800}, {300 << 10, 30 << 10, 50}, {20 << 10, 300 << 10, 20},
	} {
		t.Run(fmt.Sprintf("%d bytes, and others of which each turn changes %d", test.bytes, test.changes), func(t *testing.T) {
			p := newPress(t, napping(test.bytes, test.changes, test.turns))
			p.takes = saga.DefaultMaxCommit
			most := 0 // that a load has had to read
			for in := p.run(); !in.Ended(); in = p.fold() {
				for name, timer := range in.Timers {
					p.now = timer.At
					p.deliver(saga.Timer{Name: name, Version: timer.Version})
				}
				read := 0
				for _, size := range p.sizes[p.load().Base-1:] {
					read += size
				}
				most = max(most, read)
			}
			state, events, snapshots := p.fold().State.Size(), 0, 0
			for i, c := range p.log {
				if c.Snapshot != nil {
					snapshots += len(mustJSON(c.Snapshot))
				}
				events += p.sizes[i]
			}
			events -= snapshots
			t.Logf("%d commits with %d bytes of events and %d of snapshots; a load has read at most %d, the state has %d",
				len(p.log), events, snapshots, most, state)
			if snapshots == 0 || snapshots > events {
				t.Errorf("snapshots take %d bytes, and events %d", snapshots, events)
			}
			if base, turn := 2*state, 2*test.changes+4000; most > base+state+turn {
				t.Errorf("a load has read %d bytes, the state has %d", most, state)
			}
		})
	}
}
