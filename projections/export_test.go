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
