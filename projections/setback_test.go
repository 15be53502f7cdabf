package projections

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
	"github.com/jetsaga/jetsaga/testutil"
)

// twoSagas is a source that knows of two sagas' shards alone.
type twoSagas struct {
	Source
	shards  []shard.Shard
	records map[saga.Key][]Record
}

func (s *twoSagas) Shards(string) []shard.Shard { return s.shards }

func (s *twoSagas) Last(context.Context, string) (uint64, error) { return math.MaxUint64, nil }

func (s *twoSagas) Records(_ context.Context, key saga.Key) ([]Record, error) {
	return s.records[key], nil
}

// commit gives the record of a commit.
func (s *twoSagas) commit(t *testing.T, key saga.Key, version, sequence uint64) Record {
	t.Helper()
	c := &saga.Commit{Version: version, Time: time.Now().UTC(), Events: []saga.Event{saga.ActivationClaimed{}}}
	if version == 1 {
		c.Events = []saga.Event{saga.SagaStarted{Run: "r", Definition: 1}}
	}
	data, err := saga.EncodeCommit(c)
	if err != nil {
		t.Fatal(err)
	}
	r := Record{Key: key, Commit: true, Data: data, Sequence: sequence, Time: c.Time}
	s.records[key] = append(s.records[key], r)
	return r
}

// Where one summary was changed by other means, and at the same time what was written for another shard is lost, the batch at
// hand is not what comes next there.
func TestABatchThatIsBegunAnewDoesNotPassOverWhatRedisHasLost(t *testing.T) {
	const namespace, generation, stream = "default", "test", "S"
	ctx := t.Context()
	x, y := saga.Key{Definition: "order", ID: "x"}, saga.Key{Definition: "order", ID: "y"}
	source := &twoSagas{
		shards:  []shard.Shard{shard.Of(x.Definition, x.ID), shard.Of(y.Definition, y.ID)},
		records: map[saga.Key][]Record{},
	}
	rdb := testutil.Redis(t).Client(t)
	if err := rdb.HSet(ctx, metaKey(namespace), "current", generation).Err(); err != nil {
		t.Fatal(err)
	}
	w := &writer{
		models: models{rdb, modelKeys{namespace, generation}}, source: source, namespace: namespace, stream: stream,
		log: slog.New(slog.DiscardHandler), told: func(uint64, int, time.Time) {},
	}
	if _, err := w.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.Apply(ctx, Batch{Records: []Record{source.commit(t, x, 1, 1), source.commit(t, y, 1, 2)}}); err != nil {
		t.Fatal(err)
	}
	// A repair is faster than the batch, and the shard of y was set back.
	repaired := source.commit(t, x, 2, 3)
	was := summarize(x, source.records[x][:1])
	err := w.write(ctx, []shardWrite{{shard: repaired.Shard(), changes: []change{{member(x), was, summarize(x, source.records[x])}}}})
	if err != nil {
		t.Fatal(err)
	}
	at := w.keys.prefix(source.shards[1]) + "at"
	if read, err := rdb.HGet(ctx, at, stream).Uint64(); err != nil || read != 2 {
		t.Fatalf("y was read to %d, %v", read, err)
	}
	if err := rdb.HSet(ctx, at, stream, strconv.Itoa(1)).Err(); err != nil {
		t.Fatal(err)
	}
	var moved *movedError
	if err := w.Apply(ctx, Batch{Records: []Record{repaired}}); !errors.As(err, &moved) || moved.found >= moved.expected {
		t.Errorf("error is %v, want that Redis was set back", err)
	}
}
