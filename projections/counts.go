package projections

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// Counts are how many sagas there are, by definition and status.
type Counts map[string]map[saga.Status]int64

// Counts gives how many sagas there are, by definition and status.
func (r *Reader) Counts(ctx context.Context) (Counts, error) {
	var counts Counts
	err := r.read(ctx, func(m *models) (err error) {
		counts, err = m.counts(ctx)
		return err
	})
	return counts, err
}

func (m *models) counts(ctx context.Context) (Counts, error) {
	counts := Counts{}
	err := m.totals(ctx, "counts", func(field string, n int64) {
		definition, status, _ := strings.Cut(field, ".")
		if n == 0 {
			return
		}
		if counts[definition] == nil {
			counts[definition] = map[saga.Status]int64{}
		}
		counts[definition][saga.Status(status)] += n
	})
	return counts, err
}

// totals calls see with the fields of a hash of numbers of all shards.
func (m *models) totals(ctx context.Context, hash string, see func(field string, n int64)) error {
	pipe := m.rdb.Pipeline()
	read := make([]*redis.MapStringStringCmd, shard.Count)
	for s := range shard.Count {
		read[s] = pipe.HGetAll(ctx, m.keys.prefix(shard.Shard(s))+hash)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("reading totals: %w", err)
	}
	for _, cmd := range read {
		for field, value := range cmd.Val() {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return fmt.Errorf("reading totals: %s: %w", field, err)
			}
			see(field, n)
		}
	}
	return nil
}

// Steps gives how attempts of a definition's steps ended and how long they took, by step, over all sagas that are kept.
func (r *Reader) Steps(ctx context.Context, definition string) (map[string]StepTotals, error) {
	var all map[string]map[string]StepTotals
	err := r.read(ctx, func(m *models) (err error) {
		all, err = m.steps(ctx)
		return err
	})
	return all[definition], err
}

// steps gives the totals of steps by definition.
func (m *models) steps(ctx context.Context) (map[string]map[string]StepTotals, error) {
	all := map[string]map[string]StepTotals{}
	err := m.totals(ctx, "steps", func(field string, n int64) {
		words := strings.Split(field, " ")
		if len(words) != 3 || n == 0 {
			return
		}
		if all[words[0]] == nil {
			all[words[0]] = map[string]StepTotals{}
		}
		totals := all[words[0]][words[1]]
		totals.add(words[2], n)
		all[words[0]][words[1]] = totals
	})
	return all, err
}

// add adds to the number, or to the time, of an outcome.
func (t *StepTotals) add(field string, n int64) {
	outcome, isTime := strings.CutSuffix(field, tookSuffix)
	for i, tally := range []*Tally{&t.Completed, &t.Failed, &t.Undone, &t.UndoFailed} {
		switch {
		case outcomes[i] != outcome:
		case isTime:
			tally.Took += time.Duration(n)
		default:
			tally.Count += n
		}
	}
}

// Count gives how many sagas a query wants; order, limit and cursor do not matter. A query that asks for no more than a
// definition, statuses and a time, or for one search attribute and a time, is answered from counts or from the indexes'
// ranks; any other has to look at the sagas that its most selective condition leaves.
func (r *Reader) Count(ctx context.Context, q Query) (int64, error) {
	q.Cursor, q.Limit = "", MaxLimit
	started := !q.StartedFrom.IsZero() || !q.StartedTo.IsZero()
	updated := !q.UpdatedFrom.IsZero() || !q.UpdatedTo.IsZero()
	if updated && !started {
		q.Order = ByUpdate
	}
	q, err := q.withDefaults()
	if err != nil {
		return 0, err
	}
	if names, exact := q.indexes(); exact && (!started || !updated) {
		var n int64
		err := r.read(ctx, func(m *models) (err error) {
			n, err = m.countIndexes(ctx, &q, names)
			return err
		})
		return n, err
	}
	var n int64
	err = r.read(ctx, func(m *models) error {
		n = 0
		for w := m.walk(&q, nil); ; {
			wanted, last, err := m.wanted(ctx, w, &q, q.Limit)
			if err != nil || last == nil {
				return err
			}
			n += int64(len(wanted))
		}
	})
	return n, err
}

// countIndexes adds up how many members of indexes are within the query's time.
func (m *models) countIndexes(ctx context.Context, q *Query, names []string) (int64, error) {
	o, low, high := q.bounds()
	pipe := m.rdb.Pipeline()
	var read []*redis.IntCmd
	for s := range shard.Count {
		for _, name := range names {
			key := m.keys.prefix(shard.Shard(s)) + string(o) + name
			read = append(read, pipe.ZCount(ctx, key, strconv.FormatInt(low, 10), strconv.FormatInt(high, 10)))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("counting: %w", err)
	}
	var n int64
	for _, cmd := range read {
		n += cmd.Val()
	}
	return n, nil
}
