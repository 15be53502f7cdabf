package projections

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/shard"
)

// snapshot is what one shard has, read at one moment.
type snapshot struct {
	repairs       string            // how many there were
	values        map[string]string // of summaries, by member
	summaries     map[string]*Summary
	counts, steps map[string]string
	indexes       map[string]map[string]int64 // scores by member, by key
}

// repairsField is beside the streams in the hash that says how far they were read: how often totals were repaired.
const repairsField = "repairs"

func (v *verifier) snapshot(ctx context.Context, prefix string, indexes []string) (*snapshot, error) {
	pipe := v.rdb.TxPipeline()
	repairs := pipe.HMGet(ctx, prefix+"at", repairsField)
	sagas, counts, steps := pipe.HGetAll(ctx, prefix+"sagas"), pipe.HGetAll(ctx, prefix+"counts"), pipe.HGetAll(ctx, prefix+"steps")
	read := make([]*redis.ZSliceCmd, len(indexes))
	for i, key := range indexes {
		read[i] = pipe.ZRangeWithScores(ctx, key, 0, -1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	n := &snapshot{values: sagas.Val(), counts: counts.Val(), steps: steps.Val(), summaries: map[string]*Summary{}, indexes: map[string]map[string]int64{}}
	n.repairs, _ = repairs.Val()[0].(string)
	for name, value := range n.values {
		one, err := decodeSummary(keyOf(name), value)
		if err != nil {
			continue // told of before
		}
		n.summaries[name] = one
	}
	for i, key := range indexes {
		n.indexes[key] = map[string]int64{}
		for _, z := range read[i].Val() {
			p := placeOf(z)
			n.indexes[key][p.Member] = p.Score
		}
	}
	return n, nil
}

// whole is a snapshot that has the indexes as well of which there were no keys: these are only found through the summaries.
func (v *verifier) whole(ctx context.Context, prefix string, indexes []string) (*snapshot, error) {
	have, err := v.snapshot(ctx, prefix, indexes)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(indexes)
	for key := range have.scores(prefix) {
		if have.indexes[key] == nil {
			all = append(all, key)
		}
	}
	if len(all) == len(indexes) {
		return have, nil
	}
	return v.snapshot(ctx, prefix, all)
}

// totals gives what the summaries tell of the totals.
func (n *snapshot) totals() (counts, steps map[string]int64) {
	counts, steps = map[string]int64{}, map[string]int64{}
	for _, s := range n.summaries {
		c := change{now: s}
		c.count(counts, steps)
	}
	return counts, steps
}

// scores gives what the summaries tell of the indexes.
func (n *snapshot) scores(prefix string) map[string]map[string]int64 {
	want := map[string]map[string]int64{}
	for name, s := range n.summaries {
		for _, x := range s.indexes() {
			for o, at := range map[order]time.Time{byStart: s.StartedAt, byUpdate: s.UpdatedAt} {
				key := prefix + string(o) + x
				if want[key] == nil {
					want[key] = map[string]int64{}
				}
				want[key][name] = score(at)
			}
		}
	}
	return want
}

// flaw is a difference between what a shard has and what its summaries tell, and what there is to be done about it.
type flaw struct {
	Difference

	member string // of an index; empty for a total
	key    string // of the index or of the totals
	field  string // of the totals
	by     int64  // what the total lacks
	score  string // that the member is to have; empty where it is to go
}

// flaws tells where a shard has other than its summaries tell.
func (n *snapshot) flaws(s shard.Shard, prefix string) []flaw {
	var found []flaw
	total := func(hash string, want map[string]int64, have map[string]string) {
		for field := range have {
			want[field] += 0
		}
		for _, field := range slices.Sorted(maps.Keys(want)) {
			w, is := want[field], cmp.Or(have[field], "0")
			h, err := strconv.ParseInt(is, 10, 64)
			if err != nil {
				h = 0 // what is no number is removed first
			}
			if err != nil || w != h {
				found = append(found, flaw{key: prefix + hash, field: field, by: w - h, Difference: Difference{Shard: s.String(),
					What: "total", Name: hash + " " + field, Want: strconv.FormatInt(w, 10), Have: is}})
			}
		}
	}
	counts, steps := n.totals()
	total("counts", counts, n.counts)
	total("steps", steps, n.steps)
	text := func(n int64, ok bool) string {
		if !ok {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	want := n.scores(prefix)
	for key, have := range n.indexes { // of an index that was not read, nothing is known
		for _, name := range union(want[key], have) {
			w, wanted := want[key][name]
			h, there := have[name]
			if w == h && wanted == there {
				continue
			}
			found = append(found, flaw{member: name, key: key, score: text(w, wanted), Difference: Difference{Shard: s.String(),
				Saga: keyOf(name).String(), What: "index", Name: strings.TrimPrefix(key, prefix), Want: text(w, wanted), Have: text(h, there)}})
		}
	}
	return found
}

// union gives the keys that either has.
func union[V any](a, b map[string]V) []string {
	all := map[string]V{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// mendScript mends a shard while it is written. A total gets what it lacks, which is the same whatever was counted since; so
// nothing is mended where another repair came between. An index is mended for sagas whose summaries are what they were: it
// gives those for which it was not.
//
// KEYS: sagas, at, then those that are mended. ARGV: how many repairs there were; then, each after their number: totals
// (number of the key, field, change); sagas (member, summary, and after their number: number of the key, score, which is
// empty for a member to be taken out).
var mendScript = redis.NewScript(`
local i = 1
local function take() i = i + 1 return ARGV[i] end
local repairs = redis.call('HGET', KEYS[2], 'repairs') or ''
if repairs ~= ARGV[1] then return {'repaired'} end
redis.call('HINCRBY', KEYS[2], 'repairs', 1)
for _ = 1, tonumber(take()) do
  local key, field, by = KEYS[tonumber(take())], take(), take()
  local have = redis.call('HGET', key, field)
  if have and not string.match(have, '^-?%d+$') then redis.call('HDEL', key, field) end
  redis.call('HINCRBY', key, field, by)
end
local answer = {'ok'}
for _ = 1, tonumber(take()) do
  local member, value = take(), take()
  local same = (redis.call('HGET', KEYS[1], member) or '') == value
  if not same then answer[#answer + 1] = member end
  for _ = 1, tonumber(take()) do
    local key, score = KEYS[tonumber(take())], take()
    if same and score == '' then redis.call('ZREM', key, member)
    elseif same then redis.call('ZADD', key, score, member) end
  end
end
return answer
`)

// mend repairs flaws, and reports of which it has: not of those that are not what they were any more.
func (n *snapshot) mend(ctx context.Context, rdb redis.UniversalClient, prefix string, flaws []flaw) (mended func(flaw) bool, err error) {
	keys := []string{prefix + "sagas", prefix + "at"}
	numbers := map[string]int{}
	number := func(key string) int {
		if numbers[key] == 0 {
			keys = append(keys, key)
			numbers[key] = len(keys)
		}
		return numbers[key]
	}
	var totals []any
	sagas := map[string][]any{}
	for _, f := range flaws {
		if f.member == "" {
			totals = append(totals, number(f.key), f.field, f.by)
		} else {
			sagas[f.member] = append(sagas[f.member], number(f.key), f.score)
		}
	}
	args := append([]any{n.repairs, len(totals) / 3}, totals...)
	args = append(args, len(sagas))
	for name, orders := range sagas {
		args = append(append(args, name, n.values[name], len(orders)/2), orders...)
	}
	answer, err := mendScript.Run(ctx, rdb, keys, args...).StringSlice()
	switch {
	case err != nil:
		return func(flaw) bool { return false }, err
	case len(answer) == 0:
		return func(flaw) bool { return false }, errAnswer
	}
	return func(f flaw) bool { return answer[0] == "ok" && !slices.Contains(answer[1:], f.member) }, nil
}

// indexes compares a shard's indexes and totals with its summaries, and repairs them if it is asked to.
func (v *verifier) indexes(ctx context.Context, s shard.Shard, keys map[string]bool) error {
	prefix := v.keys.prefix(s)
	var names []string
	for key := range keys {
		if rest, ok := strings.CutPrefix(key, prefix); ok &&
			(strings.HasPrefix(rest, string(byStart)) || strings.HasPrefix(rest, string(byUpdate))) {
			names = append(names, key)
		}
	}
	for try := 1; ; try++ {
		have, err := v.whole(ctx, prefix, names)
		if err != nil {
			return err
		}
		flaws := have.flaws(s, prefix)
		mended := func(flaw) bool { return false }
		if v.conf.Repair && len(flaws) > 0 {
			mended, err = have.mend(ctx, v.rdb, prefix, flaws)
		}
		left := false
		for _, f := range flaws {
			if done := mended(f); done || !v.conf.Repair || err != nil || try == rereads {
				v.found(f.Difference, done)
			} else {
				left = true
			}
		}
		if !left || err != nil {
			return err
		}
	}
}
