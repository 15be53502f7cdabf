package projections

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// writeScript writes what a batch changes in one shard, all of it or nothing: nothing, where the shard was read further
// or less far than the writer knows, or where a summary is not the one that the writer began with. So a writer that was
// replaced, a repeated record, and a Redis that has lost writes change nothing and are noticed.
//
// KEYS: sagas, at, counts, steps, poison, then the indexes.
// ARGV: the stream, how far it was read (empty for a write that does not come from it), how far it is now; then, each
// after their number: sagas (member, token, value, which is empty for a saga to be forgotten); counts (field, change);
// steps (field, change); poison (field, value); and for each index the number of members to add (score, member), the
// number of those to take out (member).
const writeScript = `
local i = 3
local function take() i = i + 1 return ARGV[i] end
if ARGV[2] ~= '' then
  local at = redis.call('HGET', KEYS[2], ARGV[1]) or '0'
  if at ~= ARGV[2] then return {'at', at} end
end
local function chunks(n, width, most, f)
  while n > 0 do
    local m = math.min(n, most)
    f(m, unpack(ARGV, i + 1, i + m * width))
    i = i + m * width
    n = n - m
  end
end
local n = tonumber(take())
local members, tokens, values = {}, {}, {}
for j = 1, n do members[j], tokens[j], values[j] = ARGV[i + 1], ARGV[i + 2], ARGV[i + 3] i = i + 3 end
for from = 1, n, 1000 do
  local to = math.min(n, from + 999)
  local have = redis.call('HMGET', KEYS[1], unpack(members, from, to))
  for j = from, to do
    local value, token = have[j - from + 1], ''
    if value then token = string.match(value, '^%S+') or value end
    if token ~= tokens[j] then return {'token', members[j], token} end
  end
end
for from = 1, n, 1000 do
  local set, del = {}, {}
  for j = from, math.min(n, from + 999) do
    if values[j] == '' then del[#del + 1] = members[j] else set[#set + 1] = members[j] set[#set + 1] = values[j] end
  end
  if #set > 0 then redis.call('HSET', KEYS[1], unpack(set)) end
  if #del > 0 then redis.call('HDEL', KEYS[1], unpack(del)) end
end
for k = 3, 4 do
  for j = 1, tonumber(take()) do redis.call('HINCRBY', KEYS[k], ARGV[i + 1], ARGV[i + 2]) i = i + 2 end
end
chunks(tonumber(take()), 2, 1000, function(_, ...) redis.call('HSET', KEYS[5], ...) end)
for k = 6, #KEYS do
  chunks(tonumber(take()), 2, 1000, function(_, ...) redis.call('ZADD', KEYS[k], ...) end)
  chunks(tonumber(take()), 1, 1000, function(_, ...) redis.call('ZREM', KEYS[k], ...) end)
end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3]) end
return {'ok'}
`

var writeSHA = redis.NewScript(writeScript).Hash()

// change is one summary as it was and as it is to be; nil is a saga that is not there.
type change struct {
	member   string
	was, now *Summary
}

// poison is a record that could not be decoded.
type poison struct {
	field, value string
}

// shardWrite is one call of the script.
type shardWrite struct {
	shard       shard.Shard
	stream      string // empty for a write that does not come from a stream
	after, upTo uint64
	changes     []change
	poison      []poison
}

// movedError tells that a shard was read further, or less far, than the writer knows.
type movedError struct {
	stream          string
	shard           shard.Shard
	expected, found uint64
}

func (e *movedError) Error() string {
	return fmt.Sprintf("read models of shard %s: stream %s was read up to %d, this writer knows of %d",
		e.shard, e.stream, e.found, e.expected)
}

// errChanged tells that a summary is not the one that a write began with.
var errChanged = errors.New("a summary was changed meanwhile")

// index gathers what changes in one index.
type index struct {
	add, remove []any
}

// arguments gives the keys and arguments of the script.
func (w *shardWrite) arguments(k modelKeys) (keys []string, args []any, err error) {
	prefix := k.prefix(w.shard)
	keys = []string{prefix + "sagas", prefix + "at", prefix + "counts", prefix + "steps", prefix + "poison"}
	after := ""
	if w.stream != "" {
		after = strconv.FormatUint(w.after, 10)
	}
	args = append(make([]any, 0, 16+32*len(w.changes)), w.stream, after, strconv.FormatUint(w.upTo, 10), len(w.changes))
	indexes := map[string]*index{}
	at := func(o order, name string) *index {
		full := prefix + string(o) + name
		if indexes[full] == nil {
			indexes[full] = &index{}
		}
		return indexes[full]
	}
	counts, steps := map[string]int64{}, map[string]int64{}
	for i := range w.changes {
		c := &w.changes[i]
		value := ""
		if c.now != nil {
			if value, err = c.now.encode(); err != nil {
				return nil, nil, err
			}
		}
		args = append(args, c.member, c.was.token(), value)
		c.index(at)
		c.count(counts, steps)
	}
	for _, m := range []map[string]int64{counts, steps} {
		maps.DeleteFunc(m, func(_ string, n int64) bool { return n == 0 })
		args = append(args, len(m))
		for field, n := range m {
			args = append(args, field, n)
		}
	}
	args = append(args, len(w.poison))
	for _, p := range w.poison {
		args = append(args, p.field, p.value)
	}
	for _, key := range slices.Sorted(maps.Keys(indexes)) {
		x := indexes[key]
		keys = append(keys, key)
		args = append(args, len(x.add)/2)
		args = append(args, x.add...)
		args = append(args, len(x.remove))
		args = append(args, x.remove...)
	}
	return keys, args, nil
}

// index puts the saga into its indexes, and takes it out of those that it has left.
func (c *change) index(at func(order, string) *index) {
	var was, now []string
	if c.was.readable() {
		was = c.was.indexes()
	}
	if c.now != nil {
		now = c.now.indexes()
	}
	for _, name := range was {
		if !slices.Contains(now, name) {
			for _, o := range []order{byStart, byUpdate} {
				x := at(o, name)
				x.remove = append(x.remove, c.member)
			}
		}
	}
	for _, name := range now {
		fresh := !slices.Contains(was, name)
		if fresh || score(c.was.StartedAt) != score(c.now.StartedAt) {
			x := at(byStart, name)
			x.add = append(x.add, score(c.now.StartedAt), c.member)
		}
		if fresh || score(c.was.UpdatedAt) != score(c.now.UpdatedAt) {
			x := at(byUpdate, name)
			x.add = append(x.add, score(c.now.UpdatedAt), c.member)
		}
	}
}

// count adds what changes in the totals, which are always the sums over all summaries. What was not readable is not known
// to have been among them.
func (c *change) count(counts, steps map[string]int64) {
	for sign, s := range map[int64]*Summary{-1: c.was, 1: c.now} {
		if !s.readable() {
			continue
		}
		counts[countField(s.Key.Definition, s.Status)] += sign
		for step, totals := range s.Steps {
			for i, t := range totals.tallies() {
				field := stepField(s.Key.Definition, step, outcomes[i])
				steps[field] += sign * t.Count
				steps[field+tookSuffix] += sign * int64(t.Took)
			}
		}
	}
}

// models is one generation of the read models.
type models struct {
	rdb  redis.UniversalClient
	keys modelKeys
}

// write carries out writes, each by one call of the script, all in one round trip. The error tells of the first that
// failed; the others may have been carried out.
func (m *models) write(ctx context.Context, writes []shardWrite) error {
	type call struct {
		keys []string
		args []any
		cmd  *redis.Cmd
	}
	calls := make([]call, len(writes))
	for i := range writes {
		var err error
		if calls[i].keys, calls[i].args, err = writes[i].arguments(m.keys); err != nil {
			return err
		}
	}
	pipe := m.rdb.Pipeline()
	for i := range calls {
		calls[i].cmd = pipe.EvalSha(ctx, writeSHA, calls[i].keys, calls[i].args...)
	}
	_, err := pipe.Exec(ctx)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		// A server that does not know the script yet; it does from now on. What others have carried out they refuse now.
		pipe = m.rdb.Pipeline()
		for i := range calls {
			if redis.HasErrorPrefix(calls[i].cmd.Err(), "NOSCRIPT") {
				calls[i].cmd = pipe.Eval(ctx, writeScript, calls[i].keys, calls[i].args...)
			}
		}
		_, err = pipe.Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("writing read models: %w", err)
	}
	for i, w := range writes {
		if err := w.answer(calls[i].cmd); err != nil {
			return err
		}
	}
	return nil
}

// answer reads what the script has to say.
func (w *shardWrite) answer(cmd *redis.Cmd) error {
	words, err := cmd.StringSlice()
	if err != nil || len(words) == 0 {
		return fmt.Errorf("writing read models of shard %s: %w", w.shard, orElse(err, errAnswer))
	}
	switch words[0] {
	case "ok":
		return nil
	case "at":
		found, err := strconv.ParseUint(words[1], 10, 64)
		if err != nil {
			return fmt.Errorf("read models of shard %s: how far stream %s was read: %w", w.shard, w.stream, err)
		}
		return &movedError{stream: w.stream, shard: w.shard, expected: w.after, found: found}
	case "token":
		return fmt.Errorf("saga %s: %w", keyOf(words[1]), errChanged)
	default:
		return fmt.Errorf("writing read models of shard %s: %w", w.shard, errAnswer)
	}
}

var errAnswer = errors.New("the script gave no answer that it has")

func orElse(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// summaries gives the summaries of sagas, by their keys; one that is not there is missing, and one that cannot be read is
// foreign.
func (m *models) summaries(ctx context.Context, keys []saga.Key) (map[saga.Key]*Summary, error) {
	byShard := map[shard.Shard][]string{}
	for _, key := range keys {
		s := shard.Of(key.Definition, key.ID)
		byShard[s] = append(byShard[s], member(key))
	}
	type lookup struct {
		members []string
		cmd     *redis.SliceCmd
	}
	var lookups []lookup
	pipe := m.rdb.Pipeline()
	for s, members := range byShard {
		for part := range slices.Chunk(members, 1000) {
			lookups = append(lookups, lookup{part, pipe.HMGet(ctx, m.keys.prefix(s)+"sagas", part...)})
		}
	}
	found := make(map[saga.Key]*Summary, len(keys))
	if len(lookups) == 0 {
		return found, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("reading summaries: %w", err)
	}
	for _, l := range lookups {
		for i, value := range l.cmd.Val() {
			text, ok := value.(string)
			if !ok {
				continue
			}
			key := keyOf(l.members[i])
			s, err := decodeSummary(key, text)
			if err != nil {
				s = &Summary{Key: key, foreign: foreignToken(text)}
			}
			found[key] = s
		}
	}
	return found, nil
}
