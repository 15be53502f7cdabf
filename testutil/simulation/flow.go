package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// flow is the course of a run of a plan of all constructs. It looks at a place in the plan from below, where the machine
// comes from above: whether everything around and before it allows what has happened there.
type flow struct {
	*shadow
	def      *definition
	top      *flowScope
	scopes   map[string]*flowScope // of branches, by the block's key and the label
	steps    map[string]*flowStep
	blocks   map[string]*flowBlock
	signals  []saga.Signal // that nothing has taken
	seen     map[string]bool
	paused   bool
	deadline time.Time
	overdue  bool      // the deadline has passed
	clock    time.Time // the latest time of a timer that fired
	outbox   []saga.Emission

	unsettled map[string]bool       // attempts of a vanished activation, by step
	begun     map[string]saga.Owner // attempts of the owner without a result, by step
}

// flowStep is what became of one step, wait or child, in one turn or for one item.
type flowStep struct {
	attempts, undos    int
	putOff, undoPutOff int // attempts that did not count since the last that did
	done, undone       bool
	gaveUp, undoGaveUp bool
	doubt              bool
	skipped, resolved  bool
	touched            bool // by an operator
	undoAgain          bool // an operator gave the undo another round of attempts
	restsUntil         time.Time
}

// flowBlock is how far a block has got, or a wait.
type flowBlock struct {
	branch   string
	turn     int
	done     bool
	failed   bool
	until    time.Time
	found    bool
	items    []*flowItem
	signal   *saga.Signal // that a wait has taken
	child    *saga.ChildRef
	status   saga.Status // of the child
	state    saga.State
	version  uint64
	recalled bool
	refused  bool
}

// flowItem is one item of a ForEach.
type flowItem struct {
	scope *flowScope
	ended bool
	err   string
}

// flowScope is a part of the state, and what has changed in it.
type flowScope struct {
	bag   Bag
	dirty map[string]bool
}

func newScope(b Bag) *flowScope { return &flowScope{bag: b, dirty: map[string]bool{}} }

// change lets a function change the state, and notes what it has changed.
func (s *flowScope) change(do func(b *Bag)) {
	before := s.bag.clone()
	do(&s.bag)
	for name, value := range s.bag.fields {
		if old, there := before.fields[name]; !there || old != value {
			s.dirty[name] = true
		}
	}
	for name := range before.fields {
		if _, there := s.bag.fields[name]; !there {
			s.dirty[name] = true
		}
	}
}

// take takes the changes of another scope over.
func (s *flowScope) take(other *flowScope) {
	s.change(func(b *Bag) {
		for name := range other.dirty {
			if value, there := other.bag.fields[name]; there {
				b.set(name, value)
			} else {
				delete(b.fields, name)
			}
		}
	})
}

func newFlow(sh *shadow, d *definition) *flow {
	return &flow{
		shadow: sh, def: d, scopes: map[string]*flowScope{}, steps: map[string]*flowStep{}, blocks: map[string]*flowBlock{},
		seen: map[string]bool{}, unsettled: map[string]bool{}, begun: map[string]saga.Owner{},
	}
}

// place is a node in one turn of each loop around it, and for one item of each ForEach.
type place struct {
	*spec
	turns []int
}

// level is how many loops and ForEach are around a node.
func (s *spec) level() (n int) {
	for up := s.parent; up != nil; up = up.parent {
		if up.kind == saga.KindLoop || up.kind == saga.KindForEach {
			n++
		}
	}
	return n
}

// at gives the place of a node around this one, or of this one.
func (p place) at(n *spec) place { return place{n, p.turns[:n.level()]} }

func (p place) up() place { return p.at(p.parent) }

// turn gives the place of the body of a loop, or of a ForEach.
func (p place) turn(n int) place { return place{p.kids[0], append(slices.Clone(p.turns), n)} }

// kid gives the place of a branch, or of a node of a row.
func (p place) kid(n *spec) place { return place{n, p.turns} }

func (p place) key() string {
	key := p.name
	for _, n := range p.turns {
		key += "#" + strconv.Itoa(n)
	}
	return key
}

func (f *flow) root() place { return place{f.def.root, nil} }

// locate finds the place that a key names.
func (f *flow) locate(key string) (p place, ok bool) {
	name, rest, _ := strings.Cut(key, "#")
	if p.spec, ok = f.def.find[name]; !ok {
		return p, false
	}
	for rest != "" {
		var turn string
		turn, rest, _ = strings.Cut(rest, "#")
		n, err := strconv.Atoi(turn)
		if err != nil {
			return p, false
		}
		p.turns = append(p.turns, n)
	}
	return p, len(p.turns) == p.level()
}

func (f *flow) step(p place) *flowStep {
	key := p.key()
	if f.steps[key] == nil {
		f.steps[key] = &flowStep{}
	}
	return f.steps[key]
}

func (f *flow) block(p place) *flowBlock {
	key := p.key()
	if f.blocks[key] == nil {
		f.blocks[key] = &flowBlock{}
	}
	return f.blocks[key]
}

// scope gives the part of the state that a place works on.
func (f *flow) scope(p place) *flowScope {
	for c := p; c.parent != nil; c = c.up() {
		up := c.up()
		b := f.block(up)
		switch up.kind { //nolint:exhaustive // the others work on the state around them
		case saga.KindForEach:
			if i := c.turns[len(c.turns)-1]; i < len(b.items) {
				return b.items[i].scope
			}
		case saga.KindParallel, saga.KindRace:
			if b.done {
				continue
			}
			name := up.key() + "/" + c.label
			if f.scopes[name] == nil {
				f.scopes[name] = newScope(f.scope(up).bag.clone())
			}
			return f.scopes[name]
		}
	}
	return f.top
}

// conflict reports whether two branches have changed one field.
func (f *flow) conflict(p place) bool {
	writers := map[string]int{}
	for _, kid := range p.kids {
		if s := f.scopes[p.key()+"/"+kid.label]; s != nil {
			for name := range s.dirty {
				writers[name]++
			}
		}
	}
	for _, n := range writers {
		if n > 1 {
			return true
		}
	}
	return false
}

// join merges branches into the state around the block.
func (f *flow) join(p place, labels []string) {
	around := f.scope(p)
	for _, label := range labels {
		if s := f.scopes[p.key()+"/"+label]; s != nil {
			around.take(s)
		}
	}
	for _, kid := range p.kids {
		delete(f.scopes, p.key()+"/"+kid.label)
	}
	f.block(p).done = true
}

func (f *flow) pastPivot() bool {
	for key, s := range f.steps {
		if p, ok := f.locate(key); ok && p.pivot && s.done {
			return true
		}
	}
	return false
}

func (f *flow) fired(e saga.TimerSet) {
	if e.At.After(f.clock) {
		f.clock = e.At
	}
}

func (f *flow) restsUntil(t saga.Task) time.Time {
	s := f.steps[t.Step]
	if s == nil || t.Undo && s.undos == 0 && s.undoPutOff == 0 || !s.restsUntil.After(f.clock) {
		return time.Time{}
	}
	return s.restsUntil
}

func (f *flow) told(info saga.Info) (told, free bool) {
	s := f.steps[info.StepKey]
	run := f.find(info.Run)
	switch {
	case run != nil && run.status == saga.StatusTerminated:
		return false, true
	case s == nil:
		return false, false
	case s.touched || s.skipped || s.resolved, f.def.find[info.Step].isApproval():
		return false, true
	case info.Undo:
		return s.undone, false
	default:
		return s.done, s.doubt && !s.done
	}
}

func (f *flow) differs(state saga.State) string {
	if got := bagOf(state); !got.equal(f.top.bag) {
		return fmt.Sprintf("the state is %v, the model's %v", got.fields, f.top.bag.fields)
	}
	return ""
}
