package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"

	"github.com/jetsaga/jetsaga/saga"
)

// Bag is the state of sagas of random plans, of their items and of their children: fields of any name. What a step leaves
// depends on all that it sees, so that one which works on another part of the state than it should leaves another Bag.
type Bag struct{ fields map[string]uint64 }

// MarshalJSON gives an object of the fields.
func (b Bag) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, name := range slices.Sorted(maps.Keys(b.fields)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendQuote(out, name)
		out = strconv.AppendUint(append(out, ':'), b.fields[name], 10)
	}
	return append(out, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (b *Bag) UnmarshalJSON(data []byte) error {
	b.fields = map[string]uint64{}
	return json.Unmarshal(data, &b.fields)
}

func bagOf(s saga.State) Bag {
	var b Bag
	if err := b.UnmarshalJSON(s.JSON()); err != nil {
		panic(err)
	}
	return b
}

func (b Bag) clone() Bag { return Bag{maps.Clone(b.fields)} }

func (b Bag) equal(other Bag) bool { return maps.Equal(b.fields, other.fields) }

func (b *Bag) set(field string, value uint64) {
	if b.fields == nil {
		b.fields = map[string]uint64{}
	}
	b.fields[field] = value
}

// sum depends on every field, and on a word.
func (b Bag) sum(word string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(word))
	data, _ := b.MarshalJSON()
	_, _ = h.Write(data)
	return h.Sum64()>>12 | 1
}

// sharedField is what some steps of parallel branches change all together, which is a conflict.
const sharedField = "shared"

// carry does what the step with that key does, or its undo. An undo touches nothing but what its step has left, since
// those of several branches may run at once.
func (b *Bag) carry(n *spec, key string, undo bool, payload uint64) {
	if undo {
		value := uint64(1)
		if _, there := b.fields[key]; there {
			value = 2
		}
		delete(b.fields, key)
		b.set("undo:"+key, value)
		return
	}
	value := b.sum(key) ^ payload
	b.set(key, value)
	if n.shared {
		b.set(sharedField, value)
	}
}

// work is the handler of a step, or of its undo.
func (s *spec) work(undo bool) saga.Handler[Bag] {
	return func(ctx context.Context, b *Bag) error { return s.perform(ctx, b, undo, 0) }
}

// ping is the payload of a signal.
type ping struct {
	N uint64 `json:"n"`
}

// take is the handler of a wait.
func (s *spec) take(ctx context.Context, b *Bag, p ping) error { return s.perform(ctx, b, false, p.N) }

// perform calls the participant and then changes the state.
func (s *spec) perform(ctx context.Context, b *Bag, undo bool, payload uint64) error {
	call := ctx.Value(callKey{}).(*call)
	info := saga.FromContext(ctx)
	if ctx.Err() != nil && !call.deaf {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) && call.participants.w.chance(0.5) {
			_ = call.participants.perform(info, true) // the answer comes too late
		}
		return context.Cause(ctx)
	}
	b.set("forgotten", 1)
	if err := call.participants.perform(info, call.lastAttempt); err != nil {
		return err
	}
	delete(b.fields, "forgotten")
	b.carry(s, info.StepKey, undo, payload)
	if s.emits {
		return saga.Emit(ctx, "news", b.fields[info.StepKey])
	}
	return nil
}

// gather is what a ForEach makes of its items.
func (b *Bag) gather(n *spec, items []saga.Item[Bag]) {
	h := fnv.New64a()
	for _, it := range items {
		data, _ := it.Value.MarshalJSON()
		_, _ = h.Write(append(data, byte(min(len(it.Error), 1))))
	}
	b.set("items:"+n.name, h.Sum64()>>12)
}

// adopt is what a saga makes of the state that its child ended with.
func (b *Bag) adopt(n *spec, child Bag) { b.set("child:"+n.name, child.sum("child")) }

// inherit is the state that a child begins with.
func (b Bag) inherit(n *spec) Bag {
	var child Bag
	child.set("parent", b.sum("to "+n.name))
	return child
}

// badPayload is the payload of a signal that nothing can take.
const badPayload = `"nonsense"`

func pingOf(s saga.Signal) (p ping) {
	if err := json.Unmarshal(s.Payload, &p); err != nil {
		panic(err)
	}
	return p
}
