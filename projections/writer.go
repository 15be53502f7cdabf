package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// errGone tells that a generation is neither current nor under construction any more.
var errGone = errors.New("this generation of read models is not wanted any more")

// advanceEvery is how often a writer notes how far it is for shards that nothing has come for, so that whoever takes
// over does not begin where one of them was last written.
const advanceEvery = time.Second

// writer writes one stream into one generation of the read models.
type writer struct {
	models
	source    Source
	namespace string
	stream    string
	log       *slog.Logger
	told      func(pending uint64, applied int, last time.Time)
	remember  time.Duration // for how long the stream tells of a purge

	at       map[shard.Shard]uint64 // how far the stream was read, by shard
	known    recent
	advanced time.Time
	noting   noting
	anew     string // the generation that was asked for because the stream has lost its end
}

// Begin reads how far the stream was read.
func (w *writer) Begin(ctx context.Context) (uint64, error) {
	g, err := generations(ctx, w.rdb, w.namespace)
	if err != nil {
		return 0, err
	}
	if w.keys.generation != g.Current && w.keys.generation != g.Next {
		return 0, errGone
	}
	if err := w.missed(ctx); err != nil {
		return 0, err
	}
	at, err := w.positions(ctx)
	if err != nil {
		return 0, err
	}
	was := w.at
	w.at, w.known = at, recent{}
	after, first, most, lost := uint64(0), true, uint64(0), uint64(0)
	for s, at := range w.at {
		if first || at < after {
			after, first = at, false
		}
		most = max(most, at)
		if at < was[s] {
			lost = max(lost, was[s]-at)
		}
	}
	if lost > 0 {
		w.log.Warn(setBack, "stream", w.stream, "messages", lost)
	}
	if err := w.cutShort(ctx, most); err != nil {
		return 0, err
	}
	return after, w.noting.note(ctx, w.rdb, w.seenKey(), w.stream, newHash)
}

// positions reads how far the stream was read, by shard.
func (w *writer) positions(ctx context.Context) (map[shard.Shard]uint64, error) {
	shards := w.source.Shards(w.stream)
	read := make([]*redis.StringCmd, len(shards))
	pipe := w.rdb.Pipeline()
	for i, s := range shards {
		read[i] = pipe.HGet(ctx, w.keys.prefix(s)+"at", w.stream)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("reading how far stream %s was read: %w", w.stream, err)
	}
	positions := make(map[shard.Shard]uint64, len(shards))
	for i, s := range shards {
		at, err := read[i].Uint64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("reading how far stream %s was read: %w", w.stream, err)
		}
		positions[s] = at
	}
	return positions, nil
}

// stands reports, with a [movedError], that Redis does not have what was written into it.
func (w *writer) stands(ctx context.Context) error {
	positions, err := w.positions(ctx)
	if err != nil {
		return err
	}
	for s, at := range positions {
		if at != w.at[s] {
			return &movedError{stream: w.stream, shard: s, expected: w.at[s], found: at}
		}
	}
	return nil
}

// seenField is where it is noted when the stream was read last.
func seenField(stream string) string { return "seen " + stream }

func (w *writer) seenKey() string { return w.keys.prefix(w.source.Shards(w.stream)[0]) + "at" }

// setBack is said where Redis has less than was written: it was set back, or has failed over to a replica that was behind. Nothing
// is lost by that: what was purged since is found again in the stream, or missed.
const setBack = "Redis has lost what was written of a stream; it is read again from there"

// missed has the read models built anew where the stream was not read for so long that it may have forgotten purges.
func (w *writer) missed(ctx context.Context) error {
	seen, err := w.rdb.HGet(ctx, w.seenKey(), seenField(w.stream)).Int64()
	if errors.Is(err, redis.Nil) {
		return nil // it was never read
	}
	if err != nil {
		return fmt.Errorf("reading when stream %s was read: %w", w.stream, err)
	}
	if time.Since(time.UnixMilli(seen)) < w.remember {
		return nil
	}
	_, err = rebuildAt(ctx, w.rdb, metaKey(w.namespace), w.namespace, "purges may have been missed", w.keys.generation)
	return err
}

// cutShort has the read models built anew where the stream ends before what was read of it. A power cut has taken its end: some of what
// they tell never was, and what is stored under the same sequences since would be passed over.
func (w *writer) cutShort(ctx context.Context, read uint64) error {
	last, err := w.source.Last(ctx, w.stream)
	if err != nil || read <= last {
		return err
	}
	next, err := rebuildAt(ctx, w.rdb, metaKey(w.namespace), w.namespace, "a stream has lost its end", w.keys.generation)
	if err != nil {
		return err
	}
	if next != w.anew {
		w.log.Warn("a stream has lost its end, after it was read; the read models are built anew", "stream", w.stream, "messages", read-last)
		w.anew = next
	}
	return nil
}

// noteScript notes when a stream was read, by Redis's own clock: where the generation may have been removed meanwhile, only beside
// what there is.
//
// KEYS: at. ARGV: the field, "new" or "known".
var noteScript = redis.NewScript(`
if ARGV[2] == 'new' or redis.call('EXISTS', KEYS[1]) == 1 then
  local now = redis.call('TIME')
  redis.call('HSET', KEYS[1], ARGV[1], now[1] .. string.format('%03d', math.floor(now[2] / 1000)))
end
return 1
`)

// noteEvery is how often it is noted that a stream is being read.
const noteEvery = time.Second

// noting is when it was last noted that a stream is being read.
type noting struct{ last time.Time }

// note notes in a hash that a stream is being read, where that was done some time ago. Only who has just seen the generation there
// may say that the hash may be new.
func (n *noting) note(ctx context.Context, rdb redis.UniversalClient, key, stream, hash string) error {
	now := time.Now()
	if now.Sub(n.last) < noteEvery {
		return nil
	}
	if err := noteScript.Run(ctx, rdb, []string{key}, seenField(stream), hash).Err(); err != nil {
		return fmt.Errorf("noting that stream %s is being read: %w", stream, err)
	}
	n.last = now
	return nil
}

// Whether the hash of a note may be new.
const (
	newHash   = "new"
	knownHash = "known"
)

// rereads is how often a batch is begun anew because a summary was changed by other means: a repair, a purge.
const rereads = 5

// Apply writes a batch.
func (w *writer) Apply(ctx context.Context, b Batch) error {
	if len(b.Records) == 0 {
		if err := w.stands(ctx); err != nil {
			return err
		}
		return w.noting.note(ctx, w.rdb, w.seenKey(), w.stream, knownHash)
	}
	err := w.apply(ctx, b)
	for try := 1; errors.Is(err, errChanged) && try < rereads; try++ {
		if err = w.beginAgain(ctx); err == nil {
			err = w.apply(ctx, b)
		}
	}
	if err != nil {
		return err
	}
	w.told(b.Pending, len(b.Records), b.Records[len(b.Records)-1].Time)
	return w.noting.note(ctx, w.rdb, w.seenKey(), w.stream, knownHash)
}

// beginAgain reads anew what a batch is written into. What was lost of it is before the batch: then the error is a [movedError].
func (w *writer) beginAgain(ctx context.Context) error {
	before := w.at
	if _, err := w.Begin(ctx); err != nil {
		return err
	}
	for s, at := range w.at {
		if at < before[s] {
			return &movedError{stream: w.stream, shard: s, expected: before[s], found: at}
		}
	}
	return nil
}

// fold is what becomes of one saga in a batch.
type fold struct {
	was, now *Summary
	records  []*Record
	reread   bool // the records at hand do not suffice
}

func (w *writer) apply(ctx context.Context, b Batch) error { //nolint:gocognit // one pass that sorts a batch into commands
	folds, order, err := w.gather(ctx, b)
	if err != nil {
		return err
	}
	byShard := map[shard.Shard]*shardWrite{}
	write := func(s shard.Shard) *shardWrite {
		if byShard[s] == nil {
			byShard[s] = &shardWrite{shard: s, stream: w.stream, after: w.at[s]}
		}
		return byShard[s]
	}
	for i := range b.Records {
		r := &b.Records[i]
		if s := r.Shard(); r.Sequence > w.at[s] {
			write(s).upTo = r.Sequence
		}
	}
	for _, key := range order {
		f, sw := folds[key], write(shard.Of(key.Definition, key.ID))
		for _, r := range f.records {
			if reason := f.take(key, r); reason != nil {
				sw.poison = append(sw.poison, w.setAside(r, reason))
			}
		}
		if f.reread {
			records, err := w.source.Records(ctx, key)
			if err != nil {
				return err
			}
			// What was purged meanwhile is left as it is: a record that is yet to come tells of it.
			if now := summarize(key, records); now != nil {
				f.now = now
			}
		}
		if f.now == nil && f.was != nil { // purged
			sw.changes = append(sw.changes, change{member(key), f.was, nil})
		}
		if f.now != nil && (!f.was.readable() || f.was.token() != f.now.token() || f.was.Damaged != f.now.Damaged) {
			sw.changes = append(sw.changes, change{member(key), f.was, f.now})
		}
	}
	if due := time.Now(); due.Sub(w.advanced) >= advanceEvery {
		w.advanced = due
		last := b.Records[len(b.Records)-1].Sequence
		for s, at := range w.at {
			if at < last {
				write(s).upTo = last
			}
		}
	}
	writes := make([]shardWrite, 0, len(byShard))
	for _, sw := range byShard {
		writes = append(writes, *sw)
	}
	if len(writes) == 0 {
		return nil
	}
	if err := w.write(ctx, writes); err != nil {
		return err
	}
	for i := range writes {
		w.at[writes[i].shard] = writes[i].upTo
		for _, c := range writes[i].changes {
			w.known.put(c.member, c.now)
		}
	}
	return nil
}

// gather sorts the records that are new by saga, and reads the summaries that they change.
func (w *writer) gather(ctx context.Context, b Batch) (folds map[saga.Key]*fold, order []saga.Key, err error) {
	folds = map[saga.Key]*fold{}
	var unknown []saga.Key
	for i := range b.Records {
		r := &b.Records[i]
		if r.Sequence <= w.at[r.Shard()] {
			continue
		}
		f := folds[r.Key]
		if f == nil {
			f = &fold{}
			folds[r.Key] = f
			order = append(order, r.Key)
			if s, ok := w.known.get(member(r.Key)); ok {
				f.was = s
			} else {
				unknown = append(unknown, r.Key)
			}
		}
		f.records = append(f.records, r)
	}
	found, err := w.summaries(ctx, unknown)
	if err != nil {
		return nil, nil, err
	}
	for key, s := range found {
		folds[key].was = s
	}
	for key, f := range folds {
		if f.was != nil && !f.was.readable() {
			w.log.Warn("Redis has what is no summary of a saga: it is made anew, but counts and indexes may be wrong until the "+
				"read models are compared with the streams and repaired", "saga", key.String(), "stream", w.stream)
			f.reread = true
			continue
		}
		f.now = f.was.clone()
	}
	return folds, order, nil
}

// take applies a record. An error is why it cannot be read.
func (f *fold) take(key saga.Key, r *Record) error {
	if r.Purged {
		f.now, f.reread = nil, false
		return nil
	}
	if !r.Commit {
		c, err := saga.DecodeCommand(r.Data)
		if start, ok := c.(saga.Start); ok && err == nil {
			if f.now == nil {
				f.now = &Summary{Key: key}
			}
			f.now.start(start)
		}
		var unknown *saga.UnknownError
		if errors.As(err, &unknown) {
			return nil // for a newer worker; it says nothing of the saga yet
		}
		return err
	}
	c, err := saga.DecodeKnown(r.Data)
	if err != nil {
		f.reread = true
		return err
	}
	var version uint64
	if f.now != nil {
		version = f.now.Version
	}
	switch {
	case c.Version <= version:
	case c.Version != version+1:
		f.reread = true
	default:
		if f.now == nil {
			f.now = &Summary{Key: key}
		}
		f.now.apply(&c)
	}
	return nil
}

// Poison is a record that the projector could not read and has set aside. The rest goes on without it.
type Poison struct {
	Key      saga.Key  `json:"-"`
	Saga     string    `json:"saga"`
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"sequence"`
	Commit   bool      `json:"commit"`
	Reason   string    `json:"reason,omitempty"`
	Stack    string    `json:"stack,omitempty"` // where the function of a view panicked
	Time     time.Time `json:"time"`            // when the record was stored
}

// field is what the name of the field begins with that holds it.
func (p *Poison) field() string { return p.Stream + " " + strconv.FormatUint(p.Sequence, 10) + " " }

func (w *writer) setAside(r *Record, reason error) poison {
	w.log.Warn("a record cannot be read and is set aside", "saga", r.Key.String(), "stream", w.stream,
		"sequence", r.Sequence, "error", reason)
	p := Poison{Saga: member(r.Key), Stream: w.stream, Sequence: r.Sequence, Commit: r.Commit,
		Reason: cut(reason.Error()), Time: r.Time}
	value, err := json.Marshal(p)
	if err != nil {
		value = []byte(`{}`) // it has nothing that cannot be encoded
	}
	return poison{w.stream + " " + strconv.FormatUint(r.Sequence, 10), string(value)}
}

// recent remembers summaries that were written lately. What has not been used for long is forgotten by halves.
type recent struct {
	young, old map[string]*Summary
}

// recentMost is how many summaries each half remembers.
const recentMost = 8 << 10

func (c *recent) get(member string) (*Summary, bool) {
	if s, ok := c.young[member]; ok {
		return s, true
	}
	s, ok := c.old[member]
	if ok {
		c.put(member, s)
	}
	return s, ok
}

func (c *recent) put(member string, s *Summary) {
	if c.young == nil || len(c.young) >= recentMost {
		c.old, c.young = c.young, make(map[string]*Summary, recentMost/4)
	}
	c.young[member] = s
}

// Poisoned gives the records that were set aside and concern the sagas of the current read models, at most limit.
func (r *Reader) Poisoned(ctx context.Context, limit int) ([]Poison, error) {
	var list []Poison
	err := r.read(ctx, func(m *models) (err error) {
		list, err = m.poisoned(ctx, limit)
		return err
	})
	return list, err
}

func (m *models) poisoned(ctx context.Context, limit int) ([]Poison, error) {
	var list []Poison
	for s := range shard.Count {
		some, err := poisonIn(ctx, m.rdb, m.keys.prefix(shard.Shard(s))+"poison")
		if err != nil {
			return nil, err
		}
		if list = append(list, some...); len(list) >= limit {
			break
		}
	}
	return earliest(list, limit), nil
}

// poisonIn reads what was set aside in one hash.
func poisonIn(ctx context.Context, rdb redis.UniversalClient, key string) (list []Poison, err error) {
	values, err := rdb.HVals(ctx, key).Result()
	if err != nil {
		return nil, fmt.Errorf("reading what was set aside: %w", err)
	}
	for _, value := range values {
		var p Poison
		if err := json.Unmarshal([]byte(value), &p); err != nil {
			return nil, fmt.Errorf("reading what was set aside: %w", err)
		}
		p.Key = keyOf(p.Saga)
		list = append(list, p)
	}
	return list, nil
}

// earliest gives the first of what was set aside, at most limit.
func earliest(list []Poison, limit int) []Poison {
	slices.SortFunc(list, func(a, b Poison) int { return a.Time.Compare(b.Time) })
	return list[:min(limit, len(list))]
}
