package streams

import (
	"fmt"
	"strings"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// The last token of a saga's subjects.
const (
	commandToken = "cmd"
	commitToken  = "evt"
	timerToken   = "timer"
)

// subjects builds the subjects of one namespace.
type subjects struct {
	prefix string // "saga.<ns>."
}

func newSubjects(namespace string) subjects { return subjects{"saga." + namespace + "."} }

func (s subjects) saga(key saga.Key, last string) string {
	return s.prefix + shard.Of(key.Definition, key.ID).String() + "." + key.Definition + "." + key.ID + "." + last
}

func (s subjects) commands(key saga.Key) string { return s.saga(key, commandToken) }
func (s subjects) commits(key saga.Key) string  { return s.saga(key, commitToken) }

func (s subjects) timer(key saga.Key, name string) string {
	return s.saga(key, timerToken+"."+name)
}

func (s subjects) out(key saga.Key, topic string) string {
	return s.saga(key, outToken+"."+topic)
}

// outAll is the filter for the outboxes of all sagas: shard, definition, id and topic are its wildcards.
func (s subjects) outAll() string { return s.prefix + "*.*.*." + outToken + ".*" }

// shard is the filter for everything in one shard.
func (s subjects) shard(n shard.Shard) string { return s.prefix + n.String() + ".>" }

// definition is the filter for the commands of one definition, in whatever shards.
func (s subjects) definition(name string) string {
	return s.prefix + "*." + name + ".*." + commandToken
}

// commitsOf is the filter for the commits of one definition, in whatever shards.
func (s subjects) commitsOf(definition string) string {
	return s.prefix + "*." + definition + ".*." + commitToken
}

func (s subjects) dead(key saga.Key) string {
	return s.prefix + "dead." + shard.Of(key.Definition, key.ID).String() + "." + key.Definition + "." + key.ID
}

func (s subjects) deadAll() string { return s.prefix + "dead.>" }

func (s subjects) poke(worker string) string { return s.prefix + "poke." + worker }

// parse gives the saga that a subject belongs to, and its last token.
func (s subjects) parse(subject string) (key saga.Key, last string, err error) {
	rest, ok := strings.CutPrefix(subject, s.prefix)
	if !ok {
		return key, "", fmt.Errorf("subject %q is not below %q", subject, s.prefix)
	}
	_, rest, _ = strings.Cut(rest, ".") // the shard
	key.Definition, rest, _ = strings.Cut(rest, ".")
	key.ID, last, ok = strings.Cut(rest, ".")
	if !ok || key.Definition == "" || key.ID == "" {
		return key, "", fmt.Errorf("subject %q is not a saga's", subject)
	}
	return key, last, nil
}
