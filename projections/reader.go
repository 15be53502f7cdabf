package projections

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// Reader answers from the read models. It is safe for concurrent use. What it tells may be a moment old; while Redis is
// away, or has no read models yet, it gives an error.
type Reader struct {
	rdb       redis.UniversalClient
	namespace string
}

// NewReader gives a reader for a namespace.
func NewReader(rdb redis.UniversalClient, namespace string) *Reader { return &Reader{rdb, namespace} }

// Order is what a list is ordered by.
type Order string

// The orders of a list: the latest first, unless Query.Ascending.
const (
	ByStart  Order = "started" // when the sagas were started; the default
	ByUpdate Order = "updated" // when they last changed; a saga that changes while pages are read may be on two or on none
)

// The limits of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Query says which sagas are wanted; the zero value wants all. All conditions have to hold.
type Query struct {
	Definition string
	// Statuses are those of which a saga has to have one. Default: any.
	Statuses []saga.Status
	// Attributes are search attributes that a saga has to have, with these values.
	Attributes map[string]string
	// A saga has to have been started, and to have changed last, not before From and before To. Zero: any time. A list looks up
	// at once the time that it is ordered by; for the other it reads the summaries of all sagas that the rest leaves.
	StartedFrom, StartedTo, UpdatedFrom, UpdatedTo time.Time
	// Order is what a list is ordered by, the latest first, or with Ascending the earliest. Default: ByStart, also where
	// only UpdatedFrom or UpdatedTo are set, which [ByUpdate] answers sooner.
	Order     Order
	Ascending bool
	// Limit is how many sagas a page has at most: up to [MaxLimit]. Default: [DefaultLimit].
	Limit int
	// Cursor is where to go on: the Next of the page before, of the same query.
	Cursor string
}

// QueryError tells what is wrong with a query.
type QueryError struct{ Reason string }

func (e *QueryError) Error() string { return "query: " + e.Reason }

// Page is a part of a list.
type Page struct {
	Sagas []Summary `json:"sagas"`
	// Next is the cursor of the next page; empty on the last. A cursor is a place in the order, so sagas that come and
	// go do not shift the pages after it, and it stays good when the read models are rebuilt.
	Next string `json:"next,omitempty"`
}

// withDefaults checks the query.
func (q Query) withDefaults() (Query, error) {
	if q.Order == "" {
		q.Order = ByStart
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	switch {
	case q.Order != ByStart && q.Order != ByUpdate:
		return q, &QueryError{fmt.Sprintf("order %q is neither %q nor %q", q.Order, ByStart, ByUpdate)}
	case q.Limit < 0 || q.Limit > MaxLimit:
		return q, &QueryError{fmt.Sprintf("limit %d is not between 1 and %d", q.Limit, MaxLimit)}
	}
	return q, nil
}

// matches reports whether the query wants a saga.
func (q *Query) matches(s *Summary) bool {
	within := func(t, from, to time.Time) bool {
		return (from.IsZero() || !t.Before(from)) && (to.IsZero() || t.Before(to))
	}
	if q.Definition != "" && s.Key.Definition != q.Definition || len(q.Statuses) > 0 && !slices.Contains(q.Statuses, s.Status) {
		return false
	}
	for name, value := range q.Attributes {
		if s.Attributes[name] != value {
			return false
		}
	}
	return within(s.StartedAt, q.StartedFrom, q.StartedTo) && within(s.UpdatedAt, q.UpdatedFrom, q.UpdatedTo)
}

// indexes gives the indexes that together have every saga that the query wants, each at most once, and whether they have
// no other, but for the times.
func (q *Query) indexes() (names []string, exact bool) {
	statuses := slices.Compact(slices.Sorted(slices.Values(q.Statuses)))
	switch {
	case len(q.Attributes) > 0:
		name := slices.Min(slices.Collect(maps.Keys(q.Attributes)))
		return []string{indexAttribute(name, q.Attributes[name])},
			len(q.Attributes) == 1 && len(statuses) == 0 && q.Definition == ""
	case len(statuses) > 0:
		for _, status := range statuses {
			if q.Definition != "" {
				names = append(names, indexBoth(q.Definition, status))
			} else {
				names = append(names, indexStatus(status))
			}
		}
		return names, true
	case q.Definition != "":
		return []string{indexDefinition(q.Definition)}, true
	default:
		return []string{indexAll}, true
	}
}

// Scores beyond those of all times.
const lowest, highest = -1 << 52, 1 << 52

// bounds gives the times of the order that the query wants, in microseconds, both included.
func (q *Query) bounds() (o order, low, high int64) {
	from, to := q.StartedFrom, q.StartedTo
	o = byStart
	if q.Order == ByUpdate {
		o, from, to = byUpdate, q.UpdatedFrom, q.UpdatedTo
	}
	low, high = lowest, highest
	if !from.IsZero() {
		low = score(from)
	}
	if !to.IsZero() {
		high = score(to.Add(-time.Nanosecond))
	}
	return o, low, high
}

// current gives the generation that readers read.
func (r *Reader) current(ctx context.Context) (*models, Generations, error) {
	g, err := generations(ctx, r.rdb, r.namespace)
	if err != nil {
		return nil, g, err
	}
	if g.Current == "" {
		return nil, g, &NotReadyError{Namespace: r.namespace, Building: g.Next != ""}
	}
	return &models{r.rdb, modelKeys{r.namespace, g.Current}}, g, nil
}

// Generations tells which read models there are.
func (r *Reader) Generations(ctx context.Context) (Generations, error) {
	return generations(ctx, r.rdb, r.namespace)
}

// read calls f with the current generation, again where another took its place meanwhile: an old generation is removed
// only after that, so what f has read is whole.
func (r *Reader) read(ctx context.Context, f func(m *models) error) error {
	for {
		m, _, err := r.current(ctx)
		if err != nil {
			return err
		}
		failure := f(m)
		after, err := generations(ctx, r.rdb, r.namespace)
		if err != nil {
			return err
		}
		if after.Current == m.keys.generation {
			return failure
		}
	}
}

// Get gives the summary of a saga; ok is false where the read models have none.
func (r *Reader) Get(ctx context.Context, key saga.Key) (s Summary, ok bool, err error) {
	err = r.read(ctx, func(m *models) error {
		found, err := m.summaries(ctx, []saga.Key{key})
		if err == nil && found[key].readable() {
			s, ok = *found[key], true
		}
		return err
	})
	return s, ok, err
}

// List gives a page of the sagas that a query wants. The errors are [*QueryError], [*NotReadyError] and those of Redis.
func (r *Reader) List(ctx context.Context, q Query) (Page, error) {
	q, err := q.withDefaults()
	if err != nil {
		return Page{}, err
	}
	from, err := q.place()
	if err != nil {
		return Page{}, err
	}
	var page Page
	err = r.read(ctx, func(m *models) error {
		page = Page{}
		w := m.walk(&q, from)
		for len(page.Sagas) < q.Limit {
			wanted, last, err := m.wanted(ctx, w, &q, q.Limit-len(page.Sagas))
			if err != nil {
				return err
			}
			if last == nil {
				return nil
			}
			page.Sagas = append(page.Sagas, wanted...)
			page.Next = last.cursor()
		}
		return nil
	})
	if err != nil || len(page.Sagas) < q.Limit {
		page.Next = ""
	}
	return page, err
}

// wanted gives those that a query wants of the next places of a walk, most at most, and the last of these; nil at the end.
func (m *models) wanted(ctx context.Context, w *walk, q *Query, most int) (wanted []Summary, last *place, err error) {
	found, err := w.next(ctx, most)
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	keys := make([]saga.Key, len(found))
	for i, p := range found {
		keys[i] = keyOf(p.Member)
	}
	summaries, err := m.summaries(ctx, keys)
	if err != nil {
		return nil, nil, err
	}
	for _, key := range keys {
		if s := summaries[key]; s.readable() && q.matches(s) {
			wanted = append(wanted, *s)
		}
	}
	return wanted, &found[len(found)-1], nil
}

// place is a saga's place in an order.
type place struct {
	Score  int64  `json:"s"`
	Member string `json:"m"`
}

func (p place) compare(other place) int {
	return cmp.Or(cmp.Compare(p.Score, other.Score), cmp.Compare(p.Member, other.Member))
}

func (p place) cursor() string {
	text, err := json.Marshal(p)
	if err != nil {
		return "" // it has nothing that cannot be encoded
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// place gives where the query's page begins: after this place; nil for the beginning.
func (q *Query) place() (*place, error) {
	if q.Cursor == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	var p place
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil || p.Member == "" {
		return nil, &QueryError{fmt.Sprintf("%.40q is no cursor", q.Cursor)}
	}
	return &p, nil
}

// walk goes through several indexes of all shards in their common order.
type walk struct {
	m     *models
	order order
	down  bool
	low   int64
	high  int64
	after *place
	all   []*walkedIndex
	heads indexHeap // those with a place to give, the next first
}

// walkedIndex is one index of one shard.
type walkedIndex struct {
	key    string
	places []place // read and not given yet
	last   *place  // the last that was read
	chunk  int     // how many to read next
	whole  bool    // everything was read
}

// The first read of each index is short: a page is spread over the shards, and few have more than these of it; unless sagas
// have to be passed over that the query does not want. Each further read is a round trip.
const (
	firstChunk = 3
	vagueChunk = 8
	mostChunk  = 512
)

func (m *models) walk(q *Query, after *place) *walk {
	o, low, high := q.bounds()
	w := &walk{m: m, order: o, down: !q.Ascending, low: low, high: high, after: after}
	w.heads.down = w.down
	names, exact := q.indexes()
	first := firstChunk
	if !exact {
		first = vagueChunk
	}
	for s := range shard.Count {
		for _, name := range names {
			w.all = append(w.all, &walkedIndex{
				key: m.keys.prefix(shard.Shard(s)) + string(o) + name, last: after,
				chunk: first + 2*q.Limit/(shard.Count*len(names)),
			})
		}
	}
	return w
}

// next gives the next places, most at most; none at the end.
func (w *walk) next(ctx context.Context, most int) ([]place, error) {
	var found []place
	hungry := w.all
	for {
		if err := w.fetch(ctx, hungry); err != nil {
			return nil, err
		}
		hungry = nil
		for len(found) < most && len(w.heads.indexes) > 0 {
			x := w.heads.indexes[0]
			found = append(found, x.places[0])
			x.places = x.places[1:]
			if len(x.places) > 0 {
				heap.Fix(&w.heads, 0)
				continue
			}
			heap.Pop(&w.heads)
			if !x.whole {
				// What this index has next may come before all others.
				hungry = []*walkedIndex{x}
				break
			}
		}
		if len(found) == most || len(hungry) == 0 {
			w.all = hungry // to be read first when the walk goes on
			return found, nil
		}
	}
}

// fetch reads on in indexes that have nothing left to give.
func (w *walk) fetch(ctx context.Context, indexes []*walkedIndex) error {
	for len(indexes) > 0 {
		readings := make([]*redis.ZSliceCmd, len(indexes))
		pipe := w.m.rdb.Pipeline()
		for i, x := range indexes {
			readings[i] = pipe.ZRangeArgsWithScores(ctx, w.reading(x))
		}
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("reading an index: %w", err)
		}
		var hungry []*walkedIndex
		for i, x := range indexes {
			x.take(readings[i].Val(), w.down)
			switch {
			case len(x.places) > 0:
				heap.Push(&w.heads, x)
			case !x.whole:
				hungry = append(hungry, x) // all that was read has been given
			}
		}
		indexes = hungry
	}
	return nil
}

// reading gives what to read next of an index.
func (w *walk) reading(x *walkedIndex) redis.ZRangeArgs {
	from, to := w.low, w.high
	if w.down {
		from, to = to, from // with REV the higher bound comes first
	}
	switch {
	case x.last != nil:
		from = x.last.Score // again, as others may have the same
	case w.low == lowest && w.high == highest: // the index's end is at hand, while a score has to be looked for
		return redis.ZRangeArgs{Key: x.key, Start: 0, Stop: x.chunk - 1, Rev: w.down}
	}
	return redis.ZRangeArgs{Key: x.key, Start: from, Stop: to, ByScore: true, Rev: w.down, Count: int64(x.chunk)}
}

// take takes what was read, but for what comes before the last place or is it.
func (x *walkedIndex) take(read []redis.Z, down bool) {
	for _, z := range read {
		p := placeOf(z)
		if x.last != nil {
			if order := p.compare(*x.last); down && order >= 0 || !down && order <= 0 {
				continue
			}
		}
		x.places = append(x.places, p)
	}
	x.whole = len(read) < x.chunk
	x.chunk = 4 * x.chunk
	if len(x.places) > 0 {
		last := x.places[len(x.places)-1]
		x.last, x.chunk = &last, min(x.chunk, mostChunk)
	}
}

func placeOf(z redis.Z) place {
	name, _ := z.Member.(string)
	return place{Score: int64(z.Score), Member: name}
}

// indexHeap has the index with the next place on top.
type indexHeap struct {
	indexes []*walkedIndex
	down    bool
}

func (h *indexHeap) Len() int { return len(h.indexes) }
func (h *indexHeap) Less(i, j int) bool {
	order := h.indexes[i].places[0].compare(h.indexes[j].places[0])
	return h.down && order > 0 || !h.down && order < 0
}
func (h *indexHeap) Swap(i, j int) { h.indexes[i], h.indexes[j] = h.indexes[j], h.indexes[i] }
func (h *indexHeap) Push(x any)    { h.indexes = append(h.indexes, x.(*walkedIndex)) }
func (h *indexHeap) Pop() any {
	last := h.indexes[len(h.indexes)-1]
	h.indexes = h.indexes[:len(h.indexes)-1]
	return last
}
