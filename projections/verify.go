package projections

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// VerifyConfig says what a verification does beside comparing; the zero value compares only.
type VerifyConfig struct {
	// Repair writes what the streams tell in place of what differs.
	Repair bool
	// Patience is how long read models that are behind a saga's log may take to catch up before that is a difference.
	// Default: 10 s.
	Patience time.Duration
	// Found is called with each difference. Default: they are counted only.
	Found func(Difference)
	// Done is called after each shard with how many are through. Default: nothing.
	Done func(shards int)
}

// Difference is a place where the read models are not what the streams tell.
type Difference struct {
	Shard string `json:"shard"`
	Saga  string `json:"saga,omitempty"` // empty for totals
	What  string `json:"what"`           // "missing", "left over", "differs", "behind", "index" or "total"
	Name  string `json:"name,omitempty"` // of the index or the total
	Want  string `json:"want,omitempty"` // as the streams tell
	Have  string `json:"have,omitempty"` // as Redis has it
}

// Verification is what came of comparing the read models with the streams.
type Verification struct {
	Generation  string        `json:"generation"`
	Sagas       int64         `json:"sagas"`
	Records     int64         `json:"records"`
	Differences int64         `json:"differences"`
	Repaired    int64         `json:"repaired"`
	Took        time.Duration `json:"took_ns"`
}

// ErrSwitched tells that new read models took the place of those that were being compared.
var ErrSwitched = errors.New("the read models were built anew meanwhile; compare again")

// Verify compares the current read models with the streams: the summary of every saga, every index and every total.
// Sagas may go on meanwhile: each summary is compared with its log as it was at the summary's version. It holds the
// summaries of one stream in memory. The errors are [*NotReadyError], [ErrSwitched], and those of Redis and of the source.
func Verify(ctx context.Context, rdb redis.UniversalClient, source Source, conf VerifyConfig) (Verification, error) {
	if conf.Patience == 0 {
		conf.Patience = 10 * time.Second
	}
	if conf.Found == nil {
		conf.Found = func(Difference) {}
	}
	if conf.Done == nil {
		conf.Done = func(int) {}
	}
	begun := time.Now()
	reader := NewReader(rdb, source.Namespace())
	m, g, err := reader.current(ctx)
	if err != nil {
		return Verification{}, err
	}
	v := verifier{models: m, source: source, conf: conf, result: Verification{Generation: g.Current}}
	keys, err := keysOf(ctx, rdb, source.Namespace(), g.Current)
	if err != nil {
		return v.result, err
	}
	done := 0
	for _, stream := range source.Streams() {
		sagas, err := v.scan(ctx, stream)
		if err != nil {
			return v.result, err
		}
		for _, at := range source.Shards(stream) {
			if err := v.shard(ctx, at, sagas[at], keys); err != nil {
				return v.result, fmt.Errorf("comparing shard %s: %w", at, err)
			}
			delete(sagas, at)
			done++
			conf.Done(done)
		}
	}
	after, err := generations(ctx, rdb, source.Namespace())
	if err == nil && after.Current != g.Current {
		err = ErrSwitched
	}
	v.result.Took = time.Since(begun)
	return v.result, err
}

type verifier struct {
	*models
	source Source
	conf   VerifyConfig
	result Verification
}

func (v *verifier) found(d Difference, repaired bool) {
	v.result.Differences++
	if repaired {
		v.result.Repaired++
	}
	v.conf.Found(d)
}

// scan gives what a stream tells of its sagas, by shard. Of one whose log is not whole it gives nil.
func (v *verifier) scan(ctx context.Context, stream string) (map[shard.Shard]map[saga.Key]*Summary, error) {
	sagas := map[shard.Shard]map[saga.Key]*Summary{}
	err := v.source.Scan(ctx, stream, func(r Record) error {
		v.result.Records++
		at := r.Shard()
		if sagas[at] == nil {
			sagas[at] = map[saga.Key]*Summary{}
		}
		if r.Purged {
			delete(sagas[at], r.Key)
			return nil
		}
		was, known := sagas[at][r.Key]
		if known && was == nil {
			return nil
		}
		f := fold{now: was}
		if err := f.take(r.Key, &r); err != nil || f.reread {
			f.now = nil
		}
		if f.now != nil || r.Commit || known {
			sagas[at][r.Key] = f.now
		}
		return nil
	})
	return sagas, err
}

// shard compares one shard.
func (v *verifier) shard(ctx context.Context, s shard.Shard, sagas map[saga.Key]*Summary, keys map[string]bool) error {
	v.result.Sagas += int64(len(sagas))
	values, err := v.rdb.HGetAll(ctx, v.keys.prefix(s)+"sagas").Result()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(v.conf.Patience)
	for key, want := range sagas {
		have := values[member(key)]
		delete(values, member(key))
		if want != nil {
			if text, err := want.encode(); err == nil && text == have {
				continue
			}
		}
		if err := v.saga(ctx, s, key, deadline); err != nil {
			return err
		}
	}
	for name := range values { // which the scan has not seen
		if err := v.saga(ctx, s, keyOf(name), deadline); err != nil {
			return err
		}
	}
	return v.indexes(ctx, s, keys)
}

// again is how long to rest before a saga is looked at again.
const again = 20 * time.Millisecond

// saga compares one saga closely. What Redis has may be of an earlier version than the log, or of a later one than what
// was read of the log: then both are read again.
func (v *verifier) saga(ctx context.Context, s shard.Shard, key saga.Key, deadline time.Time) error {
	for {
		records, value, err := v.reread(ctx, s, key)
		if err != nil {
			return err
		}
		d, err := v.compare(s, key, records, value)
		if err != nil || d == nil {
			return err
		}
		if (d.What == "behind" || d.What == "missing" || d.What == "ahead") && time.Now().Before(deadline) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(again):
			}
			continue
		}
		if !v.conf.Repair {
			v.found(*d, false)
			return nil
		}
		if shard.Of(key.Definition, key.ID) != s { // nobody has written it
			err = v.rdb.HDel(ctx, v.keys.prefix(s)+"sagas", member(key)).Err()
			v.found(*d, err == nil)
			return err
		}
		err = v.set(ctx, []saga.Key{key}, func(key saga.Key, was *Summary) (*Summary, error) {
			records, err := v.source.Records(ctx, key)
			if err != nil {
				return nil, err
			}
			now := summarize(key, records)
			if now != nil && was != nil && compacted(records) {
				now.keep(was)
			}
			return now, nil
		})
		v.found(*d, err == nil)
		return err
	}
}

func (v *verifier) reread(ctx context.Context, s shard.Shard, key saga.Key) ([]Record, string, error) {
	value, err := v.rdb.HGet(ctx, v.keys.prefix(s)+"sagas", member(key)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, "", err
	}
	records, err := v.source.Records(ctx, key)
	return records, value, err
}

// compare tells where the summary that Redis has is not what the saga's records tell; nil where it is.
func (v *verifier) compare(s shard.Shard, key saga.Key, records []Record, value string) (*Difference, error) {
	differ := func(what, want, have string) *Difference {
		return &Difference{Shard: s.String(), Saga: key.String(), What: what, Want: want, Have: have}
	}
	latest := summarize(key, records)
	switch {
	case latest == nil && value == "":
		return nil, nil
	case latest == nil:
		return differ("left over", "", value), nil
	}
	want, err := latest.encode()
	switch {
	case err != nil:
		return nil, err
	case value == "":
		return differ("missing", want, ""), nil
	case want == value:
		return nil, nil
	}
	have, err := decodeSummary(key, value)
	if err != nil {
		return differ("differs", want, value), nil //nolint:nilerr // that is the difference
	}
	if have.Version > latest.Version {
		return differ("ahead", want, value), nil
	}
	then := latest
	if have.token() != latest.token() {
		if then = summarize(key, until(records, have)); then == nil {
			return differ("differs", want, value), nil
		}
	}
	if compacted(records) {
		then.keep(have)
	}
	if want, err = then.encode(); err != nil {
		return nil, err
	}
	switch {
	case want != value:
		return differ("differs", want, value), nil
	case then != latest:
		return differ("behind", latest.token(), have.token()), nil
	}
	return nil, nil
}

// until gives the records up to the commit that a summary is of, and beyond it the Starts that it knows of.
func until(records []Record, s *Summary) []Record {
	var before []Record
	for _, r := range records {
		if r.Commit {
			c, err := decodeCommit(r.Data)
			if err == nil && c.Version > s.Version {
				break
			}
		} else if start, ok := decodeStart(r.Data); ok && !s.waiting && start.Run != s.Run && start.Previous == s.Run {
			break
		}
		before = append(before, r)
	}
	return before
}

// compacted reports whether the log's beginning is gone, as that of a saga that never ends.
func compacted(records []Record) bool {
	for _, r := range records {
		if r.Commit {
			c, err := decodeCommit(r.Data)
			return err == nil && c.Version > 1
		}
	}
	return false
}

// keep takes from the summary before what a log without its beginning cannot tell.
func (s *Summary) keep(was *Summary) {
	s.Steps, s.Step, s.Attempt, s.Failures, s.LastError = was.Steps, was.Step, was.Attempt, was.Failures, was.LastError
}

// keysOf gives the keys of a generation.
func keysOf(ctx context.Context, rdb redis.UniversalClient, namespace, generation string) (map[string]bool, error) {
	found := map[string]bool{}
	err := scanKeys(ctx, rdb, modelPattern(namespace), func(_ *redis.Client, keys []string) error {
		for _, key := range keys {
			if g, ok := generationOf(namespace, key); ok && g == generation {
				found[key] = true
			}
		}
		return nil
	})
	return found, err
}

// snapshot is what one shard has, read at one moment.
type snapshot struct {
	summaries     map[string]*Summary
	counts, steps map[string]int64
	indexes       map[string]map[string]int64 // scores by member, by key
}

// indexes compares a shard's indexes and totals with its summaries.
func (v *verifier) indexes(ctx context.Context, s shard.Shard, keys map[string]bool) error {
	prefix := v.keys.prefix(s)
	var names []string
	for key := range keys {
		if rest, ok := strings.CutPrefix(key, prefix); ok &&
			(strings.HasPrefix(rest, string(byStart)) || strings.HasPrefix(rest, string(byUpdate))) {
			names = append(names, key)
		}
	}
	return v.rdb.Watch(ctx, func(tx *redis.Tx) error {
		have, err := v.snapshot(ctx, tx, prefix, names)
		if err != nil {
			return err
		}
		want := have.derive(prefix)
		// Indexes of which there were no keys at first are only found through the summaries.
		var late []string
		for key := range want.indexes {
			if have.indexes[key] == nil {
				late = append(late, key)
			}
		}
		if len(late) > 0 {
			names = append(names, late...)
			if have, err = v.snapshot(ctx, tx, prefix, names); err != nil {
				return err
			}
			want = have.derive(prefix)
		}
		return v.mend(ctx, tx, s, prefix, have, want)
	}, prefix+"sagas")
}

func (v *verifier) snapshot(ctx context.Context, tx *redis.Tx, prefix string, indexes []string) (*snapshot, error) {
	pipe := tx.TxPipeline()
	sagas, counts, steps := pipe.HGetAll(ctx, prefix+"sagas"), pipe.HGetAll(ctx, prefix+"counts"), pipe.HGetAll(ctx, prefix+"steps")
	read := make([]*redis.ZSliceCmd, len(indexes))
	for i, key := range indexes {
		read[i] = pipe.ZRangeWithScores(ctx, key, 0, -1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	n := &snapshot{summaries: map[string]*Summary{}, indexes: map[string]map[string]int64{}}
	for name, value := range sagas.Val() {
		one, err := decodeSummary(keyOf(name), value)
		if err != nil {
			continue // told of before
		}
		n.summaries[name] = one
	}
	n.counts, n.steps = numbers(counts.Val()), numbers(steps.Val())
	for i, key := range indexes {
		n.indexes[key] = map[string]int64{}
		for _, z := range read[i].Val() {
			p := placeOf(z)
			n.indexes[key][p.Member] = p.Score
		}
	}
	return n, nil
}

func numbers(fields map[string]string) map[string]int64 {
	m := make(map[string]int64, len(fields))
	for field, value := range fields {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n != 0 {
			m[field] = n
		}
	}
	return m
}

// derive gives what the summaries tell of indexes and totals.
func (n *snapshot) derive(prefix string) *snapshot {
	want := &snapshot{counts: map[string]int64{}, steps: map[string]int64{}, indexes: map[string]map[string]int64{}}
	for name, s := range n.summaries {
		c := change{member: name, now: s}
		c.count(want.counts, want.steps)
		for _, x := range s.indexes() {
			for o, at := range map[order]time.Time{byStart: s.StartedAt, byUpdate: s.UpdatedAt} {
				key := prefix + string(o) + x
				if want.indexes[key] == nil {
					want.indexes[key] = map[string]int64{}
				}
				want.indexes[key][name] = score(at)
			}
		}
	}
	for _, m := range []map[string]int64{want.counts, want.steps} {
		maps.DeleteFunc(m, func(_ string, number int64) bool { return number == 0 })
	}
	return want
}

// mend tells of the differences between what a shard has and what it should have, and repairs them if asked to, unless
// the summaries have changed meanwhile.
func (v *verifier) mend(ctx context.Context, tx *redis.Tx, s shard.Shard, prefix string, have, want *snapshot) error {
	var differences []Difference
	pipe := tx.TxPipeline()
	text := func(n int64, ok bool) string {
		if !ok {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	for hash, pair := range map[string][2]map[string]int64{"counts": {want.counts, have.counts}, "steps": {want.steps, have.steps}} {
		for _, field := range union(pair[0], pair[1]) {
			if w, h := pair[0][field], pair[1][field]; w != h {
				differences = append(differences, Difference{Shard: s.String(), What: "total", Name: hash + " " + field,
					Want: strconv.FormatInt(w, 10), Have: strconv.FormatInt(h, 10)})
				pipe.HSet(ctx, prefix+hash, field, w)
			}
		}
	}
	for _, key := range union(want.indexes, have.indexes) {
		for _, name := range union(want.indexes[key], have.indexes[key]) {
			w, wanted := want.indexes[key][name]
			h, there := have.indexes[key][name]
			if w == h && wanted == there {
				continue
			}
			differences = append(differences, Difference{Shard: s.String(), Saga: keyOf(name).String(), What: "index",
				Name: strings.TrimPrefix(key, prefix), Want: text(w, wanted), Have: text(h, there)})
			if wanted {
				pipe.ZAdd(ctx, key, redis.Z{Score: float64(w), Member: name})
			} else {
				pipe.ZRem(ctx, key, name)
			}
		}
	}
	if len(differences) == 0 {
		return nil
	}
	var err error
	if v.conf.Repair {
		if _, err = pipe.Exec(ctx); errors.Is(err, redis.TxFailedErr) {
			err = errChanged
		}
	}
	for _, d := range differences {
		v.found(d, v.conf.Repair && err == nil)
	}
	return err
}

func union[V any](a, b map[string]V) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
