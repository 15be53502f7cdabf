package projections

import (
	"context"
	"errors"
	"fmt"
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
// Sagas may go on meanwhile, and projectors: each summary is compared with its log as it was at the summary's version, and what
// is repaired is what has not changed since it was looked at. It holds the
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
		behind := d.What != "differs" && shard.Of(key.Definition, key.ID) == s
		if behind && time.Now().Before(deadline) {
			if err := pause(ctx); err != nil {
				return err
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
		err = v.repair(ctx, key)
		unrest := errors.Is(err, errChanged)
		if unrest && time.Now().Before(deadline) {
			continue
		}
		v.found(*d, err == nil)
		if unrest {
			return nil
		}
		return err
	}
}

// repair writes what a saga's log tells.
func (v *verifier) repair(ctx context.Context, key saga.Key) error {
	return v.set(ctx, []saga.Key{key}, func(key saga.Key, was *Summary) (*Summary, error) {
		records, err := v.source.Records(ctx, key)
		if err != nil {
			return nil, err
		}
		now := summarize(key, records)
		if now != nil && was.readable() && compacted(records) {
			now.keep(was)
		}
		return now, nil
	})
}

// pause rests before something is looked at again.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(again):
		return nil
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
			c, err := saga.DecodeKnown(r.Data)
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
			c, err := saga.DecodeKnown(r.Data)
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
