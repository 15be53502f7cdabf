package simulation

import (
	"fmt"
	"maps"
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
	done, undone       bool
	gaveUp, undoGaveUp bool
	doubt              bool
	skipped, resolved  bool
	touched            bool // by an operator
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

// standing is how far a place has got on the way forward.
type standing int

const (
	going standing = iota
	through
	broken
)

// stands gives how far a place has got.
func (f *flow) stands(p place) standing {
	switch p.kind {
	case saga.KindSequence:
		for _, kid := range p.kids {
			if s := f.stands(p.kid(kid)); s != through {
				return s
			}
		}
		return through
	case saga.KindStep, saga.KindAwait, saga.KindChild:
		return f.stepStands(p)
	case saga.KindWithin:
		if f.block(p).failed {
			return broken
		}
		return f.stands(p.kid(p.kids[0]))
	}
	b := f.block(p)
	switch {
	case b.done:
		return through
	case b.failed:
		return broken
	}
	switch p.kind { //nolint:exhaustive // those above
	case saga.KindChoice:
		if taken := p.branch(b.branch); b.branch != "" && taken != nil {
			return f.stands(p.kid(taken))
		}
		if b.branch != "" {
			return through
		}
	case saga.KindParallel:
		for _, kid := range p.kids {
			if f.stands(p.kid(kid)) == broken {
				return broken
			}
		}
	case saga.KindRace:
		return f.raceStands(p, b)
	case saga.KindForEach:
		for i, it := range b.items {
			item := p.turn(i)
			if !it.ended && f.stands(item) == broken && (!p.gather || f.stuckBelow(item) && !f.left(item) && !f.open(item)) {
				return broken
			}
		}
	case saga.KindLoop:
		if b.turn > 0 && f.stands(p.turn(b.turn)) == broken {
			return broken
		}
	}
	return going
}

func (f *flow) stepStands(p place) standing {
	s, b := f.step(p), f.block(p)
	switch {
	case s.undoGaveUp && p.goesOn():
		return broken
	case s.gaveUp:
		if p.undo != nil && s.mayBeDone() && p.goesOn() {
			return going
		}
		if instead := p.branch(fallbackLabel); instead != nil {
			return f.stands(p.kid(instead))
		}
		if p.option {
			return through
		}
		return broken
	case s.done || s.skipped || s.undone || s.undoGaveUp || s.resolved:
		return through
	case p.asked && b.branch == skipLabel:
		return through
	case b.branch == timeoutLabel:
		if late := p.branch(timeoutLabel); late != nil {
			return f.stands(p.kid(late))
		}
		return broken
	default:
		return going
	}
}

// goesOn reports whether a saga goes on when the step has failed for good: what it may have done is undone first.
func (s *spec) goesOn() bool {
	return s.kind == saga.KindStep && (s.option || s.branch(fallbackLabel) != nil)
}

func (f *flow) raceStands(p place, b *flowBlock) standing {
	out := 0
	for _, kid := range p.kids {
		branch := p.kid(kid)
		lost := b.branch != "" && b.branch != kid.label || b.branch == "" && f.stands(branch) == broken
		switch {
		case !lost || f.left(branch) || f.open(branch):
		case f.stuckBelow(branch):
			return broken
		default:
			out++
		}
	}
	if b.branch == "" && out == len(p.kids) {
		return broken
	}
	return going
}

// below visits the keys of steps and children below a place of which anything is known.
func (f *flow) below(p place, visit func(key string, at place)) {
	for _, key := range slices.Sorted(maps.Keys(f.steps)) {
		if at, ok := f.locate(key); ok && at.isBelow(p) {
			visit(key, at)
		}
	}
}

func (p place) isBelow(top place) bool {
	if !slices.Equal(p.turns[:min(len(p.turns), len(top.turns))], top.turns) {
		return false
	}
	for n := p.spec; n != nil; n = n.parent {
		if n == top.spec {
			return true
		}
	}
	return false
}

// stuckBelow reports whether an undo below a place has failed for good.
func (f *flow) stuckBelow(p place) (stuck bool) {
	f.below(p, func(key string, _ place) { stuck = stuck || f.steps[key].undoGaveUp })
	return stuck
}

// open reports whether attempts forward below a place have not ended.
func (f *flow) open(p place) bool {
	for _, attempts := range []map[string]bool{f.unsettled, keysOf(f.begun)} {
		for key := range attempts {
			if at, ok := f.locate(key); ok && at.isBelow(p) {
				return true
			}
		}
	}
	return false
}

func keysOf[V any](m map[string]V) map[string]bool {
	keys := map[string]bool{}
	for key := range m {
		keys[key] = true
	}
	return keys
}

// left reports whether something below a place is left to undo. An undo that has failed for good is not.
func (f *flow) left(p place) bool {
	b := f.block(p)
	switch p.kind {
	case saga.KindStep:
		return p.undo != nil && f.step(p).mayBeDone() || f.leftBelow(p)
	case saga.KindAwait:
		return f.leftBelow(p)
	case saga.KindChild:
		return f.childLeft(p)
	case saga.KindChoice:
		taken := p.branch(b.branch)
		return b.branch != "" && taken != nil && f.left(p.kid(taken))
	case saga.KindLoop:
		for turn := range b.turn {
			if f.left(p.turn(turn + 1)) {
				return true
			}
		}
		return false
	case saga.KindForEach:
		for i := range b.items {
			if f.left(p.turn(i)) {
				return true
			}
		}
		return false
	default:
		return f.leftBelow(p)
	}
}

func (f *flow) leftBelow(p place) bool {
	return slices.ContainsFunc(p.kids, func(kid *spec) bool { return f.left(p.kid(kid)) })
}

// mayBeDone reports whether a step has, or may have, an effect.
func (s *flowStep) mayBeDone() bool {
	return (s.done || s.doubt) && !s.undone && !s.undoGaveUp && !s.resolved && !s.skipped
}

func (f *flow) childLeft(p place) bool {
	s, b := f.step(p), f.block(p)
	switch {
	case b.child == nil || p.alone || s.undone || s.undoGaveUp || s.resolved || s.skipped:
		return false
	case b.status == saga.StatusCompensated || b.status == saga.StatusTerminated:
		return s.done || s.undos > 0 || s.touched
	default:
		return true
	}
}

// reach reports whether the log has led to a place, and why what is there is not wanted any more; nothing if it is.
func (f *flow) reach(p place) (reached bool, unwanted string) {
	switch {
	case f.status != saga.StatusRunning:
		unwanted = "the saga is " + string(f.status)
	case !f.pastPivot() && (f.cancelled || f.overdue):
		unwanted = "the saga is cancelled, or its time is over"
	case f.stands(f.root()) == broken:
		unwanted = "the saga has failed"
	}
	for c := p; c.parent != nil; c = c.up() {
		up := c.up()
		b := f.block(up)
		switch up.kind {
		case saga.KindSequence:
			for _, before := range up.kids {
				if before == c.spec {
					break
				}
				if f.stands(up.kid(before)) != through {
					return false, ""
				}
			}
		case saga.KindStep, saga.KindAwait:
			if c.label == fallbackLabel && !f.step(up).gaveUp || c.label == timeoutLabel && b.branch != timeoutLabel {
				return false, ""
			}
		case saga.KindChoice:
			if b.branch != c.label {
				return false, ""
			}
		case saga.KindParallel, saga.KindRace:
			if b.done {
				return false, ""
			}
			if up.kind == saga.KindRace && (b.branch != "" && b.branch != c.label || f.stands(c) == broken) {
				unwanted = "it is out of the race " + up.key()
			}
		case saga.KindForEach:
			i := c.turns[len(c.turns)-1]
			if !b.found || i >= len(b.items) || b.items[i].ended {
				return false, ""
			}
			if f.stands(c) == broken || up.waitsForOthers(b, i) {
				unwanted = fmt.Sprintf("item %d of %s has failed, or its turn has not come", i, up.key())
			}
		case saga.KindLoop:
			if b.turn != c.turns[len(c.turns)-1] || b.done {
				return false, ""
			}
		case saga.KindWithin:
			if b.until.IsZero() {
				return false, ""
			}
			if b.failed {
				unwanted = "the time of " + up.key() + " is over"
			}
		}
	}
	return true, unwanted
}

// waitsForOthers reports whether as many items as may be under way come before this one.
func (s *spec) waitsForOthers(b *flowBlock, i int) bool {
	before := 0
	for _, it := range b.items[:i] {
		if !it.ended {
			before++
		}
	}
	return before >= s.limit
}

// undoFault says why a place cannot be undone now; nothing if it can.
func (f *flow) undoFault(p place) string {
	s := f.step(p)
	switch {
	case p.kind == saga.KindChild && !f.childLeft(p):
		return "its child has nothing to undo"
	case p.kind != saga.KindChild && (p.undo == nil || !s.mayBeDone()):
		return "it has no effect to undo"
	case f.leftBelow(p):
		return "what ran in its place is not undone"
	}
	given := f.status == saga.StatusCompensating || s.gaveUp && p.goesOn()
	for c := p; c.parent != nil; c = c.up() {
		up := c.up()
		b := f.block(up)
		switch up.kind { //nolint:exhaustive // the others have no order
		case saga.KindSequence:
			for _, after := range slices.Backward(up.kids) {
				if after == c.spec {
					break
				}
				if f.left(up.kid(after)) {
					return fmt.Sprintf("%s, which came after it, is not undone", up.kid(after).key())
				}
			}
		case saga.KindLoop:
			for turn := b.turn; turn > c.turns[len(c.turns)-1]; turn-- {
				if f.left(up.turn(turn)) {
					return fmt.Sprintf("turn %d of %s is not undone", turn, up.key())
				}
			}
		case saga.KindRace, saga.KindForEach:
			lost := up.kind == saga.KindRace && (b.branch != "" && b.branch != c.label || b.branch == "" && f.stands(c) == broken) ||
				up.kind == saga.KindForEach && up.gather && f.stands(c) == broken
			if lost && !given {
				given = true
				if f.open(c) {
					return fmt.Sprintf("attempts of %s %s have not ended", up.key(), c.label)
				}
			}
		}
	}
	if !given {
		return "nothing has failed"
	}
	return ""
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

// openWaits visits the waits for a signal that the saga has come to, and the children that run.
func (f *flow) openWaits(p place, visit func(place)) {
	b := f.block(p)
	below := func(q place) {
		if f.stands(q) == going {
			f.openWaits(q, visit)
		}
	}
	switch p.kind {
	case saga.KindSequence:
		for _, kid := range p.kids {
			if f.stands(p.kid(kid)) != through {
				below(p.kid(kid))
				return
			}
		}
	case saga.KindStep, saga.KindAwait, saga.KindChild:
		if f.step(p).gaveUp {
			below(p.kid(p.branch(fallbackLabel)))
		} else if b.branch == timeoutLabel {
			below(p.kid(p.branch(timeoutLabel)))
		} else if p.kind == saga.KindAwait && b.signal == nil || p.kind == saga.KindChild && b.child != nil && b.status == "" {
			visit(p)
		}
	case saga.KindChoice:
		if taken := p.branch(b.branch); b.branch != "" && taken != nil {
			below(p.kid(taken))
		}
	case saga.KindParallel:
		for _, kid := range p.kids {
			below(p.kid(kid))
		}
	case saga.KindRace:
		for _, kid := range p.kids {
			if b.branch == "" {
				below(p.kid(kid))
			}
		}
	case saga.KindForEach:
		for i, it := range b.items {
			if !it.ended && !p.waitsForOthers(b, i) {
				below(p.turn(i))
			}
		}
	case saga.KindLoop:
		if b.turn > 0 {
			below(p.turn(b.turn))
		}
	case saga.KindWithin:
		below(p.kid(p.kids[0]))
	}
}

// awaits gives the waits for a signal that the saga has come to.
func (f *flow) awaits() (waits []place) {
	if f.status == saga.StatusRunning && f.stands(f.root()) == going {
		f.openWaits(f.root(), func(p place) {
			if p.kind == saga.KindAwait {
				waits = append(waits, p)
			}
		})
	}
	return waits
}

// isApproval reports whether a node is a wait for a decision, which no participant takes part in.
func (s *spec) isApproval() bool { return s.kind == saga.KindAwait && s.signal == "" }

// signalName is what a wait listens for.
func (p place) signalName() string {
	if p.signal == "" {
		return "approval/" + p.key()
	}
	return p.signal
}

// oldest gives the oldest signal of a name that nothing has taken.
func (f *flow) oldest(name string) *saga.Signal {
	for i := range f.signals {
		if f.signals[i].Name == name {
			return &f.signals[i]
		}
	}
	return nil
}

func (f *flow) waits() bool {
	if f.paused {
		return true
	}
	found := false
	if f.status == saga.StatusRunning {
		f.openWaits(f.root(), func(place) { found = true })
	}
	for _, b := range f.blocks {
		found = found || b.recalled || b.child != nil && b.status == ""
	}
	return found
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
	if s == nil || t.Undo && s.undos == 0 || !s.restsUntil.After(f.clock) {
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
