package projections

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/shard"
)

// Fill makes read models of summaries that no streams stand behind.
func Fill(ctx context.Context, rdb redis.UniversalClient, namespace string, n int, summary func(i int) *Summary) error {
	const generation, batch = "test", 20_000
	m := models{rdb, modelKeys{namespace, generation}}
	for from := 0; from < n; from += batch {
		byShard := map[shard.Shard]*shardWrite{}
		for i := from; i < min(from+batch, n); i++ {
			s := summary(i)
			at := shard.Of(s.Key.Definition, s.Key.ID)
			if byShard[at] == nil {
				byShard[at] = &shardWrite{shard: at}
			}
			byShard[at].changes = append(byShard[at].changes, change{member(s.Key), nil, s})
		}
		var writes []shardWrite
		for _, w := range byShard {
			writes = append(writes, *w)
		}
		if err := m.write(ctx, writes); err != nil {
			return err
		}
	}
	return rdb.HSet(ctx, metaKey(namespace), "epoch", "test", "format", modelFormat, "current", generation,
		"began", time.Now().UnixMilli()).Err()
}

// Alter changes all summaries of the current read models, and with them their indexes and totals.
func Alter(ctx context.Context, rdb redis.UniversalClient, namespace string, alter func(*Summary)) error {
	m, _, err := NewReader(rdb, namespace).current(ctx)
	if err != nil {
		return err
	}
	for s := range shard.Count {
		w := shardWrite{shard: shard.Shard(s)}
		values, err := rdb.HGetAll(ctx, m.keys.prefix(w.shard)+"sagas").Result()
		if err != nil {
			return err
		}
		for name, value := range values {
			was, err := decodeSummary(keyOf(name), value)
			if err != nil {
				return err
			}
			now := was.clone()
			alter(now)
			w.changes = append(w.changes, change{name, was, now})
		}
		if err := m.write(ctx, []shardWrite{w}); err != nil {
			return err
		}
	}
	return nil
}

// Keys gives how many keys a generation of read models has.
func Keys(ctx context.Context, rdb redis.UniversalClient, namespace, generation string) (n int, err error) {
	err = scanKeys(ctx, rdb, modelPattern(namespace), func(_ *redis.Client, keys []string) error {
		for _, key := range keys {
			if of, ok := generationOf(namespace, key); ok && of == generation {
				n++
			}
		}
		return nil
	})
	return n, err
}
