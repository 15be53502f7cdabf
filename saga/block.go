package saga

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Block is what the log says of a node that is not a step: how far it has got.
type Block struct {
	Branch string    `json:"branch,omitempty"` // of a choice, or the winner of a race
	Turn   int       `json:"turn,omitempty"`   // of a loop: the present one
	Done   bool      `json:"done,omitempty"`
	Failed string    `json:"failed,omitempty"` // why the node failed by itself
	Reason Reason    `json:"reason,omitempty"` // of Failed, where it is not that a step failed
	Until  time.Time `json:"until,omitzero"`   // when a wait is over, or the block has to be done

	Found bool        `json:"found,omitempty"` // the items of a ForEach are recorded
	Items []ItemState `json:"items,omitempty"`
	Ended int         `json:"ended,omitempty"` // how many items are through
	low   int         // all items below are through
	high  int         // while undoing: all items from here on have nothing to undo; 0 for not yet known

	Signal *Signal     `json:"signal,omitempty"` // that a wait has taken; it is never changed
	Child  *ChildState `json:"child,omitempty"`
}

// ItemState is what the log says of one item of a ForEach.
type ItemState struct {
	State State  `json:"s"`
	Ended bool   `json:"ended,omitempty"`
	Error string `json:"error,omitempty"`
}

// ChildState is what the log says of a child.
type ChildState struct {
	Ref      ChildRef `json:"ref"`
	Status   Status   `json:"status,omitempty"` // empty while it runs
	State    State    `json:"state,omitzero"`   // that it ended with
	Error    string   `json:"error,omitempty"`
	Recalled bool     `json:"recalled,omitempty"` // it was told to undo what it has done, and has not answered
	Refused  bool     `json:"refused,omitempty"`  // it cannot be undone
	Version  uint64   `json:"version,omitempty"`  // of its log, when it ended
}

func (b *Block) clone() *Block {
	c := *b
	c.Items = slices.Clone(b.Items)
	if b.Child != nil {
		child := *b.Child
		c.Child = &child
	}
	return &c
}

func cloneBlocks(blocks map[string]*Block) map[string]*Block {
	c := maps.Clone(blocks)
	for key, b := range c {
		c[key] = b.clone()
	}
	return c
}

// noBlock is what the log says of a node that it does not mention. It is never changed.
var noBlock = &Block{}

// block gives what the log says of a node, for reading.
func (in *Instance) block(key string) *Block {
	if b, ok := in.Blocks[key]; ok {
		return b
	}
	return noBlock
}

// change gives what the log says of a node, for changing.
func (in *Instance) change(key string) *Block {
	b, ok := in.Blocks[key]
	if !ok {
		if in.Blocks == nil {
			in.Blocks = map[string]*Block{}
		}
		b = &Block{}
		in.Blocks[key] = b
	}
	return b
}

// find takes note of the items of a ForEach.
func (b *Block) find(items []State) {
	b.Found, b.Items = true, make([]ItemState, len(items))
	for i, s := range items {
		b.Items[i].State = s
	}
}

// endItem takes note of an item that is through.
func (b *Block) endItem(e ItemEnded) {
	if e.Index < 0 || e.Index >= len(b.Items) || b.Items[e.Index].Ended {
		return
	}
	b.Items[e.Index].Ended, b.Items[e.Index].Error = true, e.Error
	b.Ended++
}

// firstOpen gives the first item that is not through.
func (b *Block) firstOpen() int {
	for b.low < len(b.Items) && b.Items[b.low].Ended {
		b.low++
	}
	return b.low
}

// A scope is a part of the state: the copy that a branch works on, or an item of a ForEach. It is named by the way to it: for each block
// around it "/", the block's key, "/", and the branch's name or the item's index. The saga's own state is the empty scope.
func within(scope, key, part string) string {
	return scope + string(scopeMark) + key + string(scopeMark) + part
}

// cutScope gives the scope around a scope, the block's key and the part.
func cutScope(scope string) (around, key, part string) {
	last := strings.LastIndexByte(scope, scopeMark)
	before := strings.LastIndexByte(scope[:max(last, 0)], scopeMark)
	if last < 0 || before < 0 {
		return "", "", scope
	}
	return scope[:before], scope[before+1 : last], scope[last+1:]
}

// item gives the item that a scope is, if it is one.
func (in *Instance) item(key, part string) *ItemState {
	b := in.block(key)
	if !b.Found {
		return nil
	}
	i, err := strconv.Atoi(part)
	if err != nil || i < 0 || i >= len(b.Items) {
		return nil
	}
	return &b.Items[i]
}

// View gives the state as a scope sees it: the saga's own for the empty scope.
func (in *Instance) View(scope string) State {
	if scope == "" {
		return in.State
	}
	around, key, part := cutScope(scope)
	if it := in.item(key, part); it != nil {
		return it.State
	}
	return in.View(around).Apply(in.Scopes[scope])
}

// unturn forgets that a part of a block was undone, and what is within it; all of its parts where part is empty.
func (in *Instance) unturn(key, part string) {
	for _, scope := range in.Turned {
		if _, k, p := cutScope(scope); k == key && (part == "" || p == part) {
			in.Turned = slices.DeleteFunc(slices.Clone(in.Turned), func(s string) bool {
				return s == scope || strings.HasPrefix(s, scope+string(scopeMark))
			})
		}
	}
	if len(in.Turned) == 0 {
		in.Turned = nil
	}
}

// patch changes the state of a scope. left may be the state that results.
func (in *Instance) patch(scope string, p Patch, left State) {
	if p.IsZero() {
		return
	}
	if scope == "" {
		in.State = in.State.applied(p, left)
		return
	}
	_, key, part := cutScope(scope)
	if it := in.item(key, part); it != nil {
		it.State = it.State.Apply(p)
		return
	}
	if in.Scopes == nil {
		in.Scopes = map[string]Patch{}
	}
	in.Scopes[scope] = in.Scopes[scope].then(p)
}

// join merges what branches have changed into the scope around them, and forgets all of the block's scopes.
func (in *Instance) join(e BranchesJoined) {
	for _, branch := range e.Branches {
		in.patch(e.Scope, in.Scopes[within(e.Scope, e.Node, branch)], State{})
	}
	block := within(e.Scope, e.Node, "")
	maps.DeleteFunc(in.Scopes, func(scope string, _ Patch) bool { return strings.HasPrefix(scope, block) })
	if len(in.Scopes) == 0 {
		in.Scopes = nil
	}
}

// joined gives how many bytes the state around a block has once all branches are merged into it. A figure of at
// most enough may be too high.
func (in *Instance) joined(scope, key string, branches []*PlanNode, enough int) int {
	state := in.View(scope)
	size := state.Size()
	for _, branch := range branches {
		size += in.Scopes[within(scope, key, branch.Label)].Set.Size()
	}
	if size <= enough {
		return size
	}
	for _, branch := range branches {
		state = state.Apply(in.Scopes[within(scope, key, branch.Label)])
	}
	return state.Size()
}

// forget drops what the log says of the named nodes in the turns of a loop with this key that come before one, or for so many
// items of a ForEach. What an operator has passed over in a turn to come stays so.
func (in *Instance) forget(names []string, key string, before int) {
	if len(names) == 0 {
		return
	}
	prefix := turnsOf(key) + string(keyMark)
	forgotten := func(key string) bool {
		rest, inside := strings.CutPrefix(turnsOf(key), prefix)
		if !inside || !slices.Contains(names, StepName(key)) {
			return false
		}
		turn, _, _ := strings.Cut(rest, string(keyMark))
		n, err := strconv.Atoi(turn)
		return err == nil && n < before
	}
	in.Steps.drop(forgotten)
	maps.DeleteFunc(in.Blocks, func(key string, _ *Block) bool { return forgotten(key) })
}

// turnsOf gives the part of a key after the name.
func turnsOf(key string) string { return key[len(StepName(key)):] }

// then gives the patch that does both, one after the other.
func (p Patch) then(next Patch) Patch {
	both := Patch{Set: p.Set.Apply(next)}
	for _, name := range p.Unset {
		if next.Set.index(name, 0) < 0 {
			both.Unset = append(both.Unset, name)
		}
	}
	for _, name := range next.Unset {
		if !slices.Contains(both.Unset, name) {
			both.Unset = append(both.Unset, name)
		}
	}
	return both
}

// touched gives the fields that a patch changes.
func (p Patch) touched() []string {
	names := slices.Clone(p.Unset)
	for _, f := range p.Set.fields {
		names = append(names, f.name)
	}
	return names
}

// conflict gives a field that two of the branches have both changed, if there is one: the first by its name, whatever the order
// in which the branches have run.
func (in *Instance) conflict(scope, key string, branches []*PlanNode) (field, first, second string, found bool) {
	writer := map[string]string{}
	for _, branch := range branches {
		for _, f := range in.Scopes[within(scope, key, branch.Label)].touched() {
			by, before := writer[f]
			switch {
			case !before:
				writer[f] = branch.Label
			case !found || f < field:
				field, first, second, found = f, by, branch.Label, true
			}
		}
	}
	return unspelled(field), first, second, found
}
