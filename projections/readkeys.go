package projections

import (
	"strings"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// The keys of the read models. A generation is a complete set of them; one is current, and another may be under
// construction beside it. All of a saga's keys have the hash tag of its shard, so that they are in one slot of a cluster.
//
//	jetsaga:{<ns>}:models                      hash    which generation is current
//	jetsaga:{<ns>:<shard>}:m:<gen>:sagas       hash    <definition>.<id> -> summary
//	jetsaga:{<ns>:<shard>}:m:<gen>:at          hash    stream -> how far it was read; see also repairsField, seenField
//	jetsaga:{<ns>:<shard>}:m:<gen>:counts      hash    <definition>.<status> -> sagas
//	jetsaga:{<ns>:<shard>}:m:<gen>:steps       hash    <definition> <step> <outcome> -> attempts, nanoseconds
//	jetsaga:{<ns>:<shard>}:m:<gen>:poison      hash    <stream> <sequence> -> what could not be decoded
//	jetsaga:{<ns>:<shard>}:m:<gen>:s:<index>   zset    <definition>.<id> by start, in microseconds since 1970
//	jetsaga:{<ns>:<shard>}:m:<gen>:u:<index>   zset    the same by last update
//
// An index is "all", "d.<definition>", "s.<status>", "b.<definition>.<status>" or "a.<name>.<value>" of a search
// attribute. Names, and so definitions and ids, have no dot.
type modelKeys struct {
	namespace, generation string
}

// metaKey is the hash that says which generation is current.
func metaKey(namespace string) string { return "jetsaga:{" + namespace + "}:models" }

// pattern matches all keys of all generations, and some others: see [modelKeys.generationOf].
func modelPattern(namespace string) string { return "jetsaga:{" + namespace + ":*}:m:*" }

// generationOf gives the generation that a key belongs to; ok is false for what is no key of read models.
func generationOf(namespace, key string) (generation string, ok bool) {
	rest, ok := strings.CutPrefix(key, "jetsaga:{"+namespace+":")
	if !ok {
		return "", false
	}
	_, rest, ok = strings.Cut(rest, "}:m:")
	if !ok {
		return "", false
	}
	generation, _, ok = strings.Cut(rest, ":")
	return generation, ok
}

func (k modelKeys) prefix(s shard.Shard) string {
	return "jetsaga:{" + k.namespace + ":" + s.String() + "}:m:" + k.generation + ":"
}

// order is what an index is ordered by.
type order string

const (
	byStart  order = "s:"
	byUpdate order = "u:"
)

// The names of indexes.
const indexAll = "all"

func indexDefinition(definition string) string    { return "d." + definition }
func indexStatus(status saga.Status) string       { return "s." + string(status) }
func indexBoth(def string, st saga.Status) string { return "b." + def + "." + string(st) }
func indexAttribute(name, val string) string      { return "a." + name + "." + val }

// indexes gives the names of all indexes that a summary is in.
func (s *Summary) indexes() []string {
	names := []string{indexAll, indexDefinition(s.Key.Definition), indexStatus(s.Status), indexBoth(s.Key.Definition, s.Status)}
	for name, value := range s.Attributes {
		names = append(names, indexAttribute(name, value))
	}
	return names
}

// member names a saga within its shard.
func member(key saga.Key) string { return key.Definition + "." + key.ID }

// keyOf reads a member.
func keyOf(member string) saga.Key {
	definition, id, _ := strings.Cut(member, ".")
	return saga.Key{Definition: definition, ID: id}
}

// score gives a time's place in an index.
func score(t time.Time) int64 { return t.UnixMicro() }

// The fields of steps are a definition's name, a step's name and one of these. Names have no space.
var outcomes = [...]string{"completed", "failed", "undone", "undo-failed"}

// tookSuffix follows an outcome where the field holds the time that it took.
const tookSuffix = ".ns"

func (t StepTotals) tallies() [4]Tally {
	return [4]Tally{t.Completed, t.Failed, t.Undone, t.UndoFailed}
}

func stepField(definition, step, outcome string) string {
	return definition + " " + step + " " + outcome
}

func countField(definition string, status saga.Status) string {
	return definition + "." + string(status)
}
