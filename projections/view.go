package projections

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/saga"
)

// Event is something that happened to a saga, as projections and subscriptions are told of it.
type Event struct {
	Key     saga.Key
	Version uint64    // of the commit that holds it; a commit may hold several
	Time    time.Time // of the commit
	// Event is what happened: a [saga.SagaStarted], a [saga.StepCompleted] ... What a newer build has written and this
	// one does not know is left out.
	Event saga.Event
}

// View is a read model of a user's own. A [Projector] made by [NewViewProjector] tells it of all events of the sagas that
// it wants, and carries out what it asks for in Redis: for each event exactly once, as it is written together with how
// far the streams were read.
type View struct {
	// Name names the view, and so its consumers and its keys: letters, digits and '_', at most 64. Required.
	Name string
	// Version is raised when Apply has changed: the view is then built anew beside the one that readers see. Workers with a
	// lower one keep that one up as long as it is read, and leave the new one alone. Default: 1.
	Version int
	// Definitions are those of whose sagas it is told. Default: all.
	Definitions []string
	// Apply is told of one event and says what to write. It must not do anything else, as its writes may not be carried
	// out, and it is then called again: after a failure, and whenever the view is built anew. Events of one saga come in
	// order; those of different sagas in any. An error stops the view, until a later try does not give one. An event at which
	// it panics is set aside with the stack, and nothing of it is written. Required.
	Apply func(w *Writes, e Event) error
}

// Writes are what an event has written in Redis. All keys of a view are in one slot of a cluster.
type Writes struct {
	prefix   string
	commands [][]any
}

// Key gives the key of the view's that has a name.
func (w *Writes) Key(name string) string { return w.prefix + name }

// Do has a command carried out, such as Do("HINCRBY", w.Key("revenue"), day, cents). It may only name keys of the view,
// as its second word, and has at most [MaxWords] words. It gives no answer: what is written depends on the events alone.
func (w *Writes) Do(command, key string, args ...any) {
	w.commands = append(w.commands, append([]any{command, key}, args...))
}

// MaxWords is how many words a command of a view may have: a script cannot hand over many more.
const MaxWords = 4000

// The keys of views:
//
//	jetsaga:{<ns>:v:<name>}                    hash   which generation is current
//	jetsaga:{<ns>:v:<name>}:<gen>:.at          hash   stream -> how far it was read; see also seenField
//	jetsaga:{<ns>:v:<name>}:<gen>:.versions    hash   <definition>.<id> -> version that was applied last
//	jetsaga:{<ns>:v:<name>}:<gen>:.poison      hash   <stream> <sequence> <reason> -> what could not be read or carried out
//	jetsaga:{<ns>:v:<name>}:<gen>:<key>               the view's own
func viewMarker(namespace, name string) string { return "jetsaga:{" + namespace + ":v:" + name + "}" }

func viewPrefix(namespace, name, generation string) string {
	return viewMarker(namespace, name) + ":" + generation + ":"
}

// viewScript carries out the writes of a batch and notes how far the stream was read, unless it was read further, or
// less far, than the writer knows. The note comes first, so that what Redis refuses is not tried again: it is set aside,
// and the number of its event given, and why.
//
// KEYS: at, versions, poison, then those of the commands. ARGV: the stream, how far it was read, how far it is now; then,
// each after their number: sagas (member, version), what is set aside (field, value), and events (what the field of such a
// one begins with, what its reason begins with, what its value begins with); then the commands, each after the number of
// its event and that of its words.
const viewScript = `
local at = redis.call('HGET', KEYS[1], ARGV[1]) or '0'
if at ~= ARGV[2] then return {'at', at} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
local i = 4
for k = 2, 3 do
  local n = tonumber(ARGV[i])
  for j = i + 1, i + 2 * n, 2 do redis.call('HSET', KEYS[k], ARGV[j], ARGV[j + 1]) end
  i = i + 2 * n + 1
end
local events = i
i = i + 3 * tonumber(ARGV[i]) + 1
local answer = {'ok'}
while i <= #ARGV do
  local number, words = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local r = redis.pcall(unpack(ARGV, i + 2, i + 1 + words))
  if type(r) == 'table' and r['err'] then
    local e = events + 3 * number - 2
    local reason = string.sub(ARGV[e + 1] .. ARGV[i + 2] .. ': ' .. r['err'], 1, 512)
    redis.call('HSET', KEYS[3], ARGV[e] .. reason, ARGV[e + 2] .. cjson.encode(reason) .. '}')
    answer[#answer + 1] = tostring(number)
    answer[#answer + 1] = reason
  end
  i = i + words + 2
end
return answer
`

var viewWrite = redis.NewScript(viewScript)

// viewBack notes that a stream was read less far, unless that has changed meanwhile.
//
// KEYS: at. ARGV: the stream, how far it was read, how far it is now.
var viewBack = redis.NewScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
`)

// NewViewProjector checks a view and gives a projector that keeps it up with the streams: as many as one likes may run.
func NewViewProjector(conf ProjectorConfig, v View) (*Projector, error) {
	conf, err := conf.withDefaults()
	if v.Version == 0 {
		v.Version = 1
	}
	if err := errors.Join(err, v.check()); err != nil {
		return nil, err
	}
	namespace := conf.Source.Namespace()
	k := kind{
		what: "view " + v.Name, marker: viewMarker(namespace, v.Name), feeds: viewFeeds + v.Name + "-",
		form: form{modelFormat, v.Version},
		handler: func(generation, stream string, told func(uint64, int, time.Time)) Handler {
			return &viewWriter{view: &v, rdb: conf.client(), source: conf.Source, namespace: namespace, generation: generation, stream: stream,
				log: conf.Logger, told: told}
		},
		seen: func(generation, stream string) (key, field string) {
			return viewPrefix(namespace, v.Name, generation) + ".at", seenField(stream)
		},
		sweep: func(ctx context.Context, keep func(string) bool) error {
			prefix := viewMarker(namespace, v.Name) + ":"
			return scanKeys(ctx, conf.Redis, prefix+"*", func(node *redis.Client, keys []string) error {
				for _, key := range keys {
					generation, _, _ := strings.Cut(strings.TrimPrefix(key, prefix), ":")
					if !keep(generation) {
						if err := node.Unlink(ctx, key).Err(); err != nil {
							return err
						}
					}
				}
				return nil
			})
		},
	}
	return newProjector(conf, k), nil
}

func (v *View) check() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("projections.View."+format, args...)) }
	bad := func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if v.Name == "" || len(v.Name) > 64 || strings.ContainsFunc(v.Name, bad) {
		fault("Name is %q, must be 1 to 64 letters, digits or '_'", v.Name)
	}
	if v.Version < 1 {
		fault("Version is %d, must be positive", v.Version)
	}
	if v.Apply == nil {
		fault("Apply is required")
	}
	for _, d := range v.Definitions {
		if err := saga.CheckName("Definitions", d); err != nil {
			fault("Definitions: %w", err)
		}
	}
	return errors.Join(errs...)
}

// RebuildView asks for a view to be built anew; see [Rebuild].
func RebuildView(ctx context.Context, rdb redis.UniversalClient, namespace, name, why string) (string, error) {
	return rebuildAt(ctx, rdb, viewMarker(namespace, name), namespace, why, "")
}

// ReadView calls f with what gives the keys of a view as it is now, again where a new generation took its place
// meanwhile: what f has read is of one generation.
func ReadView(ctx context.Context, rdb redis.UniversalClient, namespace, name string, f func(key func(name string) string) error) error {
	for {
		g, err := generationsAt(ctx, rdb, viewMarker(namespace, name))
		if err != nil {
			return err
		}
		if g.Current == "" {
			return &NotReadyError{Namespace: namespace, Building: g.Next != ""}
		}
		prefix := viewPrefix(namespace, name, g.Current)
		failure := f(func(key string) string { return prefix + key })
		after, err := generationsAt(ctx, rdb, viewMarker(namespace, name))
		if err != nil {
			return err
		}
		if after.Current == g.Current {
			return failure
		}
	}
}

// viewWriter writes one stream into one generation of a view.
type viewWriter struct {
	view                          *View
	rdb                           redis.UniversalClient
	source                        Source
	namespace, generation, stream string
	log                           logger
	told                          func(pending uint64, applied int, last time.Time)

	at     uint64 // how far the stream was read
	noting noting
}

// logger takes what an operator may want to know.
type logger interface {
	Warn(message string, args ...any)
}

func (w *viewWriter) prefix() string { return viewPrefix(w.namespace, w.view.Name, w.generation) }

// Begin reads how far the stream was read.
func (w *viewWriter) Begin(ctx context.Context) (uint64, error) {
	g, err := generationsAt(ctx, w.rdb, viewMarker(w.namespace, w.view.Name))
	if err != nil {
		return 0, err
	}
	if w.generation != g.Current && w.generation != g.Next {
		return 0, errGone
	}
	at, err := w.position(ctx)
	if err != nil {
		return 0, err
	}
	if at < w.at {
		w.log.Warn(setBack, "view", w.view.Name, "stream", w.stream, "messages", w.at-at)
	}
	if at, err = w.cutShort(ctx, at); err != nil {
		return 0, err
	}
	w.at = at
	return at, w.note(ctx, newHash)
}

// cutShort gives how far the stream was read, or its end where that comes before: a power cut has taken what came after, and what is
// stored under the same sequences since is to be read. What the view was told stays, as it does of a saga that was purged, and so do
// the versions.
func (w *viewWriter) cutShort(ctx context.Context, at uint64) (uint64, error) {
	last, err := w.source.Last(ctx, w.stream)
	if err != nil || at <= last {
		return at, err
	}
	moved, err := viewBack.Run(ctx, w.rdb, []string{w.prefix() + ".at"}, w.stream, strconv.FormatUint(at, 10), strconv.FormatUint(last, 10)).Int()
	if err != nil {
		return 0, fmt.Errorf("view %s: noting how far stream %s was read: %w", w.view.Name, w.stream, err)
	}
	if moved == 0 {
		return w.position(ctx) // by another member, which has looked, too
	}
	w.log.Warn("a stream has lost its end, after it was read; the view goes on where it ends now",
		"view", w.view.Name, "stream", w.stream, "messages", at-last)
	return last, nil
}

func (w *viewWriter) note(ctx context.Context, hash string) error {
	return w.noting.note(ctx, w.rdb, w.prefix()+".at", w.stream, hash)
}

// position reads how far the stream was read.
func (w *viewWriter) position(ctx context.Context) (uint64, error) {
	at, err := w.rdb.HGet(ctx, w.prefix()+".at", w.stream).Uint64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("view %s: reading how far stream %s was read: %w", w.view.Name, w.stream, err)
	}
	return at, nil
}

// viewChunk is how many records are written by one call of the script.
const viewChunk = 500

// Apply writes a batch.
func (w *viewWriter) Apply(ctx context.Context, b Batch) error {
	if len(b.Records) == 0 { // is what was written still there
		at, err := w.position(ctx)
		switch {
		case err != nil:
			return err
		case at != w.at:
			return &movedError{stream: w.stream, expected: w.at, found: at}
		}
		return w.note(ctx, knownHash)
	}
	for records := range slices.Chunk(b.Records, viewChunk) {
		if err := w.apply(ctx, records); err != nil {
			return fmt.Errorf("view %s: %w", w.view.Name, err)
		}
	}
	w.told(b.Pending, len(b.Records), b.Records[len(b.Records)-1].Time)
	return w.note(ctx, knownHash)
}

func (w *viewWriter) apply(ctx context.Context, records []Record) error {
	commits, poisoned := w.decode(records)
	versions, err := w.versions(ctx, commits)
	if err != nil {
		return err
	}
	writes, panicked, err := w.tell(commits, versions)
	if err != nil {
		return err
	}
	poisoned = append(poisoned, panicked...)
	last := records[len(records)-1].Sequence
	keys, args, err := w.arguments(last, versions, poisoned, writes)
	if err != nil {
		return err
	}
	answer, err := viewWrite.Run(ctx, w.rdb, keys, args...).StringSlice()
	switch {
	case err != nil:
		return err
	case answer[0] == "at":
		found, err := strconv.ParseUint(answer[1], 10, 64)
		if err != nil {
			return err
		}
		return &movedError{stream: w.stream, expected: w.at, found: found}
	}
	w.at = last
	for i := 1; i+1 < len(answer); i += 2 {
		number, err := strconv.Atoi(answer[i])
		if err != nil || number < 1 || number > len(writes) {
			return errAnswer
		}
		p := writes[number-1].poison
		p.Reason = answer[i+1]
		poisoned = append(poisoned, p)
	}
	for _, p := range poisoned {
		w.log.Warn("an event is set aside", "view", w.view.Name, "saga", p.Key.String(), "stream", p.Stream,
			"sequence", p.Sequence, "reason", p.Reason, "stack", p.Stack)
	}
	return nil
}

// arguments gives the keys and arguments of the script.
func (w *viewWriter) arguments(upTo uint64, versions map[string]toldOf, poisoned []Poison, writes []written) (keys []string, args []any, err error) {
	keys = []string{w.prefix() + ".at", w.prefix() + ".versions", w.prefix() + ".poison"}
	args = []any{w.stream, strconv.FormatUint(w.at, 10), strconv.FormatUint(upTo, 10)}
	args = append(args, len(versions))
	for name, told := range versions {
		args = append(args, name, told.String())
	}
	args = append(args, len(poisoned))
	for _, p := range poisoned {
		value, err := json.Marshal(p)
		if err != nil {
			return nil, nil, err
		}
		args = append(args, p.field()+p.Reason, value)
	}
	args = append(args, len(writes))
	named := map[string]bool{}
	var commands []any
	for i := range writes {
		p := &writes[i].poison
		begun, err := json.Marshal(p)
		if err != nil {
			return nil, nil, err
		}
		// The script adds the reason, which is left out where it is empty.
		args = append(args, p.field(), fmt.Sprintf("version %d: ", writes[i].version), append(begun[:len(begun)-1], `,"reason":`...))
		for _, command := range writes[i].commands {
			key, _ := command[1].(string)
			if !strings.HasPrefix(key, w.prefix()) {
				return nil, nil, fmt.Errorf("saga %s, version %d: %v names the key %q, which is not the view's",
					p.Key, writes[i].version, command[0], key)
			}
			if len(command) > MaxWords {
				return nil, nil, fmt.Errorf("saga %s, version %d: %v has %d words; have it carried out in several of at most %d",
					p.Key, writes[i].version, command[0], len(command), MaxWords)
			}
			named[key] = true
			commands = append(append(commands, i+1, len(command)), command...)
		}
	}
	args = append(args, commands...)
	keys = append(keys, slices.Sorted(maps.Keys(named))...)
	return keys, args, nil
}

// written is what an event has written.
type written struct {
	version  uint64
	commands [][]any
	poison   Poison // what a command becomes that Redis refuses, but for the reason
}

// tell tells the view of commits, and gives what it writes, and at which events it panicked. It raises versions.
func (w *viewWriter) tell(commits []decodedCommit, versions map[string]toldOf) (writes []written, panicked []Poison, err error) {
	for i := range commits {
		c := &commits[i]
		told := versions[member(c.key)]
		if c.purged {
			told.purged = true
			versions[member(c.key)] = told
			continue
		}
		run := c.run()
		another := !c.restored && (told.purged || run != "" && told.run != "" && run != told.run)
		if c.commit.Version <= told.version && !another {
			continue // a copy from a shard that was moved, or one that was exported
		}
		told.version, told.purged = c.commit.Version, false
		if run != "" {
			told.run = run
		}
		versions[member(c.key)] = told
		for _, event := range c.commit.Events {
			e := Event{Key: c.key, Version: c.commit.Version, Time: c.commit.Time, Event: event}
			p := Poison{Saga: member(e.Key), Key: e.Key, Stream: w.stream, Sequence: c.sequence, Commit: true, Time: e.Time}
			commands, err := w.applyEvent(e)
			var failure *panicError
			switch {
			case errors.As(err, &failure):
				p.Reason, p.Stack = cut(fmt.Sprintf("version %d: %v", e.Version, failure)), failure.stack
				panicked = append(panicked, p)
			case err != nil:
				return nil, nil, fmt.Errorf("saga %s, version %d: %w", e.Key, e.Version, err)
			case len(commands) > 0:
				writes = append(writes, written{e.Version, commands, p})
			}
		}
	}
	return writes, panicked, nil
}

// panicError is a panic of a view's function.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func (w *viewWriter) applyEvent(e Event) (commands [][]any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, string(debug.Stack())}
		}
	}()
	writes := &Writes{prefix: w.prefix()}
	err = w.view.Apply(writes, e)
	return writes.commands, err
}

// decodedCommit is a commit of a saga.
type decodedCommit struct {
	key      saga.Key
	commit   saga.Commit
	sequence uint64
	purged   bool // there is no commit: the saga was purged
	restored bool
}

// run gives a digest of the run that a saga's first commit begins; nothing for any other.
func (c *decodedCommit) run() string {
	if c.commit.Version != 1 || len(c.commit.Events) == 0 {
		return ""
	}
	started, ok := c.commit.Events[0].(saga.SagaStarted)
	if !ok {
		return ""
	}
	h := fnv.New32a()
	_, _ = io.WriteString(h, started.Run) // a hash takes everything
	return hex.EncodeToString(h.Sum(nil))
}

// toldOf is up to which version a view was told of a saga. When the saga is purged, that is kept: should it be restored, the
// view is not told again. But whatever else comes then is of another saga that has its id. Where the purge was missed, that one's run
// tells.
type toldOf struct {
	version uint64
	purged  bool
	run     string // a digest of that of its first commit; what earlier builds have written has none
}

// String is what Redis keeps: the version, with a minus sign for a saga that was purged, and after a space the run.
func (t toldOf) String() string {
	text := strconv.FormatUint(t.version, 10)
	if t.purged {
		text = "-" + text
	}
	if t.run != "" {
		text += " " + t.run
	}
	return text
}

func parseTold(text string) (t toldOf, err error) {
	text, t.run, _ = strings.Cut(text, " ")
	text, t.purged = strings.CutPrefix(text, "-")
	t.version, err = strconv.ParseUint(text, 10, 64)
	return t, err
}

// decode gives the commits that the view is to be told of.
func (w *viewWriter) decode(records []Record) (commits []decodedCommit, poisoned []Poison) {
	for i := range records {
		r := &records[i]
		if !r.Commit || len(w.view.Definitions) > 0 && !slices.Contains(w.view.Definitions, r.Key.Definition) {
			continue
		}
		if r.Purged {
			commits = append(commits, decodedCommit{key: r.Key, purged: true})
			continue
		}
		c, err := saga.DecodeKnown(r.Data)
		if err != nil {
			poisoned = append(poisoned, Poison{Saga: member(r.Key), Key: r.Key, Stream: w.stream, Sequence: r.Sequence,
				Commit: true, Time: r.Time, Reason: cut(err.Error())})
			continue
		}
		commits = append(commits, decodedCommit{key: r.Key, commit: c, sequence: r.Sequence, restored: r.Restored})
	}
	return commits, poisoned
}

// versions reads up to which version of each saga the view was told.
func (w *viewWriter) versions(ctx context.Context, commits []decodedCommit) (map[string]toldOf, error) {
	versions := map[string]toldOf{}
	for i := range commits {
		versions[member(commits[i].key)] = toldOf{}
	}
	if len(versions) == 0 {
		return versions, nil
	}
	members := slices.Collect(maps.Keys(versions))
	values, err := w.rdb.HMGet(ctx, w.prefix()+".versions", members...).Result()
	if err != nil {
		return nil, fmt.Errorf("reading versions: %w", err)
	}
	for i, value := range values {
		if text, ok := value.(string); ok {
			if versions[members[i]], err = parseTold(text); err != nil {
				return nil, fmt.Errorf("reading the version of %s: %w", members[i], err)
			}
		}
	}
	return versions, nil
}
