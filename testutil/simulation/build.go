package simulation

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// definition is one version of a definition, with what the model knows of it.
type definition struct {
	saga.Runnable
	root *spec            // nil for a row of steps
	find map[string]*spec // the nodes by name
	bags *saga.Definition[Bag]
}

// course gives the model of a run.
func (d *definition) course(sh *shadow) course {
	if d.root == nil {
		return newLine(sh, d.Plan())
	}
	return newFlow(sh, d)
}

func (d *definition) String() string {
	var b strings.Builder
	d.root.print(&b, 0)
	return b.String()
}

// newLanguageCatalog makes definitions of all constructs at random. A definition may start those before it as children.
func newLanguageCatalog(w *world) catalog {
	c := catalog{}
	var kids []*definition
	names := []string{"d0", "d1", "d2"}[:1+w.rng.IntN(3)]
	for _, name := range names {
		c[name] = map[int]*definition{}
		versions := 1
		if w.rng.IntN(4) == 0 {
			versions = 2
		}
		var latest *definition
		for v := 1; v <= versions; v++ {
			latest = newRandomDefinition(w, w.rng, name, v, kids)
			c[name][v] = latest
			w.say("definition %s version %d:\n%s", name, v, latest)
		}
		kids = append(kids, latest)
	}
	return c
}

func newRandomDefinition(w *world, rng *rand.Rand, name string, version int, kids []*definition) *definition {
	p := &planner{w: w, rng: rng, name: name, version: version, kids: kids}
	d := &definition{root: p.sequence("", 0), find: map[string]*spec{}}
	d.root.visit(func(n *spec) { d.find[n.name] = n })
	nodes := make([]saga.Node[Bag], len(d.root.kids))
	for i, n := range d.root.kids {
		nodes[i] = n.build(w)
	}
	d.bags = saga.Must(saga.Define(name, version, nodes...))
	d.Runnable = d.bags
	return d
}

// each visits the node and all below it.
func (s *spec) visit(visit func(*spec)) {
	if s.kind != saga.KindSequence {
		visit(s)
	}
	for _, kid := range s.kids {
		kid.visit(visit)
	}
}

// branch gives the branch with that label, or nil.
func (s *spec) branch(label string) *spec {
	for _, kid := range s.kids {
		if kid.label == label {
			return kid
		}
	}
	return nil
}

func (s *spec) nodes(w *world) []saga.Node[Bag] {
	nodes := make([]saga.Node[Bag], len(s.kids))
	for i, kid := range s.kids {
		nodes[i] = kid.build(w)
	}
	return nodes
}

// build makes the node in the saga language. What is asked of the state is answered at random, so that an answer that is
// asked for again once it is recorded is another.
func (s *spec) build(w *world) saga.Node[Bag] {
	maybe := func(*Bag) bool { return w.chance(0.6) }
	switch s.kind {
	case saga.KindStep:
		return s.buildStep(w)
	case saga.KindSleep:
		if w.rng.IntN(2) == 0 {
			return saga.Sleep(s.name, func(*Bag) time.Duration { return w.jittered(s.wait) })
		}
		return saga.SleepUntil(s.name, func(*Bag) time.Time { return w.clock().Add(w.jittered(s.wait)) })
	case saga.KindAwait:
		return s.buildAwait(w)
	case saga.KindChild:
		return s.buildChild()
	case saga.KindChoice:
		return s.buildChoice(w, maybe)
	case saga.KindParallel, saga.KindRace:
		var branches []saga.BranchNode[Bag]
		for _, kid := range s.kids {
			branches = append(branches, saga.Branch(kid.label, kid.nodes(w)...))
		}
		if s.kind == saga.KindRace {
			return saga.Race(s.name, branches...)
		}
		return saga.Parallel(s.name, branches...)
	case saga.KindForEach:
		n := saga.ForEach(s.name, func(*Bag) []Bag { return w.items() }, s.kids[0].nodes(w)...).Limit(s.limit)
		if s.gather {
			n = n.Gather()
		}
		return n.Collect(func(b *Bag, items []saga.Item[Bag]) { b.gather(s, items) })
	case saga.KindLoop:
		return saga.Loop(s.name, maybe, s.kids[0].nodes(w)...).Max(s.max)
	case saga.KindWithin:
		return saga.Within(s.name, s.wait, s.kids[0].nodes(w)...)
	default:
		panic("no node of kind " + s.kind)
	}
}

func (w *world) jittered(d time.Duration) time.Duration {
	return d + time.Duration(w.rng.Int64N(int64(d/2)+1))
}

func (w *world) items() []Bag {
	items := make([]Bag, pick(w.rng, 0, 1, 2, 3, 5))
	for i := range items {
		items[i].set("item", w.rng.Uint64()>>12)
	}
	return items
}

func (s *spec) buildStep(w *world) saga.Node[Bag] {
	n := saga.Step(s.name, s.work(false)).Retry(s.retry)
	if s.undo != nil {
		n = n.Compensate(s.work(true)).CompensateRetry(*s.undo)
	}
	if s.pivot {
		n = n.Pivot()
	}
	if s.option {
		n = n.Optional()
	}
	if s.asked {
		n = n.OnlyIf(func(*Bag) bool { return w.chance(0.5) })
	}
	if instead := s.branch(fallbackLabel); instead != nil {
		n = n.Fallback(instead.nodes(w)...)
	}
	return n
}

func (s *spec) buildAwait(w *world) saga.Node[Bag] {
	var n saga.AwaitNode[Bag]
	switch s.signal {
	case ring.Name():
		n = saga.Await(s.name, ring, s.take)
	case knock.Name():
		n = saga.Await(s.name, knock, s.take)
	default:
		n = saga.Approval(s.name, func(b *Bag, d saga.Decision) error {
			b.set("approval:"+s.name, uint64(len(d.By)))
			return d.Err()
		})
	}
	n = n.Retry(s.retry)
	if late := s.branch(timeoutLabel); late != nil {
		n = n.Timeout(s.timeout, late.nodes(w)...)
	} else if s.timeout > 0 {
		n = n.Timeout(s.timeout)
	}
	if instead := s.branch(fallbackLabel); instead != nil {
		n = n.OrElse(instead.nodes(w)...)
	}
	return n
}

func (s *spec) buildChild() saga.Node[Bag] {
	n := saga.Child(s.name, s.child.bags, func(b *Bag) Bag { return b.inherit(s) })
	switch {
	case s.alone:
		return n.Detached()
	case s.option:
		n = n.Optional()
	}
	return n.Result(func(b *Bag, child Bag) { b.adopt(s, child) })
}

func (s *spec) buildChoice(w *world, maybe func(*Bag) bool) saga.Node[Bag] {
	if w.rng.IntN(2) == 0 {
		n := saga.Switch(s.name, func(*Bag) string { return pick(w.rng, "a", "b", "c") })
		for _, kid := range s.kids {
			if kid.label == elseLabel {
				n = n.Default(kid.nodes(w)...)
			} else {
				n = n.Case(kid.label, kid.nodes(w)...)
			}
		}
		return n
	}
	s.kids[0].label = "then"
	n := saga.If(s.name, maybe, s.kids[0].nodes(w)...)
	for _, kid := range s.kids[1:] {
		if kid.label == elseLabel {
			n = n.Else(kid.nodes(w)...)
		} else {
			n = n.ElseIf(kid.label, maybe, kid.nodes(w)...)
		}
	}
	return n
}
