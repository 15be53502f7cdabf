package sagatest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// freight is the state of the random sagas: a step writes the field of its number, so that branches can write apart.
type freight struct {
	A uint64 `json:"a,omitempty"`
	B uint64 `json:"b,omitempty"`
	C uint64 `json:"c,omitempty"`
	D uint64 `json:"d,omitempty"`
	E uint64 `json:"e,omitempty"`
	G uint64 `json:"g,omitempty"`
	H uint64 `json:"h,omitempty"`
	I uint64 `json:"i,omitempty"`
	N uint64 `json:"n,omitempty"` // turns
}

const usedFields = 8

func (f *freight) field(i int) *uint64 {
	return [...]*uint64{&f.A, &f.B, &f.C, &f.D, &f.E, &f.G, &f.H, &f.I}[i%usedFields]
}

// load is a search attribute that says all that there is to say of a state.
func (f *freight) load() string { return fmt.Sprintf("%x", *f) }

// loadOf reads the search attribute off the state.
func loadOf(in *saga.Instance) string {
	var f freight
	if err := json.Unmarshal(in.State.JSON(), &f); err != nil {
		return err.Error()
	}
	return f.load()
}

var arrived = saga.DeclareSignal[int]("arrived")

// author writes random definitions.
type author struct {
	rng      *rand.Rand
	steps    int
	nodes    int
	calm     bool // nothing fails, and every step writes a field of its own
	children []*saga.Definition[freight]
	text     strings.Builder
	depth    int
	forever  int // loops without an end around, in which nothing can be undone
}

// maxNodes bounds a definition.
const maxNodes = 14

func (w *author) name(kind string) string {
	w.nodes++
	return fmt.Sprintf("%s%d", kind, w.nodes)
}

func (w *author) say(format string, args ...any) {
	fmt.Fprintf(&w.text, "%s%s\n", strings.Repeat("  ", w.depth), fmt.Sprintf(format, args...))
}

// sequence writes nodes that run one after another.
func (w *author) sequence(depth, atMost int) []saga.Node[freight] {
	w.depth++
	defer func() { w.depth-- }()
	var nodes []saga.Node[freight]
	for range 1 + w.rng.IntN(atMost) {
		nodes = append(nodes, w.node(depth))
	}
	return nodes
}

func (w *author) node(depth int) saga.Node[freight] {
	if depth == 0 || w.nodes > maxNodes {
		return w.step()
	}
	switch w.rng.IntN(16) {
	case 0:
		name := w.name("if")
		w.say("if %s", name)
		odd := w.rng.IntN(2) == 0
		n := saga.If(name, func(s *freight) bool { return (s.A+s.B+s.C)%2 == 0 == odd }, w.sequence(depth-1, 2)...)
		if w.rng.IntN(2) == 0 {
			w.say("else")
			n = n.Else(w.sequence(depth-1, 2)...)
		}
		return n
	case 1:
		name := w.name("switch")
		w.say("switch %s", name)
		return saga.Switch(name, func(s *freight) string { return fmt.Sprint((s.A + s.D) % 3) }).
			Case("0", w.sequence(depth-1, 2)...).Default(w.sequence(depth-1, 2)...)
	case 2, 3, 4:
		name := w.name("parallel")
		w.say("parallel %s", name)
		return saga.Parallel(name, w.branches(depth)...)
	case 5, 6:
		name := w.name("race")
		w.say("race %s", name)
		return saga.Race(name, w.branches(depth)...)
	case 7, 8:
		return w.forEach(depth)
	case 9:
		return w.loop(depth)
	case 10:
		name := w.name("sleep")
		d := time.Duration(w.rng.IntN(20)) * time.Second
		w.say("sleep %s %v", name, d)
		return saga.Sleep(name, func(*freight) time.Duration { return d })
	case 11:
		name := w.name("within")
		limit := time.Duration(1+w.rng.IntN(120)) * time.Second
		if w.calm {
			limit = 1000 * time.Hour
		}
		w.say("within %s %v", name, limit)
		return saga.Within(name, limit, w.sequence(depth-1, 2)...)
	case 12, 13:
		return w.await(depth)
	case 14:
		if len(w.children) > 0 && w.forever == 0 {
			return w.child()
		}
	}
	return w.step()
}

func (w *author) branches(depth int) (branches []saga.BranchNode[freight]) {
	for i := range 2 + w.rng.IntN(2) {
		w.say("branch %d", i)
		branches = append(branches, saga.Branch(fmt.Sprint("b", i), w.sequence(depth-1, 2)...))
	}
	return branches
}

func (w *author) step() saga.Node[freight] {
	name := w.name("s")
	field := w.rng.IntN(usedFields)
	if w.calm {
		field = w.steps % usedFields // apart, as far as there are fields
	}
	w.steps++
	emits := w.rng.IntN(3) * w.rng.IntN(2)
	n := saga.Step(name, act(field, emits, false)).Retry(saga.RetryPolicy{Attempts: 1 + w.rng.IntN(4)})
	what := fmt.Sprint(" emits ", emits)
	if w.rng.IntN(4) > 0 && w.forever == 0 {
		n = n.Compensate(act(field, emits, true))
		what += " undo"
		if w.rng.IntN(4) == 0 {
			n = n.CompensateRetry(saga.RetryPolicy{Attempts: 2})
		}
	}
	switch w.rng.IntN(10) {
	case 0:
		n, what = n.Optional(), what+" optional"
	case 1:
		odd := w.rng.IntN(2) == 0
		n, what = n.OnlyIf(func(s *freight) bool { return s.B%2 == 0 == odd }), what+" only-if"
	case 2:
		w.say("%s with fallback", name)
		return n.Fallback(w.sequence(0, 1)...)
	}
	w.say("%s%s", name, what)
	return n
}

func (w *author) forEach(depth int) saga.Node[freight] {
	name := w.name("each")
	count := w.rng.IntN(5)
	w.say("for each %s of %d", name, count)
	n := saga.ForEach(name, func(s *freight) []freight {
		items := make([]freight, count)
		for i := range items {
			items[i].A = s.A + uint64(i)
		}
		return items
	}, w.sequence(depth-1, 2)...).Limit(1 + w.rng.IntN(3))
	if w.rng.IntN(2) == 0 {
		n = n.Gather()
	}
	field := w.rng.IntN(usedFields)
	if w.calm {
		field = w.steps % usedFields
		w.steps++
	}
	return n.Collect(func(s *freight, items []saga.Item[freight]) {
		for _, it := range items {
			*s.field(field) = *s.field(field)*31 + it.Value.A + it.Value.B + uint64(len(it.Error))
		}
	})
}

func (w *author) loop(depth int) saga.Node[freight] {
	name := w.name("loop")
	turns := uint64(w.rng.IntN(4))
	endless := w.rng.IntN(3) == 0
	w.say("loop %s, %d turns, endless %v", name, turns, endless)
	count := w.name("count")
	if endless {
		w.forever++
		defer func() { w.forever-- }()
	}
	body := append(w.sequence(depth-1, 2), saga.Step(count, func(_ context.Context, s *freight) error { s.N++; return nil }))
	const most = 100 // the loops in the body count, too, and may meet so that this one would not end
	n := saga.Loop(name, func(s *freight) bool { return s.N%5 < turns && s.N < most }, body...).Max(6)
	if endless {
		n = n.Max(saga.Unlimited).Keep(1 + w.rng.IntN(4))
	}
	return n
}

func (w *author) await(depth int) saga.Node[freight] {
	name := w.name("await")
	w.say("await %s", name)
	field := w.rng.IntN(usedFields)
	if w.calm {
		field = w.steps % usedFields
		w.steps++
	}
	n := saga.Await(name, arrived, func(ctx context.Context, s *freight, amount int) error {
		if err := answer(ctx); err != nil {
			return err
		}
		*s.field(field) += uint64(amount) + 1
		return nil
	})
	if w.rng.IntN(3) > 0 && !w.calm {
		return n.Timeout(time.Duration(1+w.rng.IntN(60))*time.Second, w.sequence(depth-1, 1)...)
	}
	return n
}

func (w *author) child() saga.Node[freight] {
	name := w.name("child")
	def := w.children[w.rng.IntN(len(w.children))]
	w.say("child %s of %s", name, def.Plan().Name)
	n := saga.Child(name, def, func(s *freight) freight { return freight{A: s.A} })
	if w.rng.IntN(4) == 0 {
		return n.Optional()
	}
	field := w.rng.IntN(usedFields)
	if w.calm {
		field = w.steps % usedFields
		w.steps++
	}
	return n.Result(func(s *freight, c freight) { *s.field(field) += c.A + c.B + 1 })
}

// participant is the outside of the random sagas: it remembers what each idempotency key has done, and fails as chance has it.
type participant struct {
	rng     *rand.Rand
	calm    bool
	done    map[string]saga.Info
	refused map[string]bool // what was refused for good stays so, were it asked for again by a worker that is late
	mending bool            // operators have come: nothing fails any more
}

type participantKey struct{}

// answer is what the participant says to a call: an effect that is there is recognised, and so is what was refused.
func answer(ctx context.Context) error {
	p := ctx.Value(participantKey{}).(*participant)
	info := saga.FromContext(ctx)
	key := info.IdempotencyKey()
	if _, again := p.done[key]; again {
		return nil
	}
	if p.refused[key] && !p.mending {
		return saga.Permanent(errors.New("no, as was said"))
	}
	if !p.calm && !p.mending {
		switch p.rng.IntN(14) {
		case 0, 1:
			p.refused[key] = ctx.Value(lastKey{}).(bool)
			return errors.New("later")
		case 2:
			p.refused[key] = true
			return saga.Permanent(errors.New("no"))
		case 3:
			p.done[key] = info
			return saga.Unknown(errors.New("no answer, though it was done"))
		case 4:
			return saga.Unknown(errors.New("no answer, and it was not done"))
		}
	}
	p.done[key] = info
	if info.Undo { // what is undone before it is done is not done any more
		info.Undo = false
		p.refused[info.IdempotencyKey()] = true
	}
	return nil
}

// lastKey is for whether there is no further attempt.
type lastKey struct{}

// act does what a step does, or its undo.
func act(field, emits int, undo bool) func(context.Context, *freight) error {
	return func(ctx context.Context, s *freight) error {
		for i := range emits {
			if err := saga.Emit(ctx, "news", i); err != nil {
				return err
			}
		}
		if err := answer(ctx); err != nil {
			return err
		}
		if undo {
			*s.field(field) = 0
			return nil
		}
		*s.field(field) = *s.field(field)*31 + uint64(len(saga.FromContext(ctx).Step))
		return nil
	}
}
